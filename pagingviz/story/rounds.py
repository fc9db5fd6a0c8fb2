"""The rounds of a migration in words and rows: its table, and what the rounds say about when to stop."""

from pagingviz.migration import wire
from pagingviz.migration.policy import STOP
from pagingviz.migration.run import Migration
from pagingviz.migration.state import LIVE
from pagingviz.reading.rounds import exits, fixed, paces, parts, working_set


def causes(found: dict[str, int]) -> str:
    """Exits by cause, in words."""
    return ", ".join(f"{name} {n:,}" for name, n in found.items())


def rows(mig: Migration) -> list[dict[str, object]]:
    """The table of rounds: one dict a round."""
    out = []
    for r in mig.state.rounds:
        spent = max(1, (r.ended or mig.time) - r.began) / wire.FREQUENCY
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


PARTS = {
    "suspend": "the guest suspends itself",
    "bitmap": "CLEAN copies the whole bitmap to the toolstack: one bit for each frame, set or not",
    "shadows": "CLEAN throws all shadows away",
    "scan": "the sender tests every bit",
    "pages": "what is still dirty crosses the link",
    "state": "the vCPUs' and the platform's state crosses",
    "latency": "the last byte is on its way",
    "resume": "the guest goes on",
}  # what happens in each part of a pause (state.PARTS)


def pause(mig: Migration) -> list[dict[str, object]]:
    """What the downtime is made of: one dict a part."""
    found, whole = parts(mig), max(1, sum(parts(mig).values()))
    return [
        {
            "part": part,
            "µs": round(cycles / wire.FREQUENCY, 1),
            "%": round(100 * cycles / whole, 1),
            "what happens": PARTS[part],
        }
        for part, cycles in found.items()
    ]


def convergence(mig: Migration) -> list[str]:
    """What the rounds say about when to stop: sentences."""
    st, found = mig.state, paces(mig)
    out = []
    if found:
        last = found[-1]
        fits = (
            "less than the link carries: each round is shorter than the last"
            if last.dirtied < mig.link.whole
            else ("more than the link carries: no number of rounds can empty the set")
        )
        out.append(f"During round {last.number} the guest dirtied {last.written:,} pages, {last.dirtied:,.0f} MB/s: {fits}.")
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
    if st.stop and st.answer == STOP:
        out.append(f"The policy ({mig.policy.name}) said STOP: {st.stop}.")
    elif st.stop:
        out.append(f"The guest was suspended without a STOP of the policy ({mig.policy.name}): {st.stop}.")
    elif st.phase == LIVE:
        out.append(f"The policy ({mig.policy.name}) has been asked {len(st.calls)} times; its last answer: {st.answer}.")
    return out
