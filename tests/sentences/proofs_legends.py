"""What makes each entry of a legend true of a cell that it is about: {board: {text: (what is compared, comparison of a Cell)}}.

A name of a test in place of a comparison: that test makes it. tests/boards/test_legends.py and test_legends_of_others.py meet
every entry of a legend; here is looked at what the cells that are met stand for.
"""

from pagingviz.arch import x86, xen
from tests.sentences.legends_reading import (
    cause,
    dirty,
    entry_is,
    history,
    is_table,
    kind,
    leaf,
    leaf_is,
    led_to,
    level,
    logged,
    mapped,
    nested_level,
    of,
    often,
    stale,
    store,
    tree,
    waits,
    walk,
)
from tests.sentences.notes_reading import written
from tests.sentences.proofs_captions import guest_tables, shadowed

RW, A, D, PSE = (int(bit) for bit in (x86.RW, x86.A, x86.D, x86.PSE))
REFERENCES = "test_any_address_of_any_guest_is_resolved_as_the_kernels_do"
MADE = "test_the_boards_show_made_present_and_coming_references"

GUEST_TABLES = {
    "writable; thick: guest D set": (
        "the guest's entry: a leaf with RW; the edge is thick if it has D",
        entry_is(lambda entry, c: entry & RW and not entry & PSE and c.thick == bool(entry & D)),
    ),
    "read-only": ("the guest's entry: a leaf without RW", entry_is(lambda entry, c: not entry & RW)),
    "table; thick: it has a shadow": (
        "the guest's entry leads to one of its tables; the edge is thick if the pool holds a shadow of it",
        entry_is(lambda entry, c: is_table(c, entry) and c.thick == (led_to(c.m, entry) in of(c.m, shadowed))),
    ),
    "table": ("the guest's entry leads to one of its tables", entry_is(lambda entry, c: is_table(c, entry))),
    "table out of sync": (
        "the guest's entry leads to a table in a vCPU's place for tables out of sync",
        entry_is(lambda entry, c: led_to(c.m, entry) in of(c.m, stale)),
    ),
    "superpage": ("the guest's entry: PSE and RW", entry_is(lambda entry, c: entry & PSE and entry & RW)),
    "superpage, read-only": ("the guest's entry: PSE without RW", entry_is(lambda entry, c: entry & PSE and not entry & RW)),
    "small letter: A clear": ("the guest's entry: no A", entry_is(lambda entry, c: not entry & A)),
    "not present": ("the guest's entry, or that there is no such table", entry_is(lambda entry, c: not entry & 1)),
}
POOL = {
    "nested root": ("the root of the nested tables", lambda c: c.key == int(c.m.s.hap_root)),
    "L3 table": ("the level at which the walk from the root comes to the page", nested_level(3)),
    "L2 table": ("the level at which the walk from the root comes to the page", nested_level(2)),
    "L1 table": ("the level at which the walk from the root comes to the page", nested_level(1)),
    "page-modification log of a vCPU": (
        "the pages of the vCPUs' logs",
        lambda c: c.key in c.m.s.pml_page[: int(c.m.s.vcpus)].tolist(),
    ),
    "L4 shadow: a root": ("the page's type, and that it stands for a frame of the guest", level(4)),
    "L3 shadow": ("the page's type, and that it stands for a frame of the guest", level(3)),
    "L2 shadow: a root": ("the page's type, and that it stands for a frame of the guest", level(2)),
    "L2 shadow": ("the page's type, and that it stands for a frame of the guest", level(2)),
    "L1 shadow": ("the page's type, and that it stands for a frame of the guest", level(1)),
    "further page of a shadow": ("the page's type", kind(xen.SH_MORE)),
    "fl1: splinters of a superpage": ("the page's type", kind(xen.SH_FL1, xen.SH_FL1_PAE, xen.SH_FL1_32)),
    "snapshot": ("the pages of the vCPUs' snapshots", lambda c: c.key in c.m.s.oos_snap.tolist()),
    "p2m": ("the pages of the pool that were taken at boot", "test_property_18_every_page_of_the_pool_is_accounted_for"),
    "monitor": ("the page's type", kind(xen.SH_MONITOR)),
    "log-dirty tree": ("the pages of the tree, from its root down", lambda c: c.key in of(c.m, tree)),
    "L1 of a table out of sync": (
        "the page's shadow is of a table in a vCPU's place for tables out of sync",
        lambda c: c.m.m.view("pkey")[c.m.m.view("pkey")[c.key] if kind(xen.SH_MORE)(c) else c.key] in set(c.m.s.oos.tolist()),
    ),
    "free": ("the page's type", kind(xen.SH_FREE)),
    "not in the pool now": ("the page's type", kind(xen.SH_OUT)),
    "thick: pinned or loaded": (
        "the page is in the list of pinned shadows, or the root of a vCPU",
        lambda c: c.m.m.view("ppin")[c.key] == 1 or c.key in c.m.s.root.tolist(),
    ),
    "corner 1, 2 …: order in which pinned ones go": (
        "the roots that go",
        "test_the_board_announces_who_goes_at_the_next_shadow_fault",
    ),
    "corner v0: loaded by vCPU 0": ("the roots of the vCPUs", "test_a_corner_names_the_vcpu_that_runs_on_a_root"),
    "crossed: shadow destroyed in this tick": (
        "the page is free, or was taken anew in this tick",
        lambda c: kind(xen.SH_FREE)(c) or int(c.m.m.view("pstamp")[c.key]) == c.m.sim.tick,
    ),
}


