"""Where a migration stands, frame by frame: the boards source, wire and destination. Plans, and cells from the state.

Source says what the hypervisor knows (bitmap, sets of the toolstack), destination what is true (versions of pages). Outlined on
all three: the pages that were handed to the wire last; thick: the frame's dirty bit is set, so it will go again.
"""

from functools import lru_cache

import numpy as np

from pagingviz.boards.cells import HATCHED, NOTHING, word
from pagingviz.boards.palette import AGE_YOUNGEST, CHANGED, DIRTY, DIRTY_BEFORE, FREE, PENDING, PINNED, TABLE, WRITABLE
from pagingviz.boards.plans import SIZE, Plan, size
from pagingviz.migration.destination import InFlux
from pagingviz.migration.state import ABORTED, DONE, EPOCH, FINAL, LIVE, LOST, ROLLING, STATE, WAITING
from pagingviz.migration.wire import BATCH, chunk

BOARDS = ("source", "wire", "destination")
MOST_CELLS = 4096  # of one board: three stand side by side
MARKS = ("its dirty bit is set: it goes again", "on the wire now")
_AWAY = (STATE, ROLLING, LOST)  # post-copy: the guest is not here any more, its pages are
_DIGITS = range(AGE_YOUNGEST + 9, AGE_YOUNGEST - 1, -3)  # bright is often; the darkest would hide a thick edge

# Per board its words, the worst last: that is what a cell of several frames shows.
_LEGENDS = {
    "source": (
        ("T", TABLE, "page table, sent"),
        ("W", WRITABLE, "sent, as it is"),
        (".", FREE, "not sent yet"),
        ("?", PENDING, "left for later"),
        ("d", DIRTY_BEFORE, "in this round's set, waits"),
        ("D", DIRTY, "written since it was sent"),
    ),
    "wire": (
        (".", FREE, "never sent"),
        ("1", _DIGITS[0], "once"),
        ("2", _DIGITS[1], "twice"),
        ("3", _DIGITS[2], "three times"),
        ("4", _DIGITS[3], "more often"),
        ("?", PENDING, "left for later"),
        ("P", WRITABLE, "in the pause"),
        ("F", WRITABLE, "fetched on demand"),
    ),
    "destination": (
        ("T", TABLE, "page table, equal"),
        ("W", WRITABLE, "equal to the source's"),
        ("F", WRITABLE, "fetched on demand"),
        (".", FREE, "not here"),
        ("d", DIRTY_BEFORE, "old: the new one waits"),
        ("D", DIRTY, "old: written since"),
    ),
}
SMALL = 64  # columns, from which a thick edge would leave nothing of a cell
_THICK = {"source": (".", "thick: dirty already"), "wire": ("1", "thick: goes again")}
_POSTCOPY = ("postcopy", "hybrid")  # the only kinds that fetch


def plan(scenario, work, board, pages=None, bits="round"):
    """The plan of a board; of `work` and the rest nothing matters here."""
    return _plan(board, scenario.frames, scenario.migrate)


