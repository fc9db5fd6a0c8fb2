"""Migrations drawn by number over roads, policies, options and works; every pair of choices comes within the first thousand."""

import itertools
import random

import numpy as np

from pagingviz.experiments.migrations import over
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

ROADS = {
    "pv": {"road": "pv"},
    "shadow": {"road": "shadow"},
    "shadow, in sync": {"road": "shadow", "oos": 0},
    "ept": {"road": "hap", "pml": 0},
    "pml": {"road": "hap", "pml": 1},
    "npt": {"road": "hap", "hap": "npt"},
    "ept, 2 MiB": {"road": "hap", "superpages": 1, "pml": 0},
    "npt, 2 MiB": {"road": "hap", "hap": "npt", "superpages": 1},
}
CHOICES = {
    "road": tuple(ROADS),
    "migrate": ("precopy", "stop", "postcopy", "hybrid", "remus"),
    "policy": ("xen", "legacy", "clark", "qemu", "numbers"),
    "guest": ("hvm64", "hvm64", "pae", "hvm32"),
    "work": ("gzip", "hotcold:80:4:97", "fork:60", "zipf:90", "sequential:60", "fork:40,uniform:50"),
    "vcpus": (1, 1, 2, 3),
    "pace": (1, 5, 20, 100),
    "zeros": (0, 1),
    "xbzrle": (0, 16, 256),
    "throttle": (0, 1),
    "prefetch": (0, 7),
    "tracking": ("costs", "free"),
    "latency": (0, 5, 50),
    "page_overhead": (0, 2000),
    "do": ("", "dm:200:9@1500,dm:7@1700,dm:203@2500", "blow@1400,flush@1600", "enable@400,clean@700"),
}


def choices(number):
    """Choice by name of draw `number`."""
    rng = random.Random(number)
    chosen = {name: rng.choice(values) for name, values in CHOICES.items()}
    if chosen["road"] == "pv":
        chosen["guest"] = "hvm64"
    if chosen["policy"] == "qemu" and not chosen["throttle"] and chosen["pace"] > 5:
        chosen["pace"] = 5  # beyond, it seldom converges
    return chosen


def scenario_of(number):
    """The scenario of draw `number`: a guest of 1 or 4 MiB that is moved while it works."""
    c, rng = choices(number), random.Random(-number)
    fields = {**ROADS[c["road"]], **{k: v for k, v in c.items() if k not in ("road", "work")}}
    work = c["work"]
    fields |= {"trace": "gzip", "work": "hotcold:60"} if work == "gzip" else {"trace": "", "work": work}
    fields |= {
        "frames": 1024 if fields.get("superpages") else 320,
        "pool": 200,
        "clean_every": 0,
        "order": "",
        "seed": number,
        "quantum": rng.choice([20, 100, 1000]),
        "migrate_at": rng.randrange(200, 1800),
        "write": rng.choice([5, 30, 80]),
        "rounds": rng.randrange(1, 9),
        "target": rng.choice([1, 10, 50]),
        "factor": rng.choice([0, 0, 2]),
        "skip": rng.randrange(2),
        "downtime": rng.choice([20, 300]),
        "epoch": rng.choice([50, 700]),
        "epochs": rng.choice([1, 6]),
        "fail": "",
    }
    if "clean" in c["do"]:  # before it begins: somebody else's CLEAN takes bits away from it
        fields["migrate_at"] = rng.randrange(800, 1800)
    return load("blackboard").replace(**fields)


def check(number):
    """Move the guest of draw `number`: (what is wrong with what has arrived, "" when nothing is; its Simulation).

    The destination is compared here anew, beside what the migration found itself: for pre-copy and stop the guest has stood
    still until the resume, so the comparison is with the machine at that very moment.
    """
    sim = Simulation(scenario_of(number))
    mig = sim.migration
    while not over(sim):
        sim.seek(mig.state.next)
    st, d, m = mig.state, mig.destination, sim.machine
    if st.phase == "aborted" and "did not converge" in st.why and sim.scenario.policy == "qemu":
        return "", sim
    if st.phase != "done" or not st.equal:
        return f"{st.phase}, equal {st.equal}: {st.why}", sim
    if sim.scenario.migrate in ("precopy", "stop") and not np.array_equal(d.versions, m.view("ver")):
        return f"versions differ at {np.flatnonzero(d.versions != m.view('ver'))}", sim
    if sim.scenario.road != "pv" and sim.scenario.migrate in ("precopy", "stop"):
        wrong = np.flatnonzero(np.any(d.tables != m.view("tables").reshape(-1, 512), axis=1))
        if wrong.size:
            return f"tables differ at {wrong}", sim
    return sim.audit(), sim


def pairs(numbers):
    """Pairs of choices that these draws contain: {((name, value), (name, value))}."""
    seen = set()
    for number in numbers:
        seen.update(itertools.combinations(sorted(choices(number).items()), 2))
    return seen


def all_pairs():
    """Pairs that there are, but for those that cannot be: a PV guest is a 64-bit one."""
    wanted = set()
    for (a, xs), (b, ys) in itertools.combinations(sorted(CHOICES.items()), 2):
        wanted |= set(itertools.product(((a, x) for x in xs), ((b, y) for y in ys)))
    return {pair for pair in wanted if not (dict(pair).get("road") == "pv" and dict(pair).get("guest") in ("pae", "hvm32"))}