def _executable(c):
    """Whether the leaves of the cell may be executed."""
    return any((found := leaf(c.m, gfn)) and found[2] & x86.EPT_X for gfn in c.frames)


def _superpages(size, n):
    """Entries about leaves of a size, which stand at level n."""
    return {
        f"{size} leaf": (f"the leaf on the way of a frame: at level {n}, ram_rw", leaf_is(n, "ram_rw")),
        f"{size} leaf, not executable": (
            f"the leaf on the way of a frame: at level {n}, ram_rw, without X",
            lambda c: leaf_is(n, "ram_rw")(c) and not _executable(c),
        ),
        f"{size} leaf, ram_logdirty": (
            f"the leaf on the way of a frame: at level {n}, ram_logdirty",
            leaf_is(n, "ram_logdirty"),
        ),
    }


FRAMES = {
    "ram_rw": ("the leaf on the way of a frame: at level 1, ram_rw", leaf_is(1, "ram_rw")),
    "ram_logdirty: no write unseen": (
        "the leaf on the way of a frame: at level 1, ram_logdirty",
        leaf_is(1, "ram_logdirty"),
    ),
    **_superpages("2 MiB", 2),
    **_superpages("1 GiB", 3),
    "recalculation pending": (
        "an entry on the way of a frame is marked",
        lambda c: any(waits(c.m, entry) for gfn in c.frames for _, entry in walk(c.m, gfn)),
    ),
    "mapped writable": ("some shadow entry maps the frame with RW", lambda c: of(c.m, _written)[c.key]),
    "writable": (
        "how a store through the kernel's direct map ends; with shadows, that some entry maps the frame with RW",
        lambda c: of(c.m, _written)[c.key] if c.m.s.log_dirty else c.m.m.view("info")[c.key] & xen.TYPECOUNT > 0,
    ),
    "mapped read-only": (
        "shadow entries map the frame, none with RW",
        lambda c: of(c.m, mapped)[c.key] and not of(c.m, _written)[c.key],
    ),
    "page table: write-protected": (
        "a store through the kernel's direct map does not pass",
        lambda c: c.key in of(c.m, guest_tables) | of(c.m, shadowed) and store(c) != "frame",
    ),
    "page table out of sync": ("the vCPUs' places for tables out of sync", lambda c: c.key in of(c.m, stale)),
    "in no shadow": ("no shadow entry maps the frame", lambda c: not of(c.m, mapped)[c.key]),
    "of no type, or in no shadow": (
        "without shadows the type of the frame is in no use; with them no entry maps it",
        lambda c: not (of(c.m, mapped)[c.key] if c.m.s.log_dirty else c.m.m.view("info")[c.key] & xen.TYPECOUNT),
    ),
}


