"""What holds the texts of ui/ that state something of the machine: {file: {how the text begins: tests, by name}}.

The other texts are in silent_words.py.
"""

LOGS = ("test_h19_h20_h21_a_full_log_costs_one_exit_for_512_pages", "test_second_reading_6_off_loses_what_is_logged")
TREE = ("test_property_35_the_tree_costs_four_pages_at_the_first_mark_and_goes_with_off",)
WOULD = ("test_peek_and_clean_do_what_the_page_says_that_they_would",)
FAILS = ("test_both_fail_for_want_of_a_page",)
ON_TREE = ("test_the_tree_and_the_logs",)
ROUNDS = ("test_charts_show_what_the_rounds_counted",)
PAUSE = ("test_the_pause_foretold_after_the_last_round_is_the_pause",)
SEARCH = (
    "test_c3_to_make_all_memory_read_only_is_to_reverse_a_mapping_that_goes_one_way",
    "test_c3_the_search_grows_with_frames_times_shadows_and_blow_only_with_shadows",
)
LEDGER = (
    "test_both_sides_of_the_ledger_start_from_one_state_and_add_up",
    "test_a_sweep_passes_over_what_cannot_run_and_finds_the_crossing",
)
COUNTED = ("test_every_entry_that_is_looked_at_is_counted", *LEDGER[:1])
CURVE = ("test_the_pool_page_shows_the_curve_and_the_recorded_grid",)
CLIFF = ("test_the_curve_of_the_thrash_scenario_has_a_cliff",)
STEPS = ("test_a_step_that_cannot_be_taken_says_why",)
ONE_ACCESS = ("test_it_says_whether_there_is_a_hypervisor_and_that_a_tick_is_one_access",)
OF_PV = ("test_what_it_says_of_a_pv_guest_is_true_with_log_dirty_and_without",)
GREETED = ("test_it_says_when_the_bitmap_is_read_next",)
XEN = ("test_real_xen_shows_what_was_recorded_beside_the_model",)
CLEANS = ("test_what_each_clean_of_a_migration_does_to_shadows_is_told",)
LOOPS = ("test_real_xen_shows_the_recorded_pre_copy_loops_beside_the_model_s", "test_the_model_stops_where_xen_did")
EQUAL = ("test_the_destination_equals_the_source", "test_one_lost_bit_is_a_wrong_destination")
HELD = ("test_the_page_says_what_each_road_does_and_what_its_tlb_holds",)
C1 = "test_c1_hap_keeps_the_translations_apart_and_the_tlb_holds_their_product"
C2 = "test_c2_shadows_combine_both_beforehand_and_the_same_address_takes_four_references"

