"""Pre-copy in Xen's order (tools/libs/guest/xg_sr_save.c: send_memory_live, suspend_and_send_dirty): rounds, then a pause.

The policy is asked before and after each reading of the bitmap. Stop-and-copy has the pause only; what post-copy and Remus do
in it stands in postcopy.py and remus.py.
"""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.migration import wire
from pagingviz.migration.effects import (
    Asked,
    Begin,
    Busy,
    Command,
    Defer,
    EndRound,
    Event,
    NextIteration,
    NextSet,
    Overdue,
    ProgressJudged,
    ReadBitmap,
    SendState,
    Step,
    Suspend,
)
from pagingviz.migration.ending import give_up, resume
from pagingviz.migration.policy import ABORT, CONTINUE, STOP, Stats
from pagingviz.migration.postcopy import hand_over
from pagingviz.migration.remus import checkpoint, seal
from pagingviz.migration.rounds import begin_round, entries, judged, package_over
from pagingviz.migration.situation import Situation
from pagingviz.migration.stall import after_reading, margins_of
from pagingviz.migration.state import LIVE, Round


def begin(now: Situation) -> Step:
    """Log-dirty on; if it was on already, off first (xg_sr_save.c: enable_logdirty)."""
    yield Begin()
    if now.scenario.road == "bare":
        yield from give_up(now, "No hypervisor, no migration: nobody is there to track what the guest writes.")
    elif now.scenario.migrate in ("stop", "postcopy"):
        yield from suspend(now)
    else:
        if now.machine.sys[0].log_dirty:
            yield Command("off")
        yield Command("enable")
        yield from decide(now)


def ask(now: Situation) -> Asked:
    """The policy's answer to what is known now."""
    st, policy = now.state, now.policy
    last = st.rounds[-1] if st.rounds else Round(0, "live", 0, 0, 0)
    dirty, spent = max(st.dirty_count, 0), max(1, last.ended - last.began)
    stats = Stats(
        iteration=st.iteration,
        total_written=st.total_written,
        dirty_count=st.dirty_count,
        p2m_size=now.p2m_size,
        sent=last.sent,
        skipped=last.skipped,
        dirty_rate=dirty * (wire.PAGE + wire.ENTRY) * wire.FREQUENCY / spent if st.rounds else 0.0,
        seconds=wire.seconds(dirty * now.link.page),
        total_sent=st.total_sent,
        limit=now.allowed,
        minimum=st.minimum,
    )
    answer, reason = policy.ask(stats)
    chooses = policy.name == "clark" and answer != STOP and st.dirty_count >= 0
    return Asked(answer, reason, min(policy.next_rate(stats), now.link.whole) if chooses else 0)


def decide(now: Situation) -> Step:
    """The top of Xen's loop: ask, and send the set in hand, with most policies even when the answer is STOP."""
    st = now.state
    asked = ask(now)
    yield asked
    if st.answer == ABORT:
        yield from overdue(now, f"It will not converge because {asked.reason}")
        return
    if st.answer == CONTINUE or st.dirty_count > 0 and now.policy.sends_on_stop:
        yield from begin_round(now, "live")
        return
    if st.todo is not None:
        yield Defer(st.todo)
    yield from suspend(now, judge=False)


def after_set(now: Situation) -> Step:
    """The set is sent: stop, or ask once more with dirty_count unknown, read the bitmap, and begin again."""
    st = now.state
    if st.answer == CONTINUE:
        yield NextIteration()
        yield ask(now)
    if st.answer != CONTINUE or now.scenario.migrate == "hybrid":
        yield from suspend(now)
        return
    if now.fail[0] == "p2m" and st.total_sent >= int(now.fail[1]) and now.scenario.road == "pv":
        yield from give_up(now, "The guest changed its list of frames (p2m_generation) while it was being moved.")
        return
    dirty = yield ReadBitmap()
    if dirty is None:
        yield from give_up(now, "CLEAN failed with ENOMEM: the pool had no page for the bitmap's tree, and bits may be lost.")
        return
    left = entries(now, st.at, st.rounds[-1].planned)
    yield judged(now, dirty, left)
    if left.size:
        dirty = np.union1d(dirty, left)
    yield NextSet(_onwards(now, dirty), count=dirty.size if left.size else None)
    if now.policy.name == "stall":
        yield ProgressJudged(*after_reading(st.progress, now.time, int(dirty.size), margins_of(now.scenario)))
    late = _too_late(now)
    yield from overdue(now, late) if late else decide(now)


