"""The same guest down every road: twins of the visitor's machine, of which only the road is another, at the same tick.

They are brought a little nearer at every answer, so that no page waits for them; they go with the page that needs them.
"""

from __future__ import annotations

import time

from pagingviz.boards.translation import ROADS
from pagingviz.machine.machine import Machine
from pagingviz.player.player import SLICE
from pagingviz.scenario.fields import ScenarioError
from pagingviz.timeline.simulation import Simulation

KEEP = 8 << 20  # bytes of checkpoints a twin may hold: it mostly goes forward


class Roads:
    """The machines of all roads by board, beside a Simulation `sim` that stays the visitor's own."""

    def __init__(self, sim: Simulation):
        self.sim = sim
        scenario = sim.scenario
        self.own = next(
            board
            for board, (fields, _) in ROADS.items()
            if all(getattr(scenario, name) == value for name, value in fields.items())
        )
        self._twins: dict[str, Simulation] = {}
        self._refused: dict[str, str] = {}

    @property
    def target(self) -> int:
        """The tick at which a twin has done what the visitor's guest has: no twin migrates, so none is ever suspended."""
        return self.sim.tick - (self.sim.migration.stood if self.sim.migration else 0)

    def follow(self, seconds: float = SLICE) -> bool:
        """Bring the twins nearer to the visitor's tick for about so long. True when all are there."""
        end = time.perf_counter() + seconds
        there = True
        for board in ROADS:
            if board != self.own and board not in self._refused:
                left = end - time.perf_counter()
                there &= left > 0 and self._bring(board, left)
        return there

    def machine(self, board: str) -> Machine | str:
        """The machine of a road at the visitor's tick, or a sentence: why there is none, or which tick it has reached."""
        if board == self.own:
            return self.sim.machine
        if board in self._refused:
            return self._refused[board]
        twin = self._twins.get(board)
        if twin is None:
            return "This road's machine is being built."
        if twin.tick != self.target or twin.journal != self.sim.journal:
            return f"On its way: {twin.tick:,} of {self.target:,} ticks done."
        return twin.machine

    def _bring(self, board: str, seconds: float) -> bool:
        """One twin towards the visitor's moment. True when it is there, or refused."""
        end = time.perf_counter() + seconds
        twin = self._twins.get(board) or self._build(board)
        if twin is None:
            return True
        for command in self.sim.journal:
            if command in twin.journal or command.tick > self.target:
                continue
            if not twin.seek(command.tick, max(end - time.perf_counter(), 0.01)):
                return False
            twin.command(command.text)
        if len(twin.journal) != len(self.sim.journal):  # one and the same command twice, or one that is gone: from the start
            del self._twins[board]
            return False
        return twin.seek(self.target, max(end - time.perf_counter(), 0.01)) if twin.tick != self.target else True

    def _build(self, board: str) -> Simulation | None:
        """A machine of the same scenario but for its road; None when the scenario cannot have it: the reason is in _refused."""
        fields, _ = ROADS[board]
        own = self.sim.scenario
        try:
            twin = Simulation(own.replace(**fields, do=self.sim.script(), migrate="no"), self.sim.files, keep=KEEP)
        except ScenarioError as error:
            self._refused[board] = str(error)
            return None
        except MemoryError:
            self._refused[board] = "This machine is too large for the memory of the server."
            return None
        self._twins[board] = twin
        return twin
