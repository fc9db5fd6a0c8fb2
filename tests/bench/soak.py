"""Long runs: every recorded program for a whole lap on four roads, ten million ticks of four programs at once, and guests of
all kinds on all roads drawn at random, one hundred million ticks in total; then a thousand drawn migrations, every tick of what
is recorded to be shown before the engine is compiled, and a hundred thousand cells that are asked why they are as they are.

    python -m tests.bench.soak [--ticks N] [--drawn-ticks N] [--moves N] [--cells N]

At every CLEAN no write may be lost, the audit must be clean, and the roads must show the same guest; a PV guest has other
tables, of it the faults count. Prints what it saw, with commit and date; exit code 1 at the first thing that is wrong.
"""

import argparse
import collections
import datetime
import random
import subprocess
import sys
import time
import zlib
from pathlib import Path

from pagingviz.boards import since
from pagingviz.boards.dirty_bitmap import BITS
from pagingviz.player.early import replay as recordings
from pagingviz.scenario.scenario import load, names, shipped_traces
from pagingviz.timeline.simulation import Simulation
from tests.boards import many_machines as why
from tests.boards.on_screen import Shown
from tests.migration import drawn as migrations

ROOT = Path(__file__).resolve().parents[2]
ROADS = ("bare", "pv", "shadow", "hap")
EVERY = 100_000  # ticks between audits, and between CLEANs
DRAWN = 2_000_000  # ticks of one drawn guest
FIELDS = {"frames": 16384, "clean_every": 0, "work": "", "order": "", "do": "enable@0"}


def run(scenario, ticks):
    """Run to `ticks` with an audit and a CLEAN every EVERY. Returns (simulation, audits). Raises AssertionError."""
    simulation, audits = Simulation(scenario), 0
    while simulation.tick < ticks:
        simulation.run(min(EVERY, ticks - simulation.tick))
        where = f"{scenario.trace} on {scenario.road} at tick {simulation.tick}"
        assert not simulation.crashed, f"{where}: crashed"
        assert not (broken := simulation.audit()), f"{where}: {broken}"
        missing = simulation.machine.log_dirty()["missing"]
        assert missing == 0, f"{where}: {missing} lost writes"
        if scenario.road != "bare":
            simulation.command("clean")
        audits += 1
    return simulation, audits


def compare(name, scenario, ticks):
    """The same work on all roads; prints one line."""
    began, guests, audits = time.process_time(), {}, 0
    for road in ROADS:
        simulation, seen = run(scenario.replace(road=road), ticks)
        guests[road], audits = simulation.machine.guest_digests(), audits + seen
    assert guests["bare"] == guests["shadow"] == guests["hap"], f"{name}: the roads show different guests: {guests}"
    assert guests["bare"]["faults"] == guests["pv"]["faults"], f"{name}: the PV guest faults otherwise: {guests}"
    faults = guests["bare"]["faults"]["count"]
    seconds = time.process_time() - began
    print(
        f"{name:14}{ticks:>12,} ticks on 4 roads, {audits:4} audits, 0 missing, equal guests ({faults:,} guest faults),"
        f" {seconds:.1f} s CPU",
        flush=True,
    )


def drawn(rng):
    """Fields of a random guest: road, kind, vCPUs, switches, optimisations, leaf sizes, pool and work."""
    road = rng.choice(["shadow", "shadow", "hap", "hap", "pv"])
    work = rng.choice(["fork:300,hotcold:2000:200:90", "zipf:6000:0.99", "uniform:3000,fork:80", "sequential:4000,hotcold:900"])
    fields = {
        "road": road,
        "hap": rng.choice(["ept", "npt"]),
        "superpages": rng.randrange(3),
        "guest": rng.choice(["hvm64", "pae", "hvm32"]),
        "direct_map_pages": rng.choice(["4k", "large"]),
        "vcpus": rng.choice([1, 1, 2, 4]),
        "oos": rng.choice([0, 1, 1]),
        "shopt": rng.choice([511, 511, rng.randrange(512)]),
        "xen": rng.choice(["4.17", "master"]),
        "wp": rng.choice([1, 1, 1, 0]),
        "smep": rng.randrange(2),
        "smap": rng.randrange(2),
        "nx": rng.randrange(2),
        "direct_map": rng.choice(["linux", "linux420"]),
        "trace": rng.choice(["", "gzip", "perl_wc"]),
        "work": work,
        "frames": 16384,
        "quantum": rng.choice([20, 100, 1000]),
        "seed": rng.randrange(10**6),
        "do": "enable@50000",
        "order": "",
        "clean_every": 0,
        "pool": 4096,
    }
    fields["clean"] = rng.choice(["blow", "blow", "revoke"])
    fields["pml"] = rng.randrange(2) if fields["hap"] == "ept" else 0
    fields["exec_sp"] = rng.randrange(2) if fields["hap"] == "ept" else 1
    if road == "hap" and fields["superpages"] == 2:  # sizes at which there are 1 GiB leaves; the last two keep what is touched
        fields |= {
            "guest": "hvm64",
            "frames": rng.choice([1 << 18, (1 << 24) + 300, 1 << 28]),
            "direct_map_pages": rng.choice(["large", "huge"]),
        }
    if road == "pv":
        fields |= {"guest": "hvm64", "direct_map_pages": "4k", "smep": 0, "smap": 0, "wp": 1}
    least = load("blackboard").replace(**fields).least_pool
    return fields | {"pool": rng.choice([max(least + 2, 16), 2 * least, 200, 1000])}


