"""What holds the help of each option: {field of scenario/table.py: tests, by name}. () where the help states nothing.

Prices (`cost_` and a key) are no rows: tests/scenario/test_cost_fields.py has them all.
"""

OWN_NUMBERS = ("test_a_policy_of_ones_own_stops_at_its_numbers",)
GROWING = ("test_the_downtime_that_is_allowed_grows_from_the_third_reading_on",)
STALLED = (
    "test_a_migration_has_stalled_when_nothing_is_4_percent_below_the_best_of_40_s_ago",
    "test_then_it_waits_for_a_local_minimum",
)
OVERDUE = ("test_an_overdue_migration_is_cancelled_stopped_or_finished_as_post_copy",)
CONVERGES = (
    "test_second_reading_11_auto_converge_judges_at_most_once_a_second",
    "test_second_reading_11_its_numbers_can_be_set",
)
WALKS = ("test_the_walk_agrees_with_every_recorded_case",)
LINK = ("test_a_link_takes_the_time_that_its_options_say",)
SENT_AS = ("test_38_zero_pages_and_differences_change_the_bytes_and_not_the_image",)
REMUS = ("test_form_13_remus_pays_per_epoch_for_the_pages_it_dirtied", "test_remus_makes_so_many_checkpoints_so_far_apart")