WIDGETS = {
    "pagingviz/ui/bitmap.py": {
        "no frame: log-dirty is off": WOULD,
        "fails (-ENOMEM)": FAILS,
        "the root of the nested tables is poisoned": WOULD,
        "exits once, and marks nothing": WOULD,
        "is seen": WOULD,
        "stays: there are no shadows": WOULD,
        "taken from every writable frame": WOULD,
        "all shadows are thrown away": WOULD,
        "all 0, round {} begins": WOULD,
        "there are none": WOULD,
        "stay: only OFF frees them": TREE,
        "**Why all shadows": SEARCH,
        "below 0: full": ("test_h21_the_store_that_finds_the_log_full_is_carried_out_after_the_flush",),
        "The index counts down from 511": LOGS,
        "No page yet: the first dirty frame": TREE,
        "{} of the pool, of them": (*TREE, *ON_TREE),
        "{} of 512 entries": ON_TREE,
    },
    "pagingviz/ui/costs.py": {
        "Double-click a number": (
            "test_a_price_survives_address_json_and_toml",
            "test_a_dearer_exit_leaves_the_guest_less_time",
        ),
    },
    "pagingviz/ui/every_road.py": {
        "One work, one seed": (
            "test_side_by_side_the_work_is_the_same_and_the_price_is_not",
            "test_b5_a_frame_costs_one_write_exit_a_round",
            "test_h18_h19_exits_of_an_interval_on_npt",
            "test_second_reading_19_with_pml_a_frame_costs_no_exit",
        ),
    },
    "pagingviz/ui/figures.py": {
        "changed in this tick": ("test_growing_older_is_no_change",),
        "the domain dies": ("test_property_26_a_pool_of_128_pages_a_vcpu_is_always_enough",),
        "blow and rebuild: what Xen does": LEDGER,
        "search all shadows": LEDGER,
        ", in the pause alone": LEDGER,
        "cliff": CLIFF,
        "crossover": LEDGER[1:],
    },
    "pagingviz/ui/figures_migration.py": {
        "dirtied, and sent too early": (*ROUNDS, "test_form_5_the_share_of_pages_that_were_sent_in_vain"),
        "dirty bit set, but only before it was sent": (*ROUNDS, "test_form_5_the_share_of_pages_that_were_sent_in_vain"),
        "fixed: suspend, state, resume": PAUSE,
        "the pages that are dirty then": PAUSE,
        "the pause: {} µs": PAUSE,
        "The pause, if this round were the last": PAUSE,
    },
    "pagingviz/ui/figures_side.py": {
        "More or less than {}, in {}": ("test_bars_show_how_much_more_the_others_have_than_the_first",),
    },
    "pagingviz/ui/greeting.py": {
        "This is a guest and its hypervisor": ONE_ACCESS,
        "This is a guest without a hypervisor": ONE_ACCESS,
        "one tick back, exactly": ("test_back_undoes_step_exactly_at_every_tick",),
        "At the next tick": GREETED,
        "In {} ticks": GREETED,
        "{} its dirty bitmap is read": GREETED,
        "What the guest believes": ("test_an_entry_is_true_of_its_cells",),
        "One bit for each of these frames": (
            "test_b1_one_bit_for_each_frame_written_since_the_last_clean",
            "test_3_a_page_is_sent_again_exactly_when_its_bit_was_set",
        ),
        "The pages in which Xen keeps": ("test_an_entry_is_true_of_its_cells",),
        "What the processor walks: the guest's own page tables": ("test_an_entry_is_true_of_its_cells",),
        "{}, by program and level. A letter is an entry in use.": ("test_an_entry_is_true_of_its_cells",),
        "The guest's own page tables, which hold the true frames": OF_PV,
        "Every frame of the guest's memory, in order: a page table, or": OF_PV,
        "Xen's shadows of the guest's tables": ("test_an_entry_is_true_of_its_cells",),
        "What the processor walks instead": (
            "test_q4_the_guests_cr3_and_the_hardwares_are_two_and_the_guests_table_stays_where_it_is",
            "test_a6_the_pool_is_fixed_and_recycled_by_the_age_of_the_last_cr3_load",
        ),
        "Empty: without a hypervisor": ("test_a_caption_is_shown_and_true",),
        "Every frame of the guest's memory, in order, and what EPT": ("test_an_entry_is_true_of_its_cells",),
        "Every frame of the guest's memory, in order, and whether": ("test_an_entry_is_true_of_its_cells",),
    },
    "pagingviz/ui/migration.py": {
        "Pre-copy from this tick on": ("test_a_guest_that_is_not_moved_can_be",),
        "No hypervisor, no migration": ("test_a_guest_that_is_not_moved_can_be",),
        "**The backup equals": ("test_39_the_backup_goes_on_from_the_last_complete_checkpoint",),
        "**The destination equals": EQUAL,
        "**The destination's memory DIFFERS": EQUAL,
        "round {}: {} fetched on demand": ("test_form_12_post_copy",),
        "Nobody tracks what it writes.": (
            "test_35_each_page_crosses_exactly_once",
            "test_33_stop_and_copy_is_the_longest_pause",
        ),
        "It stands still.": ("test_33_stop_and_copy_is_the_longest_pause",),
        "ENABLE and each CLEAN write the **root**": (
            "test_h12_h13_enable_and_clean_write_the_root_alone",
            "test_h17_h19_exits_of_an_interval",
            "test_h18_h19_exits_of_an_interval_on_npt",
        ),
        "the processor logs the first store": (
            "test_second_reading_19_with_pml_a_frame_costs_no_exit",
            "test_a_superpage_is_split_by_one_violation_and_logged_from_then_on",
        ),
        "one exit for the first store": ("test_b5_a_frame_costs_one_write_exit_a_round",),
        "Each CLEAN **searches all shadows**": CLEANS,
        "Shadow paging begins with ENABLE": (*CLEANS, "test_a2_shadows_of_a_pv_guest_come_and_go_with_log_dirty"),
        "ENABLE and each CLEAN **throw": CLEANS,
        "all shadows away**": (*CLEANS, "test_a8_a_blow_empties_the_pool_in_one_event_and_the_refault_storm_decays"),
    },
    "pagingviz/ui/notes.py": {
        "It is set so now.": STEPS,
        "The scenario at its own start": ("test_a_step_sets_fields_and_is_done_then_and_begin_again_takes_it_back",),
    },
    "pagingviz/ui/pool_size.py": {
        "The curve is of the shadow road": CURVE,
        "The first {} ticks of this work": CURVE,
        "**The cliff:**": CLIFF,
        "No cliff: every one": CLIFF,
        "This machine has {} pages": CURVE,
        "With {} pages the domain dies": ("test_property_26_a_pool_of_128_pages_a_vcpu_is_always_enough",),
        "A guest of 32 MiB reads through": ("test_thrash_grid", "test_pool_sizes"),
    },
    "pagingviz/ui/real_xen.py": {
        "**{} of {}** trace events equal": XEN,
        "**{} of {}** bitmaps and counts equal": XEN,
        "**{} of {}** performance counters equal": XEN,
        "**{}** differences": ("test_known_differences_are_few_and_complete",),
        "Xen {}; the model {}; {}": ("test_every_row_s_moment_shows_what_the_row_says",),
        "Xen's own performance counters": ("test_counters_of_the_guests_cpu",),
        "**Nothing.** Every bitmap": ("test_nothing_differs",),
        "With nothing searched {} %": XEN,
        "**Live migration of the recorded guest**": LOOPS,
        "Xen stopped at": LOOPS,
    },
    "pagingviz/ui/revoke.py": {
        "Under HAP one table says": (
            *SEARCH,
            "test_c3_xen_does_have_a_search_for_one_page_and_guesses_first",
            "test_c4_throwing_all_away_takes_a_short_pause_whatever_was_written",
        ),
        "frames searched for": COUNTED,
        "L1 shadows searched": COUNTED,
        "entries looked at": COUNTED,
        "entries changed": COUNTED,
        "of these: entries filled in": LEDGER[:1],
        "There are shadows on the shadow road": ("test_a2_shadows_of_a_pv_guest_come_and_go_with_log_dirty",),
        "Recorded programs decide themselves": ("test_traces_equal_the_model",),
        "In a pool of this size the domain dies": ("test_a_sweep_passes_over_what_cannot_run_and_finds_the_crossing",),
        "blow and rebuild is cheaper": LEDGER,
        "searching is cheaper": LEDGER,
        "the same frames dirty at every CLEAN": LEDGER,
        "different things: one is wrong": LEDGER,
        "{}, each followed by {}": LEDGER,
        "In a guest this small the pause of blow": (
            *SEARCH,
            "test_c4_which_road_is_cheaper_in_all_depends_on_how_much_is_written",
        ),
        "One road is cheaper everywhere": LEDGER,
        "**The crossover** lies": LEDGER,
    },
    "pagingviz/ui/side_by_side.py": {
        "A comma between fields": ("test_the_text_is_read_as_it_was_written", "test_a_bad_machine_is_one_sentence"),
        "What it has cost since tick 0": ("test_counts_are_the_engine_s_and_cycles_are_counts_times_prices",),
        "price of one": ("test_every_row_says_where_its_price_comes_from",),
    },
    "pagingviz/ui/sidebar.py": {
        "Your own machine waits where it was.": ("test_a_row_of_real_xen_brings_its_maps",),
        "A trace in the format of the shipped ones": ("test_second_reading_16_one_line_of_lackey_is_taken",),
    },
    "pagingviz/ui/what_if.py": {
        "Break it, and the same guest runs": (
            "test_a_broken_rule_is_noticed_at_its_tick_on_its_page",
            "test_the_true_machine_beside_it_stays_right",
        ),
    },
    "pagingviz/ui/translation.py": {
        "Click an entry: the first address": ("test_a_click_on_the_guest_s_tables_chooses_the_address",),
        "level {}: gfn {}, {}": ("test_the_tlb_is_read_without_being_used",),
        "gva → gfn {} by the guest's tables": (C1, *HELD),
        "the guest's tables alone: its frames": HELD,
        "the shadow alone: Xen had combined": (C2, *HELD),
        "the guest's tables alone: they hold": ("test_the_tables_hold_machine_frames_and_the_hardware_walks_them_as_they_are",),
        "MOV CR3 empties the TLB": (
            "test_second_reading_21_what_flushes_the_nested_caches",
            "test_an_invept_follows_what_takes_rights_away_or_splits_and_no_misconfiguration",
        ),
        "Cycles of this one walk": ("test_cycles_come_from_the_counts_and_the_viewer_s_table",),
        "references a walk, so far": ("test_two_dimensions_cost_up_to_24_references_of_which_the_caches_save_most",),
    },
}