@lru_cache(maxsize=128)
def _plan(board, frames, kind):
    k = 1
    while frames > MOST_CELLS * k:
        k *= 2
    n = -(-frames // k)
    width = next((w for w, most in ((8, 128), (12, 192), (16, 256), (32, 1024)) if n <= most), 64)
    key = np.full(-(-n // width) * width, -1)
    key[:n] = np.arange(n) * k
    what = "most often sent" if board == "wire" else "worst"
    unit = "1 cell = 1 guest frame of 4 KiB" if k == 1 else f"1 cell = {size(k)} = {k:,} frames, showing the {what} of them"
    legend = [row for row in _LEGENDS[board] if row[0] != "F" or kind in _POSTCOPY]
    if width < SMALL and board in _THICK:
        letter, text = _THICK[board]
        legend = [(c, fill, f"{said}; {text}" if c == letter else said) for c, fill, said in legend]
    if board == "wire":
        legend.append(("", SIZE, "outlined: on its way"))
    if kind == "no":
        legend = () if board != "source" else ((".", FREE, "not sent"),)
    elif k > 1:
        legend = (*legend, ("", SIZE, f"1 cell = {k:,} frames: the {what}"))
    return Plan(
        board,
        board.capitalize(),
        unit,
        width,
        key.size // width,
        (),
        tuple(legend),
        kind,
        k,
        key,
        place=(BOARDS.index(board), 0),
        marks=MARKS,
    )


_WORDS = {board: np.array([word(fill, letter) for letter, fill, _ in rows]) for board, rows in _LEGENDS.items()}
_AT = {board: {letter: k for k, (letter, _, _) in enumerate(rows)} for board, rows in _LEGENDS.items()}


def cells(sim, plan):
    """The grid of a board at the present moment: uint16 (height, width)."""
    mig = sim.migration
    out = np.where(plan.key >= 0, HATCHED, NOTHING)
    if mig is None or (plan.id == "destination" and mig.state.phase == ABORTED):
        if plan.id == "source":
            out[plan.key >= 0] = _WORDS["source"][_AT["source"]["."]]
        return out.reshape(plan.height, plan.width)
    rank, thick = _RANKS[plan.id](mig, _AT[plan.id])
    n = int(np.count_nonzero(plan.key >= 0))
    frames = mig.machine.kept.frames()
    cell = frames // plan.per_cell
    worst = _rest(mig, plan, n)
    np.maximum.at(worst, cell, rank)
    out[:n] = _WORDS[plan.id][worst]
    if plan.width < SMALL:
        out[np.unique(cell[thick])] |= PINNED
    out[np.unique(cell[in_flight(mig)])] |= CHANGED
    return out.astype(np.uint16).reshape(plan.height, plan.width)


def _rest(mig, plan, n):
    """Rank of each of the n cells by its frames without state, which are never written: 0 where all frames have some."""
    kept = mig.machine.kept
    if not kept.spread:
        return np.zeros(n, np.intp)
    st, at = mig.state, _AT[plan.id]
    upto = 0 if not st.rounds or st.phase == ABORTED else st.at if st.todo is None else mig.frames
    passed = plan.key[:n] + plan.per_cell <= upto
    return np.where(passed, at["1" if plan.id == "wire" else "W"], at["."])


# ---- sets of frames, as bool by kept place


def _mask(mig, frames):
    out = np.zeros(mig.machine.kept.count, bool)
    out[mig.places(np.asarray(frames, np.int64))] = True
    return out


def dirty(mig):
    """The bit is set, or will be when the processors' logs are flushed."""
    m = mig.machine
    if not m.sys[0].log_dirty:
        return np.zeros(m.kept.count, bool)
    return _mask(mig, np.concatenate([m.dirty_frames(), m.logged_frames()]))


def waiting(mig):
    """In the set of the round under way, and not yet sent. Before the start: all."""
    st = mig.state
    if st.phase in _AWAY:
        return ~st.arrived
    if st.phase == WAITING:
        return np.ones(st.times.size, bool)
    if st.phase not in (LIVE, FINAL) or not st.rounds:
        return np.zeros(st.times.size, bool)
    return mig.machine.kept.frames() >= st.at if st.todo is None else _mask(mig, st.todo[st.at :])


def left(mig):
    """Passed over in this round, or deferred to the last one."""
    st = mig.state
    if st.phase != LIVE or not st.rounds:
        return np.zeros(st.times.size, bool)
    passed = mig.machine.kept.frames() < st.at if st.todo is None else _mask(mig, st.todo[: st.at])
    return passed & (st.sent_in != st.rounds[-1].number) | _mask(mig, st.deferred)


def in_flight(mig):
    """What was handed to the wire last, while a round lasts."""
    st = mig.state
    if st.phase not in (LIVE, FINAL, ROLLING) or not st.rounds or not st.at or st.state_sent:
        return np.zeros(st.times.size, bool)
    step, batch = chunk(st.rounds[-1].planned), (st.at - 1) // BATCH * BATCH
    first = batch + (st.at - 1 - batch) // step * step
    frames = mig.machine.kept.frames()
    now = (frames >= first) & (frames < st.at) if st.todo is None else _mask(mig, st.todo[first : st.at])
    return now & (st.sent_in == st.rounds[-1].number)


def here(mig):
    """What the destination has, be it old."""
    st = mig.state
    gone = mig.scenario.migrate in _POSTCOPY and st.phase in (*_AWAY, DONE)  # old ones are discarded at the hand-over
    return st.arrived if gone else st.times > 0


def old(mig):
    """The destination's page is not the source's; once the guest has gone on there, not the one it was suspended with."""
    st, d = mig.state, mig.destination
    out = np.zeros(st.times.size, bool)
    if st.phase in (ROLLING, LOST):
        image = mig.image
    elif st.phase == DONE:
        image = mig.image if mig.scenario.migrate in _POSTCOPY else mig.checked
        if image is None:
            return out  # compared at the resume (State.equal); the source is no more
    else:
        try:
            image = d.image()
        except InFlux:  # a PV table in flux: it has no form on the wire now
            image = mig.machine.view("ver"), d.tables
    out[d.differs(*image)] = True
    return out & here(mig)


def tables(mig):
    """Frames that are page tables of the guest."""
    return _mask(mig, mig.machine.live_tables())


# ---- ranks: which word each frame has, and which edges are thick


def _source(mig, at):
    st = mig.state
    if st.phase == ABORTED:  # nothing of it is anywhere else
        return np.full(st.times.size, at["."]), np.zeros(st.times.size, bool)
    waits, bits = waiting(mig), dirty(mig)
    rank = np.where(waits, np.where(st.times > 0, at["d"], at["."]), np.where(tables(mig), at["T"], at["W"]))
    if st.phase in (LIVE, EPOCH):
        rank[bits & ~waits] = at["D"]
    rank[left(mig)] = at["?"]
    return rank, bits & waits & (st.phase != WAITING)


def _wire(mig, at):
    st = mig.state
    rank = np.array([at[c] for c in ".1234"])[np.minimum(st.times, 4)]
    if st.rounds and st.rounds[-1].kind in ("final", "checkpoint"):
        rank[st.sent_in == st.rounds[-1].number] = at["P"]
    rank[st.fetched] = at["F"]
    rank[left(mig)] = at["?"]
    return rank, dirty(mig) & (st.times > 0) & (st.phase in (LIVE, EPOCH))


def _destination(mig, at):
    st = mig.state
    good = np.where(st.fetched, at["F"], np.where(tables(mig), at["T"], at["W"]))
    rank = np.where(here(mig), np.where(old(mig), np.where(waiting(mig), at["d"], at["D"]), good), at["."])
    return rank, np.zeros(st.times.size, bool)


_RANKS = {"source": _source, "wire": _wire, "destination": _destination}
