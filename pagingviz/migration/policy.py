"""When to stop copying a running guest: the policies of Xen, older Xen, Clark et al. 2005, QEMU, and with numbers of one's own.

Xen asks its policy twice an iteration, before the CLEAN with dirty_count = -1 and after it with the count (xg_sr_save.c:
send_memory_live). Each policy here is asked the same two questions. It answers CONTINUE when it does not know enough.
"""

from __future__ import annotations

from dataclasses import dataclass

from pagingviz.scenario.scenario import Scenario

CONTINUE, STOP = "CONTINUE", "STOP_AND_COPY"
XEN_TARGET, XEN_ROUNDS = 50, 5  # SPP_TARGET_DIRTY_COUNT, SPP_MAX_ITERATIONS
LEGACY_ROUNDS, LEGACY_FACTOR = 29, 3  # DEF_MAX_ITERS, DEF_MAX_FACTOR of xc_domain_save (Xen <= 4.5)
CLARK_LEFT = 64  # pages: 256 KB (NSDI 2005, 5.2)
CLARK_LEAST, CLARK_STEP = 5, 10  # the first round has a fifth of the bandwidth, each later one a tenth more than was dirtied
THROTTLE_FIRST, THROTTLE_STEP, THROTTLE_MOST = 20, 10, 99  # percent: cpu-throttle-initial, -increment, max-cpu-throttle
THROTTLE_TRIGGER = 50  # percent of the bytes sent: throttle-trigger-threshold
GIVES_UP = 100  # rounds after which a migration that does not converge is cancelled


@dataclass(frozen=True)
class Stats:
    """What a policy is given. dirty_count: frames, -1 while unknown; sent, skipped: entries of the last round; total_written:
    frames in all sets before this one; total_sent: how many of them went over the link, the others were skipped.

    dirty_rate: MB/s that the guest dirtied during the last round; seconds: time that the frames of the next set would take at
    full bandwidth.
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
    most: int = 0  # MB/s

    def ask(self, s: Stats) -> tuple[str, str]:
        """(CONTINUE or STOP, the rule behind a STOP in words)."""
        return {"legacy": self._legacy, "clark": self._clark, "qemu": self._qemu}.get(self.name, self._simple)(s)

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
            return STOP, f"{s.sent + s.skipped} pages in the round < {self.target}"
        if s.iteration >= self.rounds:
            return STOP, f"iteration {s.iteration} >= {self.rounds}"
        return self._enough(s)

    def _enough(self, s: Stats) -> tuple[str, str]:
        """Not more than `factor` times the guest's size goes over the link (xc_domain_save: total_sent)."""
        if self.factor and s.total_sent > self.factor * s.p2m_size:
            return STOP, f"{s.total_sent:,} pages sent, more than {self.factor} times the guest"
        return CONTINUE, ""

    def _clark(self, s: Stats) -> tuple[str, str]:
        """Each round is a little faster than the last one was dirtied; stop when that is more than the bandwidth."""
        if s.dirty_count < 0 or s.iteration == 0:
            return CONTINUE, ""
        if s.dirty_count < self.target:
            return STOP, f"{s.dirty_count} pages left, less than 256 KB"
        if self.next_rate(s) > self.most:
            return STOP, f"{s.dirty_rate:,.0f} MB/s were dirtied: the link has {self.most:,} MB/s"
        if s.iteration >= self.rounds:
            return STOP, f"iteration {s.iteration} >= {self.rounds}"
        return CONTINUE, ""

    def next_rate(self, s: Stats) -> int:
        """MB/s of the next round under Clark's rule."""
        if s.iteration == 0:
            return max(1, self.most // CLARK_LEAST)
        return int(s.dirty_rate) + max(1, self.most // CLARK_STEP)

    def _qemu(self, s: Stats) -> tuple[str, str]:
        """Stop when what is left takes no longer than the downtime allowed (migration/migration.c: pending <= threshold)."""
        if s.dirty_count >= 0 and s.iteration and s.seconds <= self.limit:
            return STOP, f"{s.dirty_count} pages take {s.seconds * 1e3:,.3f} ms <= {self.limit * 1e3:g} ms"
        return CONTINUE, ""


def policy_of(scenario: Scenario) -> Policy:
    """The policy that a scenario asks for."""
    name = scenario.policy
    if name == "legacy":
        return Policy(name, rounds=LEGACY_ROUNDS, factor=LEGACY_FACTOR, skips=True)
    if name == "clark":
        return Policy(name, CLARK_LEFT, LEGACY_ROUNDS, sends_on_stop=False, skips=True, most=scenario.bandwidth)
    if name == "qemu":
        return Policy(name, rounds=GIVES_UP, sends_on_stop=False, limit=scenario.downtime / 1e6)
    if name == "numbers":
        return Policy(name, scenario.target, scenario.rounds, scenario.factor, skips=bool(scenario.skip))
    return Policy(name)


def throttled(now: int, hot: int, dirtied: int, sent: int) -> tuple[int, int]:
    """Auto-converge: (percent taken from the guest, periods in a row that were too dirty) after one more period.

    Source: QEMU migration/ram.c (mig_throttle_counter_reset, migration_trigger_throttle): twice more dirty than the trigger
    allows, and the throttle goes up. `dirtied`, `sent`: bytes of the period.
    """
    if dirtied * 100 <= sent * THROTTLE_TRIGGER:
        return now, hot
    if hot + 1 < 2:
        return now, hot + 1
    return (min(now + THROTTLE_STEP, THROTTLE_MOST) if now else THROTTLE_FIRST), 0
