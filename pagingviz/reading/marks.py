"""The ticks that are worth a mark on the scrubber."""

from pagingviz.timeline.simulation import Simulation


def marks(sim: Simulation, most: int = 80) -> list[list]:
    """[[tick, kind]] of the commands of the journal, the automatic CLEANs and a migration's rounds, sorted, at most `most`."""
    out = [[c.tick, c.name] for c in sim.journal if c.tick <= sim.furthest]
    every = sim.scenario.clean_every
    if every and any(c.name == "enable" for c in sim.journal):
        n = sim.furthest // every
        out += [[k * every, "clean"] for k in range(1, n + 1, max(1, n // most))]
    if sim.migration:
        out += [[r.tick, "round"] for r in sim.migration.state.rounds[-most:]]
    return sorted(out)[:most]
