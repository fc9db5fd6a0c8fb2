"""What holds the texts of the page What if about rules that are broken on purpose, and about what is seen then."""

SEEN = "test_a_broken_rule_is_noticed_at_its_tick_on_its_page"
SAVES = "test_the_rule_does_at_that_tick_what_the_page_says_that_it_would"
SENT = "test_the_true_machine_sends_the_wrong_pages_again"

RULES = {  # by name: the tests that hold the rule itself on the true machine, and what becomes of it without
    "flush-at-clean": (SEEN, SAVES, "test_a_clean_without_its_flush_is_a_wrong_destination"),
    "blow-at-clean": (SEEN, SAVES, "test_property_34_after_a_clean_even_a_read_costs_a_fault_in_each_window"),
    "poison-at-clean": (SEEN, SAVES, "test_h12_h13_enable_and_clean_write_the_root_alone"),
    "mark-at-violation": (SEEN, SAVES, "test_b5_a_frame_costs_one_write_exit_a_round"),
    "mark-a-and-d": (SEEN, SAVES, "test_property_30_no_write_is_lost"),
    "prefetch-read-only": (SEEN, SAVES, "test_property_29_with_log_dirty_on_a_writable_frame_is_dirty"),
    "mark-device": (SEEN, SAVES, "test_property_30_no_write_is_lost"),
    "protect-tables": (SEEN, SAVES, "test_property_11_a_shadowed_table_has_no_writable_mapping"),
    "follow-stores": (SEEN, SAVES, "test_property_01_a_present_entry_has_a_present_guest_entry"),
    "resync-at-cr3": (
        SEEN,
        SAVES,
        "test_property_16_a_cr3_load_brings_the_own_tables_back_and_the_others_up_to_date",
    ),
    "unshadow-data": (SEEN, SAVES),
    "dirty-before-caching": (SEEN, SAVES),
    "clear-before-copy": (SEEN, SENT, "test_property_31_clean_hands_out_the_bits_once_and_peek_changes_nothing"),
    "drain-the-log": (SEEN, SENT, "test_h7_h8_h9_what_peek_clean_and_off_do_to_the_log"),
    "last-round": (SEEN, SENT, "test_29_sets_readings_and_suspends_of_each_policy"),
    "retry-sends-all": (SEEN, SENT, "test_a_retry_sends_all_of_the_guest_once_more"),
}

TOLD = "test_what_is_wrong_is_told_in_a_sentence"
TEXTS = {  # file: {how a text begins: tests, by name; () where it states nothing of a machine}
    "pagingviz/experiments/noticed.py": {
        "in the dirty bitmap": (SEEN,),
        "by the guest": (SEEN,),
        "at the destination": (SEEN,),
        "The guest goes on at the destination with": (TOLD, SENT),
        "the last CLEAN": (TOLD,),
        "gfn {} has been stored to since": (TOLD, SEEN),
        "The guest's store to gfn {} never ends": (TOLD,),
        "A store has reached gfn {} that must not": (TOLD, SEEN),
        "Entry {} of the guest's page table in gfn {} is {}": (TOLD,),
    },
    "pagingviz/player/film.py": {
        "true machine": (),
        "broken machine": (),
        "the first wrong tick": (),
        "This film has whole ticks alone": ("test_what_happens_is_told_once_or_of_both_machines",),
        "On both machines:": ("test_what_happens_is_told_once_or_of_both_machines",),
        "True: {} Broken: {}": ("test_what_happens_is_told_once_or_of_both_machines",),
        "The same cell on both machines": ("test_a_card_tells_what_the_cell_is_on_both_machines",),
    },
}
