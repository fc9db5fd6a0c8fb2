"""Time: step, back, seek, run to an event, open a tick. State at tick t = a checkpoint at or before t, plus replay.

`seek(k)` equals a fresh `run(k)`, bit for bit. Inputs are the scenario, the work (a pure function of the tick) and the journal
of commands: state at tick t has seen t operations and every command with tick <= t. Knows nothing of screens.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.arch.words import ONE, U
from pagingviz.core import run as kernels
from pagingviz.core.audit import audit, rules
from pagingviz.core.events import MicroStop
from pagingviz.machine.event_record import EVENT_DTYPE, events_between
from pagingviz.machine.machine import Machine
from pagingviz.migration import Migration
from pagingviz.scenario.fields import Command, ScenarioError, format_do, parse_command
from pagingviz.scenario.scenario import Scenario
from pagingviz.timeline.checkpoints import Checkpoints, State, freeze, thaw
from pagingviz.timeline.history import AFTER, HISTORY, Course, History
from pagingviz.work.programs import Programs
from pagingviz.work.work import Work

CHUNK = 1 << 14  # operations handed to the kernel at once
Reached = tuple[int, History, Course]


class Simulation:
    """One machine in time. `files` maps sha256 to the bytes of uploaded traces. `work`: another Work
    instead of the scenario's own; `keep`: bytes of checkpoints; `migration`: makes one of (machine, work), where it is not the
    scenario's own. Raises ScenarioError for a bad scenario."""

    def __init__(
        self,
        scenario: Scenario,
        files: Mapping[str, bytes] | None = None,
        work: Work | None = None,
        keep: int | None = None,
        migration: Callable[[Machine, Any], Migration] | None = None,
    ) -> None:
        self.scenario, self.files = scenario, files or {}
        self.work: Work = work or Programs(scenario, self.files)
        self.machine = Machine(scenario, self.work)
        wanted = migration or (Migration if scenario.migrate != "no" else None)
        self.migration = wanted(self.machine, self.work) if wanted else None
        self.journal = list(scenario.commands)
        self.furthest = 0
        self.opened: tuple[int, int] | None = None  # (k, n): the present tick is open at its k-th of n events
        self._tick = 0
        self._base: State | None = None  # the state before the open tick
        self._verbose_tick: int | None = None  # the present tick, when its events are kept in full
        self._runs = [[0, 0, 0]]  # stretches of the event record without a gap: first event, the ticks it leads from and to
        self._op, self._credit = np.empty(CHUNK, np.uint64), np.empty(CHUNK, np.uint32)
        self._checkpoints = Checkpoints(keep)
        self._history, self._course = History(), Course(scenario.migrate_at)
        self._checkpoints.add(0, self)
        self._obey(0)

    # ---- where we are

    @property
    def tick(self) -> int:
        """Operations done. While a tick is open this is the tick that is being looked into."""
        return self._tick

    @property
    def crashed(self) -> int:
        """0, 1 the domain crashed (no page for a shadow), 2 a bug of the guest kernel, 3 it hangs (a leaf cannot be split),
        4 it crashed (a leaf cannot be split for a fetch)."""
        return int(self.machine.sys[0].crashed)

    def counters(self) -> dict[str, int]:
        """Every counter, name -> int."""
        return self.machine.counters()

    def events(self) -> np.ndarray:
        """Events of the present tick in order, EVENT_DTYPE[n]; at most the last 4096."""
        s = self.machine.sys[0]
        return events_between(self.machine, int(s.ev_tick), int(s.ev_n))

    def past_events(self) -> tuple[np.ndarray, bool]:
        """(EVENT_DTYPE[n] up to now, as far back as the ring has them without a gap, oldest first; True if from tick 0).

        The ring also holds what was run before going back in time: of each stretch only what leads to the next one counts.
        """
        n, end, need = int(self.machine.sys[0].ev_n), int(self.machine.sys[0].ev_n), self._tick
        parts: list[np.ndarray] = []
        for k, (start, since, upto) in reversed(list(enumerate(self._runs))):
            if since <= need <= (self._tick if k == len(self._runs) - 1 else upto):
                first = max(start, n - int(ev.RING))
                part = events_between(self.machine, first, end)
                parts.insert(0, part[(part["tick"] <= need) & ((part["tick"] > since) | (since == 0))])
                need = since
                if since == 0 or first > start:
                    return np.concatenate(parts), first == start
            end = start
        return np.concatenate(parts), False

    def history(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(ticks int64[n], {name: int64[n]}): counters and gauges of HISTORY up to the furthest tick, evenly spaced."""
        return self._history.columns()

    def course(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """As `history`, (int64[n], {name: int64[n]}), of the migration alone, with a little of before and after."""
        return self._course.columns()

    @property
    def reached(self) -> Reached:
        """How far the machine has been, with its histories: a value for `reach_back`."""
        return self.furthest, self._history.copy(), self._course.copy()

    def reach_back(self, reached: Reached) -> None:
        """Forget the ticks that were only looked through: those reached are what they were."""
        self.furthest, self._history, self._course = reached[0], reached[1].copy(), reached[2].copy()

    def audit(self) -> str:
        """ "" when every rule of the model holds, else the first broken one in words."""
        if self.crashed:
            return "the guest's kernel met a fault it cannot explain" if self.crashed == 2 else ""
        found = audit(self.machine.sys, self.machine.cpu, self.machine.mem)
        return f"{rules.rule_of(found).sentence} (at {rules.where(found):#x})" if found else ""

    # ---- moving

    def step(self, n: int = 1) -> bool:
        """n ticks forward."""
        return self.seek(self._tick + n)

    def run(self, n: int) -> None:
        """n ticks forward, at working speed: the same state as n steps."""
        self.close()
        self._advance(self._tick + n, None)

    def back(self, n: int = 1) -> bool:
        """n ticks back, not beyond 0."""
        return self.seek(max(0, self._tick - n))

    def seek(self, tick: int, budget: float | None = None) -> bool:
        """Go to `tick`, its events kept in full. With a budget (seconds) it may stop early: then False, call again."""
        self.close()
        if tick == self._tick == self._verbose_tick:
            return True
        before = max(tick - 1, 0)
        known = min(before, self.furthest)  # beyond it the histories have no points, so every tick must be run
        if tick <= self._tick or self._checkpoints.latest(known) > self._tick:
            self._return(known)
        if not self._advance(before, budget):
            return False
        self.machine.sys[0].verbose = ev.VERBOSE
        self._advance(tick, None)
        self.machine.sys[0].verbose = 0
        self._verbose_tick = tick
        return True

    def run_to_event(self, kind: str, limit: int) -> bool:
        """Run until an event of `kind` (a name of events.NAMES) happens, at most `limit` ticks. True when it did."""
        self.close()
        s, code = self.machine.sys[0], ev.CODES[kind]
        s.stop_mask[int(code // ev.WORD)] = ONE << code % ev.WORD
        try:
            self._advance(self._tick + limit, None)
            hit = bool(s.stop_hit)
        finally:
            s.stop_mask[:] = s.stop_hit = 0
        self._look_again()
        return hit

    def previous_event(self, kind: str) -> bool:
        """Go back to the last tick before this one with an event of `kind`. False, and nothing moves, when there is none."""
        here = self._tick
        if here == 0:
            return False
        self.seek(here - 1)
        last = int(self.machine.sys[0].last_tick[int(ev.CODES[kind])])
        self.seek(last if last else here)
        return last > 0

    def micro(self, k: int) -> tuple[int, int] | None:
        """Open the present tick just after its k-th event (1..n); k = n is the finished tick. Returns (k, n)."""
        if self._tick == 0:
            return None
        if self.opened is None:
            self.seek(self._tick)
            n = self.machine.sys[0].ev_n - self.machine.sys[0].ev_tick
            target = self._tick
            self._return(target - 1)
            self._advance(target - 1, None)
            self._base = self.snapshot()
            self._tick = target
        else:
            n = self.opened[1]
        k = min(max(int(k), 1), int(n))
        self._replay_tick(k if k < n else None)
        self.opened = (k, int(n))
        return self.opened

    def close(self) -> None:
        """Finish an open tick."""
        if self.opened is not None:
            self._replay_tick(None)
            self.opened = self._base = None

    def replayed_from(self, tick: int) -> int:
        """The tick of the checkpoint from which a seek to a tick before `tick` begins; tick > 0."""
        return self._checkpoints.latest(tick - 1)

    # ---- commands

    def command(self, text: str) -> None:
        """Carry out a command ("clean", "pool:64") now and write it into the journal. Raises ScenarioError."""
        self.close()
        command = parse_command(text, self._tick, self.scenario.pool_cap, self.scenario.frames)
        bisect.insort(self.journal, command, key=lambda c: c.tick)
        self._checkpoints.forget(self._tick)
        self._history.forget(self._tick)
        self._course.forget(self._tick)
        self.furthest = self._tick
        if self.migration:  # it acts after the tick's commands: do the tick again
            here = self._tick
            self._return(max(here - 1, 0))
            self._advance(here, None)
            self.furthest = here
        else:
            self._perform(command)
        self._sample()

    def script(self) -> str:
        """The journal as the text of the scenario field `do`."""
        return format_do(tuple(self.journal))

    # ---- state as a value

    def snapshot(self, slot: State | None = None) -> State:
        """Copies of all that changes: the machine's parts, and where its migration stands."""
        parts = self.machine.snapshot(slot and slot[:3])
        return (*parts, self.migration.snapshot()) if self.migration else parts

    def restore(self, state: State) -> None:
        """Put a snapshot back."""
        self.machine.restore(state[:3])
        if self.migration:
            self.migration.restore(state[3])

    def freeze(self) -> dict[str, np.ndarray]:
        """All that another process needs to go on from this moment: what checkpoints.freeze returns, and "runs": int64[n, 3].

        Raises ValueError while a migration is attached, or when the journal has a command of this tick: it would be done twice.
        """
        if self.migration or any(command.tick == self._tick for command in self.journal):
            raise ValueError("a machine that is being migrated, or obeys a command now, cannot be frozen")
        self.close()
        runs = [*self._runs[:-1], [*self._runs[-1][:2], self._tick]]
        return freeze(self.machine) | {"runs": np.array(runs)}

    def thaw(self, frozen: Mapping[str, np.ndarray]) -> None:
        """Go on from where a machine of the same scenario was frozen. `frozen`: what `freeze` returned, runs int64[n, 3]."""
        thaw(self.machine, frozen)
        self._runs = frozen["runs"].tolist()
        self._tick = self.furthest = self.machine.tick
        self._verbose_tick = None
        self._checkpoints.add(self._tick, self)

    # ---- inside

    def _look_again(self) -> None:
        """Replay the present tick with all its events kept."""
        here = self._tick
        if here:
            self._return(here - 1)
            self.seek(here)

    def _return(self, tick: int) -> None:
        """Jump to the latest checkpoint at or before `tick`."""
        was, self._tick = self._tick, self._checkpoints.restore(tick, self)
        self._begin_stretch(was, self._tick)
        self._verbose_tick = None
        self._obey(self._tick)

    def _begin_stretch(self, was: int, tick: int) -> None:
        """The event record goes on at `tick`, no longer at `was`, up to which it was complete."""
        runs, n = self._runs, int(self.machine.sys[0].ev_n)
        runs[-1][2] = was
        runs.append([n, tick, tick])
        while len(runs) > 1 and runs[1][0] <= n - int(ev.RING) or len(runs) > int(ev.RING):
            runs.pop(0)

    def _perform(self, command: Command) -> None:
        code = xen.COMMANDS.index(command.name)
        if self.migration and self.migration.paused and code == xen.CMD_DM:
            self.migration.ignore(code)
            return
        kernels.command(self.machine.sys, self.machine.cpu, self.machine.mem, U(code), U(command.arg or 0))

    def _obey(self, tick: int) -> None:
        """Carry out the journal's commands of `tick`, then what a migration has to do. A checkpoint holds the state before
        them, so replay does it again."""
        for command in self.journal[bisect.bisect_left(self.journal, tick, key=lambda c: c.tick) :]:
            if command.tick != tick:
                break
            self._perform(command)
        if self.migration:
            self.migration.act()

    def _next_command(self, tick: int) -> int | None:
        i = bisect.bisect_right(self.journal, tick, key=lambda c: c.tick)
        return self.journal[i].tick if i < len(self.journal) else None

    def _advance(self, target: int, budget: float | None) -> bool:
        """Run from the present tick to `target` (>=), obeying the journal. False: the budget or an event stopped it before."""
        s = self.machine.sys[0]
        self._verbose_tick = None
        end = None if budget is None else time.perf_counter() + budget
        while self._tick < target:
            t = self._tick
            stop = min(target, *(points.next(t) for points in self._histories()))
            if self.migration:
                stop = min(stop, self.migration.state.next)
            command = self._next_command(t)
            if command is not None:
                stop = min(stop, command)
            n = min(stop - t, CHUNK)
            began = time.thread_time()
            done = self._run(t, n)
            self._checkpoints.spent += time.thread_time() - began
            self._tick = t + done
            if s.crashed and done < n and not s.stop_hit:
                self._pass_over(stop)
            self._checkpoints.consider(self._tick, self)
            self._obey(self._tick)
            self._sample()
            self.furthest = max(self.furthest, self._tick)
            if s.stop_hit:
                return False
            if end is not None and time.perf_counter() > end and self._tick < target:
                return False
        return True

    def _pass_over(self, tick: int) -> None:
        """Nothing moves any more: time passes over a dead domain."""
        s = self.machine.sys[0]
        self._tick = s.tick = tick
        s.ev_tick = s.ev_n

    def _run(self, t: int, n: int) -> int:
        """`n` ticks from tick t on; returns how many were done. Over a suspended guest they only pass."""
        m, s = self.machine, self.machine.sys[0]
        if self.migration and self.migration.paused:
            s.tick, s.ev_tick = t + n, s.ev_n
            return n
        op, credit = self._op[:n], self._credit[:n]
        self.work.fill(op, credit, t - self.migration.state.paused if self.migration else t)
        return int(kernels.run(m.sys, m.cpu, m.mem, op, credit))

    def _replay_tick(self, k: int | None) -> None:
        """From self._base (one tick before) run the present tick, up to its k-th event or to its end."""
        target = self._tick
        assert self._base
        self.restore(self._base)
        self._begin_stretch(target - 1, target - 1)
        s = self.machine.sys[0]
        s.verbose, s.ev_stop = ev.VERBOSE, int(s.ev_n) + k if k else 0
        self._tick = target - 1
        try:
            self._run(target - 1, 1)
            self._obey(target)
        except MicroStop:
            pass
        finally:
            s.verbose, s.ev_stop = 0, 0
            self._tick = target

    def _sample(self) -> None:
        """A point of each history that is due."""
        for points in self._histories():
            points.sample(self._tick, self.machine.sys[0])

    def _histories(self) -> tuple[History, ...]:
        """Those that go on at the present tick: that of a migration ends a while after it."""
        if not self.migration:
            return (self._history,)
        settled = self.migration.state.settled
        last = settled + (settled - self.scenario.migrate_at) // AFTER
        return (self._history,) if self.migration.over and self._tick > last else (self._history, self._course)


__all__ = ["EVENT_DTYPE", "HISTORY", "Command", "ScenarioError", "Simulation"]
