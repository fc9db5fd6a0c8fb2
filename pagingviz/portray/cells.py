"""Cells: the state of a machine as a grid of cell words, one function a map."""

import numpy as np

from pagingviz import layout as L
from pagingviz.palette import (
    ABSENT, AGE_OLDEST, AGE_YOUNGEST, BLANK, CROSSED, DIRTY, DIRTY_BEFORE, FREE, LETTER_SHIFT, LETTERS, PENDING, PINNED,
    READ_ONLY, SUPERPAGE, TABLE, WRITABLE,
)  # fmt: skip

_P, _RW, _A, _D = (int(x) for x in (L.P, L.RW, L.A, L.D))
_FRAME = int(L.FRAME_MASK)


def word(fill, letter):
    """The cell word of a fill code with a letter."""
    return np.uint16(fill | LETTERS.index(letter) << LETTER_SHIFT)


NOTHING, HATCHED = word(BLANK, " "), word(ABSENT, " ")
W_FREE, W_TABLE = word(FREE, "."), word(TABLE, "T")
W_DIRTY, W_BEFORE = word(DIRTY, "D"), word(DIRTY_BEFORE, "d")
W_READ, W_WRITE, W_PENDING = word(READ_ONLY, "R"), word(WRITABLE, "W"), word(PENDING, "?")
W_SUPER, W_SUPER_RO = word(SUPERPAGE, "S"), word(READ_ONLY, "S")
_LEAF = np.array([word(READ_ONLY, "r"), word(READ_ONLY, "R"), word(WRITABLE, "w"), word(WRITABLE, "W")])  # RW*2 + A


def cells(sim, plan):
    """The grid of `plan` for the machine as it stands: uint16 (height, width)."""
    draw = {"guest-tables": _guest, "shadow-pool": _pool, "ept-npt": _second, "dirty-bitmap": _bitmap}[plan.id]
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


def is_table(machine):
    """Frames that hold a page table of the guest now: bool (frames,)."""
    out = np.zeros(machine.scenario.frames, bool)
    out[machine.live_tables()] = True
    return out


# ---- guest tables


def entry_words(machine, plan):
    """Every entry on the guest map with its present value: list of (Entries, table frame int64[n] or -1, value uint64[n])."""
    tables = machine.view("tables").reshape(-1, 512)
    roots = machine.view("roots")
    out, above = [], {}
    for e in plan.entries:
        if e.slot >= 0 and e.level == 4:
            root = roots[e.slot]
            frame = np.full(e.index.size, -1 if root == L.NONE else int(root))
        elif e.slot < 0 and e.level == 3:
            frame = np.full(e.index.size, int(machine.sys[0].kl3))
        else:
            frame = above[e.slot][e.parent]
        value = np.where(frame >= 0, tables[frame, e.index], L.ZERO)
        above[e.slot] = np.where(value & L.P != 0, (value & L.FRAME_MASK) >> L.PAGE_BITS, L.NONE).astype(np.int64)
        out.append((e, frame, value))
    return out


def _guest(machine, sim, plan):
    out = np.full(plan.height * plan.width, NOTHING)
    info = machine.view("info")
    shadowed = (info >> L.SHADOW_FLAG_SHIFT) != 0
    table = is_table(machine)
    for e, _, value in entry_words(machine, plan):
        present = value & L.P != 0
        target = np.where(present, (value & L.FRAME_MASK) >> L.PAGE_BITS, L.ZERO).astype(np.intp)
        if e.level > 1:
            words = np.where(shadowed[target], W_TABLE | PINNED, W_TABLE)
        elif e.slot >= 0:
            kind = (value >> L.ONE & L.ONE) * L.TWO + (value >> L.U(5) & L.ONE)
            words = _LEAF[kind.astype(np.intp)] | np.where(value & L.D != 0, PINNED, 0).astype(np.uint16)
        else:  # the direct map: which of these frames hold tables, and are they shadowed
            first = np.cumsum(e.span) - e.span
            any_table = np.logical_or.reduceat(table, first)
            any_shadow = np.logical_or.reduceat(table & shadowed, first)
            words = np.where(any_table, W_TABLE | np.where(any_shadow, PINNED, 0).astype(np.uint16), W_WRITE | PINNED)
        out[e.cell] = np.where(present, words, W_FREE)
    return out


# ---- pool


def age_fill(age):
    """Fill code of an age in ticks: one step of the ramp for each doubling."""
    bits = np.frexp(np.maximum(age, 0).astype(np.float64))[1]  # bit length
    return np.minimum(AGE_YOUNGEST + np.maximum(bits - 1, 0), AGE_OLDEST)


