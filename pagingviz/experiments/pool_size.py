"""Faults against pool size: the machine of a scenario run from its start with pools of several sizes. Pure, and repeatable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pagingviz.scenario.fields import POOL_HIGH, ScenarioError, format_do
from pagingviz.scenario.scenario import Scenario
from pagingviz.timeline.simulation import Simulation

TICKS = 20_000  # of each run
POINTS = 14


@dataclass(frozen=True)
class Point:
    """One run: pool pages, shadow faults, recyclings, and whether the domain crashed for want of a page."""

    pool: int
    faults: int
    recycled: int
    crashed: bool


def sizes(scenario: Scenario) -> tuple[int, ...]:
    """Pool sizes worth trying: even steps of a logarithm from the least to four times the present pool, and the present one."""
    low, high = scenario.least_pool, min(max(4 * scenario.pool, 128), POOL_HIGH)
    step = (high / low) ** (1 / (POINTS - 2))
    return tuple(sorted({round(low * step**k) for k in range(POINTS - 1)} | {scenario.pool}))


def curve(
    scenario: Scenario,
    files: dict[str, bytes] | None = None,
    progress: Callable[[int, int], None] | None = None,
    wanted: Sequence[int] | None = None,
    ticks: int = TICKS,
) -> list[Point]:
    """One point for each size. Commands of the scenario stay, but those that set the pool."""
    wanted = wanted or sizes(scenario)
    commands = tuple(c for c in scenario.commands if c.name != "pool" and c.tick <= ticks)
    out = []
    for done, pages in enumerate(wanted):
        if progress:
            progress(done, len(wanted))
        try:
            sim = Simulation(scenario.replace(pool=pages, do=format_do(commands), migrate="no"), files)
        except ScenarioError:
            continue
        sim.run(ticks)
        counts = sim.counters()
        out.append(Point(pages, counts["shadow_fault"], counts["shadow_prealloc_1"], sim.crashed == 1))
    return out


def cliff(points: Sequence[Point]) -> tuple[Point, Point] | None:
    """The two neighbours between which faults fall most steeply, by ratio; None when there is no fall worth the name (1.5)."""
    pairs = [(a, b) for a, b in zip(points, points[1:], strict=False) if not a.crashed and a.faults >= 1.5 * max(b.faults, 1)]
    return max(pairs, key=lambda pair: pair[0].faults / max(pair[1].faults, 1), default=None)
