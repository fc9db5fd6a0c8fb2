"""What makes each caption of a board of the machine true, and each entry of the status line.

Rows as in proofs_story.py: the template, what is compared, the comparison of a Moment whose `event` is the board's plan. A name
of a test in place of a comparison: that test makes it, at more moments than are passed here.
"""

import re

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE
from pagingviz.reading import shadows
from pagingviz.reading.translate import translate
from tests.sentences.moments import pinned
from tests.sentences.proofs_nested import table_pages, tree_pages

# ---- what is read of the machine


def guest_tables(m):
    """Frames of the guest's tables, walked down from the roots of its processes, or those that are loaded."""
    top, entries = int(m.s.guest_levels), m.m.view("tables")
    words = entries.view("<u4").reshape(-1, 1024) if top == 2 else entries.reshape(-1, 512)
    roots = [int(root) for name in ("roots", "uroots") for root in m.m.view(name) if root != NONE]
    found, level = set(roots or m.s.cr3[: int(m.s.vcpus)].tolist()), top
    below = found
    while level > 1:
        below = {gfn for table in below for gfn in _led_to(m, words[table][: 4 if top == level == 3 else None], level)}
        found, level = found | below, level - 1
    return found


def _led_to(m, entries, level):
    """Frames of the tables that the present entries of one lead to."""
    there = entries[(entries & 1 == 1) & ((entries >> 7 & 1 == 0) | (level == 4))].astype(np.uint64)
    frames = (there & x86.FRAME_MASK) >> x86.PAGE_BITS
    if m.sim.scenario.road == "pv":
        frames = m.m.view("m2p")[(frames - xen.RAM_BASE).astype(np.intp)]
    return [int(gfn) for gfn in frames if gfn < int(m.s.zone)]


def shadowed(m):
    """Guest frames for which there is a shadow of a table."""
    keys, kind = m.m.view("pkey"), m.m.view("ptype")
    mfns = {int(keys[page]) for page in m.live() if int(kind[page]) not in shadows.FL1_KINDS}
    return {int(m.m.view("m2p")[mfn - int(xen.RAM_BASE)]) for mfn in mfns} - {m.sim.scenario.frames}


def pages(m, *kinds):
    """How many pages of the pool are of these types."""
    return int(np.isin(m.m.view("ptype"), kinds).sum())


def in_pool(m):
    """How many pages the pool has."""
    return m.m.view("ptype").size - pages(m, xen.SH_OUT)


def wanted(m):
    """Pages that a shadow fault asks for: its guest's tables below the root, and a way of four through the bitmap's tree."""
    return {4: 3, 3: 1, 2: 2}[int(m.m.cpu[0].levels)] + 4 * int(m.s.log_dirty)


def named(m):
    """Guest frames of the roots that the caption names after "unpin"."""
    return [int(gfn, 16) for gfn in re.findall(r"gfn (0x[0-9a-f]+)", m.text.partition("would unpin")[2].partition("unhook")[0])]


def leaves(m, level):
    """How many present leaves of a level the nested tables have."""
    found = table_levels(m)[level]
    return int((found & (x86.PSE if level > 1 else np.uint64(0)) == (x86.PSE if level > 1 else 0)).sum())


def table_levels(m):
    """{level: present entries of the nested tables of that level}, walked down from the root."""
    pool, pages_, out = m.m.view("pool").reshape(-1, 512), [int(m.s.hap_root)], {}
    for level in (4, 3, 2, 1):
        words = pool[pages_].reshape(-1)
        out[level] = words[(words & (x86.P if m.s.npt else x86.EPT_RWX)) != 0]
        tables = out[level][out[level] & x86.PSE == 0] if level > 1 else out[level][:0]
        pages_ = ((tables & x86.FRAME_MASK) >> x86.PAGE_BITS).astype(int).tolist()
    return out


def marked(m, words):
    """How many of these entries are marked: NPT without US, EPT with memory type 7."""
    bits, of = (x86.US, 0) if m.s.npt else (x86.EPT_EMT, x86.EPT_EMT)
    return int((words & bits == of).sum())


def by_level(m):
    """Whether the caption has the entries of every level, and how many of them are marked."""
    told = {int(level): (int(a.replace(",", "")), int(b.replace(",", ""))) for level, a, b in _LEVELS.findall(m.text)}
    return told == {level: (marked(m, words), words.size) for level, words in table_levels(m).items()}


_LEVELS = re.compile(r"L(\d) ([\d,]+) of ([\d,]+)")