def draw(ticks):
    """Random guests until `ticks` are done, each against its bare twin; prints one line for each."""
    rng = random.Random(2026)
    for number in range(-(-ticks // DRAWN)):
        fields = drawn(rng)
        began = time.process_time()
        scenario = load("blackboard").replace(**fields)
        simulation, audits = run(scenario, DRAWN)
        bare = Simulation(scenario.replace(road="bare", do=""))
        bare.run(DRAWN)
        want, have = bare.machine.guest_digests(), simulation.machine.guest_digests()
        same = want["faults"] == have["faults"] if scenario.road == "pv" else want == have
        assert same, f"drawn guest {number} differs: {fields}"
        names = {"shadow": ("oos", "shopt", "pool"), "hap": ("hap", "pml", "superpages", "frames"), "pv": ("shopt", "pool")}
        words = ", ".join(str(fields[key]) for key in ("road", "guest", "direct_map_pages", "vcpus", *names[scenario.road]))
        print(
            f"drawn {number:3}: {DRAWN:,} ticks, {audits} audits, equal to bare ({words}), "
            f"{time.process_time() - began:.1f} s CPU",
            flush=True,
        )


def move(number):
    """The first `number` drawn migrations: what arrives equals what was there. Prints one line."""
    began, ends, pages = time.process_time(), collections.Counter(), 0
    for n in range(number):
        wrong, sim = migrations.check(n)
        assert not wrong, f"drawn migration {n}: {wrong}: {migrations.choices(n)}"
        ends[sim.migration.state.phase] += 1
        pages += sim.migration.state.total_sent
    missing = len(migrations.all_pairs() - migrations.pairs(range(number)))
    print(
        f"{number:,} drawn migrations, {pages:,} pages: every destination equal to its source ({dict(ends)}), "
        f"{missing} pairs of choices not met, {time.process_time() - began:.1f} s CPU",
        flush=True,
    )


def replay():
    """Every recording equals what the engine does, to the last byte. Prints one line."""
    began, frames = time.process_time(), 0
    for name in names():
        scenario = load(name)
        for subject in recordings.subjects(scenario):
            found = zlib.decompress((recordings.FOLDER / f"{name}.{subject}.board").read_bytes())
            ticks = recordings.stretch(scenario)
            assert recordings.record(scenario, subject, ticks) == found, f"{name}.{subject}: make replays"
            frames += len(ticks)
    print(f"{frames:,} recorded frames, {time.process_time() - began:.1f} s CPU", flush=True)


def ask(number):
    """Random cells of random machines are asked since when they are as they are, and what led to it. Prints one line."""
    rng, began, asked = random.Random(2026), time.process_time(), collections.Counter()
    for _ in range(number):
        name, board = rng.choice(sorted(why.MACHINES)), rng.choice(since.BOARDS)
        sim = why.machine(name)
        sim.seek(rng.randrange(1, why.TICKS + 1))
        plan = Shown(sim, board, pages=why.PAGES, bits=rng.choice(BITS)).plan
        cell = rng.randrange(plan.key.size)
        try:
            why.check(sim, plan, cell)
        except AssertionError as wrong:
            raise AssertionError(f"{name}, {board}, cell {cell} at tick {sim.tick}: {wrong}") from wrong
        asked[board] += 1
    print(f"{number:,} cells asked why ({dict(asked)}), {time.process_time() - began:.1f} s CPU", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=10_000_000, help="length of the last run")
    parser.add_argument("--drawn-ticks", type=int, default=100_000_000, help="ticks of all drawn guests together")
    parser.add_argument("--moves", type=int, default=1000, help="drawn migrations")
    parser.add_argument("--cells", type=int, default=100_000, help="cells that are asked why they are as they are")
    options = parser.parse_args()
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"{datetime.date.today()}, commit {commit or 'unknown'}")
    try:
        for name in shipped_traces():
            one = load("blackboard").replace(**FIELDS, trace=name, pool=64, superpages=1)
            compare(name, one, Simulation(one).work.processes[0].events)
        four = load("programs")
        compare("programs", four.replace(**FIELDS, trace=four.trace, pool=40, quantum=1000), options.ticks)
        draw(options.drawn_ticks)
        move(options.moves)
        replay()
        ask(options.cells)
    except AssertionError as wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
