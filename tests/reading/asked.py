"""As a program: what the pool was asked for at each recycling of a scenario, beside what is read out of the event record.

`python -m tests.reading.asked SCENARIO TICKS`, with PAGINGVIZ_PLAIN=1, prints [[tick, read out, asked for]] as JSON; of each
recycling [pages wanted, pages free].
"""

import json
import sys

from pagingviz.core.shadow import recycle
from pagingviz.reading.recycled import recyclings
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

asked, real = [], recycle._prealloc


def watched(s, c, a, pages):
    """_prealloc, which notes what it is asked for when that is not there."""
    if s.free_pages < pages:
        asked.append([int(pages), int(s.free_pages)])
    return real(s, c, a, pages)


def main(name, ticks):
    """Run a scenario from its start, tick by tick."""
    recycle._prealloc = watched
    sim = Simulation(load(name))
    found = []
    for tick in range(1, ticks):
        asked.clear()
        sim.seek(tick)
        told = [[r.wanted, r.free] for r in recyclings(sim.machine, sim.events())]
        if told or asked:
            found.append([tick, told, list(asked)])
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