def dimensions(m):
    """What the walk of an address of the guest's kernel reads: guest, nested or shadow tables."""
    walk = translate(m.m, 0, m.sim.scenario.direct_map_base, 1, 0)
    return {ref.dimension for ref in walk.references}


def switched(m, kind, on):
    """Whether log-dirty was switched by the last such event of the tick, and is so now."""
    return m.n(kind) > 0 and bool(m.s.log_dirty) == on


def thick(m):
    """Cells with a thick edge are the frames whose bits are set."""
    from pagingviz.boards import registry
    from pagingviz.boards.palette import PINNED
    from pagingviz.boards.scene import Scene

    grid = registry.REGISTRY["dirty-bitmap"].cells(Scene(m.sim), m.event).reshape(-1)
    return set(m.event.key[np.flatnonzero(grid & PINNED)]) == set(m.m.dirty_frames() // m.event.per_cell * m.event.per_cell)


def names_root(m):
    """Whether a process of the name that is told has its root in CR3, of a PV guest that of either mode."""
    slots = [slot for slot, process in enumerate(m.sim.work.processes) if process.name == m.groups[0]]
    roots = {int(m.m.view(name)[slot]) for name in ("roots", "uroots") for slot in slots}
    return m.num(1) == int(m.s.cr3[0]) and (m.groups[0] == "idle" or m.num(1) in roots)


CAPTIONS = {
    "pagingviz/boards/guest_tables.py": (
        (
            "running: {} · {}{}",
            "the tables that are found by walking down from every root",
            lambda m: m.before(" table") == len(guest_tables(m)),
        ),
        ("{}, CR3 gfn {}", "CR3, and the root of the process that is named", names_root),
        (
            "CR3 gfn {} · {}{}",
            "CR3, and the tables below it",
            lambda m: (
                int(re.findall(r"0x[0-9a-f]+", m.text)[0], 16) == int(m.s.cr3[0]) and m.before(" table") == len(guest_tables(m))
            ),
        ),
        (
            ", {} shadowed",
            "frames for which the pool holds a shadow of a table",
            lambda m: m.before(" frame") == len(shadowed(m)),
        ),
        (
            ", {} out of sync",
            "the places of the vCPUs for tables out of sync that are taken",
            lambda m: m.before(" out of sync") == int((m.s.oos != NONE).sum()),
        ),
    ),
    "pagingviz/boards/shadow_pool.py": (
        (
            "{}{} of {} pages free{} · {}",
            "pages of the pool by their types",
            lambda m: (m.before(" of "), m.before(" pages free")) == (pages(m, xen.SH_FREE), in_pool(m)),
        ),
        (
            "(a toy: real Xen has {} a vCPU or more)",
            "the pages of the pool, and 128 for each vCPU",
            lambda m: m.num(0) == 128 and in_pool(m) < 128 * m.sim.scenario.vcpus,
        ),
        (
            "no shadows: they come with log-dirty{}",
            "no page holds a shadow, and log-dirty is off",
            lambda m: not m.live() and not m.s.log_dirty and m.sim.scenario.road == "pv",
        ),
        (
            "; {} of the bitmap's tree {} left",
            "the pages that the pool has, after log-dirty was switched off",
            lambda m: m.before(" page") == in_pool(m) > 0 and m.s.offs > 0,
        ),
        ("shadows come", "the event of the tick, and log-dirty", lambda m: switched(m, "ENABLE", True)),
        ("shadows go", "the event of the tick, and log-dirty", lambda m: switched(m, "OFF", False)),
    ),
    "pagingviz/boards/pool_words.py": (
        (
            "a shadow fault needs {}: nothing has to go",
            "the levels of the guest's tables and of the bitmap's tree, and the free pages",
            lambda m: m.num(0) == wanted(m) <= pages(m, xen.SH_FREE),
        ),
        (
            "a shadow fault needs {}, has {}: would {}{}",
            "the same, and the roots that are named are the last ones of the pinned list, from its end on",
            lambda m: (
                (m.num(0), m.num(1)) == (wanted(m), pages(m, xen.SH_FREE))
                and m.num(0) > m.num(1)
                and named(m) == pinned(m.m)[::-1][: len(named(m))]
            ),
        ),
        (
            "and {} more",
            "what the next prealloc does",
            "test_who_is_unpinned_and_emptied_is_announced_with_the_pages_that_it_frees",
        ),
        (
            ", and the domain would die for want of a page",
            "what the next prealloc does",
            "test_who_is_unpinned_and_emptied_is_announced_with_the_pages_that_it_frees",
        ),
        (
            "{} in use, {} free",
            "the pages of nested tables, of the bitmap's tree and of the logs, one by one; and the free ones",
            lambda m: (
                (m.before(" page"), m.before(" free"))
                == (
                    table_pages(m).size + tree_pages(m) + (int(m.s.vcpus) if m.s.ept_ad else 0),
                    pages(m, xen.SH_FREE),
                )
            ),
        ),
        ("{} · nothing is left to split", "no leaf above level 1", lambda m: not leaves(m, 2) + leaves(m, 3)),
        (
            "{} · the next split needs {} · {} so far",
            "leaves above level 1, and `p2m_split`",
            lambda m: leaves(m, 2) + leaves(m, 3) > 0 and m.before(" so far") == m.s.p2m_split,
        ),
        (
            "{} ({} leaf)",
            "for a leaf of 2 MiB a table of level 1; for one of 1 GiB 512 more, but on AMD a table of level 2",
            lambda m: (
                [(int(n), size) for n, size in re.findall(r"(\d+) \((\d \w+) leaf\)", m.text)]
                == [(1, "2 MiB")] * bool(leaves(m, 2)) + [(1 if m.s.npt else 513, "1 GiB")] * bool(leaves(m, 3))
            ),
        ),
    ),
    "pagingviz/boards/ept_npt.py": (
        (
            "NPF exits: {} by stores · {} by pending changes",
            "`npf_write` and `npf_recalc`",
            lambda m: (m.num(0), m.before(" by pending")) == (m.s.npf_write, m.s.npf_recalc),
        ),
        (
            "EPT violations {}{} · misconfigurations {}{}",
            "`ept_violation` and `ept_misconfig`",
            lambda m: (
                [int(n.replace(",", "")) for n in re.findall(r"(?:EPT violations|misconfigurations) ([\d,]+)", m.text)]
                == [m.s.ept_violation, m.s.ept_misconfig]
            ),
        ),
        ("· log full {}", "`pml_full`", lambda m: m.num(0) == m.s.pml_full),
        ("({} by fetches)", "`p2m_shatter`", lambda m: m.num(0) == m.s.p2m_shatter > 0),
        (
            "how the shadows map each frame: there is no EPT on this road",
            "what the walk of an address reads",
            lambda m: dimensions(m) == {"shadow"},
        ),
        (
            "{}what the type of each frame allows; shadows come with log-dirty",
            "what the walk of an address reads, and log-dirty",
            lambda m: dimensions(m) == {"guest"} and not m.s.log_dirty,
        ),
        (
            "how the shadows map each frame, while log-dirty is on",
            "the root that the processor walks from is one of a shadow, and log-dirty",
            lambda m: int(m.s.root[0]) in m.live() and dimensions(m) <= {"shadow"} and m.s.log_dirty == 1,
        ),
        ("frame types again", "the event of the tick, and log-dirty", lambda m: switched(m, "OFF", False)),
        ("shadow mappings", "the event of the tick, and log-dirty", lambda m: switched(m, "ENABLE", True)),
    ),
    "pagingviz/boards/dirty_bitmap.py": (
        (
            "{}{} set in round {} · {}",
            "the bits of the tree's leaves, and the CLEANs so far",
            lambda m: (m.before(" bit"), m.num(2)) == (m.m.dirty_frames().size, int(m.s.cleans)),
        ),
        (
            "its tree has {} of the pool and lacks some: CLEAN fails",
            "pages of the tree, from its root down; and that a page could not be had",
            lambda m: m.before(" page") == tree_pages(m) and m.s.failed_allocs > 0 and not m.s.cleans,
        ),
        (
            "its tree takes pages of the pool at the first bit",
            "no page of the tree, and no bit",
            lambda m: not tree_pages(m) and not m.s.dirty_count,
        ),
        (
            "its tree takes {} of the pool",
            "pages of the tree, from its root down",
            lambda m: m.before(" page") == tree_pages(m),
        ),
        (
            "no bitmap: ENABLE, which switches log-dirty on, begins one",
            "no page of the tree, and log-dirty is off",
            lambda m: not tree_pages(m) and not m.s.log_dirty,
        ),
        ("over {}", "the CLEANs so far, and one", lambda m: m.num(0) == int(m.s.cleans) + 1),
        ("thick edge:", "the cells with a thick edge, and the bits of the tree's leaves", thick),
        ("{}set now, {}", "the bits of the tree's leaves", lambda m: m.before(" bit") == m.m.dirty_frames().size),
        ("log-dirty is off now", "log-dirty", lambda m: not m.s.log_dirty),
        ("log-dirty is on", "the event of the tick, and log-dirty", lambda m: switched(m, "ENABLE", True)),
        ("now log-dirty is off:", "the event of the tick, and log-dirty", lambda m: switched(m, "OFF", False)),
    ),
    "pagingviz/boards/nested_tables.py": (
        (
            "{} table pages · pending: {}",
            "the pages of the tables, their present entries, and how many of these are marked, walked down from the root",
            lambda m: m.before(" table page") == table_pages(m).size and by_level(m),
        ),
        ("pending: L{} {} of {}", "the same, level by level", by_level),
        ("no nested tables on this road: {}", "what the walk of an address reads", lambda m: "nested" not in dimensions(m)),
        (
            "a PV guest's own tables hold machine frames",
            "an entry of the guest's root leads to the machine frame of a table of its",
            lambda m: (
                {int((e & x86.FRAME_MASK) >> x86.PAGE_BITS) for e in root_entries(m)}
                <= {int(m.m.view("p2m")[gfn]) for gfn in guest_tables(m)}
            ),
        ),
        (
            "a shadow leads from the guest's address to the machine's in one go",
            "what the walk of an address reads",
            lambda m: dimensions(m) == {"shadow"},
        ),
    ),
    "pagingviz/boards/in_words.py": (
        (
            "now {}:",
            "the events of the tick, and log-dirty",
            lambda m: switched(m, "ENABLE", True) or switched(m, "OFF", False),
        ),
        (
            "bare road: the hardware uses the guest's own tables",
            "what the walk of an address reads",
            lambda m: dimensions(m) == {"guest"},
        ),
        (
            "no hypervisor on the bare road",
            "no page of a pool, and what the walk of an address reads",
            lambda m: not in_pool(m) and dimensions(m) == {"guest"},
        ),
    ),
    "pagingviz/story/status.py": (
        (
            "hap ({})",
            "the format of the entries that the processor walks",
            lambda m: m.groups[0] == ("NPT" if m.s.npt else "EPT"),
        ),
        ("on, round {}", "log-dirty, and the CLEANs so far", lambda m: m.s.log_dirty == 1 and m.num(0) == int(m.s.cleans)),
        (
            "#PF {} · CR3 {} · INVLPG {}",
            "`exits_page_fault`, `exits_cr3` and `exits_invlpg`",
            lambda m: (
                [int(n.replace(",", "")) for n in re.findall(r"(?:#PF|CR3|INVLPG) ([\d,]+)", m.text)]
                == [m.s.exits_page_fault, m.s.exits_cr3, m.s.exits_invlpg]
            ),
        ),
        (
            "chip pool: {} of {}",
            "pages of the pool that are not free",
            lambda m: (m.num(0), m.num(1)) == (in_pool(m) - pages(m, xen.SH_FREE), in_pool(m)),
        ),
        ("misconfig {}", "`ept_misconfig`", lambda m: m.num(0) == m.s.ept_misconfig),
        ("violation {}", "`ept_violation`", lambda m: m.num(0) == m.s.ept_violation),
        ("NPF, pending {}", "`npf_recalc`", lambda m: m.num(0) == m.s.npf_recalc),
        ("NPF, write {}", "`npf_write`", lambda m: m.num(0) == m.s.npf_write),
        ("log full {}", "`pml_full`", lambda m: m.num(0) == m.s.pml_full),
        (
            "{} of 512",
            "the entries of the vCPU's log, by its index",
            lambda m: m.before(" of 512") == m.waiting(now=True) if m.s.vcpus == 1 else True,
        ),
        ("chip guest #PF: {}", "`guest_faults`", lambda m: m.num(0) == m.s.guest_faults),
        ("chip dirty: {}", "the bits of the tree's leaves, or that log-dirty is off", lambda m: dirty(m)),
        (
            "chip table updates: {}",
            "the entries of the guest's tables that hypercalls and emulation have written",
            lambda m: m.num(0) == m.s.num_page_updates + m.s.calls_to_update_va + m.s.ptwr_emulations,
        ),
        ("chip rules: hold ✓", "the audit", "test_blackboard_is_clean_at_every_tick"),
    ),
}


def root_entries(m):
    """Present entries of the guest's root that lead to a table of the guest."""
    words = m.m.view("tables").reshape(-1, 512)[int(m.s.cr3[0])]
    return words[words & x86.P != 0]


def dirty(m):
    """The number of dirty frames on the status line."""
    return m.text.endswith(": -") if not m.s.log_dirty else m.num(0) == m.m.dirty_frames().size