def _too_late(now: Situation) -> str:
    """Why it may not go on: a sentence, without the full stop at its end; "" while it may."""
    sc, st = now.scenario, now.state
    if st.iteration >= sc.limit_rounds:
        return f"It did not converge in {sc.limit_rounds} rounds"
    if sc.limit_time and now.time - st.began >= sc.limit_time * wire.FREQUENCY:
        return f"It did not converge in {sc.limit_time / 1e6:g} s"
    return ""


def overdue(now: Situation, why: str) -> Step:
    """It takes too long, or will never end: cancelled, or stopped whatever is left, or finished as post-copy.

    why: a sentence, without the full stop at its end.
    """
    what = now.scenario.at_limit
    if what == "cancel" or now.scenario.migrate == "remus":
        yield from give_up(now, f"{why}. It was cancelled.")
        return
    yield Overdue(why, what == "postcopy")
    assert now.state.todo is not None
    yield Defer(now.state.todo)
    yield from suspend(now, judge=False)


def switch_due(now: Situation) -> bool:
    """Whether the round ends here, though pages of it are unsent: a package is sent, and what is left would be allowed.

    Then the bitmap is read, and with what it says the policy decides (QEMU migration/migration.c: migration_iteration_run; what
    is left by then is an estimate, ram.c: ram_state_pending_estimate).
    """
    st = now.state
    if not now.policy.within_rounds or st.phase != LIVE or now.scenario.migrate == "hybrid" or not package_over(now):
        return False
    return wire.seconds((st.rounds[-1].planned - st.at) * now.link.page) <= now.allowed


def _onwards(now: Situation, frames: np.ndarray) -> np.ndarray:
    """The next set, int64[n], in the order in which it goes: QEMU's search goes on where it was and comes round (ram.c:
    find_dirty_block), any other begins at frame 0."""
    st = now.state
    if not now.policy.within_rounds or not st.at:
        return frames
    following = int(entries(now, st.at - 1, st.at)[0]) + 1
    return np.concatenate([frames[frames >= following], frames[frames < following]])


def round_over(now: Situation) -> Step:
    """The link has carried all of a round; after the last one the state follows, and then the guest goes on somewhere."""
    st, remus = now.state, now.scenario.migrate == "remus"
    if not st.rounds[-1].ended:
        yield EndRound()
    if st.phase == LIVE:
        yield from after_set(now)
    elif not st.state_sent:
        yield SendState(now.state_size + (wire.CHECKPOINT if remus else 0))
        if not remus:  # a primary waits for nobody
            yield Busy(now.link.latency, "latency")
        yield Busy(now.table["resume"], "resume")
    else:
        yield from checkpoint(now) if remus else resume(now)


def suspend(now: Situation, judge: bool = True) -> Step:
    """The guest stops; what is dirty, what was deferred, and what others may still write goes with the last round.

    judge: whether this reading is the first one after the last live round.
    """
    st, m = now.state, now.machine
    yield Suspend()
    yield Event(ev.SUSPEND)
    yield Busy(now.table["suspend"], "suspend")
    left = None
    if st.rounds:
        dirty = yield ReadBitmap()
        if dirty is None:
            yield from give_up(now, "The last CLEAN failed with ENOMEM: bits may be lost, so nothing is handed over.")
            return
        left = np.union1d(dirty, st.deferred)
        if judge:
            yield judged(now, left, st.deferred)
        granted = m.modelled.frames()[np.flatnonzero(m.view("info") & xen.GRANTED)]
        left = np.union1d(left, granted).astype(np.int64)
    yield NextSet(left, with_deferred=True)
    yield from last_part(now)


def last_part(now: Situation) -> Step:
    """The guest stands still and the set is known: send it now, or let the guest go on over there and send it then."""
    if now.postcopy:
        yield from hand_over(now)
        return
    if now.scenario.migrate == "remus":
        yield seal(now)
    yield from begin_round(now, "checkpoint" if now.state.checkpoints else "final")
