"""What holds the texts of cards, and of what else tells of cells: {file: {how the text begins: tests, by name}}.

() where the text is a name, or a place that other rows of the card tell.
"""

PREDICTS = ("test_the_card_of_a_frame_predicts_the_next_access",)
LARGE = ("test_the_size_of_a_cell_is_named_and_its_card_counts",)
TYPES = ("test_every_frame_has_the_type_of_its_uses", "test_a_frame_is_a_table_or_writable_never_both")
LOGGED = ("test_a_store_that_the_processor_logs_needs_no_exit",)
BITS = ("test_the_map_tells_who_and_what_is_set_now",)
SEEN = ("test_a_table_out_of_sync_is_seen_on_three_maps_and_said",)
SUPERPAGE = ("test_a_superpage_is_seen_and_its_fl1_too", "test_the_card_of_a_superpage_says_how_many_pages_its_splinters_take")
READ_ONLY = ("test_an_entry_that_is_read_only_says_what_the_next_store_does",)
FORETOLD = ("test_the_exits_foretold_are_those_that_come",)
BOARDS_AGREE = ("test_the_boards_agree_with_the_state_and_with_each_other",)
LATER = ("test_skipped_and_deferred_frames_are_left_for_later",)
ENDS = ("test_a_frame_at_the_end_of_a_migration",)
FETCHED = ("test_35_each_page_crosses_exactly_once", "test_second_reading_13_the_background_goes_on_from_the_wanted_page")
ENTRIES = ("test_every_cell_has_a_card_and_every_shown_one_a_row",)
RECYCLED = ("test_who_is_unpinned_and_emptied_is_announced_with_the_pages_that_it_frees",)
RETURNS = ("test_which_table_comes_back_into_sync_is_announced",)
LOG = ("test_second_reading_6_the_log_takes_a_page_of_the_pool_for_each_vcpu", "test_second_reading_6_off_loses_what_is_logged")
SHARED_BY = ("test_c1_hap_keeps_the_translations_apart_and_the_tlb_holds_their_product",)
REFERENCES = ("test_any_address_of_any_guest_is_resolved_as_the_kernels_do",)

BACK = ("test_just_before_the_cell_was_different_from_then_on_never_and_its_causes_lead_back",)
RULES = ("test_what_a_rule_says_was_so_all_the_time",)
NOTICED = ("test_what_is_wrong_is_told_in_a_sentence", "test_a_broken_rule_is_noticed_at_its_tick_on_its_page")

