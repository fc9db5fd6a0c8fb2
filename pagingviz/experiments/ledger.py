"""The road not taken: what CLEAN costs when it searches all shadows for every writable frame, against blow and rebuild.

One work is run twice from its start, once with each value of the scenario field `clean`. Up to the first CLEAN both machines
are the same; from there on every CLEAN and the round that follows it are counted apart. Pure, and repeatable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pagingviz.arch import costs
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import Scenario
from pagingviz.scenario.table import FIELD
from pagingviz.timeline.simulation import Simulation

WARM = 4000  # ticks before log-dirty is switched on
ROUND = 2000  # ticks between two CLEANs
ROUNDS = 3  # counted
WRITES = (0, 1, 5, 10, 20, 40, 70, 100)  # percent, of a sweep over dirty rates
TICKS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)  # of a round, where programs decide themselves what they write
Files = Mapping[str, bytes] | None  # uploaded programs by their sha256


@dataclass(frozen=True)
class Side:
    """One of the two roads. `pause`, `run`: differences of all counters over the CLEANs, and over the rounds after them.

    `bits`: frames that each CLEAN found dirty; `guest`: what the guest can see at the end (Machine.guest_digests); `levels`: of
    the tables that its processor walks.
    """

    clean: str
    pause: dict[str, int]
    run: dict[str, int]
    bits: tuple[tuple[int, ...], ...]
    guest: dict
    levels: int
    crashed: bool

    def cycles(self, table: dict[str, int] = costs.DEFAULT) -> tuple[int, int]:
        """(while the domain is paused, while it runs)."""
        pause, run = (costs.cycles(priced(part, self.levels), table) for part in (self.pause, self.run))
        return pause, run


@dataclass(frozen=True)
class Entry:
    """Both roads of one work. `pool` pages, `write` percent, `ticks` of a round."""

    pool: int
    write: int
    ticks: int
    blow: Side
    revoke: Side

    @property
    def crashed(self) -> bool:
        """Whether a domain died for want of a page."""
        return self.blow.crashed or self.revoke.crashed


def priced(counts: dict[str, int], levels: int) -> dict[str, int]:
    """Counters as rows of the table of costs. The processor's walk after a TLB miss reads one entry a level."""
    return {
        "reference": counts["tlb_miss"] * levels,
        "shadow_fault": counts["shadow_fault"],
        "exit": counts["exits_cr3"] + counts["exits_invlpg"],
        "cr3_exit": counts["exits_cr3"],
        "invlpg_exit": counts["exits_invlpg"],
        "entry_searched": counts["entries_searched"],
        "entry_fixed": counts["entries_stripped"],
        "shadow_freed": counts["shadow_free"],
    }


def side(scenario: Scenario, clean: str, ticks: int = ROUND, rounds: int = ROUNDS, files: Files = None) -> Side:
    """Run one road: WARM ticks, log-dirty on, a round, then `rounds` times a CLEAN and a round. The scenario's own commands,
    CLEANs and migration are left away. Raises ScenarioError for a work that cannot run."""
    sim = Simulation(scenario.replace(clean=clean, do="", clean_every=0, migrate="no"), files)
    sim.run(WARM)
    sim.command("enable")
    sim.run(ticks)
    bits: list[tuple[int, ...]] = []
    parts: tuple[list[dict[str, int]], list[dict[str, int]]] = [], []
    before = sim.counters()
    acts: tuple[Callable[[], object], ...] = (lambda: sim.command("clean"), lambda: sim.run(ticks))
    for _ in range(rounds):
        bits.append(tuple(sim.machine.dirty_bits().nonzero()[0].tolist()))
        for part, act in zip(parts, acts, strict=True):
            act()
            now = sim.counters()
            part.append({name: now[name] - before[name] for name in now})
            before = now
    pause, run = ({name: sum(one[name] for one in part) for name in before} for part in parts)
    levels = 4 if scenario.guest == "hvm64" else 2  # the others' PDPTEs are in registers
    return Side(clean, pause, run, tuple(bits), sim.machine.guest_digests(), levels, sim.crashed != 0)


def entry(scenario: Scenario, ticks: int = ROUND, rounds: int = ROUNDS, files: Files = None) -> Entry:
    """The ledger of both roads for one work."""
    blow, revoke = (side(scenario, clean, ticks, rounds, files) for clean in FIELD["clean"].choices)
    return Entry(scenario.pool, scenario.write, ticks, blow, revoke)


def sweep(
    wanted: Iterable[tuple[Scenario, int]], files: Files = None, progress: Callable[[int, int], None] | None = None
) -> list[Entry]:
    """One entry for each (scenario, ticks of a round); those that cannot run are passed over."""
    wanted = list(wanted)
    out: list[Entry] = []
    for done, (scenario, ticks) in enumerate(wanted):
        if progress:
            progress(done, len(wanted))
        try:
            out.append(entry(scenario, ticks, files=files))
        except ScenarioError:
            continue
    return out


def rates(scenario: Scenario, ticks: int) -> list[tuple[Scenario, int]]:
    """What to sweep for dirty rates: percents of writes of a generator; the length of a round where only programs run."""
    if scenario.generators:
        return [(scenario.replace(write=write), ticks) for write in sorted({*WRITES, scenario.write})]
    return [(scenario, n) for n in sorted({*TICKS, ticks})]


def crossings(entries: Sequence[Entry], table: dict[str, int] = costs.DEFAULT) -> list[tuple[Entry, Entry]]:
    """Neighbours of a sweep between which the cheaper road changes."""
    alive = [e for e in entries if not e.crashed]
    lead = [sum(e.revoke.cycles(table)) < sum(e.blow.cycles(table)) for e in alive]
    return [(a, b) for a, b, x, y in zip(alive, alive[1:], lead, lead[1:], strict=False) if x != y]
