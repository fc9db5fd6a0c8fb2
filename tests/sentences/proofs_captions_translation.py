"""What makes each caption of a board of the page Translation true: a Moment's `event` is (walk, how many references are made).

A name of a test in place of a comparison: the text stands in the page's sentence or on a card, and that test holds it.
"""

import re

from pagingviz.arch import x86
from tests.sentences.legends_reading import waits
from tests.sentences.legends_reading import walk as nested_walk

REFERENCES = "test_any_address_of_any_guest_is_resolved_as_the_kernels_do"
CLOSED, ODD = "test_closed_forms_of_the_two_dimensional_walk", "test_nested_tables_full_of_oddities"
SENTENCE, CARD = "test_the_boards_show_made_present_and_coming_references", "test_a_cell_of_a_walk_has_its_card"
BITS = "test_accessed_and_dirty_bits_are_stores_that_may_exit_or_fill_the_log"
HELD = "test_the_tlb_is_read_without_being_used"


def walk(m):
    """The walk."""
    return m.event[0]


def ref(m):
    """The present reference."""
    return walk(m).references[m.event[1] - 1]


def raw(m):
    """The word in memory that the present reference reads."""
    r = ref(m)
    if r.dimension != "guest":
        return int(m.m.view("pool").reshape(-1, 512)[r.frame][r.index])
    words = m.m.view("tables")
    return int((words.view("<u4").reshape(-1, 1024) if m.s.guest_levels == 2 else words.reshape(-1, 512))[r.gfn][r.index])


def frame(m):
    """The frame in that word."""
    return (raw(m) & int(x86.FRAME_MASK)) >> 12


def host(m, gfn):
    """The machine frame of a guest frame: behind nested tables by the leaf on its way."""
    if m.sim.scenario.road != "hap":
        return int(m.m.view("p2m")[gfn]) if m.sim.scenario.road != "bare" else gfn
    level, entry = nested_walk(m, gfn)[-1]
    within = (1 << 9 * (level - 1)) - 1
    return (int(entry) & int(x86.FRAME_MASK)) >> 12 & ~within | gfn & within


def after(m, words):
    """The first number that stands in the text behind these words."""
    return int(re.findall(r"0x[0-9a-f]+|\d+", m.text.partition(words)[2])[0], 0)


def asked_for(m):
    """Whether a nested reference is made for the frame of the guest's table of that level, or of the data."""
    r = ref(m)
    column = next((x.gfn for x in walk(m).references[m.event[1] :] if x.dimension == "guest"), None)
    if r.column:
        return column in (None, r.gfn) and f"L{r.column} table" in m.text
    return column is None and (walk(m).end.kind != "frame" or walk(m).end.gfn == r.gfn)


def leads_on(m):
    """Whether the frame in the word is the table that the next reference of the dimension reads."""
    r = ref(m)
    told = int(re.search(r"L\d table, (?:gfn|mfn) (0x[0-9a-f]+)", m.text.partition("it leads to")[2])[1], 16)
    follows = [x for x in walk(m).references[m.event[1] :] if x.dimension == r.dimension][:1]
    return told == frame(m) and all(told in (x.gfn, x.frame) and x.level == r.level - 1 for x in follows)


def at_place(m, dimension):
    """Whether the reference is of that dimension, and the word of the table that is named is what it reads."""
    place = int(re.search(r"table, (?:gfn|mfn) (0x[0-9a-f]+)", m.text.partition(" of ")[2])[1], 16)
    r = ref(m)
    return r.dimension == dimension and raw(m) == r.entry and place in (r.gfn, r.frame) and f"L{r.level} table" in m.text