CARDS = {
    "pagingviz/story/because.py": {
        "The machine was built so": BACK,
        "gfn {gfn} had been a page table": RULES,
        "That shadow of gfn": RULES,
        "Table gfn {gfn} had gone out of sync": RULES,
        "The processor had written gfn": RULES,
        "The dirty bit of gfn": RULES,
        "Since tick {tick} a change had been pending": RULES,
        "Since tick {tick} gfn {gfn} may be written": RULES,
        "This entry had been there before": RULES,
        "from the beginning": BACK,
        "At tick {}: so": BACK,
        "{}{}. In this tick": BACK,
        "{} In that tick": BACK,
    },
    "pagingviz/experiments/noticed.py": {
        "in the dirty bitmap": NOTICED,
        "by the guest": NOTICED,
        "at the destination": NOTICED,
        "The guest goes on at the destination": NOTICED,
        "gfn {} has been stored to since": NOTICED,
        "The guest's store to gfn {} never ends": NOTICED,
        "A store has reached gfn": NOTICED,
        "Entry {} of the guest's page table": NOTICED,
    },
    "pagingviz/boards/frame_map.py": {
        "1 cell = {}": LARGE,
        "by no process": (),
        "{} frames, gfn {} to {}": LARGE,
        "{} of {} bits set": LARGE,
        "Nothing uses it as a table": TYPES,
        "Some entry lets the guest write it": TYPES,
        "A validated page table": TYPES,
        "No shadow maps it": PREDICTS,
        "Mapped without write access": PREDICTS,
        "Mapped writable": ("test_an_entry_is_true_of_its_cells",),
        "It holds a shadowed page table": PREDICTS,
        "An L1 table out of sync": SEEN,
        "Its bit is set": (*PREDICTS, "test_what_a_device_has_written_is_not_said_to_be_a_store"),
        "A change is pending on its path": PREDICTS,
        "ram_logdirty, D set": LOGGED,
        "ram_logdirty, D clear": LOGGED,
        "A fetch exits": ("test_the_card_of_a_frame_says_whether_a_fetch_exits",),
        "ram_logdirty, left by a CLEAN": ("test_a_clean_while_log_dirty_is_off_leaves_one_exit_that_marks_nothing",),
        ", and the {} leaf is split": FORETOLD,
        "ram_logdirty: touched": PREDICTS,
        "ram_rw: stores run at full speed": ("test_a_clean_while_log_dirty_is_off_leaves_one_exit_that_marks_nothing",),
    },
    "pagingviz/boards/frame_rows.py": {
        "none: this work never touches it": ("test_state_follows_from_what_is_touched",),
        "stores so far": BITS,
        "in round {}, by {}": BITS,
        "out of sync": SEEN,
        "yes: the guest may write to this table": SEEN,
        "yes: HVMOP_pagetable_dying": ("test_what_is_hypercall_only_for_hvm_guests_is_refused_or_nothing",),
    },
    "pagingviz/boards/guest_entry_card.py": {
        "gpa {}, beyond": REFERENCES,
        "kernel direct map": (),
        "none: a piece of a superpage": SUPERPAGE,
        "no table yet": (),
        ", out of sync": SEEN,
        "piece {} of a {} page": SUPERPAGE,
        "One entry maps {}": ("test_pages_of_the_direct_map_have_the_size_that_is_said",),
        "The shadow has no {} pages": SUPERPAGE,
        "Not touched since shadows last went": SUPERPAGE,
        "Not present: the first touch faults": ("test_an_entry_is_true_of_its_cells",),
        "Its table has no shadow": ("test_a_table_without_a_shadow_need_not_have_met_a_blow",),
        "The hardware reads this entry itself.": REFERENCES,
        "Not shadowed yet": ("test_property_02_a_present_entry_has_been_accessed_by_the_guest",),
        "The guest may write here": ("test_property_11_a_shadowed_table_has_no_writable_mapping",),
        "Read-only in the shadow until the first store": ("test_g2_a_write_after_a_read_faults_once_more_and_sets_d",),
        "Read-only in the shadow: log-dirty": READ_ONLY,
        "Read-only in the shadow, as it was": (*READ_ONLY, "test_a_frame_that_is_dirty_already_is_not_said_to_be_clean"),
        "The shadow gives what": ("test_the_shadow_gives_what_the_guest_gives_where_the_card_says_so",),
    },
    "pagingviz/boards/leaf_rows.py": {
        "{} (p2m_recalc_type)": FORETOLD,
        "logged: waits in the log": LOGGED,
        "off: the pool lacks a page": ("test_second_reading_6_without_a_page_for_every_vcpu_there_is_write_protection",),
        "off: no A/D bits": ("test_second_reading_8_a_and_d_are_never_set_without_them",),
        "D clear: the next store is logged": FORETOLD,
        "D set: no store is logged any more": FORETOLD,
        "a store exits, so it is not logged": FORETOLD,
    },
    "pagingviz/boards/migration_card.py": {
        "gfn {} to {}; below": ("test_cells_of_several_frames_show_the_worst_and_say_so",),
        "nothing is kept of it": ("test_a_guest_whose_frames_are_not_all_kept",),
        "It crosses once, in round 1.": ("test_a_guest_whose_frames_are_not_all_kept",),
        ", last in round {}": BOARDS_AGREE,
        "stores to it so far": BOARDS_AGREE,
        "of them there": BOARDS_AGREE,
        "it is not there": BOARDS_AGREE,
        "this round's set": BOARDS_AGREE,
        "does not wait": BOARDS_AGREE,
        "what it is": (),
        "a page table of the guest": BOARDS_AGREE,
        "The primary is gone": ENDS,
        "The migration is over": ENDS,
        "its table refers to a frame in flux": LATER,
        "it was dirty again before": LATER,
        "Left for later: {}.": LATER,
        "It has not been pushed yet": FETCHED,
        "It has been written again already": ("test_a_thick_edge_says_that_the_frame_goes_again",),
        "the search goes on where it was": ("test_second_reading_10_the_search_goes_on_where_it_was_and_comes_round",),
        "lowest frame first": ("test_31_ascending_once_a_round_and_at_most_1024_a_record",),
        "It is in this round's set": ("test_31_ascending_once_a_round_and_at_most_1024_a_record",),
        "The guest has written it since": ("test_3_a_page_is_sent_again_exactly_when_its_bit_was_set",),
        "The guest touched it over there": FETCHED,
        "The destination has an old version": BOARDS_AGREE,
        "The destination has it as it is": BOARDS_AGREE,
    },
    "pagingviz/boards/nested_card.py": {
        ", the worst of {} here": ("test_every_cell_is_the_worst_of_its_entries",),
        "No entry: the {} leaf": ENTRIES,
        "{} of the pool, entry {}": ENTRIES,
        "a logged store or a fetch": FORETOLD,
        "1: an EPT violation exits": (),
        "waits in this entry": ENTRIES,
        "waits above, at {}": ENTRIES,
    },
    "pagingviz/boards/pool_card.py": {
        "Xen's own top level": ("test_property_18_every_page_of_the_pool_is_accounted_for",),
        "Free: the next shadow": ("test_property_18_every_page_of_the_pool_is_accounted_for",),
        "superpage gfn {} to {}": SUPERPAGE,
        "{} frames from gfn {}": SUPERPAGE,
        "identity table": ("test_shadow_equals_the_model",),
        "{}, this is number {}": ("test_property_19_a_shadow_costs_the_pages_of_its_type",),
        "made or last loaded": ("test_the_shades_of_the_pool_are_ages",),
        "{} ticks: {} at tick {}": ("test_the_shades_of_the_pool_are_ages",),
        "yes, in CR3 of vCPU {}": ("test_a_corner_names_the_vcpu_that_runs_on_a_root",),
        "yes, number {} of {}": RECYCLED,
        "Its guest table is out of sync": ("test_property_16_a_cr3_load_brings_the_own_tables_back_and_the_others_up_to_date",),
        "Shadows know no superpages": ("test_g4_a_superpage_costs_a_table_the_guest_never_used",),
        "Pinned like a root": ("test_property_22_only_roots_are_pinned_and_l3s_for_early_linux",),
        "Left from the time before": ("test_shadow_equals_the_model",),
        "It lives as long as": ("test_property_20_references_are_parents_slots_and_pins_and_the_last_one_frees_at_once",),
        "A root. A shadow fault now": RECYCLED,
        "A root: pinned at its last CR3 load": ("test_property_23_the_pinned_list_is_the_order_of_cr3_loads",),
        "Part of the domain's only set": ("test_b2_one_set_of_tables_for_the_whole_guest",),
        "the log-dirty bitmap's tree": ("test_the_tree_s_pages_are_those_that_hold_the_bits",),
        "Taken when the first bit": ("test_property_35_the_tree_costs_four_pages_at_the_first_mark_and_goes_with_off",),
        "the page-modification log of vCPU {}": LOG,
        "Taken at ENABLE": LOG,
        "tables of the p2m": ("test_property_18_every_page_of_the_pool_is_accounted_for",),
        "Xen's own p2m lives": ("test_property_18_every_page_of_the_pool_is_accounted_for",),
        "when a table with mfn % 3": RETURNS,
        "{}at the next CR3 load": RETURNS,
        "What its shadow reflects": ("test_property_17_the_shadow_of_an_out_of_sync_table_is_what_its_snapshot_gives",),
        "Kept for a table": ("test_property_13_at_most_three_tables_a_vcpu_are_out_of_sync_each_in_its_place",),
    },
    "pagingviz/boards/reference_card.py": {
        "also walked by": (),
        "references to it": ("test_property_20_references_are_parents_slots_and_pins_and_the_last_one_frees_at_once",),
        "every address space of the guest": ("test_b2_one_set_of_tables_for_the_whole_guest",),
        "read at references": ("test_a_cell_of_a_walk_has_its_card",),
        "Here the walk ends": REFERENCES,
        "A cache holds this step": ("test_what_caches_hold_is_no_reference_to_memory",),
        "The guest's entries hold guest-physical": SHARED_BY,
        "The shadow holds machine frames": (
            "test_c2_shadows_combine_both_beforehand_and_the_same_address_takes_four_references",
        ),
        "Only now, with its machine frame": SHARED_BY,
        "The hardware reads the guest's entry": ("test_a_pv_guest_is_walked_by_its_own_tables_or_by_the_shadows_it_borrows",),
    },
}
