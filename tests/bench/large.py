"""What a guest of 1 TiB costs beside one of 1 GiB: opening it, switching log-dirty on, CLEAN, and one step with its picture.

Prints JSON {size: {what: milliseconds}}; run by engine.py in a process of its own. CPU time, the kernels being loaded; of
several tries the median, of opening the first.
"""

import json
import statistics
import time

from pagingviz.boards.registry import HOME, REGISTRY, make_plan
from pagingviz.boards.scene import Scene
from pagingviz.scenario.scenario import load
from pagingviz.story.sentences import sentence
from pagingviz.story.status import status
from pagingviz.timeline.simulation import Simulation
from pagingviz.timeline.warm import warm

SIZES = {"1 GiB": 1 << 18, "1 TiB": 1 << 28}
TRIES = 9


def milliseconds(act):
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1e3


def measure(frames):
    """{what: ms} of the scenario cloud-1t with that many frames."""
    out, made = {}, []
    scenario = load("cloud-1t").replace(frames=frames, do="", clean_every=0)

    def opened():
        sim = Simulation(scenario)
        sim.seek(scenario.start)
        made.append(sim)
        painted(sim)

    def painted(sim):
        for board in HOME:
            REGISTRY[board].cells(Scene(sim), make_plan(board, scenario, sim.work))
        sentence(sim)
        status(sim)

    out["open"] = milliseconds(opened)
    sim = made[0]
    tries = {"enable": [], "clean": [], "step": []}
    for _ in range(TRIES):
        tries["enable"].append(milliseconds(lambda: sim.command("enable")))
        sim.run(2000)
        tries["clean"].append(milliseconds(lambda: sim.command("clean")))
        tries["step"].append(milliseconds(lambda: (sim.step(), painted(sim))))
        sim.command("off")
    return out | {what: statistics.median(found) for what, found in tries.items()}


if __name__ == "__main__":
    warm()
    print(json.dumps({size: measure(frames) for size, frames in SIZES.items()}))
