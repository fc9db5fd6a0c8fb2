"""The portrait of a migration: what the page Live migration asks of portray, drawn on the boards of migrating.py."""

import numpy as np

from pagingviz.boards import migrating, words
from pagingviz.boards.migrating import BOARDS, cells, dirty, here, old, plan, waiting
from pagingviz.boards.palette import FILL_MASK, LETTER_MASK, LETTER_SHIFT, LETTERS, PINNED
from pagingviz.boards.words import more
from pagingviz.migration.state import ABORTED, DONE, EPOCH, FINAL, LIVE, LOST, ROLLING, STATE, WAITING
from pagingviz.scenario.frames import machine_frames
from pagingviz.story import migration
from pagingviz.story.migration import duration
from pagingviz.story.sentences import sentence as any_sentence

__all__ = ["BOARDS", "alt", "caption", "cells", "inspect", "more", "plan", "sentence", "status", "table"]

_HIDDEN = ("seed", "table updates", "PML")  # of the status line, which is one line here
_PHASES = {
    WAITING: "not begun",
    LIVE: "live, round {n}",
    FINAL: "guest suspended",
    STATE: "guest suspended",
    ROLLING: "guest is there, pages follow",
    EPOCH: "checkpoint {c}",
    DONE: "done",
    ABORTED: "given up",
    LOST: "lost",
}


def sentence(sim):
    """(what happens on the wire, source); where an event of the machine's own is looked into, that."""
    if sim.migration is None or sim.opened or sim.crashed:
        return any_sentence(sim)
    return migration.told(sim, sim.events()) or migration.at_work(sim)


def status(sim):
    """The status line: of every page, and where the migration stands."""
    mine = []
    if sim.migration:
        st = sim.migration.state
        n = st.rounds[-1].number if st.rounds else 0
        mine = [("migration", _PHASES[st.phase].format(n=n, c=st.checkpoints))]
        if st.downtime and st.phase == DONE:
            mine.append(("pause", duration(st.downtime)))
    return [*(row for row in words.status(sim) if row[0] not in _HIDDEN), *mine]


def caption(sim, plan):
    """One or two short lines under a board's title."""
    mig = sim.migration
    if mig is None:
        if sim.scenario.road == "bare":
            return "no hypervisor on the bare road: nobody could move it"
        return {"source": "nothing is being moved", "wire": "idle", "destination": "nobody there"}[plan.id]
    st = mig.state
    r = st.rounds[-1] if st.rounds else None
    if plan.id == "source":
        return _source_caption(mig, st)
    if plan.id == "wire":
        if r is None:
            return f"idle · {mig.link.bandwidth:,} MB/s"
        sent = f"round {r.number}, {r.kind}: {r.sent:,} of {r.planned:,} pages"
        return f"{sent} · {_size(st.bytes)} in all, {st.bytes / (mig.frames * 4096):.2f} times the guest"
    if st.phase == ABORTED:
        return "what had arrived is thrown away"
    if st.phase == WAITING:
        return "an empty domain"
    has, stale = here(mig), old(mig)
    n = int(has.sum())
    whole = f"{n - int(stale.sum()):,} of {has.size:,} pages equal"
    if st.phase == DONE and st.equal is not None:
        whole = "all pages equal the source's" if st.equal else "MEMORY DIFFERS from the source's"
        return f"the guest runs here · {whole}"
    where = "the guest runs here · " if st.phase == ROLLING else ""
    return f"{where}{whole} · {int(stale.sum()):,} old · {has.size - n:,} not here"


def _source_caption(mig, st):
    waits, bits = int(waiting(mig).sum()), int(dirty(mig).sum())
    if st.phase == WAITING:
        return f"the guest runs here · migration from tick {mig.scenario.migrate_at:,} on"
    if st.phase == LIVE:
        return f"the guest runs here · {waits:,} wait to be sent · {bits:,} dirty bits"
    if st.phase in (FINAL, STATE):
        return f"the guest is suspended · {waits:,} wait to be sent"
    if st.phase == EPOCH:
        return f"the guest runs here · {bits:,} dirty bits"
    if st.phase == ROLLING:
        return f"the guest has gone · {waits:,} of its pages are still here"
    if st.phase == LOST:
        return f"cut off with {waits:,} pages of the guest"
    if st.phase == ABORTED:
        return "the guest goes on here"
    return "the primary is gone" if mig.scenario.migrate == "remus" else "nothing is needed from here"


def _size(n):
    return f"{n / 1e6:,.2f} MB" if n >= 1e6 else f"{n / 1e3:,.0f} kB"


