"""When to stop copying a running guest: the policies of Xen, older Xen, Clark et al. 2005, QEMU, and with numbers of one's own.

Xen asks its policy twice an iteration, before the CLEAN with dirty_count = -1 and after it with the count (xg_sr_save.c:
send_memory_live). Each policy here is asked the same two questions. It answers CONTINUE when it does not know enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pagingviz.migration.stall import HOPELESS
from pagingviz.migration.wire import FREQUENCY, PAGE, link_of
from pagingviz.scenario.scenario import Scenario

CONTINUE, STOP, ABORT = "CONTINUE", "STOP_AND_COPY", "ABORT"
XEN_TARGET, XEN_ROUNDS = 50, 5  # SPP_TARGET_DIRTY_COUNT, SPP_MAX_ITERATIONS
LEGACY_ROUNDS, LEGACY_FACTOR = 29, 3  # DEF_MAX_ITERS, DEF_MAX_FACTOR of xc_domain_save (Xen <= 4.5)
CLARK_LEFT = 64  # pages: 256 KB (NSDI 2005, 5.2)
CLARK_LEAST, CLARK_STEP = 5, 10  # the first round has a fifth of the bandwidth, each later one a tenth more than was dirtied
PACKAGE = 50_000  # µs that QEMU sends before it looks at what is left (migration/ram.c: MAX_WAIT)
PERIOD = 1_000_000  # µs between two judgements of auto-converge, at least (migration/ram.c: migration_bitmap_sync)
RAMP_ROUNDS = 3  # readings before a downtime that grows begins to (KubeVirt VEP 291: startAfterIteration)


@dataclass(frozen=True)
class Stats:
    """What a policy is given. dirty_count: frames, -1 while unknown; sent, skipped: entries of the last round; total_written:
    frames in all sets before this one; total_sent: how many of them went over the link, the others were skipped.

    dirty_rate: MB/s that the guest dirtied during the last round; seconds: time that the frames of the next set would take at
    full bandwidth; limit: that a pause may take now; minimum: whether the migration has stalled, and this is a local minimum.
    """

    iteration: int
    total_written: int
    dirty_count: int
    p2m_size: int
    sent: int = 0
    skipped: int = 0
    dirty_rate: float = 0.0
    seconds: float = 0.0
    total_sent: int = 0
    limit: float = 0.0
    minimum: bool = False


@dataclass(frozen=True)
class Ramp:
    """A downtime that grows: s at first, s more each step, cycles between two steps at least."""

    first: float
    step: float
    wait: int


@dataclass(frozen=True)
class Policy:
    """One policy. `sends_on_stop`: when it answers STOP, the next set is still sent live (Xen's way), else with the last round.

    `skips`: frames that are dirty again when their batch begins wait for the next round.
    """

    name: str
    target: int = XEN_TARGET
    rounds: int = XEN_ROUNDS
    factor: int = 0
    sends_on_stop: bool = True
    skips: bool = False
    limit: float = 0.0  # s, of the downtime
    within_rounds: bool = False  # it may end a round before all of its set is sent
    most: int = 0  # MB/s
    ramp: Ramp | None = None
    ceiling: float = 0.0  # s, of the downtime of a migration that has stalled

    def ask(self, s: Stats) -> tuple[str, str]:
        """(CONTINUE, STOP or ABORT, the rule behind it as a clause, "" for CONTINUE)."""
        return {"legacy": self._legacy, "clark": self._clark, "qemu": self._qemu, "stall": self._stall}.get(
            self.name, self._simple
        )(s)

    def _simple(self, s: Stats) -> tuple[str, str]:
        """simple_precopy_policy; with `factor` also not more than that many times the guest's size."""
        if 0 <= s.dirty_count < self.target:
            return STOP, f"dirty_count {s.dirty_count} < {self.target}"
        if s.iteration >= self.rounds:
            return STOP, f"iteration {s.iteration} >= {self.rounds}"
        return self._enough(s)

    def _legacy(self, s: Stats) -> tuple[str, str]:
        """xc_domain_save: judged by what the round just sent and skipped, before the bitmap is read again."""
        if s.dirty_count >= 0:
            return CONTINUE, ""
        if s.sent + s.skipped < self.target:
            return STOP, f"pages in the round: {s.sent + s.skipped} < {self.target}"
        if s.iteration >= self.rounds:
            return STOP, f"iteration {s.iteration} >= {self.rounds}"
        return self._enough(s)

    def _enough(self, s: Stats) -> tuple[str, str]:
        """Not more than `factor` times the guest's size goes over the link (xc_domain_save: total_sent)."""
        if self.factor and s.total_sent > self.factor * s.p2m_size:
            return STOP, f"{s.total_sent:,} pages were sent, more than {self.factor} times the guest"
        return CONTINUE, ""

    def _clark(self, s: Stats) -> tuple[str, str]:
        """Each round is a little faster than the last one was dirtied; stop when that is more than the bandwidth."""
        if s.dirty_count < 0 or s.iteration == 0:
            return CONTINUE, ""
        if s.dirty_count < self.target:
            return STOP, f"what is left (pages: {s.dirty_count}) is less than 256 KB"
        if self.next_rate(s) > self.most:
            return STOP, f"the next round would need {self.next_rate(s):,} MB/s, and the link has {self.most:,} MB/s"
        if s.iteration >= self.rounds:
            return STOP, f"iteration {s.iteration} >= {self.rounds}"
        return CONTINUE, ""

    def next_rate(self, s: Stats) -> int:
        """MB/s of the next round under Clark's rule."""
        if s.iteration == 0:
            return max(1, self.most // CLARK_LEAST)
        return int(s.dirty_rate) + max(1, self.most // CLARK_STEP)

    def _qemu(self, s: Stats) -> tuple[str, str]:
        """Stop when what is left takes no longer than the downtime allowed (migration/migration.c: migration_iteration_run)."""
        if s.dirty_count >= 0 and s.iteration and s.seconds <= s.limit:
            return STOP, f"{_takes(s)} <= {s.limit * 1e3:g} ms"
        return CONTINUE, ""

    def _stall(self, s: Stats) -> tuple[str, str]:
        """As QEMU; once it has stalled, at a local minimum also when that takes no longer than the ceiling (stall.py)."""
        answer, why = self._qemu(s)
        if answer == STOP or not s.minimum or s.dirty_count < 0:
            return answer, why
        takes = f"it has stalled, and at this local minimum {_takes(s)}"
        if s.seconds <= self.ceiling:
            return STOP, f"{takes} <= {self.ceiling * 1e3:g} ms"
        if s.seconds > HOPELESS * self.ceiling:
            return ABORT, f"{takes} > {HOPELESS} times {self.ceiling * 1e3:g} ms"
        return CONTINUE, ""

    def limit_after(self, cycles: int) -> float:
        """Seconds that a pause may take so long after the reading with which a ramp begins; -1: before it."""
        if not self.ramp:
            return self.limit
        steps = max(0, cycles) // self.ramp.wait
        return min(self.limit, self.ramp.first + steps * self.ramp.step)


def _takes(s: Stats) -> str:
    """How long what is left would take, as the beginning of a comparison."""
    return f"what is left (pages: {s.dirty_count}) takes {s.seconds * 1e3:,.3f} ms"


def policy_of(scenario: Scenario) -> Policy:
    """The policy that a scenario asks for."""
    name = scenario.policy
    if name == "legacy":
        return Policy(name, rounds=LEGACY_ROUNDS, factor=LEGACY_FACTOR, skips=True)
    if name == "clark":
        return Policy(name, CLARK_LEFT, LEGACY_ROUNDS, sends_on_stop=False, skips=True, most=link_of(scenario).whole)
    if name in ("qemu", "stall"):
        s, ramp = scenario, None
        if s.downtime_from:
            ramp = Ramp(s.downtime_from / 1e6, s.downtime_step / 1e6, s.downtime_wait * FREQUENCY)
        return Policy(
            name, sends_on_stop=False, limit=s.downtime / 1e6, within_rounds=True, ramp=ramp, ceiling=s.stall_downtime / 1e6
        )
    if name == "numbers":
        return Policy(name, scenario.target, scenario.rounds, scenario.factor, skips=bool(scenario.skip))
    return Policy(name)


@dataclass(frozen=True)
class Throttle:
    """Numbers of auto-converge, in percent: what it takes from the guest first, what it adds, and what it takes at most (QEMU:
    cpu-throttle-initial, cpu-throttle-increment, max-cpu-throttle); trigger: how much of what was sent may become dirty again
    (throttle-trigger-threshold)."""

    initial: int = 20
    increment: int = 10
    most: int = 99
    trigger: int = 50


@dataclass(frozen=True)
class Period:
    """What auto-converge knows. began: time of its last judgement; bytes: what had been sent by then; pages: how many have
    become dirty since; high: periods that were too dirty since it last throttled; percent: taken from the guest."""

    began: int = 0
    bytes: int = 0
    pages: int = 0
    high: int = 0
    percent: int = 0


def throttle_of(scenario: Scenario) -> Throttle:
    """The numbers of auto-converge that a scenario asks for."""
    s = scenario
    return Throttle(s.throttle_initial, s.throttle_increment, s.throttle_max, s.throttle_trigger)


def throttled(p: Period, fresh: int, now: int, sent: int, numbers: Throttle) -> Period:
    """Auto-converge after one more reading of the bitmap, at the time `now`, when `sent` bytes have crossed in all.

    `fresh`: pages that the reading found dirty and that did not wait to be sent anyhow. They are judged at most once a second.
    When too much became dirty in two such periods the throttle goes up; a good period between the two changes nothing. Source:
    QEMU migration/ram.c (migration_bitmap_sync, migration_trigger_throttle, mig_throttle_guest_down).
    """
    pages = p.pages + fresh
    if now <= p.began + PERIOD * FREQUENCY:
        return replace(p, pages=pages)
    high, percent = p.high, p.percent
    if pages * PAGE > (sent - p.bytes) * numbers.trigger // 100:
        high += 1
        if high >= 2:
            high, percent = 0, min(percent + numbers.increment, numbers.most) if percent else numbers.initial
    return Period(now, sent, 0, high, percent)
