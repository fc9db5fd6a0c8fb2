"""Cells: the state of a machine as a grid of cell words, one function a map."""

import numpy as np

from pagingviz import layout as L
from pagingviz.palette import (
    ABSENT, AGE_OLDEST, AGE_YOUNGEST, BLANK, CROSSED, DIRTY, DIRTY_BEFORE, FREE, LETTER_SHIFT, LETTERS, OUT_OF_SYNC, OUTSIDE,
    PENDING, PINNED, READ_ONLY, SUPERPAGE, TABLE, WRITABLE,
)  # fmt: skip

_P, _RW, _A, _D = (int(x) for x in (L.P, L.RW, L.A, L.D))
_FRAME = int(L.FRAME_MASK)


def word(fill, letter):
    """The cell word of a fill code with a letter."""
    return np.uint16(fill | LETTERS.index(letter) << LETTER_SHIFT)


NOTHING, HATCHED = word(BLANK, " "), word(ABSENT, " ")
W_FREE, W_TABLE = word(FREE, "."), word(TABLE, "T")
W_DIRTY, W_BEFORE, W_LOGGED = word(DIRTY, "D"), word(DIRTY_BEFORE, "d"), word(PENDING, "l")
W_READ, W_WRITE, W_PENDING = word(READ_ONLY, "R"), word(WRITABLE, "W"), word(PENDING, "?")
W_SUPER, W_SUPER_RO, W_OOS = word(SUPERPAGE, "S"), word(READ_ONLY, "S"), word(OUT_OF_SYNC, "O")
_LEAF = np.array([word(READ_ONLY, "r"), word(READ_ONLY, "R"), word(WRITABLE, "w"), word(WRITABLE, "W")])  # RW*2 + A
_BIG = np.array([word(READ_ONLY, "s"), W_SUPER_RO, word(SUPERPAGE, "s"), W_SUPER])


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


def guest_entries(machine, frame, index):
    """Entries `index` of the guest tables in `frame` (int arrays; a frame without kept contents reads 0): uint64[n]."""
    s, words = machine.sys[0], machine.view("tables").reshape(-1, 512)
    kept = (frame >= 0) & (frame < int(s.zone))
    at = np.where(kept, frame, 0)
    if s.guest_levels == 2:
        value = words[at, index >> 1] >> (index & 1).astype(np.uint64) * L.U(32) & L.U(0xFFFFFFFF)
    else:
        value = words[at, index]
    return np.where(kept, value, L.ZERO)


def is_big(level, value):
    """Whether a present entry of `level` maps a superpage itself (bool array)."""
    return (value & L.P != 0) & (value & L.PSE != 0) & (level in (2, 3))


def targets(machine, value):
    """Guest frames that entries point to, int64[n], 0 where an entry is not present (a PV guest's hold machine frames)."""
    frame = (value & L.FRAME_MASK) >> L.PAGE_BITS
    if machine.scenario.road == "pv":
        frame = machine.view("m2p")[np.minimum(frame - L.RAM_BASE, L.U(machine.scenario.frames - 1)).astype(np.intp)]
    return np.where(value & L.P != 0, frame, L.ZERO).astype(np.int64)


def entry_words(machine, plan):
    """Every entry on the guest map with its present value: list of (Entries, table frame int64[n] or -1, value uint64[n]).

    Below a superpage there is no table: its pieces have frame -2 and the value an L1 entry would have, with PSE set.
    """
    s, roots = machine.sys[0], machine.view("roots")
    live = roots[roots != L.NONE]
    top = int(s.guest_levels)
    out, above = [], {}
    for e in plan.entries:
        pieces = None
        if e.frame >= 0:
            frame = np.full(e.index.size, e.frame)
        elif e.slot >= 0 and e.level == top:
            root = roots[e.slot]
            frame = np.full(e.index.size, -1 if root == L.NONE else int(root))
        elif e.slot < 0 and e.level == 3 and top == 4:
            frame = np.full(e.index.size, int(s.kl3))
        elif e.slot < 0 and e.level == top:
            frame = np.full(e.index.size, int(live[0]) if live.size else -1)
        else:
            upper = above[e.slot][e.parent]
            frame = np.where(upper & L.P != 0, targets(machine, upper), -1)
            big = is_big(e.level + 1, upper)
            some = bool(big.any())
            if some:
                frame[big] = -2
            if e.level == 1 and some:
                pieces = np.where(big, upper + (e.index.astype(np.uint64) << L.PAGE_BITS), L.ZERO)
        value = guest_entries(machine, frame, e.index)
        if pieces is not None:
            value = np.where(frame == -2, pieces, value)
        above[e.slot] = value
        out.append((e, frame, value))
    return out