def _written(m):
    """Frames that some shadow entry maps with RW."""
    return written(m.m)


BITMAP = {
    "written since the last CLEAN": ("the bits of the tree's leaves", lambda c: not of(c.m, dirty).isdisjoint(c.frames)),
    "in the round before": (
        "the round in which a frame's bit was set last",
        lambda c: any(last == int(c.m.s.dirty_round) - 1 for last, _, _ in history(c)),
    ),
    "in the processor's log": ("the logs of the vCPUs", lambda c: not of(c.m, logged).isdisjoint(c.frames)),
    "page table, clean": (
        "the tables of the guest, and the bits of the tree's leaves",
        lambda c: not of(c.m, guest_tables).isdisjoint(c.frames) and of(c.m, dirty).isdisjoint(c.frames),
    ),
    "clean": ("the bits of the tree's leaves", lambda c: of(c.m, dirty).isdisjoint(c.frames) or not c.m.s.log_dirty),
    "in more than 3 of 4 rounds": ("rounds in which a frame's bit was set, of all", often(0.75, 1)),
    "in more than half": ("rounds in which a frame's bit was set, of all", often(0.5, 0.75)),
    "in more than 1 of 4": ("rounds in which a frame's bit was set, of all", often(0.25, 0.5)),
    "less often": ("rounds in which a frame's bit was set, of all", often(0, 0.25)),
    "never": ("rounds in which a frame's bit was set", lambda c: not any(times for _, _, times in history(c))),
    "store of the guest": ("what set the bit last", cause("store")),
    "A/D bits of the table in it": ("what set the bit last", cause("walk")),
    "emulated store to a table": ("what set the bit last", cause("emulated")),
    "processor's log": ("what set the bit last", cause("log")),
    "hypervisor": ("what set the bit last", cause("xen")),
    "device model": ("what set the bit last", cause("device")),
    "nobody": ("what set the bit last", lambda c: not any(who for _, who, _ in history(c))),
}


def _entries(c):
    """Entries of the nested tables that stand in a cell, with their level: at most 64 of them are looked at."""
    n, per = next((n, per) for n, at, cells, per in c.plan.levels if at <= c.at < at + cells)
    for k in range(min(per, 64)):
        steps = walk(c.m, c.key + (k << 9 * (n - 1)), n)
        if steps[-1][0] == n:
            yield n, steps[-1][1]


def some(check):
    """A comparison: some entry of the cell fulfils `check(entry, level)`; a cell of more than 64 entries passes."""
    return lambda c: (
        any(check(e, n) for n, e in _entries(c)) or any(at <= c.at < at + n and p > 64 for _, at, n, p in c.plan.levels)
    )


def _leaf_with(right, large):
    """A comparison: a leaf, larger than 4 KiB or not, with this right to write; the edge is thick if it has D."""

    def check(c):
        d = x86.D if c.m.s.npt else x86.EPT_D
        return some(
            lambda e, n: (
                bool(e & x86.EPT_W) == right
                and (n > 1) == large
                and (n == 1 or bool(e & x86.PSE))
                and not waits(c.m, e)
                and c.thick == bool(e & d)
            )
        )(c)

    return check


