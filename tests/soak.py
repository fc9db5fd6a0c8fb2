"""Long runs: every recorded program for a whole lap on three roads, then ten million ticks of four programs at once.

    python tests/soak.py [--ticks N]

At every CLEAN no write may be lost, the audit must be clean, and the three roads must show the same guest. Prints what it saw,
with commit and date; exit code 1 at the first thing that is wrong.
"""

import argparse
import datetime
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pagingviz.scenario import load, shipped_traces  # noqa: E402 (found from any folder)
from pagingviz.simulation import Simulation  # noqa: E402

ROADS = ("bare", "shadow", "hap")
EVERY = 100_000  # ticks between audits, and between CLEANs
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
    faults = guests["bare"]["faults"]["count"]
    seconds = time.process_time() - began
    print(f"{name:14}{ticks:>12,} ticks on 3 roads, {audits:4} audits, 0 missing, equal guests ({faults:,} guest faults),"
          f" {seconds:.1f} s CPU", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=10_000_000, help="length of the last run")
    options = parser.parse_args()
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"{datetime.date.today()}, commit {commit or 'unknown'}")
    try:
        for name in shipped_traces():
            one = load("blackboard").replace(**FIELDS, trace=name, pool=64, superpages=1)
            compare(name, one, Simulation(one).work.processes[0].events)
        four = load("programs")
        compare("programs", four.replace(**FIELDS, trace=four.trace, pool=40, quantum=1000), options.ticks)
    except AssertionError as wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
