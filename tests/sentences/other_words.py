"""What the boards say beside captions, legends and cards: {file: {text: the test that holds it, or why it states nothing}}."""

TITLE = "test_a_title_says_what_the_board_holds_on_this_road"
NAME = "a name"
PIECE, ALT = "a piece of other texts", "what the colour of a cell is called where the board is told in words"
OTHERS = {
    "pagingviz/boards/guest_tables.py": {
        "Guest page tables": TITLE,
        "1 cell = 1 entry the work can use, the rest stay empty; the direct map of data frames: several entries a cell": (
            "test_the_map_of_guest_tables_shows_what_the_recorded_guest_uses"
        ),
    },
    "pagingviz/boards/shadow_pool.py": {
        "ticks or more": "test_the_shades_of_the_pool_are_ages",
        "Shadow pool": TITLE,
        "HAP pool": TITLE,
        "No pool on this road": TITLE,
        "1 cell = 1 page": "test_property_18_every_page_of_the_pool_is_accounted_for",
        "1 cell = 1 page for nested tables and the bitmap's tree": "test_property_18_every_page_of_the_pool_is_accounted_for",
        "1f21f21f2234pmK +": "letters",
    },
    "pagingviz/boards/pool_words.py": {", then": PIECE},
    "pagingviz/boards/ept_npt.py": {
        "{} leaf, ram_logdirty": "test_an_entry_is_true_of_its_cells",
        "No second translation on this road": TITLE,
        "Frame types, or shadow mappings": TITLE,
        "Shadow mappings": TITLE,
        "guest frame of 4 KiB": PIECE,
    },
    "pagingviz/boards/dirty_bitmap.py": {
        "Dirty bitmap": TITLE,
        "Dirty bitmap: how often": NAME,
        "Dirty bitmap: who set the bit last": NAME,
        "share of rounds": "test_the_map_tells_who_and_what_is_set_now",
        "every round": "test_the_map_tells_who_and_what_is_set_now",
        "No dirty bitmap on this road": TITLE,
        "of all rounds": NAME,
    },
    "pagingviz/boards/nested_tables.py": {
        "no nested tables on the {} road": "test_other_roads_have_no_nested_tables",
        "No nested tables on this road": "test_other_roads_have_no_nested_tables",
        "L{}: {} entries a cell": "test_a_plan_of_any_size_fits_and_names_its_cells",
        "1 cell = 1 entry": "test_a_plan_of_any_size_fits_and_names_its_cells",
        ", showing the worst of them": "test_every_cell_is_the_worst_of_its_entries",
        "first gfn": NAME,
        "last gfn": NAME,
    },
    "pagingviz/boards/in_words.py": {
        "not present or free": ALT,
        "dirty in the round before": ALT,
        "page table": ALT,
        "out of sync": ALT,
        "{} pages in use": ALT,
        "thick edge": NAME,
        "{} at tick {}: {}. {}.": PIECE,
        "in use, age step {}": ALT,
    },
    "pagingviz/boards/destination.py": {"nobody there": "test_a_guest_that_is_not_moved_can_be"},
    "pagingviz/boards/migration_map.py": {
        "its dirty bit is set: it goes again": "test_a_thick_edge_says_that_the_frame_goes_again",
        "on the wire now": "test_outlined_is_what_has_just_been_handed_to_the_wire",
        "1 cell = {} = {} frames, showing the {} of them": "test_cells_of_several_frames_show_the_worst_and_say_so",
        "1 cell = {} frames: the {}": "test_cells_of_several_frames_show_the_worst_and_say_so",
        "thick edge": NAME,
    },
    "pagingviz/boards/migration_scene.py": {"table updates": NAME},
    "pagingviz/boards/translation.py": {
        "HAP with EPT": NAME,
        "HAP with NPT": NAME,
        "no address is resolved here": "test_every_board_does_what_the_protocol_says",
    },
    "pagingviz/boards/translation_scene.py": {"table updates": NAME, "No road is there yet.": "of pages, not of the machine"},
    "pagingviz/boards/translate_words.py": {
        "EPT violation": NAME,
        "EPT misconfiguration": NAME,
        "page-modification log full": NAME,
        "shadow page fault": NAME,
        "user mode": NAME,
        "the kernel": NAME,
    },
}
