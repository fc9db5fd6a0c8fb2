"""The rounds of a migration in words and rows: its table, and what the rounds say about when to stop."""

from pagingviz.migration import wire
from pagingviz.migration.policy import STOP
from pagingviz.migration.run import Migration
from pagingviz.migration.state import LIVE
from pagingviz.reading.rounds import exits, fixed, paces, parts, working_set
from pagingviz.story.counting import counted
from pagingviz.story.migration import counted_before


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
        }
        if mig.scenario.throttle:
            row["throttled, %"] = r.throttle
        if r.kind == "pushed":
            row |= {"fetched": r.faults, "waited, µs": round(r.stall / wire.FREQUENCY, 1)}
        out.append(row | exits(mig, r))
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
    writable = working_set(mig)
    if found:
        last = found[-1]
        rate = f"During round {last.number} the guest dirtied {counted(last.written, 'page')}, {last.dirtied:,.0f} MB/s"
        if last.dirtied >= mig.link.whole:
            out.append(f"{rate}: more than the link carries, {mig.link.whole:,} MB/s; no number of rounds can empty the set.")
        elif writable:
            out.append(
                f"{rate}: less than the link carries, {mig.link.whole:,} MB/s, but hardly fewer pages than in the round before."
            )
        else:
            out.append(f"{rate}: less than the link carries, {mig.link.whole:,} MB/s, so a next round would be shorter.")
        pause = last.downtime / wire.FREQUENCY
        out.append(
            f"A pause after round {last.number} would take {pause:,.0f} µs, {fixed(mig) / wire.FREQUENCY:,.0f} of them "
            f"whatever is dirty."
        )
    if writable:
        pages = counted(writable, "page is", "pages are")
        out.append(f"About {pages} written all the time, the **writable working set**: further rounds would send that in vain.")
    if st.stop and st.answer == STOP:
        out.append(f"The policy ({mig.policy.name}) said STOP: {st.stop}.{counted_before(mig)}")
    elif st.stop:
        out.append(f"The guest was suspended without a STOP of the policy ({mig.policy.name}): {st.stop}.")
    elif st.phase == LIVE:
        out.append(
            f"The policy ({mig.policy.name}) has been asked {counted(len(st.calls), 'time')}; its last answer: {st.answer}."
        )
    return out