NESTED = {
    "leads to a table": ("the entry: no leaf", some(lambda e, n: n > 1 and (n == 4 or not e & x86.PSE))),
    "leaf, writable; thick: D set": ("the entry: W; the edge is thick if it has D", _leaf_with(True, False)),
    "leaf, writable; thick: D set, else PML logs the next store": (
        "the entry: W; the edge is thick if it has D",
        _leaf_with(True, False),
    ),
    "leaf, read-only": ("the entry: no W", _leaf_with(False, False)),
    "superpage leaf": ("the entry: a leaf above level 1, with W", _leaf_with(True, True)),
    "superpage leaf, not executable": (
        "the entry: a leaf above level 1, with W and without X",
        lambda c: _leaf_with(True, True)(c) and some(lambda e, n: n > 1 and not e & x86.EPT_X)(c),
    ),
    "superpage leaf, read-only": ("the entry: a leaf above level 1, without W", _leaf_with(False, True)),
    "recalculation waits in it": ("the entry is marked", lambda c: some(lambda e, n: bool(waits(c.m, e)))(c)),
    "no entry: a larger leaf maps it": ("the walk of its frames ends above it", lambda c: not [*_entries(c)]),
}
AGREE, AGAIN = "test_the_boards_agree_with_the_state_and_with_each_other", "test_a_thick_edge_says_that_the_frame_goes_again"
LATER, LARGE = "test_skipped_and_deferred_frames_are_left_for_later", "test_cells_of_several_frames_show_the_worst_and_say_so"
MOVED = "what the migration keeps of each frame"
MIGRATION = {
    "source": dict.fromkeys(
        (
            "page table, sent",
            "sent, as it is",
            "not sent yet",
            "in this round's set, waits",
            "written since it was sent",
        ),
        (MOVED, AGREE),
    )
    | {
        "not sent yet; thick: dirty already": ("the bits", AGAIN),
        "left for later": ("what the round has passed over", LATER),
        "not sent": ("there is no migration", lambda c: c.m.sim.migration is None),
    },
    "wire": dict.fromkeys(
        ("never sent", "once", "twice", "three times", "more often", "in the pause", "fetched on demand"), (MOVED, AGREE)
    )
    | {
        "once; thick: goes again": ("the bits", AGAIN),
        "left for later": ("what the round has passed over", LATER),
        "outlined: on its way": ("what was sent last", "test_outlined_is_what_has_just_been_handed_to_the_wire"),
    },
    "destination": dict.fromkeys(
        (
            "page table, equal",
            "equal to the source's",
            "fetched on demand",
            "not here",
            "old: the new one waits",
            "old: written since",
        ),
        ("the two hosts' memories", AGREE),
    ),
}
TRANSLATION = {
    "leads to a table": ("the entry that the reference reads", REFERENCES),
    "leaf, writable": ("the entry that the reference reads", REFERENCES),
    "leaf, read-only": ("the entry that the reference reads", REFERENCES),
    "superpage": ("the entry that the reference reads", REFERENCES),
    "superpage, read-only": ("the entry that the reference reads", REFERENCES),
    "change pending": ("the entry that the reference reads", REFERENCES),
    "absent": ("the entry that the reference reads", REFERENCES),
    "to come": ("the references that are made", MADE),
    "cached": ("the caches", "test_what_caches_hold_is_no_reference_to_memory"),
    "no reference": ("the references of the walk", MADE),
}
LEGENDS = {
    "guest-tables": GUEST_TABLES,
    "shadow-pool": POOL,
    "ept-npt": FRAMES,
    "dirty-bitmap": BITMAP,
    "nested-tables": NESTED,
    **MIGRATION,
    **dict.fromkeys(
        ("translation-bare", "translation-pv", "translation-shadow", "translation-ept", "translation-npt"), TRANSLATION
    ),
}
SHARED = {  # of cells that stand for many frames, on any board: {} is their number
    "1 cell = {} frames: the worst of them": ("the frames of the cell", "test_a_cell_shows_the_worst_of_its_frames"),
    "1 cell = {} frames: the worst": ("the frames of the cell", LARGE),
    "1 cell = {} frames: the most often sent": ("the frames of the cell", LARGE),
}
