"""Twins of the visitor's machine: the same scenario but for some fields, at the same tick.

They are brought a little nearer at every answer, so that no page waits for them; they go with the page that needs them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pagingviz.boards.translation import ROADS
from pagingviz.machine.machine import Machine
from pagingviz.player.player import SLICE
from pagingviz.scenario.fields import Command, ScenarioError
from pagingviz.timeline.simulation import Simulation

KEEP = 8 << 20  # bytes of checkpoints a twin may hold: it mostly goes forward


class Twins:
    """Machines beside a Simulation `sim` that stays the visitor's own. `fields`: by name of a twin, what differs in it."""

    def __init__(self, sim: Simulation, fields: Mapping[str, Mapping[str, Any]]):
        self.sim, self.fields = sim, fields
        self._twins: dict[str, Simulation] = {}
        self._refused: dict[str, str] = {}

    @property
    def target(self) -> int:
        """The tick to which the twins are brought."""
        return self.sim.tick

    def journal(self, name: str) -> list[Command]:
        """The commands that a twin obeys: the visitor's, unless its own are what differs."""
        twin = self._twins.get(name)
        return list(twin.scenario.commands) if twin and "do" in self.fields[name] else self.sim.journal

    def follow(self, seconds: float = SLICE) -> bool:
        """Bring the twins nearer to the visitor's tick for about so long. True when all are there."""
        end = time.perf_counter() + seconds
        there = True
        for name in self.fields:
            if name not in self._refused:
                left = end - time.perf_counter()
                there &= left > 0 and self._bring(name, left)
        return there

    def twin(self, name: str) -> Simulation | str:
        """A twin at the visitor's tick, or a sentence: why there is none, or which tick it has reached."""
        if name in self._refused:
            return self._refused[name]
        twin = self._twins.get(name)
        if twin is None:
            return "This machine is being built."
        if twin.tick != self.target or twin.journal != self.journal(name):
            return f"On its way: {twin.tick:,} of {self.target:,} ticks done."
        return twin

    def _bring(self, name: str, seconds: float) -> bool:
        """One twin towards the visitor's moment. True when it is there, or refused."""
        end = time.perf_counter() + seconds
        twin = self._twins.get(name) or self._build(name)
        if twin is None:
            return True
        journal = self.journal(name)
        for command in journal:
            if command in twin.journal or command.tick > self.target:
                continue
            if not twin.seek(command.tick, max(end - time.perf_counter(), 0.01)):
                return False
            try:
                twin.command(command.text)
            except ScenarioError as error:  # its pool or its memory is another
                self._refused[name] = str(error)
                return True
        if len(twin.journal) != len(journal):  # one and the same command twice, or one that is gone: from the start
            del self._twins[name]
            return False
        return twin.seek(self.target, max(end - time.perf_counter(), 0.01))

    def _build(self, name: str) -> Simulation | None:
        """A machine of the same scenario but for its fields; None when there can be none: the reason is in _refused."""
        fields = {"do": self.sim.script(), **self.fields[name]}
        try:
            twin = Simulation(self.sim.scenario.replace(**fields), self.sim.files, keep=KEEP)
        except ScenarioError as error:
            self._refused[name] = str(error)
            return None
        except MemoryError:
            self._refused[name] = "This machine is too large for the memory of the server."
            return None
        self._twins[name] = twin
        return twin


class Roads(Twins):
    """The same guest down every road, by board. No twin is migrated, so none is ever suspended."""

    def __init__(self, sim: Simulation):
        scenario = sim.scenario
        self.own = next(
            board
            for board, (fields, _) in ROADS.items()
            if all(getattr(scenario, name) == value for name, value in fields.items())
        )
        super().__init__(sim, {board: {**fields, "migrate": "no"} for board, (fields, _) in ROADS.items() if board != self.own})

    @property
    def target(self) -> int:
        """The tick at which a twin has done what the visitor's guest has."""
        return self.sim.tick - (self.sim.migration.stood if self.sim.migration else 0)

    def machine(self, board: str) -> Machine | str:
        """The machine of a road at the visitor's tick, or a sentence: why there is none, or which tick it has reached."""
        if board == self.own:
            return self.sim.machine
        twin = self.twin(board)
        return twin if isinstance(twin, str) else twin.machine
