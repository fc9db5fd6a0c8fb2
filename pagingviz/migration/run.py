"""The loop of the toolstack, in Xen's order (tools/libs/guest/xg_sr_save.c: send_memory_live, suspend_and_send_dirty, cleanup).

Nothing here runs the guest. `act` is called when the machine has come to the tick `state.next`; it sends what the link has had
time for, gives the commands that are due, and says at which tick it wants to be called again. Between two such ticks the guest
runs, so the place at which anybody stops to look changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pagingviz.arch import costs, xen
from pagingviz.arch import events as ev
from pagingviz.arch.words import NONE, ZERO, U
from pagingviz.core import run as kernels
from pagingviz.core.events import MicroStop
from pagingviz.machine.machine import Machine
from pagingviz.migration import beyond, wire
from pagingviz.migration.clock import Clock
from pagingviz.migration.destination import Destination
from pagingviz.migration.policy import CONTINUE, GIVES_UP, STOP, Policy, Stats, policy_of, throttled
from pagingviz.migration.send import send
from pagingviz.migration.state import (
    ABORTED,
    DONE,
    EPOCH,
    FINAL,
    LIVE,
    LOST,
    MOST_ROUNDS,
    PAUSED,
    ROLLING,
    STATE,
    WAITING,
    Image,
    Round,
    Saved,
    State,
)
from pagingviz.migration.xbzrle import Cache
from pagingviz.scenario.fields import MAX_TICK
from pagingviz.work.work import Work

NEVER = 2 * MAX_TICK  # nothing is left to do
_NONE = np.zeros(0, np.int64)


class Migration:
    """The move of one machine. `p2m_size`: entries of the first round where that is not the guest's memory (a PVH guest's are
    1,044,480, whatever it has); `policy`, `link`: other ones than the scenario's."""

    def __init__(
        self,
        machine: Machine,
        work: Work,
        p2m_size: int | None = None,
        policy: Policy | None = None,
        link: wire.Link | None = None,
        table: Mapping[str, int] = costs.DEFAULT,
    ) -> None:
        sc = machine.scenario
        self.machine, self.work, self.scenario = machine, work, sc
        self.policy, self.link = policy or policy_of(sc), link or wire.link_of(sc)
        self.frames, self.p2m_size = sc.frames, p2m_size or sc.frames
        self.op = max(1, self.link.page // sc.pace)
        self.clock, self.table = Clock(machine, self.op, sc.tracking == "free", table), table
        self.fail = tuple(sc.fail.split(":")) if sc.fail else ("", "0")
        self.destination = Destination(machine)
        # (versions, tables): post-copy: the source at the suspend; Remus: the source at this suspend, the source and the
        # destination at the last complete checkpoint
        self.image: Image | None = None
        self.sealed: Image | None = None
        self.checked: Image | None = None
        self.cache = Cache(sc.xbzrle)
        n = machine.modelled.count
        self.state = State(
            next=sc.migrate_at,
            counts=self.clock.counts(),
            since=self.clock.counts(),
            sent_in=np.zeros(n, np.uint16),
            times=np.zeros(n, np.uint16),
            arrived=np.zeros(n, bool),
            fetched=np.zeros(n, bool),
        )

    # ---- as a value

    def snapshot(self) -> Saved:
        """The migration as a value that shares nothing with what goes on."""
        d = self.destination
        images = self.image, self.sealed, self.checked  # never changed in place
        return Saved(self.state.copy(), d.versions.copy(), d.tables.copy(), images, self.cache.copy())

    def restore(self, saved: Saved) -> None:
        """Put a snapshot back."""
        self.state = saved.state.copy()
        self.destination.versions[:], self.destination.tables[:] = saved.versions, saved.tables
        self.image, self.sealed, self.checked = saved.images
        self.cache.restore(saved.cache)

    @property
    def paused(self) -> bool:
        """Whether the guest is suspended: time passes, and nothing runs."""
        return self.state.phase in PAUSED

    @property
    def stood(self) -> int:
        """Ticks that have passed over the suspended guest up to now."""
        return self.state.paused + (self.machine.tick - self.state.settled if self.paused else 0)

    @property
    def now(self) -> int:
        """Cycles since tick 0, as of the last time that anything was done."""
        return max(self.state.guest, self.state.link)

    # ---- called by the simulation

    def act(self) -> None:
        """Do what is due at the machine's tick."""
        st = self.state
        while st.next <= self.machine.tick:
            if self.machine.sys[0].crashed and st.phase not in (DONE, ABORTED):
                self.give_up("The domain has crashed or hangs: there is nothing left to move.")
                return
            self._settle()
            if st.phase == WAITING:
                self._begin()
            elif st.guest < st.link:
                self._wait()
            elif st.phase == STATE:
                beyond.go_on(self)
            elif st.phase == EPOCH:
                self.suspend()
            elif self._link_is_lost():
                beyond.link_lost(self)
            elif st.phase == ROLLING:
                beyond.roll(self)
            elif st.at < st.rounds[-1].planned:
                send(self)
            else:
                self._round_over()

    def _link_is_lost(self) -> bool:
        """Whether what is left of the round cannot be sent any more (fail=link:N)."""
        st = self.state
        return self.fail[0] == "link" and st.at < st.rounds[-1].planned and st.total_sent >= int(self.fail[1])

    def _wait(self) -> None:
        """Come again when the guest has run for as long as the link is busy, judged by the pace it had."""
        st, tick = self.state, self.machine.tick
        pace = self.op if self.paused else max(self.op, st.pace)
        ticks = max(1, -(-(st.link - st.guest) // pace) if self.paused else (st.link - st.guest) // pace)
        if self.paused:  # the vCPUs' turns go on where they were
            ticks = -(-ticks // self.scenario.vcpus) * self.scenario.vcpus
        st.next = tick + ticks

    def _settle(self) -> None:
        """Take note of what the guest has done since the last time."""
        st, ticks = self.state, self.machine.tick - self.state.settled
        if not ticks:
            return
        if self.paused:
            st.guest, st.paused = max(st.guest + ticks * self.op, st.link), st.paused + ticks
        else:
            spent = self.clock.ran(ticks, st.counts, st.throttle)
            st.guest, st.pace = st.guest + spent, max(1, spent // ticks)
            if st.rounds and not st.rounds[-1].ended:
                st.rounds[-1].ticks += ticks
            if st.phase == ROLLING:
                beyond.demand(self, ticks)
        st.counts, st.settled = self.clock.counts(), self.machine.tick

    # ---- commands and events

    def command(self, name: str) -> bool:
        """A command of the toolstack; the guest is paused meanwhile. False when Xen refused it for want of memory."""
        st, s = self.state, self.machine.sys[0]
        failed = int(s.no_memory)
        before = self.clock.counts()
        m = self.machine
        kernels.command(m.sys, m.cpu, m.mem, U(xen.COMMANDS.index(name)), ZERO)
        st.guest += self.clock.paused(before)
        st.link = max(st.link, st.guest)
        st.counts = self.clock.counts()
        return int(s.no_memory) == failed

    def tell(self, kind: np.uint64, detail: int = 0, level: int = 0) -> None:
        """An event of the migration's own, into the machine's record (core/events.py: write_event)."""
        s, ring = self.machine.sys[0], self.machine.view("ring").reshape(-1, int(ev.RING_WORDS))
        s.last_tick[int(kind)] = s.tick
        if int(s.stop_mask) >> int(kind) & 1:
            s.stop_hit = 1
        ring[int(s.ev_n) % int(ev.RING)] = (s.tick, kind, 0, 0, NONE, NONE, level, detail)
        s.ev_n += 1
        if s.ev_n == s.ev_stop:
            raise MicroStop

    def ignore(self, code: int) -> None:
        """A command that cannot come now: a device's store, while the guest and its device model are suspended."""
        self.machine.sys[0].ignored += 1
        self.tell(ev.IGNORED, code)

    def _read_and_clean(self) -> np.ndarray | None:
        """CLEAN: the frames whose bit was set, ascending; what the processor has logged is among them. None: it failed.

        What the toolstack is told as dirty_count can be more: ENABLE does not reset it.
        """
        m = self.machine
        dirty = np.union1d(m.dirty_frames(), m.logged_frames())
        if not self.command("clean"):
            return None
        row = m.view("ring").reshape(-1, int(ev.RING_WORDS))[int(m.sys[0].ev_n - 1) % int(ev.RING)]
        self.state.dirty_count = int(row[7])
        return dirty

    # ---- the loop

    def _begin(self) -> None:
        """Log-dirty on; if it was on already, off first (xg_sr_save.c: enable_logdirty juggles)."""
        st = self.state
        st.began = st.guest = st.link = max(st.guest, st.link)
        st.dirty_count = self.p2m_size
        st.phase = LIVE
        if self.scenario.road == "bare":
            self.give_up("No hypervisor, no migration: nobody is there to track what the guest writes.")
        elif self.scenario.migrate in ("stop", "postcopy"):
            self.suspend()
        else:
            if self.machine.sys[0].log_dirty:
                self.command("off")
            self.command("enable")
            self._decide()

    def _ask(self) -> str:
        """The policy's answer to what is known now."""
        st = self.state
        last = st.rounds[-1] if st.rounds else Round(0, "live", 0, 0, 0)
        spent = max(1, last.ended - last.began)
        rate = max(st.dirty_count, 0) * (wire.PAGE + wire.ENTRY) * wire.FREQUENCY / spent if st.rounds else 0.0
        stats = Stats(
            st.iteration,
            st.total_written,
            st.dirty_count,
            self.p2m_size,
            last.sent,
            last.skipped,
            rate,
            wire.seconds(max(st.dirty_count, 0) * self.link.page),
            st.total_sent,
        )
        answer, reason = self.policy.ask(stats)
        st.calls.append((st.iteration, st.total_written, st.dirty_count, answer))
        if answer == STOP:
            st.stop = reason
        elif self.policy.name == "clark" and st.dirty_count >= 0:
            st.rate = min(self.policy.next_rate(stats), self.link.bandwidth)
        return answer

    def _decide(self) -> None:
        """The top of the loop: ask, and send what is in hand, even when the answer is STOP."""
        st = self.state
        answer = self._ask()
        st.answer = answer
        if answer == CONTINUE or st.dirty_count > 0 and self.policy.sends_on_stop:
            self.start(st.todo, "live", self.p2m_size if st.todo is None else st.todo.size)
            return
        if answer == STOP and st.todo is not None:
            st.deferred = np.union1d(st.deferred, st.todo)  # goes with the last round
        self._sent()

    def _sent(self) -> None:
        """The set is sent: stop, or ask once more with dirty_count unknown, read the bitmap, and begin again."""
        st = self.state
        if st.answer == CONTINUE:
            st.iteration += 1
            st.total_written += max(st.dirty_count, 0)
            st.dirty_count = -1
            st.answer = self._ask()
        if st.answer != CONTINUE or self.scenario.migrate == "hybrid":
            self.suspend()
            return
        if self.fail[0] == "p2m" and st.total_sent >= int(self.fail[1]) and self.scenario.road == "pv":
            self.give_up("The guest changed its list of frames (p2m_generation) while it was being moved.")
            return
        dirty = self._read_and_clean()
        if dirty is None:
            self.give_up("CLEAN failed with ENOMEM: the pool had no page for the bitmap's tree, and bits may be lost.")
            return
        self._note_dirty(dirty)
        if st.iteration >= GIVES_UP:
            self.give_up(f"It did not converge in {GIVES_UP} rounds and was cancelled.")
            return
        st.todo = dirty
        self._decide()

    def _note_dirty(self, dirty: np.ndarray) -> None:
        """What the reading says of the round before it; and QEMU's auto-converge, if wanted."""
        st = self.state
        if not st.rounds:
            return
        last = st.rounds[-1]
        places = self.places(dirty)
        last.dirtied = int(dirty.size)
        last.needless = int((self.destination.versions[places] == self.machine.view("ver")[places]).sum())
        if self.scenario.throttle and last.kind == "live":
            st.throttle, st.hot = throttled(st.throttle, st.hot, int(dirty.size) * wire.PAGE, last.bytes)

    def start(self, todo: np.ndarray | None, kind: str, planned: int) -> None:
        """Begin to send a set of frames, int64[n] ascending; None: all."""
        st = self.state
        st.todo, st.at, st.batch, st.skip = todo, 0, 0, None
        if len(st.rounds) >= MOST_ROUNDS:
            st.rounds.pop(1)
        number = st.rounds[-1].number + 1 if st.rounds else 1
        st.since = self.clock.counts()
        st.rounds.append(
            Round(
                number,
                kind,
                planned,
                max(st.guest, st.link),
                self.machine.tick,
                rate=st.rate or self.link.bandwidth,
                throttle=st.throttle,
            )
        )
        self.tell(ev.ROUND, planned, number)

    def places(self, frames: np.ndarray) -> np.ndarray:
        """Places (frames.Modelled), int64[k], of those of `frames`, int64[n], that have state."""
        places = self.machine.modelled.index(frames)
        return places[places < self.machine.modelled.count]

    # ---- the end of a round, and of it all

    def _round_over(self) -> None:
        st, r = self.state, self.state.rounds[-1]
        if not r.ended:
            r.ended, r.exits = max(st.guest, st.link), self.clock.exits(st.since)
        if st.phase == LIVE:
            self._sent()
        else:
            beyond.after_final(self)

    def suspend(self) -> None:
        """The guest suspends; what is dirty, what was deferred, and what others may still write goes with the last round."""
        st, m = self.state, self.machine
        st.suspended = st.guest = st.link = max(st.guest, st.link)
        st.phase, st.rate = FINAL, 0
        self.tell(ev.SUSPEND)
        st.link += self.table["suspend"]
        if not st.rounds:
            st.todo = None
        else:
            dirty = self._read_and_clean()
            if dirty is None:
                self.give_up("The last CLEAN failed with ENOMEM: bits may be lost, so nothing is handed over.")
                return
            self._note_dirty(np.union1d(dirty, st.deferred))
            mapped = m.modelled.frames()[np.flatnonzero(m.view("info") & xen.GRANTED)]
            st.todo = np.union1d(np.union1d(dirty, st.deferred), mapped).astype(np.int64)
            st.deferred = _NONE
        beyond.last_part(self)

    def resume(self) -> None:
        """Vcpu and platform state have arrived: the destination goes on. Compared with the source at this very moment."""
        st = self.state
        st.resumed = st.guest = st.link
        st.downtime = st.resumed - st.suspended
        st.equal = self.destination.differs(*self.destination.image()).size == 0
        self.finish(DONE)

    def finish(self, phase: str) -> None:
        """Cleanup: log-dirty off, and nothing more to do."""
        st = self.state
        st.phase, st.next, st.throttle = phase, NEVER, 0
        st.ended = max(st.guest, st.link)
        self.tell(ev.RESUME, int(st.equal or 0), {DONE: 0, ABORTED: 1, LOST: 2}[phase])
        if self.machine.sys[0].log_dirty:
            self.command("off")

    def give_up(self, why: str, phase: str = ABORTED) -> None:
        """The source goes on as if nothing had been; what the destination has is thrown away."""
        st = self.state
        st.why = why
        if st.rounds and not st.rounds[-1].ended:
            r = st.rounds[-1]
            st.rounds[-1] = replace(r, ended=max(st.guest, st.link), exits=self.clock.exits(st.since))
        if self.paused:
            st.resumed = st.guest = max(st.guest, st.link)
            st.downtime = st.resumed - st.suspended
        self.finish(phase)