TRANSLATION_CAPTIONS = {
    "pagingviz/boards/translation.py": (
        (
            "{} references to come",
            "the references of the walk, of which none is made",
            lambda m: m.event[1] == 0 and m.num(0) == len(walk(m).references),
        ),
        ("down: the nested tables, across: the guest's", "the references of walks", CLOSED),
        (
            "one read a level",
            "the references of walks",
            "test_a_walk_of_four_levels_makes_four_references_and_one_when_the_table_is_known",
        ),
        ("the walk ends here", "the reference at which the walk ends", SENTENCE),
        ("the present reference", "the references that are made", SENTENCE),
        ("{}: {}, {} of {} references made. {}.", "the references that are made", SENTENCE),
    ),
    "pagingviz/boards/translation_scene.py": (
        ("{}: nothing is read yet; press ↓ for the first reference.", "the references that are made", SENTENCE),
        ("Here it ends: {}.", "the end of the walk", REFERENCES),
        ("{}, reference {} of {}. {}{}", "the references that are made", SENTENCE),
        ("References: {}. {}: {}", "the references of the walks", SENTENCE),
    ),
    "pagingviz/boards/translate_words.py": (
        (
            "{} of {}{}: entry {}, {}; {}",
            "the references of the walk, and the word in memory at that place",
            lambda m: (
                m.text.startswith(f"{m.event[1]} of {len(walk(m).references)}")
                and after(m, "entry ") == ref(m).index
                and raw(m) == ref(m).entry
            ),
        ),
        (
            "for the guest's L{} table",
            "the frame of the guest's table that is read next",
            lambda m: ref(m).dimension == "nested" and asked_for(m),
        ),
        (" for the data", "the frame at the end of the walk", lambda m: ref(m).dimension == "nested" and asked_for(m)),
        (
            "it is not present",
            "the word in memory",
            lambda m: not raw(m) & (int(x86.EPT_RWX) if ref(m).dimension == "nested" and not m.s.npt else 1),
        ),
        ("it is pending:", "the word in memory", lambda m: ref(m).dimension == "nested" and bool(waits(m, ref(m).entry))),
        ("its US bit was taken away", "the word in memory", lambda m: m.s.npt == 1 and not raw(m) & int(x86.US)),
        (
            "misconfigured on purpose",
            "the word in memory",
            lambda m: m.s.npt == 0 and raw(m) & int(x86.EPT_EMT) == int(x86.EPT_EMT),
        ),
        ("a reserved bit is set", "entries with such bits", ODD),
        ("it is misconfigured", "entries with such bits", ODD),
        ("it leads to the {}L{} table, {} {}", "the frame in the word, and the table that is read next", leads_on),
        (
            "gfn {} is mfn {}",
            "the machine frame of the guest's frame",
            lambda m: after(m, " is mfn ") == host(m, after(m, "gfn ")) or "; gfn" not in m.text,
        ),
        ("the page is mfn {}", "the frame in the word", lambda m: after(m, "the page is mfn ") == frame(m)),
        (
            "it maps {} {}",
            "the frame in the word",
            lambda m: int(re.search(r"it maps \w+ (0x[0-9a-f]+)", m.text)[1], 16) == frame(m),
        ),
        (
            ", a page of {}",
            "the level of the word's table",
            lambda m: ref(m).level > 1 and raw(m) & int(x86.PSE) > 0 and {2: "MiB", 3: "GiB"}[ref(m).level] in m.text,
        ),
        (
            "{}; the TLB now holds {}",
            "all references are made, and the walk ends in a frame",
            lambda m: m.event[1] == len(walk(m).references) == int(m.text.partition(" ")[0]) and walk(m).end.kind == "frame",
        ),
        (
            "gva page {} → mfn {}",
            "the address, and the machine frame of the frame that it leads to",
            lambda m: (
                after(m, "gva page ") == walk(m).gva >> 12 & int(x86.VPN_MASK)
                and after(m, "→ mfn ") == host(m, walk(m).end.gfn)
            ),
        ),
        (
            ", {} of them from caches",
            "the references that a cache would answer",
            lambda m: after(m, ", ") == sum(r.served for r in walk(m).references) > 0,
        ),
        (
            "#GP(0): no canonical address, nothing is read",
            "the bits 47 to 63 of the address",
            lambda m: walk(m).gva >> 47 not in (0, (1 << 17) - 1) and not walk(m).references,
        ),
        (
            "at reference {}",
            "the last reference, unless the exit came from setting A or D",
            lambda m: (
                after(m, "at reference ") == walk(m).end.at
                and (walk(m).end.update or walk(m).end.at == len(walk(m).references))
            ),
        ),
        ("before the first reference", "walks at empty roots", REFERENCES),
        (
            "#PF of the guest",
            "the error code's P, and whether the last entry is present",
            lambda m: bool(walk(m).end.code & 1) == (walk(m).references[-1].leads != "hole"),
        ),
        (", to set the entry's A or D", "stores of the walk itself", BITS),
        (
            "error code",
            "the code of the end",
            lambda m: after(m, "error code ") in {end.code for end in (walk(m).end, walk(m).guest) if end},
        ),
        ("no bit set", "codes of faults", REFERENCES),
        ("Xen marks the 512 logged pages and empties the log; {}.", "the log", BITS),
        (
            "resolve_misconfig pushes the pending change down and computes the leaf anew; {}.",
            "an entry that is read is marked",
            lambda m: not m.s.npt and any(waits(m, r.entry) for r in walk(m).references if r.dimension == "nested"),
        ),
        (
            "do_recalc carries the pending change out along this path, for this leaf only; {}.",
            "an entry that is read is marked",
            lambda m: m.s.npt == 1 and any(waits(m, r.entry) for r in walk(m).references if r.dimension == "nested"),
        ),
        (
            "gfn {} lies in a superpage leaf that is not executable: it becomes leaves of 4 KiB, which are; {}.",
            "the leaf at which a fetch exits",
            "test_second_reading_1_a_fetch_makes_512_executable_leaves_and_marks_nothing",
        ),
        (
            "gfn {} {} and its leaf becomes ram_rw, so that it may be written; {}.",
            "the last entry that is read: a leaf that is not writable; and whether log-dirty is on",
            lambda m: (
                not [r for r in walk(m).references if r.dimension == "nested" and r.gfn == walk(m).end.gfn][-1].entry
                & int(x86.EPT_W)
                and ("is marked dirty" in m.text) == (m.s.log_dirty == 1)
            ),
        ),
        ("is marked dirty", "log-dirty", lambda m: m.s.log_dirty == 1),
        (
            "is not marked, as log-dirty is off,",
            "a CLEAN while log-dirty is off",
            "test_second_reading_5_on_hap_all_types_become_log_dirty_and_off_does_not_undo_it",
        ),
        ("Nothing in this machine makes such an entry: real Xen would crash the domain.", "entries of other kinds", ODD),
        ("(mfn {})", "the machine frame of the guest's table", lambda m: after(m, "(mfn ") == host(m, ref(m).gfn)),
        ("of the guest's L{} table, gfn {}{}", "the word in memory at that place", lambda m: at_place(m, "guest")),
        ("of the shadow's L{} table, mfn {}", "the word in memory at that place", lambda m: at_place(m, "shadow")),
        (
            "of {}'s L{} table, mfn {}",
            "the word in memory at that place",
            lambda m: ref(m).dimension != "nested" or at_place(m, "nested"),
        ),
        ("A cache has it: no memory is read.", "the reference is not one of those to memory", lambda m: ref(m).served),
        ("entry {} of {}: {}", "the place of the word", lambda m: after(m, "entry ") == ref(m).index),
        (
            "Where is {}, gfn {}? It reads {}; {}.{}",
            "the frame of the guest's table, or of the data",
            lambda m: after(m, ", gfn ") == ref(m).gfn and asked_for(m),
        ),
        (
            "PAE's top entry stands in a register: {}.",
            "references of PAE guests",
            "test_second_reading_3_references_of_a_pae_walk",
        ),
        ("{}It reads {}; {}.{}", "the words that references read", REFERENCES),
        ("kernel only", "what the TLB holds", HELD),
        ("the kernel's stores too", "what the TLB holds", HELD),
        ("a store walks again", "what the TLB holds", HELD),
        ("stores too", "what the TLB holds", HELD),
        (", no fetch", "what the TLB holds", HELD),
        ("The TLB now holds {} ({}): the next access needs no walk.", "what the TLB holds", HELD),
        ("The guest's kernel gets the #GP: bits 63 to 47 of an address must be equal.", "addresses of all kinds", REFERENCES),
        (
            "The #PF comes to Xen, which finds nothing to mend and passes it on to the guest's kernel.",
            "faults of a PV guest",
            "test_xens_own_copies_fault_like_the_guest",
        ),
        (
            "The #PF goes to the guest's kernel without an exit: the hypervisor hears nothing of it.",
            "exits by page fault",
            "test_h27_the_hypervisor_sees_faults_cr3_and_invlpg_under_shadow_only",
        ),
        ("then the walk starts again from its first reference", "what an exit does", REFERENCES),
        (
            "sh_page_fault walks the guest's own tables, and passes the #PF on, error code {}.",
            "what the guest's walk finds",
            REFERENCES,
        ),
        (
            "sh_page_fault walks the guest's own tables to gfn {}, where no memory is.",
            "what the guest's walk finds",
            REFERENCES,
        ),
        ("unless the table goes out of sync (sh_unsync)", "stores to tables", "test_g5_a_kernel_store_to_an_l1_unsyncs_it"),
        (
            "{}, itself a table: the store is emulated{}.",
            "stores to tables",
            "test_g5_without_out_of_sync_tables_every_store_is_emulated",
        ),
        (
            "{} and fills in the shadow, gva → mfn {}; then the access is tried again.",
            "what a shadow fault leaves",
            "test_property_06_an_entry_maps_what_the_guest_means",
        ),
    ),
}
