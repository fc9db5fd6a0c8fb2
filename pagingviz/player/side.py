"""Side by side: the visitor's machine and up to three others that differ from it in some fields, under one clock.

Every machine is the one that its own scenario makes, at the same tick: a guest that is suspended stands still.
When a tick is opened, only the visitor's machine shows what is inside; the others show the tick as it ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pagingviz.arch import costs
from pagingviz.boards.board import Options, Plan
from pagingviz.boards.registry import make_plan
from pagingviz.boards.scene import Scene
from pagingviz.boards.shadow_pool import largest_pool
from pagingviz.player.shown import Shown
from pagingviz.player.twins import Twins
from pagingviz.scenario import beside
from pagingviz.scenario.roads import road_of
from pagingviz.timeline.simulation import Simulation


class Beside(Twins):
    """The machines beside a Simulation `sim`. text: what differs in them (scenario/beside.py), which `sim`'s scenario can have.

    names: what all machines are called, `sim` first.
    """

    def __init__(self, sim: Simulation, text: str):
        super().__init__(sim, {str(number): fields for number, fields in enumerate(beside.parse(text), start=2)})
        self.text, self.names = text, beside.names(sim.scenario, text)
        self._plans: dict[tuple[str, str], tuple[tuple, Plan]] = {}

    # ---- what a player asks of them (player.shown.Company)

    @property
    def mark(self) -> str:
        """Names these machines: another text means other machines."""
        return " ".join((self.text, *self._refused))

    @property
    def reached(self) -> int:
        """The least tick at which one of them stands."""
        return min((self._twins[name].tick if name in self._twins else 0 for name in self._wanted()), default=self.target)

    def arrive(self) -> None:
        """Bring them to the visitor's tick, however long it takes."""
        while not self.follow(math.inf):
            pass

    def way(self) -> tuple[float, str]:
        """(share 0..1, a sentence): how far they are."""
        least, target = self.reached, self.target
        late = next((name for name in self._wanted() if isinstance(self.twin(name), str)), "")
        who = self.names[int(late) - 1] if late else "The other machine"
        return min(least / max(target, 1), 1), f"{who} is on its way to tick {target:,}: {least:,} done."

    def among(self, own: Sequence[Shown], bits: str) -> list[Shown]:
        """The boards of all machines: `own` are those of the visitor's; bits: one of boards.dirty_bitmap.BITS."""
        out = [replace(one, plan=_named(one.plan, self.names[0]), name=self.names[0]) for one in own]
        for number, name, sim in self.machines()[1:]:
            scene = Scene(sim)
            for one in own:
                plan = self._plan(str(number), one.plan.id, sim, bits)
                out.append(Shown(f"{one.id}@{number}", _named(plan, name), scene, number, name))
        return out

    # ---- what a page asks of them

    def machines(self) -> list[tuple[int, str, Simulation]]:
        """(number, name, machine) of the visitor's machine and of those of the others that stand at its tick."""
        found = [(1, self.names[0], self.sim)]
        for name in self._wanted():
            sim = self.twin(name)
            if not isinstance(sim, str):
                found.append((int(name), self.names[int(name) - 1], sim))
        return found

    def refused(self) -> list[str]:
        """A sentence for each machine that there cannot be."""
        return [f"Machine {name} ({self.names[int(name) - 1]}): {why}" for name, why in self._refused.items()]

    def scene(self, sim: Simulation) -> SideScene:
        """The present moment of all machines, for the page's words. sim: the visitor's."""
        return SideScene(sim, beside=self)

    def _wanted(self) -> list[str]:
        return [name for name in self.fields if name not in self._refused]

    def _plan(self, name: str, board: str, sim: Simulation, bits: str) -> Plan:
        """The plan of a board for a machine; made anew when it is for another machine, pool or kind of bits."""
        pages = largest_pool(sim)
        key = id(sim), pages, bits
        known = self._plans.get((name, board))
        if known is None or known[0] != key:
            known = self._plans[name, board] = key, make_plan(board, sim.scenario, sim.work, Options(pages, bits))
        return known[1]


def _named(plan: Plan, name: str) -> Plan:
    """The plan with the machine's name before its title."""
    return replace(plan, title=f"{name}: {plan.title}")


def entries(sim: Simulation) -> int:
    """How often the guest has been interrupted by Xen so far: exits and hypercalls of all causes that have a price."""
    counts = sim.counters()
    return sum(counts[counter] for _, counter, _ in costs.CAUSES)


@dataclass(frozen=True)
class SideScene(Scene):
    """The present moment of machines side by side: the words beside their boards."""

    beside: Beside | None = None

    def sentence(self, sought: str = "") -> tuple[str, str]:
        """What happens in the visitor's machine, and the rule's source."""
        text, source = super().sentence(sought)
        assert self.beside is not None
        return f"{self.beside.names[0]}: {text}", source

    def status(self) -> list[tuple[str, str]]:
        """The clock, whether all machines keep the rules, and of each how often its guest was interrupted and what is dirty."""
        assert self.beside is not None
        machines = self.beside.machines()
        rules = ((name, "" if sim.opened else sim.audit()) for _, name, sim in machines)
        broken = next((f"{name}: {rule}" for name, rule in rules if rule), "")
        common = [("tick", f"{self.sim.tick:,}"), ("rules", broken or "hold ✓")]
        return common + [(name, _in_short(sim)) for _, name, sim in machines]


def _in_short(sim: Simulation) -> str:
    """The chip of one machine."""
    if not road_of(sim.scenario).hypervisor:
        return "no hypervisor"
    s = sim.machine.sys[0]
    dirty = f" · {int(s.dirty_count):,} dirty" if s.log_dirty else ""
    return f"in Xen {entries(sim):,} times{dirty}"
