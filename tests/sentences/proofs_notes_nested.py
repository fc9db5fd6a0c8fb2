"""What makes the notes of the scenarios about nested tables true: rows as in proofs_notes.py."""

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.reading import nested
from tests.sentences.notes_reading import (
    ended,
    entry_of,
    moved,
    split_pages,
    walk,
)


def first_store_splits(at):
    """The first store to a leaf of 2 MiB after ENABLE leaves 512 of 4 KiB, of which only the one that was meant is writable.

    The bit of its frame is set.
    """
    sim = at(4000)
    assert sim.run_to_event("P2M_SPLIT", 1000)
    here, gfn = sim.tick, int(sim.events()["gfn"][sim.events()["kind"] == ev.EPT_VIOLATION][0])
    sim.seek(here - 1)
    before = nested.path(sim.machine, gfn)[-1].level
    sim.seek(here)
    leaves = [nested.path(sim.machine, near)[-1] for near in range(gfn & ~511, (gfn | 511) + 1)]
    writable = [gfn & ~511 | k for k, leaf in enumerate(leaves) if leaf.entry & x86.EPT_W]
    return before == 2 and {leaf.level for leaf in leaves} == {1} and writable == [gfn] and bool(sim.machine.dirty_bits()[gfn])


def violations(at, **fields):
    """(EPT violations that are not for a fetch, stores logged by the processor) from tick 4000 to tick 9000."""
    more = moved(at(4000, **fields), 5000)
    return more["ept_violation"] - more["p2m_shatter"], more["pml_logged"]


def peek_changes_nothing(at):
    """PEEK at tick 9000 leaves everything as it would be without it."""
    read, unread = at(9000), at(9000, do="enable@4000")
    same = read.machine.dirty_bits() == unread.machine.dirty_bits()
    one, other = read.counters(), unread.counters()
    return bool(same.all() and same.size) and {name for name in one if one[name] != other[name]} == {"peeks"}


def cleaned(at):
    """CLEAN at tick 10000 ends a round: bits before it, none after it, and then the first of the next round."""
    before, sim = at(9999).machine.sys[0], at(10_000)
    now = sim.machine.sys[0]
    round_, nothing = int(now.dirty_round), not sim.machine.dirty_bits().any()
    return before.dirty_count > 0 and nothing and round_ == before.dirty_round + 1 and moved(sim, 500)["pages_marked"] > 0


def nothing_is_logged(at):
    """After OFF stores go on, but none of them exits and none is marked."""
    more = moved(at(40_000), 4000)
    return more["writes"] > 100 and more["ept_violation"] == more["pages_marked"] == 0


NESTED_NOTES = {
    "cloud": {
        1: (
            "ENABLE's event says how many root entries it wrote",
            lambda at: int((e := at(4000).events())["detail"][e["kind"] == ev.ENABLE][0]) == 1,
        ),
        2: (
            "pages that a split takes, violations and stores logged at tick 35546",
            lambda at: (
                split_pages(at(4000)) % 513 == 0
                and (c := at(35_546).counters())["ept_violation"] == 6
                and c["pml_logged"] == 8972
            ),
        ),
        3: ("what waits in the root after a CLEAN", lambda at: entry_of(at(60_000))[4][1:] == (1, 1)),
        4: (
            "pages of the bitmap's tree",
            lambda at: (
                4 <= int((m := at(35_546).machine).sys[0].p2m_pages) - sum(n for n, *_ in nested.counts(m).values()) < 100
            ),
        ),
        5: (
            "`fetches`, and the right to execute of a leaf of 1 GiB",
            lambda at: (
                (s := at(35_546)).counters()["fetches"] == 0
                and (leaf := nested.path(s.machine, s.scenario.frames - 1)[-1]).level == 3
                and not leaf.entry & x86.EPT_X
            ),
        ),
        6: None,
    },
    "cloud-1t": {
        1: (
            "tables and leaves, and what ENABLE wrote",
            lambda at: (
                {k: v[:2] for k, v in entry_of(at(3999)).items() if v[0]} == {4: (1, 2), 3: (2, 1024)}
                and entry_of(at(4000))[4][2] == 2
            ),
        ),
        2: ("what waits in the root", lambda at: entry_of(at(4000))[4][1:] == (2, 2)),
        3: ("pages that a split takes", lambda at: split_pages(at(4000)) % 513 == 0),
        4: ("pages that a split takes on NPT, and exits", lambda at: split_pages(at(4000, hap="npt")) == 2),
        5: ("the size of the machine's arrays", lambda at: at(4000).machine.mem.nbytes < 512 << 20),
    },
    "lab": {
        1: (
            "leaves before tick 20000, and what waits after it",
            lambda at: entry_of(at(19_999))[3][:2] == (1, 1) and entry_of(at(20_000))[4][1:] == (1, 1),
        ),
        2: ("pages that the split takes", lambda at: split_pages(at(20_000)) == 513),
        3: ("leaves after OFF", lambda at: entry_of(at(20_300, do="enable@20000,off@20200"))[1][0] == 512),
        4: (
            "pages that the split takes on NPT, and with leaves of 2 MiB",
            lambda at: split_pages(at(20_000, hap="npt")) == 2 and split_pages(at(20_000, superpages=1)) == 1,
        ),
        5: (
            "the split of tick 1 with exec_sp=0, and log-dirty then",
            lambda at: (
                (c := (s := at(1, exec_sp=0)).counters())["p2m_shatter"] == c["ept_violation"] == 1
                and int(s.events()["detail"][s.events()["kind"] == ev.P2M_SHATTER][0]) == 513
            ),
        ),
    },
    "rounds": {
        1: (
            "leaves before ENABLE, and what it marks",
            lambda at: entry_of(at(3999))[2][1] >= 8 and entry_of(at(4000))[4][1:] == (1, 1),
        ),
        2: ("misconfigurations of the next ticks", lambda at: moved(at(4000), 5)["ept_misconfig"] >= 1),
        3: (
            "the split at the first violation, the violations up to tick 9000, and with PML what was logged",
            lambda at: first_store_splits(at) and violations(at) == (339, 0) and violations(at, pml=1) == (1, 378),
        ),
        4: (
            "the bits of tick 9000 with PEEK and without, those after a CLEAN, and violations after OFF",
            lambda at: peek_changes_nothing(at) and cleaned(at) and nothing_is_logged(at),
        ),
        5: (
            "exits and dirty tables on NPT",
            lambda at: (
                (s := at(9999, hap="npt")).counters()["npf_recalc"] > 100
                and bool(s.machine.dirty_bits()[s.machine.live_tables()].any())
            ),
        ),
    },
    "two-dimensions": {
        1: None,
        2: ("references of the walk", lambda at: len(walk(at(280)).references) == 24),
        3: None,
        4: (
            "the end of the walk after tick 300",
            lambda at: ended(at(300)) == "EPT misconfiguration" and ended(at(300, hap="npt")) == "NPF",
        ),
        5: (
            "references of the walk with superpages that may be executed, and with others; splits by a fetch",
            lambda at: (
                len(walk(at(280, superpages=1, frames=1024, exec_sp=1)).references) == 19
                and len(walk(s := at(280, superpages=1, frames=1024)).references) == 24
                and s.counters()["p2m_shatter"] == 1
            ),
        ),
    },
}
