"""What the engine takes from the pool, and which tables come back into sync, beside what reading.recycling had announced, and
beside what reading.recycled reads out of the event record afterwards.

Run as a program with PAGINGVIZ_PLAIN=1: kernels must be plain Python, so that each call of _shadow_prealloc and of oos_hash_add
can be watched. Prints JSON: {name: what was found}, with a row for each call that had to recycle or to return something, and
one for each tick in which something was recycled.
"""

import json
import random

from pagingviz.core.shadow import faults, oos, recycle
from pagingviz.reading import recycling
from pagingviz.reading.recycled import recyclings
from pagingviz.scenario.scenario import Scenario, load
from pagingviz.timeline.simulation import Simulation
from tests.core.raw import BASE, Raw, Tables

RUNS = {  # name: (scenario, ticks)
    "thrash": (load("thrash"), 450),
    "blackboard": (load("blackboard").replace(do="enable@100"), 700),
    "expensive": (load("expensive").replace(pool=26, do="enable@100"), 400),
    "PAE": (
        Scenario(guest="pae", pool=19, trace="", work="uniform:90,hotcold:60,fork:12", frames=512, quantum=30, do="enable@150"),
        400,
    ),
    "two vCPUs": (Scenario(vcpus=2, pool=25, trace="", work="uniform:90,hotcold:60,fork:12", frames=512, quantum=30), 400),
    "PV": (load("borrowed").replace(do="enable@200", pool=24, clean_every=0, work="fork:12,hotcold:60,uniform:120"), 700),
    "one process too large": (load("blow").replace(pool=18, do="", work="uniform:3500"), 250),
    **{
        f"random {k}": (
            Scenario(
                seed=k,
                pool=luck.randrange(22, 28),
                trace="",
                work=f"uniform:{luck.randrange(40, 200)},hotcold:60,fork:12,zipf:300:0.9",
                frames=1024,
                quantum=luck.randrange(10, 60),
                do=luck.choice(("", "enable@100", "enable@50,blow@200,pool:40@300,pool:20@400")),
            ),
            350,
        )
        for k, luck in ((k, random.Random(k)) for k in range(2))
    },
}


class Watch:
    """Stands around the kernels of one machine and writes down what they do."""

    def __init__(self, sim):
        self.sim = sim
        self.preallocs, self.faults, self.returns, self.ticks = [], [], [], []
        self.asked: list[tuple[int, int]] = []  # pages that a recycling was to make free, and those that were
        self.gone: list[tuple[str, int]] = []
        for module, name, around in (
            (recycle, "_prealloc", self.prealloc),
            (recycle, "unpin", self.noted("unpin", 3)),
            (recycle, "unhook", self.noted("unhook", 3)),
            (faults, "prealloc", self.fault),
            (oos, "_hash_add", self.hash_add),
        ):
            kernel = ORIGINAL.setdefault((module, name), getattr(module, name))
            setattr(module, name, lambda *args, around=around, kernel=kernel: around(kernel, *args))

    def noted(self, what, at):
        def around(kernel, *args):
            self.gone.append((what, int(args[at])))
            return kernel(*args)

        return around

    def prealloc(self, kernel, s, c, a, pages):
        if s.free_pages >= pages:
            return kernel(s, c, a, pages)
        self.asked.append((int(pages), int(s.free_pages)))
        said, self.gone = recycling.recycling(self.sim.machine, int(pages)), []
        enough = bool(kernel(s, c, a, pages))
        announced = [("unpin", head) for head in said.unpinned] + [("unhook", head) for head in said.unhooked]
        self.preallocs.append([announced, said.freed, said.enough, list(self.gone), int(s.free_pages), enough])
        return enough

    def fault(self, kernel, s, c, a, kind, count):
        said, free = recycling.wanted_by_a_fault(self.sim.machine, int(c.id)), int(s.free_pages)
        wanted = []
        inner = recycle._prealloc
        recycle._prealloc = lambda s, c, a, pages: wanted.append(int(pages)) or inner(s, c, a, pages)
        try:
            done = kernel(s, c, a, kind, count)
        finally:
            recycle._prealloc = inner
        self.faults.append([said, wanted[0], free])
        return done

    def hash_add(self, kernel, s, c, a, mfn):
        m, vcpu = self.sim.machine, int(c.id)
        gfn = int(m.view("m2p")[int(mfn) - 0x10000])
        said = recycling.returned_by(m, recycling.places(m, vcpu), recycling.own_place(m, gfn))
        before = {gfn for gfn in recycling.places(m, vcpu) if gfn is not None}
        kernel(s, c, a, mfn)
        after = set(recycling.places(m, vcpu)) - {None}
        self.returns.append([said, sorted(before - after), sorted(after - before - {gfn})])

    def run(self, ticks):
        """Run the machine tick by tick: what the record of each tells of its recyclings stands beside what was asked for."""
        for tick in range(1, ticks + 1):
            self.asked.clear()
            self.sim.seek(tick)
            told = [(r.wanted, r.free) for r in recyclings(self.sim.machine, self.sim.events())]
            if told or self.asked:
                self.ticks.append([tick, told, list(self.asked)])


ORIGINAL: dict = {}
MANY = "many tables out of sync"


def many_tables():
    """More L1 tables than a vCPU has places for tables out of sync, each written in turn in an order of chance."""
    tables = Tables()
    tables.new()
    tables.direct(1, 128)
    at = [BASE + (k << 21) for k in range(8)]
    for k, va in enumerate(at):
        tables.map(1, va, 100 + k)
    r, luck = Raw(tables=tables), random.Random(5)
    r.audited = False
    watch = Watch(r.sim)
    for n in range(60):
        va = luck.choice(at)
        r.read(va)
        r.store(r.table(va), 8 + n, 0)
        if n % 20 == 19:
            r.cr3(1)
    return watch


def run(name):
    if name == MANY:
        watch = many_tables()
    else:
        scenario, ticks = RUNS[name]
        watch = Watch(Simulation(scenario))
        watch.run(ticks)
    return {"preallocs": watch.preallocs, "faults": watch.faults, "returns": watch.returns, "ticks": watch.ticks}


if __name__ == "__main__":
    print(json.dumps({name: run(name) for name in (*RUNS, MANY)}))