def alt(sim, plan):
    """Alternative text: how many cells of each kind."""
    letters = np.array(list(LETTERS))[cells(sim, plan) >> LETTER_SHIFT & LETTER_MASK]
    said = [f"{int(np.count_nonzero(letters == letter)):,} {text}" for letter, _, text in plan.legend if letter.strip()]
    return f"{plan.title} at tick {sim.tick}: {', '.join(said)}. {caption(sim, plan)}."


def table(sim, plan):
    """The board as rows: one dict a cell."""
    grid = cells(sim, plan).reshape(-1)
    texts = {letter: text for letter, _, text in plan.legend}
    out = []
    for i in np.flatnonzero(plan.key >= 0).tolist():
        letter = LETTERS[int(grid[i]) >> LETTER_SHIFT & LETTER_MASK]
        if int(grid[i]) & FILL_MASK and letter != ".":
            out.append(
                {
                    "cell": i,
                    "gfn": hex(int(plan.key[i])),
                    "letter": letter,
                    "state": texts.get(letter, ""),
                    "thick edge": bool(grid[i] & PINNED),
                }
            )
    return out


# ---- the inspector


def inspect(sim, plan, cell):
    """The card of a cell: the frame here, on the wire, there. None where there is no frame, or no migration."""
    mig = sim.migration
    if mig is None or not 0 <= cell < plan.key.size or plan.key[cell] < 0:
        return None
    gfn = int(plan.key[cell])
    place = int(mig.machine.kept.places(np.array([gfn]))[0])
    rows = []
    if plan.per_cell > 1:
        last = min(gfn + plan.per_cell, mig.frames) - 1
        rows.append(("this cell", f"gfn {gfn:#x} to {last:#x}; below: the first of them"))
    lit = {board: [cell] for board in BOARDS}
    mfn = int(machine_frames(sim.scenario, np.array([gfn], np.uint64))[0])
    chain = [f"gfn {gfn:#x}", f"source: mfn {mfn:#x}"]
    if mig.destination.pv:
        chain.append(f"destination: mfn {int(mig.destination.p2m[gfn]):#x}")
    title = f"{plan.title}: gfn {gfn:#x}"
    if place >= mig.machine.kept.count:
        rows.append(("state", "nothing is kept of it: no program can touch it"))
        return {"title": title, "chain": chain, "rows": rows, "why": "It crosses once, in round 1.", "lit": lit}
    st = mig.state
    ver, there = int(mig.machine.view("ver")[place]), int(mig.destination.versions[place])
    times, last = int(st.times[place]), int(st.sent_in[place])
    rows += [
        ("sent", f"{times} time{'s' if times != 1 else ''}" + (f", last in round {last}" if times else "")),
        ("stores to it so far", f"{ver:,}"),
        ("of them there", f"{there:,}" if here(mig)[place] else "it is not there"),
        ("dirty bit", "set" if dirty(mig)[place] else "clear"),
        ("this round's set", "waits" if waiting(mig)[place] else "does not wait"),
    ]
    if migrating.tables(mig)[place]:
        rows.append(("what it is", "a page table of the guest"))
    return {"title": title, "chain": chain, "rows": rows, "why": _why(mig, place), "lit": lit}


def _why(mig, place):
    """Why the frame is where it is."""
    st = mig.state
    if st.phase == ABORTED:
        return st.why
    if st.phase == DONE:
        return "The migration is over: the destination has it, in its last version."
    if migrating.left(mig)[place]:
        deferred = np.isin(mig.machine.kept.frames()[place], st.deferred)
        how = (
            "its table refers to a frame in flux (EAGAIN): it goes with the last round"
            if deferred
            else ("it was dirty again before its batch was sent: to send it now would be in vain")
        )
        return f"Left for later: {how}."
    if waiting(mig)[place]:
        if st.phase in (ROLLING, STATE, LOST):
            return "It has not been pushed yet: when the guest touches it over there, it must wait for it."
        again = " It has been written again already, so this sending will be in vain." if dirty(mig)[place] else ""
        return f"It is in this round's set and its turn comes, lowest frame first.{again if st.phase == LIVE else ''}"
    if dirty(mig)[place] and st.phase in (LIVE, EPOCH):
        return "The guest has written it since the last CLEAN: the next one will report it, and it goes again."
    if st.fetched[place]:
        return "The guest touched it over there before its turn: a page fault fetched it, or one just before it."
    if old(mig)[place]:
        return "The destination has an old version of it."
    return "The destination has it as it is, and nobody has written it since."
