"""A migration in words: what happens on the link and to the guest at the present tick, and why."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.migration import Migration, wire
from pagingviz.migration.policy import STOP
from pagingviz.migration.state import ABORTED, BROKEN, DONE, EPOCH, FINAL, LIVE, LOST, ROLLING, STATE, WAITING, State
from pagingviz.scenario.roads import ROADS, road_of
from pagingviz.story.counting import counted, form
from pagingviz.timeline.simulation import Simulation

LOOP, LAST = "xg_sr_save.c: send_memory_live", "xg_sr_save.c: suspend_and_send_dirty"
REMUS = "xg_sr_save.c: save, Remus' loop; libxl_remus.c"
_POSTCOPY = "QEMU, docs/devel/migration/postcopy.rst"


def duration(cycles: float) -> str:
    """Cycles as a time for a reader: 305 µs, 1.46 ms, 2.4 s."""
    us = cycles / wire.FREQUENCY
    return f"{us:,.0f} µs" if us < 1000 else f"{us / 1e3:,.2f} ms" if us < 1e6 else f"{us / 1e6:,.1f} s"


def bytes_text(n: int) -> str:
    """A number of bytes on the link, in units of 1000: 512 kB, 3.14 MB."""
    return f"{n / 1e6:,.2f} MB" if n >= 1e6 else f"{n / 1e3:,.0f} kB"


def _pages(n: int, verb: str = "", many: str = "") -> str:
    """ "1 page", "2,000 pages"; with a verb "1 page is", "2,000 pages are"."""
    return f"{counted(n, 'page')} {form(n, verb, many)}" if verb else counted(n, "page")


def turn(sim: Simulation, events: np.ndarray) -> tuple[str, str] | None:
    """(sentence, source) when a round, a pause or the end of the migration begins in this tick, or the guest is suspended.

    events: of the tick, EVENT_DTYPE[n].
    """
    mig, kinds = sim.migration, set(events["kind"].tolist())
    if mig is None:
        return None
    st = mig.state
    if int(ev.RESUME) in kinds:
        return _ended(sim, st)
    if st.phase in (LOST, BROKEN):
        return st.why, _POSTCOPY
    if int(ev.SUSPEND) in kinds:
        return _suspended(sim, st)
    if int(ev.ROUND) in kinds:
        return _round_begins(sim, st, int(ev.ENABLE) in kinds)
    return at_work(sim) if mig.paused else None


def given_up(sim: Simulation) -> str:
    """What was left when a migration was given up, against what would have been allowed: one sentence."""
    mig = sim.migration
    assert mig
    st, policy = mig.state, mig.policy
    if not st.rounds:
        return "Nothing had been sent."
    left = f"{_pages(st.left, 'was', 'were')} still to be sent, {duration(st.left * mig.link.page)} on this link"
    if st.progress.stalled:
        return f"{left}; at a local minimum a pause of {duration(policy.ceiling * 1e6 * wire.FREQUENCY)} was allowed."
    if policy.within_rounds:
        return f"{left}; a pause of {duration(mig.allowed * 1e6 * wire.FREQUENCY)} was allowed."
    return f"{left}; the policy stops at fewer than {policy.target:,}."


def _ended(sim: Simulation, st: State) -> tuple[str, str]:
    road = sim.scenario.road
    if st.phase == ABORTED:
        return st.why, LOOP
    if st.phase in (LOST, BROKEN):
        return st.why, _POSTCOPY
    if st.phase == ROLLING and st.repaired:
        stood = duration(sim.scenario.recover * wire.FREQUENCY)
        text = (
            f"The link is back after {stood}: both sides agree on what has arrived, and the guest goes on on the destination."
        )
        return text, _POSTCOPY
    if st.phase == ROLLING:
        r = st.rounds[-1]
        rest = _pages(r.planned, "is", "are")
        text = f"The guest goes on on the destination after {duration(st.downtime)}; {rest} not there yet"
        return f"{text}: what it touches is fetched, the rest is pushed.", _POSTCOPY
    if st.phase == EPOCH:
        stood = duration(st.rounds[-1].stall)
        text = f"Checkpoint {st.checkpoints} is written to the link, and the primary goes on after {stood} without an answer"
        return f"{text}: what it sends out is held back until the backup has confirmed.", REMUS
    if st.why:
        return st.why, "xg_sr_restore.c: a broken stream means failover"
    same = "its memory equals the source's, page by page" if st.equal else "ITS MEMORY DIFFERS FROM THE SOURCE'S"
    assert sim.migration
    if sim.migration.postcopy:
        return f"The last page has arrived: {same}, as it was at the suspend. The source has nothing left to give.", _POSTCOPY
    pv = " Shadow paging ends with log-dirty: PV has its own tables back." if ROADS[road].paravirtual else ""
    return f"The destination resumes: {same}. The guest stood still for {duration(st.downtime)}.{pv}", LAST


def _suspended(sim: Simulation, st: State) -> tuple[str, str]:
    if st.checkpoints:
        text = f"The epoch is over: the primary is suspended for checkpoint {st.checkpoints + 1}"
        planned = _pages(st.rounds[-1].planned, "has", "have")
        return f"{text}, for which {planned} become dirty.", REMUS
    if sim.scenario.migrate == "stop":
        return "The guest is suspended: all of its memory is copied while it stands still.", LAST
    if st.phase == STATE:
        return "The guest is suspended: only its vCPUs' state crosses now, its pages come later.", _POSTCOPY
    assert sim.migration
    for_what = "first checkpoint" if sim.scenario.migrate == "remus" else "last round"
    left = f" {_pages(st.rounds[-1].planned, 'is', 'are')} left for the {for_what}." if st.rounds else ""
    why = f"The policy says STOP because {st.stop}" if st.answer == STOP else st.stop
    before = counted_before(sim.migration)
    return f"{why}: the guest is suspended, and the bitmap is read while nothing can change it.{before}{left}", LAST


def counted_before(mig: Migration) -> str:
    """Which pages the policy had counted when it said STOP, where these were sent before the pause: one sentence, else "".

    Xen's loop sends them while the guest runs, so those of the pause are others.
    """
    st = mig.state
    live = [r for r in st.rounds if r.kind == "live"]
    after = st.rounds[len(live) :]
    if st.answer != STOP or not mig.policy.sends_on_stop or len(live) < 2 or not after or live[-1].planned != st.calls[-1][2]:
        return ""
    sent = _pages(live[-1].planned, "that the policy counted was sent", "that the policy counted were sent")
    return (
        f" The {sent} in round {live[-1].number}, while the guest still ran; round {after[0].number} has what it wrote "
        "meanwhile."
    )


def _round_begins(sim: Simulation, st: State, first: bool) -> tuple[str, str]:
    r, road = st.rounds[-1], road_of(sim.scenario)
    if st.phase == ROLLING:
        return f"{_pages(r.planned, 'is', 'are')} pushed in the background.", _POSTCOPY
    if first:
        how = "shadow paging begins" if road.paravirtual else "all shadows are thrown away"
        how = "one root entry is poisoned for each 512 GiB" if road.nested else how
        return f"The migration begins: log-dirty on ({how}), and round 1 sends all {_pages(r.planned)}.", LOOP
    before = st.rounds[-2]
    wasted = f", {before.needless} of them before they were sent" if before.needless else ""
    rest = before.planned - before.sent - before.skipped
    wasted += f", and {_pages(rest)} had not been sent yet" if rest > 0 else ""
    how = "the nested root is poisoned again" if road.nested else "all shadows are gone with it"
    return (
        f"CLEAN: {_pages(before.dirtied)} became dirty during round {before.number}{wasted}; {how}. Round {r.number} "
        f"sends them{'' if rest > 0 else ' again'}.",
        LOOP,
    )


def at_work(sim: Simulation) -> tuple[str, str]:
    """(sentence, source) of any moment of the migration: what is sent, and what has become of the guest."""
    assert sim.migration
    st = sim.migration.state
    if st.phase == WAITING:
        return f"The migration begins at tick {sim.scenario.migrate_at:,}; until then the guest just runs.", LOOP
    if st.phase == DONE and not st.why:
        same = "found equal to the source's" if st.equal else "UNEQUAL to the source's"
        text = f"The guest runs on the destination, its pages {same}. It stood still for {duration(st.downtime)}."
        return text, _POSTCOPY if sim.migration.postcopy else LAST
    if st.phase in (DONE, ABORTED, LOST, BROKEN):
        return _ended(sim, st)
    if st.phase == STATE or (st.phase == FINAL and st.state_sent):
        return "The guest is suspended: vCPU and platform state are on their way.", LAST
    if st.phase == EPOCH:
        return f"The primary runs; {duration(max(0, st.link - st.guest))} to the next checkpoint.", "xl remus -i"
    r = st.rounds[-1]
    done = f"{_pages(r.sent)} of {r.planned:,} sent"
    if st.phase == FINAL:
        stood = duration(max(st.guest, st.suspended) - st.suspended)
        return f"The guest is suspended, {stood} so far: {done} of the last round.", LAST
    if st.phase == ROLLING:
        return (
            f"The guest runs on the destination: {done}, {r.faults} fetched on demand, {duration(r.stall)} waited for them.",
            _POSTCOPY,
        )
    assert st.phase == LIVE
    return f"Round {r.number}: {done}, while the guest runs on and dirties what it has already given away.", LOOP