def _guest(machine, sim, plan):
    out = np.full(plan.height * plan.width, NOTHING)
    info = machine.view("info")
    table = is_table(machine)
    about = np.zeros(info.size + 1, np.uint16)  # by frame, one for what lies beyond: table word with its thick edge, or 0
    about[:-1][table] = W_TABLE
    about[:-1][info & L.SHADOW_FLAGS != 0] = W_TABLE | PINNED
    about[:-1][info & L.OOS != 0] = W_OOS | PINNED
    tables = np.where(table, about[:-1], 0)
    for e, _, value in entry_words(machine, plan):
        present = value & L.P != 0
        known = about[np.minimum(targets(machine, value), info.size)]
        if e.slot >= 0 or e.frame >= 0 or e.level > 1:
            kind = ((value >> L.ONE & L.ONE) * L.TWO + (value >> L.U(5) & L.ONE)).astype(np.intp)
            thick = np.where(value & L.D != 0, PINNED, 0).astype(np.uint16)
            big = (value & L.PSE != 0) & present if e.level == 1 else is_big(e.level, value)
            words = (np.where(big, _BIG[kind], _LEAF[kind]) if big.any() else _LEAF[kind]) | thick
            if e.level > 1:
                words = np.where(big, words, np.where(known != 0, known, W_TABLE))
            elif e.slot < 0:
                words = np.where(known != 0, known, words)
        else:  # the direct map: which of these frames hold tables, and how are they shadowed
            worst = np.maximum.reduceat(tables, np.cumsum(e.span) - e.span)
            plain = np.where(value & L.PSE != 0, W_SUPER, W_WRITE) | PINNED
            words = np.where(worst != 0, worst, plain)
        out[e.cell] = np.where(present, words, W_FREE)
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
    if machine.sys[0].tree_root != L.NONE:
        out = level = [int(machine.sys[0].tree_root)]
        for _ in range(int(L.LOGDIRTY_LEVELS) - 1):
            level = [int(child) - 1 for page in level for child in pool[page][pool[page] != 0]]
            out = out + level
    return np.array(out, np.intp)


def head_pages(machine, n):
    """For each of the first n pool pages the page that speaks for its shadow: itself, or the head of several."""
    kind, page = machine.view("ptype")[:n], np.arange(n)
    return np.where(kind == L.SH_MORE, machine.view("pkey")[:n].astype(np.int64), page)


def stale_shadows(machine, n):
    """Which of the first n pool pages belong to the shadow of a guest table that is out of sync: bool[n]."""
    head = head_pages(machine, n)
    kind = machine.view("ptype")[head].astype(np.intp)
    key = machine.view("pkey")[head]
    l1 = np.isin(kind, (L.SH_L1_32, L.SH_L1_PAE, L.SH_L1))
    gfn = machine.view("m2p")[np.where(l1, key - L.RAM_BASE, L.ZERO).astype(np.intp)].astype(np.intp)
    return l1 & (machine.view("info")[np.minimum(gfn, machine.scenario.frames - 1)] & L.OOS != 0)


def loaded_roots(machine):
    """Pool pages that some vCPU runs on now."""
    return [int(root) for root in machine.sys[0].root if root != L.NONE]


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
        letter = np.where(kind == L.SH_P2M, digits[np.minimum(level, 4)], letter)
    letter[tree_pages(machine)] = LETTERS.index("l")
    used = (kind != L.SH_FREE) & (kind != L.SH_OUT)
    words = np.where(used, age_fill(age).astype(np.uint16) | letter << LETTER_SHIFT, W_FREE)
    words = np.where(stale_shadows(machine, n), W_OOS, words)
    words = np.where(kind == L.SH_OUT, HATCHED, words).astype(np.uint16)
    words[(machine.view("ppin")[:n] != 0) & used] |= PINNED
    words[loaded_roots(machine)] |= PINNED
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
        return _ranked(plan, _nested_rank(machine), np.array([W_WRITE, W_SUPER, W_READ, W_SUPER_RO, W_PENDING]))
    rank = shadow_rights(machine)
    return _ranked(plan, rank, np.array([W_FREE, W_READ, W_WRITE, W_TABLE, W_OOS]))


