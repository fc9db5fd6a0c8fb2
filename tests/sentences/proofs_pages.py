"""Texts of the pages that state something of the machine: how each begins, and the tests that hold it against the machine."""

PAGES = {
    "pages/dirty_bitmap.py": {
        "CLEAN reads and clears the bitmap": (
            "test_h7_h8_h9_what_peek_clean_and_off_do_to_the_log",
            "test_property_31_clean_hands_out_the_bits_once_and_peek_changes_nothing",
            "test_q3_each_reading_of_the_bitmap_destroys_all_shadows_and_the_guest_rebuilds_them",
        ),
        "The bitmap is a radix tree": ("test_property_35_the_tree_costs_four_pages_at_the_first_mark_and_goes_with_off",),
    },
    "pages/ept_npt.py": {
        "Two maps of the same thing": ("test_h12_h13_enable_and_clean_write_one_root_entry_and_no_leaf",),
        "Switching log-dirty on poisons": ("test_h12_h13_enable_and_clean_write_the_root_alone",),
        "Without PML a store": (
            "test_second_reading_19_with_pml_a_frame_costs_no_exit",
            "test_b5_a_frame_costs_one_write_exit_a_round",
            "test_h23_h24_h25_superpages_split_on_stores_only_and_never_come_back",
        ),
        "AMD's NPT (hap=npt)": (
            "test_h18_h19_exits_of_an_interval_on_npt",
            "test_nested_tables_make_the_guests_own_four_tables_dirty",
            "test_h22_a_guest_that_only_reads_dirties_the_tables_it_walks",
        ),
    },
    "pages/guest_page_tables.py": {
        "Guest page tables": (),
        "A guest table is ordinary": (
            "test_second_reading_18_with_out_of_sync_tables_most_stores_to_tables_are_not_emulated",
            "test_property_11_a_shadowed_table_has_no_writable_mapping",
            "test_property_16_a_cr3_load_brings_the_own_tables_back_and_the_others_up_to_date",
        ),
        "The A and D bits that": ("test_property_39_a_and_d_are_set_only_by_walks_that_succeed",),
    },
    "pages/left_out.py": {
        "What the model leaves out": (),
        "A model is a choice": ("test_what_is_left_out_is_listed_once",),
        "in real Xen or hardware": (),
    },
    "pages/live_migration.py": {
        "Xen's loop (send_memory_live)": (
            "test_29_sets_readings_and_suspends_of_each_policy",
            "test_the_model_stops_where_xen_did",
        ),
        "A set bit means": (
            "test_form_5_the_share_of_pages_that_were_sent_in_vain",
            "test_3_a_page_is_sent_again_exactly_when_its_bit_was_set",
        ),
        "Post-copy turns the order": ("test_35_each_page_crosses_exactly_once",),
    },
    "pages/shadow_pool.py": {
        "When the pool is full": (
            "test_a6_the_pool_is_fixed_and_recycled_by_the_age_of_the_last_cr3_load",
            "test_property_25_roots_are_unhooked_only_when_nothing_is_pinned_any_more",
        ),
        "The pages of the dirty bitmap's tree": ("test_property_18_every_page_of_the_pool_is_accounted_for",),
    },
    "pages/side_by_side.py": {
        "Side by side": (),
        "The clock is the tick": (
            "test_every_machine_is_at_every_tick_what_it_would_be_alone",
            "test_machines_that_are_migrated_stand_still_by_themselves",
            "test_it_says_whether_there_is_a_hypervisor_and_that_a_tick_is_one_access",
        ),
        "Commands, and fields that": ("test_a_command_and_a_field_of_the_sidebar_concern_all_machines",),
        "N and P look for": ("test_inside_a_tick_the_others_show_it_as_it_ends",),
        "Point at a frame": (
            "test_a_frame_lights_up_on_the_maps_of_all_machines",
            "test_the_frames_of_a_pv_guest_are_others",
        ),
    },
    "pages/translation.py": {
        "**Under HAP the two": ("test_c1_hap_keeps_the_translations_apart_and_the_tlb_holds_their_product",),
        "**Under shadow paging": ("test_c2_shadows_combine_both_beforehand_and_the_same_address_takes_four_references",),
        "Nuance: larger pages": (
            "test_closed_forms_of_the_two_dimensional_walk",
            "test_two_dimensions_cost_up_to_24_references_of_which_the_caches_save_most",
        ),
        "A PV guest's own tables": ("test_a_pv_guest_is_walked_by_its_own_tables_or_by_the_shadows_it_borrows",),
        "A 32-bit guest's shadows": (
            "test_two_levels_are_in_memory_of_a_32_bit_guest",
            "test_closed_forms_of_the_two_dimensional_walk",
        ),
    },
}
