"""What makes each sentence of story/nested_tables.py true. Of an entry the moment has the step, its frame and the whole way."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE
from pagingviz.reading import nested
from pagingviz.timeline.simulation import Simulation

EXITS = ("ept_misconfig", "ept_violation", "pml_full", "npf_recalc", "npf_write")


def step(m):
    """The entry that is spoken of."""
    return m.event[0]


def waits(m):
    """Whether a change waits in it."""
    return bool(nested.pending(m.m, step(m).entry))


def leaf(m):
    """Whether it is a leaf."""
    return bool(nested.is_leaf(step(m).level, step(m).entry))


def told(m, *kinds):
    """Whether the record of events has one of these kinds at the tick that is named."""
    events, _ = m.sim.past_events()
    return bool(np.isin(events["kind"], [ev.CODES[kind] for kind in kinds]).any())


_at_first = {}  # what the domain builder made, by scenario


def at_first(m, gfn):
    """The walk of the nested tables for a frame before the first tick."""
    scenario = m.sim.scenario
    if scenario not in _at_first:
        _at_first[scenario] = Simulation(scenario)
    return nested.path(_at_first[scenario].machine, gfn)


def split_since(m):
    """Whether a leaf that was larger than the entry led to the frame before the first tick."""
    first = at_first(m, m.event[1])
    return step(m).level in range(first[-1].level + 1) and len(first) < len(m.event[2])


def counted(m, name):
    """Whether the row's number is the counter's."""
    return int(m.event["times"].replace(",", "")) == int(m.s[name])


NESTED = (
    (
        "As the domain builder made it: no event has written it since (p2m_set_entry).",
        "no change waits in it, and but for A and D it is what it was before the first tick",
        lambda m: (
            not waits(m)
            and not (step(m).entry ^ at_first(m, m.event[1])[4 - step(m).level].entry)
            & ~(x86.EPT_A | x86.EPT_D | x86.A | x86.D)
        ),
    ),
    (
        "It became so before the last {} events, which are all that is kept.",
        "more events were written than the record keeps",
        lambda m: int(m.s.ev_n) > int(ev.RING),
    ),
    (
        "It is a piece of the leaf that was split here",
        "it is a leaf, and a larger one led to the frame before the first tick",
        lambda m: leaf(m) and split_since(m),
    ),
    (
        "It was made by the split of the leaf here, and leads to its pieces",
        "it leads to a table, and a leaf at its place or above led to the frame before the first tick",
        lambda m: not leaf(m) and split_since(m),
    ),
    (
        "Its leaf was split",
        "it leads to a table now, and it or one above it was a leaf before the first tick",
        lambda m: not leaf(m) and at_first(m, m.event[1])[-1].level >= step(m).level,
    ),
    (
        "{}: a store to a logged frame needs a 4 KiB leaf ({}).",
        "a split by a store was counted, and of the frame's 2 MiB or its neighbours there is a table of 4 KiB leaves",
        lambda m: m.s.p2m_split > m.s.p2m_shatter and bool((table_pages(m) == 1).any()),
    ),
    (
        "{}: a fetch needs a leaf that is executable, and superpages are not ({}).",
        "a split by a fetch was counted, and the way of the frame ends at a leaf of 4 KiB that may be executed",
        lambda m: m.s.p2m_shatter > 0 and m.event[2][-1].level == 1 and bool(m.event[2][-1].entry & x86.EPT_X),
    ),
    (
        "Its address was in the log: OFF flushed the log, made it ram_rw and set no bit (hap_disable_log_dirty).",
        "the leaf's type and right, and that log-dirty was switched off",
        lambda m: (
            nested.kind(step(m).entry) == int(xen.P2M_RAM_RW)
            and bool(nested.writable(step(m).entry))
            and not m.bit(m.event[1])
            and m.s.offs > 0
        ),
    ),
    (
        "Its address was in the log: the flush set its bit and made it ram_rw (ept_vcpu_flush_pml_buffer).",
        "the leaf's type and right, and that logs were emptied",
        lambda m: (
            nested.kind(step(m).entry) == int(xen.P2M_RAM_RW) and bool(nested.writable(step(m).entry)) and m.s.pml_logged > 0
        ),
    ),
    (
        "{}: its bit was set first, then its leaf became ram_rw (hvm_hap_nested_page_fault).",
        "the leaf's type and right, and the bit, unless a CLEAN or OFF has taken it since",
        lambda m: (
            nested.kind(step(m).entry) == int(xen.P2M_RAM_RW)
            and bool(nested.writable(step(m).entry))
            and (m.bit(m.event[1]) or m.s.cleans + m.s.offs > 0)
        ),
    ),
    (
        "{}: the mark one level up was taken away and put into all entries of this table; "
        "this one has not been passed since ({}).",
        "the entry is marked, the one above it is not",
        lambda m: waits(m) and not nested.pending(m.m, m.event[2][3 - step(m).level].entry),
    ),
    (
        "{}: its mark was taken away and put one level down, where the guest walks ({}).",
        "the entry is not marked, and leads to a table",
        lambda m: not waits(m) and not leaf(m),
    ),
    (", with all leaves of its table", "none of the 512 leaves of the table is marked", lambda m: not table_waits(m)),
    (
        "{}: its type was computed anew{}: {} ({}).",
        "the leaf is not marked, and its type is the one that is named",
        lambda m: not waits(m) and nested.KINDS[nested.kind(step(m).entry)] in m.text,
    ),
    (
        "{} marked the entries of the root, and nothing below them ({}).",
        "the entry is one of the root, and marked",
        lambda m: step(m).level == 4 and waits(m),
    ),
    (
        "carries out what is pending on the way, of a 4 KiB table all 512 leaves",
        "`ept_misconfig`",
        lambda m: counted(m, "ept_misconfig"),
    ),
    (
        "marks the frame dirty, makes its leaf ram_rw",
        "`ept_violation` or `npf_write`",
        lambda m: counted(m, "npf_write" if m.s.npt else "ept_violation"),
    ),
    (
        "store: marks the frame dirty, makes its leaf ram_rw; fetch: splits the superpage",
        "`ept_violation`",
        lambda m: counted(m, "ept_violation"),
    ),
    ("of these by a fetch", "`p2m_shatter`, part of `p2m_split`", lambda m: counted(m, "p2m_shatter")),
    (
        "superpages are not executable (CVE-2018-12207)",
        "`p2m_shatter`, which stays 0 if superpages may be executed",
        lambda m: counted(m, "p2m_shatter") and (m.s.p2m_shatter == 0 or not m.sim.scenario.exec_sp),
    ),
    ("before the guest goes on: no TLB knows its translations any more", "`invept`", lambda m: counted(m, "invept")),
    ("marks the 512 frames of the log", "`pml_full`", lambda m: counted(m, "pml_full")),
    ("page-modification log full (62)", "`pml_full`", lambda m: counted(m, "pml_full")),
    ("within a violation: log-dirty works on 4 KiB", "`p2m_split`", lambda m: counted(m, "p2m_split")),
    ("carries out what is pending on the way, of the leaves only this one", "`npf_recalc`", lambda m: counted(m, "npf_recalc")),
    ("within an NPF of a store: log-dirty works on 4 KiB", "`p2m_split`", lambda m: counted(m, "p2m_split")),
    (
        "The log-dirty bitmap's tree takes {} more{};",
        "pages of the bitmap's tree, counted from its root down",
        lambda m: m.num(0) == tree_pages(m),
    ),
    (", the vCPUs' logs take {}", "one page for each vCPU", lambda m: m.num(0) == m.s.vcpus and m.s.ept_ad == 1),
    (
        "Exits by cause",
        "each counter of the table, and that none of an exit that came is left out",
        lambda m: (
            all(int(row["times"].replace(",", "")) == int(m.s[row["counter"]]) for row in m.event)
            and {name for name in EXITS if m.s[name]} <= {row["counter"] for row in m.event}
        ),
    ),
    (
        "Pages of the HAP pool, by level",
        "the pool's pages that hold tables, one by one: with the bitmap's tree and the logs they are `p2m_pages`",
        lambda m: (
            sum(int(row["pool pages"].replace(",", "")) for row in m.event)
            == table_pages(m).size
            == int(m.s.p2m_pages) - tree_pages(m) - nested.log_pages(m.m).size
        ),
    ),
    (
        "one entry covers",
        "512 times as much as an entry of the level below, 4 KiB at the lowest; and the tables of this level, one by one",
        lambda m: (
            covers(m.event["one entry covers"]) == 4096 << 9 * (level_of(m) - 1)
            and int(m.event["pool pages"].replace(",", "")) == int((table_pages(m) == level_of(m)).sum())
        ),
    ),
    ("Log-dirty has not been switched on yet", "`enables` is 0", lambda m: m.s.enables == 0),
    (
        "Entries written: {}. Of all {} only the root's can be, {} here: one for each 512 GiB, whatever the RAM below.",
        "the entries of the root, and of all tables",
        lambda m: m.num(2) == nested.counts(m.m)[4][1] == (-(-m.sim.scenario.frames >> 27) or 1),
    ),
)


def level_of(m):
    """The level that a row of the table of levels is about."""
    return int(m.event["level"].removeprefix("L"))


def covers(text):
    """Bytes of a size in words: 2 MiB."""
    number, unit = text.split()
    return int(number) << {"KiB": 10, "MiB": 20, "GiB": 30}[unit]


def table_pages(m):
    """The level of each page of the pool that is a nested table, one by one along the tables themselves."""
    pool, pages, found = m.m.view("pool").reshape(-1, 512), [int(m.s.hap_root)], []
    for level in (4, 3, 2, 1):
        found += [level] * len(pages)
        below = []
        for page in pages if level > 1 else ():
            words = pool[page]
            there = words[(words & (x86.P if m.s.npt else x86.EPT_RWX)) != 0]
            tables = there[(there & (x86.PSE if m.s.npt else x86.EPT_SP)) == 0]
            below += ((tables & x86.FRAME_MASK) >> x86.PAGE_BITS).tolist()
        pages = below
    return np.array(found)


def table_waits(m):
    """Whether any present leaf of the entry's table is marked."""
    words = m.m.view("pool").reshape(-1, 512)[step(m).page]
    return bool(np.any(nested.pending(m.m, words) & (words & x86.EPT_RWX != 0)))


def tree_pages(m):
    """Pages of the bitmap's tree: its root and all that its words lead to, down to its leaves."""
    if m.s.tree_root == NONE:
        return 0
    pages, pool = [int(m.s.tree_root)], m.m.view("pool").reshape(-1, 512)
    found = 1
    for _ in range(3):
        pages = [int(word) - 1 for page in pages for word in pool[page] if word]
        found += len(pages)
    return found