def nested_leaves(machine):
    """Every frame's leaf of EPT or NPT: (entry uint64[n], level int[n], pending bool[n]: somewhere on its path)."""
    pool, s = machine.view("pool").reshape(-1, 512), machine.sys[0]
    gfn = np.arange(machine.scenario.frames)
    page = np.full(gfn.size, int(s.hap_root))
    entry, level = np.zeros(gfn.size, np.uint64), np.zeros(gfn.size, int)
    pending, open_ = np.zeros(gfn.size, bool), np.ones(gfn.size, bool)
    for at in (4, 3, 2, 1):
        e = pool[page, gfn >> 9 * (at - 1) & 511]
        entry, level = np.where(open_, e, entry), np.where(open_, at, level)
        waits = e & (L.P | L.US) == L.P if s.npt else (e & L.EPT_EMT == L.EPT_EMT) & (e & L.EPT_RWX != 0)
        pending |= open_ & waits
        open_ &= (e & L.EPT_SP == 0) & (e & L.EPT_RWX != 0)
        page = np.where(open_ & (at > 1), ((e & L.FRAME_MASK) >> L.PAGE_BITS).astype(np.int64), page)
    return entry, level, pending


def _nested_rank(machine):
    entry, level, pending = nested_leaves(machine)
    logged = (entry & L.EPT_TYPE_MASK) >> L.EPT_TYPE_SHIFT == L.P2M_RAM_LOGDIRTY  # with PML such a leaf may be written
    rank = np.where(logged, 2, 0) + (level == 2)
    return np.where(pending, 4, rank)


def shadow_rights(machine):
    """How the shadows map each frame: 0 not, 1 read-only, 2 writable, 3 shadowed table, 4 out of sync.

    Of a PV guest without shadows what its types say: 0 not in use as one, 2 writable, 3 page table.
    """
    info, kind = machine.view("info"), machine.view("ptype")
    rank = np.zeros(info.size, np.intp)
    if machine.scenario.road == "pv" and not machine.sys[0].log_dirty:
        types = (info & L.PGT_TYPE) >> L.PGT_SHIFT
        return np.where(types == L.PGT_WRITABLE, 2, np.where(types != L.PGT_NONE, 3, 0))
    pool = machine.view("pool").reshape(-1, 512)
    l1 = pool[L.SH_LEVEL[kind[head_pages(machine, kind.size)].astype(np.intp)] == 1]
    for bits, what in ((L.P, 1), (L.P | L.RW, 2)):
        mfn = (l1[l1 & bits == bits] & L.FRAME_MASK) >> L.PAGE_BITS
        rank[machine.view("m2p")[(mfn - L.RAM_BASE).astype(np.intp)].astype(np.intp)] = what
    rank[info & L.SHADOW_FLAGS != 0] = 3
    rank[info & L.OOS != 0] = 4
    return rank


# ---- bitmap


def _bitmap(machine, sim, plan):
    if plan.road == "bare":
        return np.full(plan.key.size, HATCHED)
    if plan.bits != "round":
        return _history(machine, plan)
    rank = np.zeros(machine.scenario.frames, np.intp)
    s = machine.sys[0]
    if s.log_dirty:
        rank[is_table(machine)] = 1
        rank[(machine.view("dround") & L.DR_ROUND == s.dirty_round) & (s.dirty_round > 0)] = 2
        rank[[gfn for log in machine.pml() for gfn in log]] = 3
        rank[machine.dirty_bits()] = 4
    return _ranked(plan, rank, np.array([W_FREE, W_TABLE, W_BEFORE, W_LOGGED, W_DIRTY]))


_STEPS = AGE_OLDEST - AGE_YOUNGEST + 1  # of the ramp: dark is seldom, bright is often
_OFTEN = np.array([W_FREE, *(word(AGE_OLDEST - k, "1234"[4 * k // _STEPS]) for k in range(_STEPS))])
_WHO = np.array([W_FREE, word(DIRTY, "s"), word(TABLE, "A"), word(TABLE, "e"), word(OUTSIDE, "X"), W_LOGGED,
                 word(OUTSIDE, "v")])  # fmt: skip


def bit_history(machine):
    """By frame: (round in which its bit was last set or -1, layout.MK_* of who set it, in how many rounds it was), int64[n]."""
    words = machine.view("dround")
    last, who, times = words & L.DR_ROUND, words >> L.DR_CAUSE_SHIFT & L.DR_CAUSE, words >> L.DR_ROUNDS_SHIFT
    return last.astype(np.int64) - 1, who.astype(np.int64), times.astype(np.int64)


def _history(machine, plan):
    """How often each bit was set, as a share of all rounds so far, or by whom the last time; thick: it is set now."""
    _, who, times = bit_history(machine)
    if plan.bits == "who":
        out = _ranked(plan, who, _WHO)
    else:
        share = np.minimum(times / (int(machine.sys[0].dirty_round) + 1), 1)
        out = _ranked(plan, np.ceil(share * _STEPS).astype(np.intp), _OFTEN)
    thick = np.array([0, PINNED], np.uint16)
    now = _ranked(plan, machine.dirty_bits().astype(np.intp), thick)
    return np.where(plan.key >= 0, out | now, out).astype(np.uint16)
