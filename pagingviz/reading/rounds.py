"""The rounds of a migration in numbers: how fast they were sent and dirtied, the pauses, and the order of it all in time.

Times are in cycles (migration/wire.py: FREQUENCY in a microsecond); MB/s are bytes a microsecond.
"""

from dataclasses import dataclass

from pagingviz.arch import costs
from pagingviz.migration import wire
from pagingviz.migration.run import Migration
from pagingviz.migration.state import DONE, LOST, PARTS, ROLLING, WAITING, Round
from pagingviz.timeline.simulation import Simulation

AFTER = 5  # a time line shows what came after the migration for a fifth of its length
PLATEAU = 0.7  # share of the round before: when so many pages are dirty again, a further round gains little


@dataclass(frozen=True)
class Pace:
    """A live round: how fast it was sent and dirtied (MB/s); pages written meanwhile; pages that are left, the unsent ones with
    them, and the pause that would follow (cycles)."""

    number: int
    sent: float
    dirtied: float
    written: int
    pages: int
    downtime: int


def fixed(mig: Migration) -> int:
    """Cycles of a pause in which no page is sent: suspend, bitmap read and tested, state, latency of the link, resume."""
    latency = 0 if mig.scenario.migrate == "remus" else mig.link.latency
    bitmap = mig.clock.price(costs.bitmap_read(mig.p2m_size)) + mig.clock.price(costs.bitmap_tested(mig.p2m_size))
    return mig.table["suspend"] + mig.table["resume"] + bitmap + latency + mig.link.main.cycles(mig.state_size)


def parts(mig: Migration) -> dict[str, int]:
    """What the downtime so far is made of: cycles by state.PARTS, in their order; those that were 0 are left out."""
    return {part: mig.state.pause[part] for part in PARTS if mig.state.pause.get(part)}


def paces(mig: Migration) -> list[Pace]:
    """A Pace of each live round whose dirty frames were read."""
    out = []
    for r in mig.state.rounds:
        if r.kind != "live" or r.left < 0:
            continue
        spent = max(1, r.ended - r.began) / wire.FREQUENCY
        dirtied = r.dirtied * (wire.PAGE + wire.ENTRY) / spent
        out.append(Pace(r.number, r.bytes / spent, dirtied, r.dirtied, r.left, fixed(mig) + r.left * mig.link.page))
    return out


def working_set(mig: Migration) -> int:
    """Number of pages that are written again in each round, however short it was; 0 while that number still falls.

    Pages that were not sent yet when the bitmap was read do not count: nobody may ever have written them.
    """
    written = [pace.written for pace in paces(mig)[-2:]]
    if len(written) < 2 or not written[1] or written[1] < PLATEAU * written[0]:
        return 0
    return min(written)


def now(sim: Simulation) -> int:
    """The present moment, in cycles: what the guest has done since `State.settled` counts at the pace that it had before."""
    mig = sim.migration
    assert mig
    st = mig.state
    if st.phase == WAITING:
        return sim.tick * mig.op
    return st.guest + (sim.tick - st.settled) * (mig.op if mig.paused else max(mig.op, st.pace))


def stretches(sim: Simulation) -> list[tuple[str, str, int, int]]:
    """The course of the migration: [(lane, text, from, to)] in cycles since its start.

    Lanes: "wire" with the rounds; "source", "destination" and "nowhere" with the guest itself.
    """
    mig = sim.migration
    assert mig
    st = mig.state
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
    lane, text = ("destination", "runs") if guest_gone_over(mig) else ("source", "runs")
    if st.phase == LOST:
        out.append(("destination", "runs", on, end))
        lane, text, on = "nowhere", "lost", end
    out.append((lane, text, on, max(end, min(now(sim), end + (end - st.began) // AFTER))))
    return [(lane, text, a - st.began, b - st.began) for lane, text, a, b in out if b > a]


def guest_gone_over(mig: Migration) -> bool:
    """Whether the guest is on the destination now. After a failover of Remus that is only an earlier copy of it: False."""
    st = mig.state
    return st.phase == ROLLING or (st.phase == DONE and mig.scenario.migrate != "remus")


def pauses(mig: Migration) -> list[tuple[int, int]]:
    """Times at which the guest was suspended: [(from, to; 0 while it is)]. Remus has one for each checkpoint."""
    st = mig.state
    if mig.scenario.migrate != "remus":
        return [(st.suspended, st.resumed)] if st.suspended else []
    out = []
    for r in st.rounds:
        if r.kind in ("final", "checkpoint"):
            out.append((r.suspended, r.suspended + r.stall if r.stall else 0))
    return out


def exits(mig: Migration, r: Round) -> dict[str, int]:
    """Exits while a round is sent, by cause; of the round under way the exits up to now."""
    return r.exits if r.ended else mig.clock.exits(mig.state.since)


def starts(mig: Migration) -> list[tuple[int, str]]:
    """[(tick at which each round began, its number, or its kind where it is not a live one)]."""
    return [(r.tick, f"{r.number}" if r.kind == "live" else r.kind) for r in mig.state.rounds]
