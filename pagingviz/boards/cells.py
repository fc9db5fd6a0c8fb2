"""Cells: the state of a machine as a grid of cell words, one function a map."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ZERO, U
from pagingviz.boards.palette import (
    ABSENT,
    AGE_OLDEST,
    AGE_YOUNGEST,
    BLANK,
    CROSSED,
    DIRTY,
    DIRTY_BEFORE,
    FREE,
    LETTER_SHIFT,
    LETTERS,
    OUT_OF_SYNC,
    OUTSIDE,
    PENDING,
    PINNED,
    READ_ONLY,
    SUPERPAGE,
    TABLE,
    WRITABLE,
)
from pagingviz.core.read_only import nested_cells
from pagingviz.machine.guest_tables import guest_entries, is_big, targets
from pagingviz.reading import nested

_P, _RW, _A, _D = (int(x) for x in (x86.P, x86.RW, x86.A, x86.D))
_FRAME = int(x86.FRAME_MASK)


def word(fill, letter):
    """The cell word of a fill code with a letter."""
    return np.uint16(fill | LETTERS.index(letter) << LETTER_SHIFT)


NOTHING, HATCHED = word(BLANK, " "), word(ABSENT, " ")
W_FREE, W_TABLE = word(FREE, "."), word(TABLE, "T")
W_DIRTY, W_BEFORE, W_LOGGED = word(DIRTY, "D"), word(DIRTY_BEFORE, "d"), word(PENDING, "l")
W_READ, W_WRITE, W_PENDING = word(READ_ONLY, "R"), word(WRITABLE, "W"), word(PENDING, "?")
W_SUPER, W_SUPER_RO, W_OOS = word(SUPERPAGE, "S"), word(READ_ONLY, "S"), word(OUT_OF_SYNC, "O")
W_GIB, W_GIB_RO = word(SUPERPAGE, "G"), word(READ_ONLY, "G")
_NESTED = np.array(
    [W_WRITE, W_SUPER, W_GIB, W_READ, W_SUPER_RO, W_GIB_RO, W_PENDING]
)  # by state, core/read_only.py: nested_cells


def cells(sim, plan):
    """The grid of `plan` for the machine as it stands: uint16 (height, width)."""
    draw = {
        "guest-tables": _guest,
        "shadow-pool": _pool,
        "ept-npt": _second,
        "dirty-bitmap": _bitmap,
        "nested-tables": _tables,
    }[plan.id]
    return draw(sim.machine, sim, plan).reshape(plan.height, plan.width)


def _ranked(plan, rank, words):
    """Reduce ranks (higher = worse) to one per cell, then look the words up."""
    out = np.full(plan.key.size, NOTHING)
    n = int(np.count_nonzero(plan.key >= 0))
    if plan.per_cell > 1:
        pad = np.zeros(n * plan.per_cell, rank.dtype)
        pad[: rank.size] = rank
        rank = pad.reshape(n, plan.per_cell).max(axis=1)
    out[:n] = words[rank]
    return out


# ---- guest tables


def entry_words(machine, plan):
    """Every entry on the guest map with its present value: list of (Entries, table frame int64[n] or -1, value uint64[n]).

    Below a superpage there is no table: its pieces have frame -2 (of 1 GiB: -3) and the value an entry would have there, with
    PSE set.
    """
    s, roots = machine.sys[0], machine.view("roots")
    live = roots[roots != NONE]
    top = int(s.guest_levels)
    out, above, parts = [], {}, {}
    for e in plan.entries:
        pieces = None
        if e.frame >= 0:
            frame = np.full(e.index.size, e.frame)
        elif e.slot >= 0 and e.level == top:
            root = roots[e.slot]
            frame = np.full(e.index.size, -1 if root == NONE else int(root))
        elif e.slot < 0 and e.level == 3 and top == 4:
            frame = int(s.kl3) + e.parent
        elif e.slot < 0 and e.level == top:
            frame = np.full(e.index.size, int(live[0]) if live.size else -1)
        else:
            upper = above[e.slot]  # few entries, with many below each: what they say is read once
            below = np.where(upper & x86.P != 0, targets(machine, upper), -1)
            big = is_big(e.level + 1, upper)
            if e.level < 3 and big.any():
                below[big] = np.where(parts[e.slot] == -3, -3, -3 if e.level == 2 else -2)[big]
                pieces = upper[e.parent] + (e.index.astype(np.uint64) << U(12 + 9 * (e.level - 1)))
            frame = below[e.parent]
        value = guest_entries(machine, frame, e.index)
        if pieces is not None:
            value = np.where(frame < -1, pieces, value)
        above[e.slot], parts[e.slot] = value, frame
        out.append((e, frame, value))
    return out


def _word_of(flags, level):
    """The word of a guest entry of `level` by its low eight bits; of one that leads to a table whatever is known of that."""
    if not flags & int(x86.P):
        return W_FREE
    big = flags & int(x86.PSE) and level < 4  # at level 1: a piece of a superpage (entry_words)
    if level > 1 and not big:
        return W_TABLE
    fill = (SUPERPAGE if big else WRITABLE) if flags & _RW else READ_ONLY
    letter = ("S" if big else "W") if flags & _RW else ("S" if big else "R")
    return word(fill, letter if flags & _A else letter.lower()) | (PINNED if flags & _D else 0)


_LOW = U(0xFF)
_WORDS = np.array([[_word_of(flags, level) for flags in range(256)] for level in range(5)], np.uint16)  # [level, low bits]


def _guest(machine, sim, plan):
    out = np.full(plan.height * plan.width, NOTHING)
    info, live, zone = machine.view("info"), machine.live_tables(), int(machine.sys[0].zone)
    about = np.zeros(info.size + 1, np.uint16)  # by kept frame, one for all others: table word with its thick edge, or 0
    about[live] = W_TABLE
    about[:-1][info & xen.SHADOW_FLAGS != 0] = W_TABLE | PINNED
    about[:-1][info & xen.OOS != 0] = W_OOS | PINNED
    tables = np.zeros(zone + 1, np.uint16)  # by frame of the zone, one for all others
    tables[live] = about[live]
    for e, _, value in entry_words(machine, plan):
        low = (value & _LOW).astype(np.intp)
        words = _WORDS[e.level][low]
        if e.slot < 0 and e.level == 1 and e.frame < 0:  # the direct map: which of its frames hold tables, how shadowed?
            worst = tables[np.minimum(np.cumsum(e.span) - e.span, zone)]  # a cell for each frame of the zone
            plain = np.where(low & int(x86.PSE) != 0, W_SUPER, W_WRITE) | PINNED
            words = np.where(words == W_FREE, W_FREE, np.where(worst != 0, worst, plain))
        elif e.slot < 0 or e.level > 1:
            known = about[machine.kept.places(targets(machine, value))]
            words = np.where((known != 0) & (words == W_TABLE if e.level > 1 else words != W_FREE), known, words)
        out[e.cell] = words
    return out


# ---- pool


def age_fill(age):
    """Fill code of an age in ticks: one step of the ramp for each doubling."""
    bits = np.frexp(np.maximum(age, 0).astype(np.float64))[1]  # bit length
    return np.minimum(AGE_YOUNGEST + np.maximum(bits - 1, 0), AGE_OLDEST)


_LETTER = np.array([LETTERS.index(c) for c in " 1f21f21f2234Pmo +"], np.uint16)  # by SH_* code


def tree_pages(machine):
    """Pool pages of the log-dirty tree: int array, the root first."""
    pool, out = machine.view("pool").reshape(-1, 512), []
    if machine.sys[0].tree_root != NONE:
        out = level = [int(machine.sys[0].tree_root)]
        for _ in range(int(xen.LOGDIRTY_LEVELS) - 1):
            level = [int(child) - 1 for page in level for child in pool[page][pool[page] != 0]]
            out = out + level
    return np.array(out, np.intp)


def head_pages(machine, n):
    """For each of the first n pool pages the page that speaks for its shadow: itself, or the head of several."""
    kind, page = machine.view("ptype")[:n], np.arange(n)
    return np.where(kind == xen.SH_MORE, machine.view("pkey")[:n].astype(np.int64), page)


def stale_shadows(machine, n):
    """Which of the first n pool pages belong to the shadow of a guest table that is out of sync: bool[n]."""
    head = head_pages(machine, n)
    kind = machine.view("ptype")[head].astype(np.intp)
    key = machine.view("pkey")[head]
    l1 = np.isin(kind, (xen.SH_L1_32, xen.SH_L1_PAE, xen.SH_L1))
    if not l1.any():
        return l1
    gfn = machine.view("m2p")[np.where(l1, key - xen.RAM_BASE, ZERO).astype(np.intp)].astype(np.intp)
    return l1 & (machine.view("info")[np.minimum(gfn, machine.scenario.frames - 1)] & xen.OOS != 0)


def loaded_roots(machine):
    """Pool pages that some vCPU runs on now."""
    return [int(root) for root in machine.sys[0].root if root != NONE]


def _pool(machine, sim, plan):
    if plan.road == "bare":
        return np.full(plan.key.size, HATCHED)
    out = np.full(plan.key.size, NOTHING)
    n = int(np.count_nonzero(plan.key >= 0))
    kind = machine.view("ptype")[:n].astype(np.intp)
    age = machine.tick - machine.view("pstamp")[head_pages(machine, n)].astype(np.int64)
    letter = _LETTER[kind]
    level = machine.view("pref")[:n].astype(np.intp)
    if plan.road == "hap":
        digits = np.array([LETTERS.index(c) for c in "l1234"], np.uint16)
        letter = np.where(kind == xen.SH_P2M, digits[np.minimum(level, 4)], letter)
    letter[tree_pages(machine)] = LETTERS.index("l")
    used = (kind != xen.SH_FREE) & (kind != xen.SH_OUT)
    words = np.where(used, age_fill(age).astype(np.uint16) | letter << LETTER_SHIFT, W_FREE)
    words = np.where(stale_shadows(machine, n), W_OOS, words)
    words = np.where(kind == xen.SH_OUT, HATCHED, words).astype(np.uint16)
    words[(machine.view("ppin")[:n] != 0) & used] |= PINNED
    words[loaded_roots(machine)] |= PINNED
    rows = sim.events()
    gone = rows["mfn"][rows["kind"] == ev.CODES["DEMOTE"]]
    words[gone[gone < n].astype(np.intp)] |= CROSSED
    out[:n] = words
    return out


# ---- the second translation


def _second(machine, sim, plan):
    if plan.road == "bare":
        return np.full(plan.key.size, HATCHED)
    if plan.road == "hap":
        n = int(np.count_nonzero(plan.key >= 0))
        nested_cells(machine.sys, machine.cpu, machine.mem, U(plan.per_cell.bit_length() - 1), U(n))
        out = np.full(plan.key.size, NOTHING)
        out[:n] = _NESTED[machine.view("tmp")[:n].astype(np.intp)]
        return out
    rank = shadow_rights(machine)
    return _ranked(plan, rank, np.array([W_FREE, W_READ, W_WRITE, W_TABLE, W_OOS]))


def nested_leaves(machine, gfn=None):
    """Each frame's leaf of EPT or NPT: (entry uint64[n], level int[n], pending bool[n]: somewhere on its path).

    `gfn`: int[n]; all frames unless given, which is for small guests.
    """
    pool, s = machine.view("pool").reshape(-1, 512), machine.sys[0]
    gfn = np.arange(machine.scenario.frames) if gfn is None else np.asarray(gfn)
    page = np.full(gfn.size, int(s.hap_root))
    entry, level = np.zeros(gfn.size, np.uint64), np.zeros(gfn.size, int)
    pending, open_ = np.zeros(gfn.size, bool), np.ones(gfn.size, bool)
    for at in (4, 3, 2, 1):
        e = pool[page, gfn >> 9 * (at - 1) & 511]
        entry, level = np.where(open_, e, entry), np.where(open_, at, level)
        waits = e & (x86.P | x86.US) == x86.P if s.npt else (e & x86.EPT_EMT == x86.EPT_EMT) & (e & x86.EPT_RWX != 0)
        pending |= open_ & waits
        open_ &= (e & x86.EPT_SP == 0) & (e & x86.EPT_RWX != 0)
        page = np.where(open_ & (at > 1), ((e & x86.FRAME_MASK) >> x86.PAGE_BITS).astype(np.int64), page)
    return entry, level, pending


_ENTRY = np.array([W_FREE, W_TABLE, W_WRITE | PINNED, W_WRITE, W_READ | PINNED, W_READ, W_PENDING | PINNED, W_PENDING])
_BIG_ENTRY = np.array(
    [W_FREE, W_TABLE, W_SUPER | PINNED, W_SUPER, W_SUPER_RO | PINNED, W_SUPER_RO, W_PENDING | PINNED, W_PENDING]
)


def _tables(machine, sim, plan):
    """The entries of the nested tables themselves, each with what is stored in it, whatever waits above it."""
    if plan.road != "hap":
        return np.full(plan.key.size, HATCHED)
    out = np.full(plan.key.size, NOTHING)
    pool, found = machine.view("pool").reshape(-1, 512), nested.tables(machine)
    for level, at, cells, per in plan.levels:
        page, first = found[level]
        code = nested.codes(machine, level, pool[page])
        worst = np.zeros(cells, np.uint8)
        share = min(per, 512)
        code = code.reshape(page.size, 512 // share, share).max(axis=2)
        cell = (first >> 9 * (level - 1))[:, None] // per + np.arange(512 // share)
        inside = cell < cells
        np.maximum.at(worst, cell[inside], code[inside])
        out[at : at + cells] = (_ENTRY if level == 1 else _BIG_ENTRY)[worst]
    return out


def shadow_rights(machine):
    """How the shadows map each frame: 0 not, 1 read-only, 2 writable, 3 shadowed table, 4 out of sync.

    Of a PV guest without shadows what its types say: 0 not in use as one, 2 writable, 3 page table.
    """
    info, kind = machine.view("info"), machine.view("ptype")
    rank = np.zeros(info.size, np.intp)
    if machine.scenario.road == "pv" and not machine.sys[0].log_dirty:
        types = (info & xen.PGT_TYPE) >> xen.PGT_SHIFT
        return np.where(types == xen.PGT_WRITABLE, 2, np.where(types != xen.PGT_NONE, 3, 0))
    pool = machine.view("pool").reshape(-1, 512)
    l1 = pool[xen.SH_LEVEL[kind[head_pages(machine, kind.size)].astype(np.intp)] == 1]
    for bits, what in ((x86.P, 1), (x86.P | x86.RW, 2)):
        mfn = (l1[l1 & bits == bits] & x86.FRAME_MASK) >> x86.PAGE_BITS
        rank[machine.view("m2p")[(mfn - xen.RAM_BASE).astype(np.intp)].astype(np.intp)] = what
    rank[info & xen.SHADOW_FLAGS != 0] = 3
    rank[info & xen.OOS != 0] = 4
    return rank


# ---- bitmap


def _bitmap(machine, sim, plan):
    if plan.road == "bare":
        return np.full(plan.key.size, HATCHED)
    if plan.bits != "round":
        return _history(machine, plan)
    out = np.where(plan.key < 0, NOTHING, W_FREE)
    s = machine.sys[0]
    if s.log_dirty:
        before = machine.kept.frames()[(machine.view("dround") & xen.DR_ROUND == s.dirty_round) & (s.dirty_round > 0)]
        for word_, gfn in (
            (W_TABLE, machine.live_tables()),
            (W_BEFORE, before),
            (W_LOGGED, machine.logged_frames()),
            (W_DIRTY, machine.dirty_frames()),
        ):  # the worst last
            out[np.asarray(gfn, np.intp) // plan.per_cell] = word_
    return out


_STEPS = AGE_OLDEST - AGE_YOUNGEST + 1  # of the ramp: dark is seldom, bright is often
_OFTEN = np.array([W_FREE, *(word(AGE_OLDEST - k, "1234"[4 * k // _STEPS]) for k in range(_STEPS))])
_WHO = np.array(
    [W_FREE, word(DIRTY, "s"), word(TABLE, "A"), word(TABLE, "e"), word(OUTSIDE, "X"), W_LOGGED, word(OUTSIDE, "v")]
)


def bit_history(machine):
    """By kept frame: (round in which its bit was set last or -1, layout.MK_* of who set it, in how many rounds), int64[n]."""
    words = machine.view("dround")
    last, who, times = words & xen.DR_ROUND, words >> xen.DR_CAUSE_SHIFT & xen.DR_CAUSE, words >> xen.DR_ROUNDS_SHIFT
    return last.astype(np.int64) - 1, who.astype(np.int64), times.astype(np.int64)


def _history(machine, plan):
    """How often each bit was set, as a share of all rounds so far, or by whom the last time; thick: it is set now."""
    _, who, times = bit_history(machine)
    if plan.bits == "who":
        rank, words = who, _WHO
    else:
        share = np.minimum(times / (int(machine.sys[0].dirty_round) + 1), 1)
        rank, words = np.ceil(share * _STEPS).astype(np.intp), _OFTEN
    worst = np.zeros(plan.key.size, np.intp)
    np.maximum.at(worst, machine.kept.frames() // plan.per_cell, rank)
    out = np.where(plan.key >= 0, words[worst], NOTHING)
    out[machine.dirty_frames() // plan.per_cell] |= PINNED
    return out
