"""A migration in numbers: rows for its tables and charts, what the rounds say about convergence. Pure: no figure, no screen.

Times are given as they are kept, in cycles (migration/wire.py: FREQUENCY in a microsecond); MB/s are bytes a microsecond.
"""

from dataclasses import dataclass

from pagingviz.migration import wire
from pagingviz.migration.state import DONE, LIVE, LOST, ROLLING, WAITING

AFTER = 5  # of the whole, that a time line shows of what came after it
PLATEAU = 0.7  # of the pages of the round before: with so many again, a further round gains little


@dataclass(frozen=True)
class Pace:
    """A live round: how fast it was sent and dirtied (MB/s), pages that are left, the pause that would follow (cycles)."""

    number: int
    sent: float
    dirtied: float
    pages: int
    downtime: int


def ended(mig):
    """The rounds that are over."""
    return [r for r in mig.state.rounds if r.ended]


def fixed(mig):
    """Cycles of a pause in which no page is sent: suspend, state, the way there, resume."""
    size = wire.STATE[mig.scenario.road]
    return mig.table["suspend"] + mig.table["resume"] + mig.link.latency + mig.link.cycles(size)


def paces(mig):
    """A Pace of each live round whose dirty frames were read: list."""
    read = [r for r in ended(mig) if r.kind == "live"]
    if mig.state.phase == LIVE and read and read[-1] is mig.state.rounds[-1]:
        read = read[:-1]  # its bitmap is not read yet
    out = []
    for r in read:
        spent = max(1, r.ended - r.began) / wire.FREQUENCY
        dirtied = r.dirtied * (wire.PAGE + wire.ENTRY) / spent
        out.append(Pace(r.number, r.bytes / spent, dirtied, r.dirtied, fixed(mig) + r.dirtied * mig.link.page))
    return out


def working_set(mig):
    """Pages that are dirty again after each round however short it was: their number, 0 while it still falls."""
    found = paces(mig)
    if len(found) < 2 or not found[-1].pages or found[-1].pages < PLATEAU * found[-2].pages:
        return 0
    return min(found[-1].pages, found[-2].pages)


def now(sim):
    """The present moment, in cycles: what the guest has done since the migration last looked counts at its pace."""
    mig, st = sim.migration, sim.migration.state
    if st.phase == WAITING:
        return sim.tick * mig.op
    return st.guest + (sim.tick - st.settled) * (mig.op if mig.paused else max(mig.op, st.pace))


def stretches(sim):
    """What followed what: [(lane, text, from, to)] in cycles since the start. Lanes: rounds, and the guest itself."""
    mig, st = sim.migration, sim.migration.state
    if st.phase == WAITING:
        return []
    end = st.ended or max(now(sim), st.link)
    out = []
    for r in st.rounds:
        name = f"round {r.number}" if r.kind == "live" else f"round {r.number}, {r.kind}"
        out.append(("wire", name, r.began, r.ended or end))
    on = st.began
    for began, until in pauses(mig):
        out += [("source", "runs", on, began), ("nowhere", "suspended", began, until or end)]
        on = until or end
    lane, text = ("destination", "runs") if moved(mig) else ("source", "runs")
    if st.phase == LOST:
        out.append(("destination", "runs", on, end))
        lane, text, on = "nowhere", "lost", end
    out.append((lane, text, on, max(end, min(now(sim), end + (end - st.began) // AFTER))))
    return [(lane, text, a - st.began, b - st.began) for lane, text, a, b in out if b > a]


def moved(mig):
    """Whether the guest is on the destination now. After a failover of Remus a copy of an earlier one is."""
    st = mig.state
    return st.phase == ROLLING or (st.phase == DONE and mig.scenario.migrate != "remus")


def pauses(mig):
    """Times at which the guest stood still: [(from, to or 0 while it does)]. Of Remus' many checkpoints each."""
    st = mig.state
    if mig.scenario.migrate != "remus":
        return [(st.suspended, st.resumed)] if st.suspended else []
    out = []
    for r in st.rounds:
        if r.kind in ("final", "checkpoint"):
            out.append((r.began - mig.table["suspend"], r.began - mig.table["suspend"] + r.stall if r.stall else 0))
    return out


def exits(mig, r):
    """Exits while a round is sent, by cause; of the one under way those so far."""
    return r.exits if r.ended else mig.clock.exits(mig.state.since)


def causes(found):
    """Exits by cause, in words."""
    return ", ".join(f"{name} {n:,}" for name, n in found.items())


def marks(mig):
    """[(tick, word)] for a history: where each round began."""
    return [(r.tick, f"{r.number}" if r.kind == "live" else r.kind) for r in mig.state.rounds]


def rows(mig):
    """The table of rounds: one dict a round."""
    out = []
    for r in mig.state.rounds:
        spent = max(1, (r.ended or mig.now) - r.began) / wire.FREQUENCY
        kind = r.kind if r.ended else f"{r.kind}, under way"
        row = {
            "round": r.number,
            "kind": kind,
            "from tick": r.tick,
            "planned": r.planned,
            "sent": r.sent,
            "with a page": r.data,
            "left for later": r.skipped,
            "bytes": r.bytes,
            "µs": round(spent, 1),
            "MB/s": round(r.bytes / spent, 1),
            "guest's ticks": r.ticks,
            "dirtied": r.dirtied,
            "before sent": r.needless,
            "exits": sum(exits(mig, r).values()),
            "by cause": causes(exits(mig, r)),
        }
        if mig.scenario.throttle:
            row["throttled, %"] = r.throttle
        if r.kind == "pushed":
            row |= {"fetched": r.faults, "waited, µs": round(r.stall / wire.FREQUENCY, 1)}
        out.append(row)
    return out


def convergence(mig):
    """What the rounds say about when to stop: sentences."""
    st, found = mig.state, paces(mig)
    out = []
    if found:
        last = found[-1]
        fits = (
            "less than the link carries: each round is shorter than the last"
            if last.dirtied < mig.link.bandwidth
            else ("more than the link carries: no number of rounds can empty the set")
        )
        out.append(f"During round {last.number} the guest dirtied {last.pages:,} pages, {last.dirtied:,.0f} MB/s: {fits}.")
        pause = last.downtime / wire.FREQUENCY
        out.append(
            f"A pause after round {last.number} would take {pause:,.0f} µs, {fixed(mig) / wire.FREQUENCY:,.0f} of them "
            f"whatever is dirty."
        )
    writable = working_set(mig)
    if writable:
        out.append(
            f"The set hardly shrinks any more: about {writable:,} pages are written all the time, the **writable "
            f"working set**. Further rounds would send them in vain."
        )
    if st.stop:
        out.append(f"The policy ({mig.policy.name}) said STOP: {st.stop}.")
    elif st.phase == LIVE:
        out.append(f"The policy ({mig.policy.name}) has been asked {len(st.calls)} times; its last answer: {st.answer}.")
    return out
