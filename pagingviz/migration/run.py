"""The loop of the toolstack around a machine: it runs the steps of a migration and carries out what they want done.

Nothing here runs the guest. `act` is called when the machine has come to the tick `state.next`; it runs steps until the link is
busy again, and sets the tick at which it is to be called next. Between two such ticks the guest runs, so nothing depends on
where anybody stops to watch. State, machine, clock and destination change in this file alone: see effects.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pagingviz.arch import costs, xen
from pagingviz.arch.words import ZERO, U
from pagingviz.core import run as kernels
from pagingviz.machine.event_record import last_event
from pagingviz.migration import effects as ef
from pagingviz.migration import wire
from pagingviz.migration.ending import give_up
from pagingviz.migration.policy import RAMP_ROUNDS, STOP, Period
from pagingviz.migration.postcopy import demand
from pagingviz.migration.situation import Situation
from pagingviz.migration.state import ABORTED, BROKEN, DONE, FINAL, LIVE, MOST_ROUNDS, ROLLING, STATE, WAITING, Round, Saved
from pagingviz.migration.steps import next_step
from pagingviz.scenario.fields import MAX_TICK

NEVER = 2 * MAX_TICK  # nothing is left to do
_NONE = np.zeros(0, np.int64)


class Migration(Situation):
    """The migration of one machine, as a value that can be saved and restored, and the loop that drives it."""

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
    def over(self) -> bool:
        """Whether nothing is left to do: no event of a migration comes any more."""
        return self.state.next >= NEVER

    # ---- called by the simulation

    def act(self) -> None:
        """Do what is due at the machine's tick. Raises MicroStop where the tick is opened at an event of the migration."""
        st = self.state
        while st.next <= self.machine.tick:
            if self.machine.sys[0].crashed and st.phase not in (DONE, ABORTED):
                self._run(give_up(self, "The domain has crashed or hangs: there is nothing left to move."))
                return
            self._settle()
            if st.phase != WAITING and st.guest < st.link:
                self._wait()
            else:
                self._run(next_step(self))

    def ignore(self, code: int) -> None:
        """A command that cannot come now: a device's store, while the guest and its device model are suspended."""
        kernels.refuse(self.machine.sys, self.machine.mem, U(code))

    # ---- time

    def _wait(self) -> None:
        """Come again when the guest has run for as long as the link is busy, judged by the pace it had."""
        st, tick = self.state, self.machine.tick
        pace = self.op if self.paused else max(self.op, st.pace)
        ticks = max(1, -(-(st.link - st.guest) // pace) if self.paused else (st.link - st.guest) // pace)
        if self.paused:  # the vCPUs' turns go on where they were
            ticks = -(-ticks // self.scenario.vcpus) * self.scenario.vcpus
        st.next = tick + ticks

    def _settle(self) -> None:
        """Count the time of what the guest has done since the last call."""
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
                self._run(demand(self, ticks))
        st.counts, st.settled = self.clock.counts(), self.machine.tick

    # ---- effects

    def _run(self, step: ef.Step) -> None:
        """Run a step to its end: carry out each of its effects, and answer with what it came to."""
        answer = None
        while True:
            try:
                effect = step.send(answer)
            except StopIteration:
                return
            answer = self.apply(effect)

    def apply(self, effect: ef.Effect) -> bool | np.ndarray | None:
        """Carry out one effect, and answer as its class says: Command with a bool, ReadBitmap with int64[n] or None."""
        match effect:
            case ef.Command(name):
                return self._command(name)
            case ef.ReadBitmap():
                return self._read_bitmap()
            case ef.Event(kind, detail, level):
                kernels.migration_event(self.machine.sys, self.machine.mem, kind, U(level), U(detail))
            case ef.SendBytes(size):
                self._transmit(size, part="state")
            case ef.Busy(cycles, part):
                self._busy(cycles, part)
            case ef.LoopEffect():
                self._loop(effect)
            case ef.RoundEffect():
                self._round(effect)
            case ef.TurnEffect():
                self._turn(effect)
            case ef.ImageEffect():
                self._set_aside(effect)
        return None

    def _busy(self, cycles: int, part: str) -> None:
        """The link is busy, or waited for, so much longer; while the guest is suspended that is this part of its pause."""
        st = self.state
        st.link += cycles
        if st.phase in (FINAL, STATE):
            st.pause[part] = st.pause.get(part, 0) + cycles

    def _command(self, name: str) -> bool:
        """A command of the toolstack; the guest is paused meanwhile. False when Xen refused it for want of memory."""
        st, m = self.state, self.machine
        failed, before = int(m.sys[0].no_memory), self.clock.counts()
        kernels.command(m.sys, m.cpu, m.mem, U(xen.COMMANDS.index(name)), ZERO)
        shadows = self.clock.paused(before)
        bitmap = self.clock.price(costs.bitmap_read(self.p2m_size)) if name in ("clean", "peek") else 0
        if self.paused:
            self._busy(shadows, "shadows")
            self._busy(bitmap, "bitmap")
        else:
            st.guest += shadows + bitmap
            st.link = max(st.link, st.guest)
        st.counts = self.clock.counts()
        return int(m.sys[0].no_memory) == failed

    def _read_bitmap(self) -> np.ndarray | None:
        """CLEAN. The policy is given the number that the hypervisor counted, which can be more: ENABLE does not reset it."""
        dirty = np.union1d(self.machine.dirty_frames(), self.machine.logged_frames())
        if not self._command("clean"):
            return None
        self.state.dirty_count = int(last_event(self.machine)["detail"])
        self.state.readings += not self.paused
        return dirty

    def _transmit(self, size: int, pages: int = 0, part: str = "pages") -> None:
        """Bytes go onto the link, with `pages` pages among them; those of a round that is not over are its own."""
        st = self.state
        alone = part == "state" or st.phase == ROLLING  # the main channel's
        self._busy((self.link.main if alone else self.link).cycles(size, pages, st.rate), part)
        st.bytes += size
        if st.rounds and not st.rounds[-1].ended:
            st.rounds[-1].bytes += size

    def _loop(self, effect: ef.LoopEffect) -> None:
        st = self.state
        match effect:
            case ef.Begin():
                st.began = st.guest = st.link = self.time
                st.dirty_count, st.phase = self.p2m_size, LIVE
                st.period = Period(began=self.time)
            case ef.Asked(answer, reason, rate):
                st.calls.append((st.iteration, st.total_written, st.dirty_count, answer))
                st.answer, st.rate = answer, rate or st.rate
                if answer == STOP:
                    st.stop = reason
            case ef.NextIteration():
                st.iteration += 1
                st.ramp = self.time if st.iteration == RAMP_ROUNDS else st.ramp
                st.total_written += max(st.dirty_count, 0)
                st.dirty_count = -1
            case ef.Judged(dirtied, needless, period):
                st.rounds[-1].dirtied, st.rounds[-1].needless = dirtied, needless
                st.period, st.throttle = period, period.percent
            case ef.NextSet(frames, with_deferred, count):
                st.todo, st.at, st.deferred = frames, 0, _NONE if with_deferred else st.deferred
                if st.rounds and frames is not None:
                    st.rounds[-1].left = int(frames.size)
                st.dirty_count = st.dirty_count if count is None else count
            case ef.ProgressJudged(progress, minimum):
                st.progress, st.minimum = progress, minimum
            case ef.Overdue(why, postcopy):
                st.stop, st.fell_back = why, postcopy
            case ef.Defer(frames):
                st.deferred = np.union1d(st.deferred, frames)

    def _round(self, effect: ef.RoundEffect) -> None:
        st = self.state
        match effect:
            case ef.BeginRound(kind, planned):
                self._begin_round(kind, planned)
            case ef.EndRound():
                st.rounds[-1].ended, st.rounds[-1].exits = self.time, self.clock.exits(st.since)
            case ef.BeginPackage():
                st.package = st.link
            case ef.BeginBatch(upto):
                st.batch, st.skip, st.opened = upto, None, False
            case ef.Skip(frames):
                st.skip = frames
            case ef.Advance(upto, skipped):
                st.at, st.flight = upto, (st.at, upto)
                st.rounds[-1].skipped += skipped
            case ef.Pass(first, upto):
                k = next(k for k, (a, b) in enumerate(st.gaps) if a <= first < b)
                a, b = st.gaps[k]
                st.gaps[k : k + 1] = [gap for gap in ((a, first), (upto, b)) if gap[0] < gap[1]]
                st.at, st.search, st.flight = st.at + upto - first, upto, (first, upto)
            case ef.SearchFrom(entry):
                st.search = entry
            case ef.OpenRecord():
                self._transmit(wire.PAGE_DATA)
                st.opened = True
            case ef.SendPages():
                self._send_pages(effect)
            case ef.SendState(size):
                st.state_sent = True
                self._transmit(size, part="state")

    def _begin_round(self, kind: str, planned: int) -> None:
        st = self.state
        st.at, st.flight, st.batch, st.skip = 0, (0, 0), 0, None
        st.gaps, st.search = [(0, planned)], 0
        st.package = st.link
        if len(st.rounds) >= MOST_ROUNDS:
            st.rounds.pop(1)
        number = st.rounds[-1].number + 1 if st.rounds else 1
        st.since = self.clock.counts()
        rate = st.rate or (self.link.bandwidth if kind == "pushed" else self.link.whole)
        round_ = Round(number, kind, planned, self.time, self.machine.tick, st.suspended, rate=rate, throttle=st.throttle)
        st.rounds.append(round_)
        if kind != "pushed":
            self._busy(self.clock.price(costs.bitmap_tested(self.p2m_size)), "scan")

    def _send_pages(self, sent: ef.SendPages) -> None:
        st, r = self.state, self.state.rounds[-1]
        if sent.deferred.size:
            st.deferred = np.union1d(st.deferred, sent.deferred)
        self.cache.put(sent.cached, r.number)
        if sent.image:
            self.destination.take(sent.index, *sent.image)
            st.arrived[sent.index] = True
        else:
            self.destination.receive(sent.index)
        r.skipped += sent.deferred.size
        r.sent += sent.frames.size
        r.data += sent.data
        st.total_sent += sent.frames.size
        st.sent_in[sent.index] = r.number
        st.times[sent.index] += 1
        self._transmit(sent.size, sent.data)

    def _turn(self, effect: ef.TurnEffect) -> None:
        st = self.state
        match effect:
            case ef.Suspend():
                st.suspended = st.guest = st.link = self.time
                st.phase, st.rate = FINAL, 0
            case ef.Resumed():
                st.resumed = st.guest = st.link
                st.downtime += st.resumed - st.suspended
                st.state_sent = False
            case ef.Enter(phase):
                st.phase = phase
            case ef.Compared(old):
                st.equal, st.old = old.size == 0, old
            case ef.LinkLost(why):
                st.why, st.phase, st.link, st.guest = why, BROKEN, self.time, self.time
            case ef.LinkBack(cycles):
                st.why, st.phase, st.repaired = "", ROLLING, True
                st.rounds[-1].stall += cycles
            case ef.GiveUp(why, left):
                st.why, st.left = why, left
                if st.rounds and not st.rounds[-1].ended:
                    st.rounds[-1] = replace(st.rounds[-1], ended=self.time, exits=self.clock.exits(st.since))
                if self.paused:
                    st.resumed = st.guest = self.time
                    st.downtime = st.resumed - st.suspended
            case ef.Finish(phase):
                st.phase, st.next, st.throttle = phase, NEVER, 0
                st.ended = self.time

    def _set_aside(self, effect: ef.ImageEffect) -> None:
        st, d = self.state, self.destination
        match effect:
            case ef.HandOver(image, arrived):
                self.image = image
                st.arrived[:] = arrived
            case ef.CountTouches(versions):
                st.frozen = versions
            case ef.Fault(stall, index):
                st.rounds[-1].faults += 1
                st.rounds[-1].stall += stall
                st.guest += stall
                st.fetched[index] = True
            case ef.Seal(image):
                self.sealed = image
            case ef.Checkpoint():
                st.checkpoints += 1
                st.rounds[-1].stall = st.resumed - st.suspended
                self.image, self.checked = (d.versions.copy(), d.tables.copy()), self.sealed
            case ef.RollBack(why):
                assert self.image
                d.versions[:], d.tables[:] = self.image
                st.why = why