FIELDS = {
    "road": (),
    "core": (
        "test_second_reading_7_defaults_are_those_of_the_core",
        "test_second_reading_7_npt_without_a_core_has_one_that_has_it_and_back",
    ),
    "hap": (),
    "pml": ("test_only_one_core_has_a_page_modification_log", "test_only_ept_has_a_log"),
    "exec_sp": (
        "test_second_reading_1_a_fetch_makes_512_executable_leaves_and_marks_nothing",
        "test_second_reading_1_with_executable_superpages_or_amd_no_fetch_exits",
    ),
    "ept_ad": (
        "test_second_reading_8_a_and_d_are_never_set_without_them",
        "test_second_reading_7_what_no_core_is_is_refused_in_a_sentence",
    ),
    "guest": ("test_two_levels_are_in_memory_of_a_32_bit_guest", "test_second_reading_3_references_of_a_pae_walk"),
    "direct_map_pages": ("test_pages_of_the_direct_map_have_the_size_that_is_said",),
    "wp": WALKS,
    "smep": WALKS,
    "smap": WALKS,
    "nx": WALKS,
    "pse": WALKS,
    "vcpus": (
        "test_each_vcpu_does_what_a_machine_with_its_programs_alone_would_do",
        "test_a_process_never_runs_on_two_vcpus",
    ),
    "frames": ("test_what_a_large_guest_cannot_have_is_refused_in_one_sentence",),
    "pool": ("test_pool_sizes", "test_a_pool_has_xens_own_minimum_or_not"),
    "oos": ("test_g5_a_kernel_store_to_an_l1_unsyncs_it", "test_g5_without_out_of_sync_tables_every_store_is_emulated"),
    "shopt": ("test_the_numbers_of_the_optimisations_are_xens_bits",),
    "xen": (),
    "floor": ("test_a_pool_has_xens_own_minimum_or_not",),
    "superpages": ("test_an_entry_is_true_of_its_cells",),
    "trace": ("test_upload_is_found_by_its_sha256",),
    "work": ("test_generator_defaults",),
    "quantum": ("test_a_process_runs_for_its_quantum",),
    "order": ("test_turns_default_to_every_entry_once",),
    "seed": ("test_seed_and_slot_change_the_stream",),
    "write": ("test_writes_and_hot_pages_have_the_share_asked_for",),
    "direct_map": ("test_direct_map_names",),
    "clean": (
        "test_q3_each_clean_destroys_the_shadows_and_the_guest_goes_on",
        "test_after_the_search_nothing_is_writable_and_no_store_is_lost",
    ),
    "clean_every": ("test_commands_fall_due_and_clean_repeats_itself",),
    "do": (
        "test_do_of_the_contract",
        "test_a_device_writes_on_every_road_and_its_model_tells_while_log_dirty_is_on",
    ),
    "migrate": (
        "test_the_destination_is_the_source_on_every_road_by_every_way",
        "test_35_each_page_crosses_exactly_once",
        "test_39_the_backup_goes_on_from_the_last_complete_checkpoint",
    ),
    "migrate_at": ("test_a_migration_begins_at_its_tick",),
    "policy": ("test_29_sets_readings_and_suspends_of_each_policy", *STALLED),
    "target": OWN_NUMBERS,
    "rounds": OWN_NUMBERS,
    "factor": OWN_NUMBERS,
    "skip": OWN_NUMBERS,
    "downtime": ("test_second_reading_26_the_default_downtime_is_300_ms",),
    "downtime_from": GROWING,
    "downtime_step": GROWING,
    "downtime_wait": GROWING,
    "stall_time": STALLED,
    "stall_margin": STALLED,
    "stall_downtime": ("test_under_a_ceiling_it_stops_beyond_it_waits_and_far_beyond_it_gives_up",),
    "limit_rounds": OVERDUE,
    "limit_time": OVERDUE,
    "at_limit": OVERDUE,
    "channels": ("test_channels_carry_pages_side_by_side_and_state_alone",),
    "bandwidth": LINK,
    "latency": ("test_form_12_post_copy",),
    "page_overhead": LINK,
    "pace": ("test_the_guest_does_so_many_ticks_while_a_page_is_on_the_wire",),
    "state_size": ("test_the_format_gives_every_recorded_stream",),
    "tracking": ("test_40_with_free_tracking_all_roads_send_the_same_data_pages",),
    "zeros": SENT_AS,
    "xbzrle": SENT_AS,
    "throttle": CONVERGES,
    "throttle_initial": CONVERGES,
    "throttle_increment": CONVERGES,
    "throttle_max": CONVERGES,
    "throttle_trigger": CONVERGES,
    "prefetch": ("test_pages_come_along_with_a_wanted_one",),
    "preempt": ("test_second_reading_13_a_page_overtakes_the_background_with_preempt_only",),
    "epoch": REMUS,
    "epochs": REMUS,
    "fail": (
        "test_second_reading_13_a_lost_link_makes_both_sides_wait_and_a_lost_host_loses_the_guest",
        "test_a_source_host_that_is_lost_takes_its_guest_with_it",
        "test_a_pv_guest_that_changes_its_list_of_frames_is_not_moved",
        "test_36_a_table_in_flux_waits_for_the_suspend",
    ),
    "recover": ("test_second_reading_13_a_lost_link_can_be_recovered",),
    # of a view
    "tick": ("test_the_bare_address_is_the_home_scenario_at_its_start",),
    "play": (),
    "present": ("test_presenter_mode_shows_nothing_but_the_board",),
    "bits": (),
    "recording": (),
    "row": (),
    "gva": ("test_without_an_address_the_last_access_is_resolved",),
    "access": (),
    "ref": ("test_the_boards_show_made_present_and_coming_references",),
    "beside": (
        "test_each_machine_is_the_scenario_with_its_fields_changed",
        "test_every_scenario_has_a_machine_on_another_road",
    ),
    "board": ("test_the_maps_to_choose_from_are_those_of_the_home_page",),
    "rule": (),
    "broken": (),
    "part": (),
    "theme": (),
}
BUTTONS = {  # word of the glossary that is the tooltip of a button: the same
    "ENABLE": ("test_property_30_no_write_is_lost",),
    "CLEAN": (
        "test_property_31_clean_hands_out_the_bits_once_and_peek_changes_nothing",
        "test_property_28_after_a_blow_only_empty_loaded_roots_are_left",
        "test_h12_h13_enable_and_clean_write_one_root_entry_and_no_leaf",
    ),
    "PEEK": (
        "test_property_31_clean_hands_out_the_bits_once_and_peek_changes_nothing",
        "test_h7_h8_h9_what_peek_clean_and_off_do_to_the_log",
    ),
    "blow": ("test_property_28_after_a_blow_only_empty_loaded_roots_are_left",),
    "OFF": ("test_property_35_the_tree_costs_four_pages_at_the_first_mark_and_goes_with_off",),
    "flush": ("test_after_a_flush_the_next_access_walks_again",),
    "set pool": (
        "test_the_pool_of_a_hap_guest_is_set_at_its_free_list",
        "test_property_18_every_page_of_the_pool_is_accounted_for",
    ),
    "device": ("test_a_device_writes_on_every_road_and_its_model_tells_while_log_dirty_is_on",),
}