_LETTER = np.array([LETTERS.index(c) for c in " ......1.2.34lm.."], np.uint16)  # by SH_* code


def _pool(machine, sim, plan):
    if plan.road == "bare":
        return np.full(plan.key.size, HATCHED)
    out = np.full(plan.key.size, NOTHING)
    n = int(np.count_nonzero(plan.key >= 0))
    kind = machine.view("ptype")[:n].astype(np.intp)
    age = machine.tick - machine.view("pstamp")[:n].astype(np.int64)
    letter = _LETTER[kind]
    level = machine.view("pref")[:n].astype(np.intp)
    if plan.road == "hap":
        digits = np.array([LETTERS.index(c) for c in "l1234"], np.uint16)
        letter = np.where(kind == L.SH_P2M, digits[np.minimum(level, 4)], letter)
    used = (kind != L.SH_FREE) & (kind != L.SH_OUT)
    words = np.where(used, age_fill(age).astype(np.uint16) | letter << LETTER_SHIFT, W_FREE)
    words = np.where(kind == L.SH_OUT, HATCHED, words).astype(np.uint16)
    loaded = [int(r) for r in machine.sys[0].root[: machine.sys[0].vcpus] if r != L.NONE]
    words[(machine.view("ppin")[:n] != 0) & used] |= PINNED
    words[loaded] |= PINNED
    ev = sim.events()
    gone = ev["mfn"][ev["kind"] == L.EV["DEMOTE"]]
    words[gone[gone < n].astype(np.intp)] |= CROSSED
    out[:n] = words
    return out


# ---- the second translation


def _second(machine, sim, plan):
    if plan.road == "bare":
        return np.full(plan.key.size, HATCHED)
    if plan.road == "hap":
        return _ranked(plan, _ept_rank(machine), np.array([W_WRITE, W_SUPER, W_READ, W_SUPER_RO, W_PENDING]))
    rank = shadow_rights(machine)
    return _ranked(plan, rank, np.array([W_FREE, W_READ, W_WRITE, W_TABLE]))


def ept_leaves(machine):
    """Every frame's EPT leaf as the tables give it: (entry uint64[n], level int[n], pending bool[n]) over the whole path."""
    pool, s = machine.view("pool").reshape(-1, 512), machine.sys[0]
    gfn = np.arange(machine.scenario.frames)
    page = np.full(gfn.size, int(s.hap_root))
    entry, level = np.zeros(gfn.size, np.uint64), np.zeros(gfn.size, int)
    pending, open_ = np.zeros(gfn.size, bool), np.ones(gfn.size, bool)
    for at in (4, 3, 2, 1):
        e = pool[page, gfn >> 9 * (at - 1) & 511]
        entry, level = np.where(open_, e, entry), np.where(open_, at, level)
        pending |= open_ & (e & L.EPT_EMT == L.EPT_EMT) & (e & L.EPT_RWX != 0)
        open_ &= (e & L.EPT_SP == 0) & (e & L.EPT_RWX != 0)
        page = np.where(open_ & (at > 1), ((e & L.FRAME_MASK) >> L.PAGE_BITS).astype(np.int64), page)
    return entry, level, pending


def _ept_rank(machine):
    entry, level, pending = ept_leaves(machine)
    rank = np.where(entry & L.EPT_W != 0, 0, 2) + (level == 2)
    return np.where(pending, 4, rank)


def shadow_rights(machine):
    """How the shadows map each frame: 0 in none, 1 read-only, 2 writable (typecount > 0), 3 a shadowed page table."""
    info = machine.view("info")
    rank = np.zeros(info.size, np.intp)
    pool = machine.view("pool").reshape(-1, 512)
    l1 = pool[np.flatnonzero(machine.view("ptype") == L.SH_L1)]
    mfn = (l1[l1 & L.P != 0] & L.FRAME_MASK) >> L.PAGE_BITS
    rank[machine.view("m2p")[(mfn - L.RAM_BASE).astype(np.intp)].astype(np.intp)] = 1
    rank[info & L.TYPECOUNT != 0] = 2
    rank[info >> L.SHADOW_FLAG_SHIFT != 0] = 3
    return rank


# ---- bitmap


def _bitmap(machine, sim, plan):
    if plan.road == "bare":
        return np.full(plan.key.size, HATCHED)
    rank = np.zeros(machine.scenario.frames, np.intp)
    s = machine.sys[0]
    if s.log_dirty:
        rank[is_table(machine)] = 1
        rank[(machine.view("dround") == s.dirty_round) & (s.dirty_round > 0)] = 2
        rank[machine.dirty_bits()] = 3
    return _ranked(plan, rank, np.array([W_FREE, W_TABLE, W_BEFORE, W_DIRTY]))
