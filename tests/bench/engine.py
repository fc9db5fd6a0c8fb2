"""How fast the engine is: millions of guest accesses a second down each road, and what compiling costs. CPU time throughout.

    python -m tests.bench.engine [--base NAME] [--rounds N] [--json]

A 64 MiB guest; every machine runs in turn, round after round in one process, and the median round counts: ratios hold even on
a shared computer. Times include generating the work and keeping checkpoints, as in the app. --base NAME of baselines.toml (or
any commit) is built in a git worktree and measured in a second process, its rounds between ours.
"""

import argparse
import contextlib
import dataclasses
import datetime
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = {
    "zipf": {"trace": "", "work": "zipf:12000:0.99"},
    "sqlite": {"trace": "sqlite", "work": ""},
    "uniform": {"trace": "", "work": "uniform:12000"},
    "hot": {"trace": "", "work": "hotcold:12000:40:99"},
}
# Row: its fields. What a core decides is given, so that older baselines, which decided otherwise, run the same machine. gib: a
# guest of 1 GiB, so that its leaf can be one; it may be executed, else the first fetch would split it.
ROADS = {
    "bare": {"road": "bare"},
    "shadow": {"road": "shadow", "oos": 0},
    "oos": {"road": "shadow", "oos": 1},
    "hap": {"road": "hap", "pml": 0},
    "npt": {"road": "hap", "hap": "npt", "core": "zen"},
    "pml": {"road": "hap", "pml": 1},
    "gib": {
        "road": "hap",
        "pml": 0,
        "exec_sp": 1,
        "frames": 262144,
        "superpages": 2,
        "direct_map_pages": "large",
    },
}
# Unknown to older baselines, whose tables never go out of sync, or whose superpages are all executable; without another field
# there is no case.
MAY_LACK = {"oos", "exec_sp"}
CASES = (
    ("bare", 0),
    ("shadow", 0),
    ("shadow", 1),
    ("oos", 0),
    ("oos", 1),
    ("hap", 0),
    ("hap", 1),
    ("npt", 0),
    ("npt", 1),
    ("pml", 1),
    ("gib", 0),
    ("gib", 1),
)  # (row, log-dirty on)
# 64 MiB, and a pool that fits
SIZE = {"frames": 16384, "pool": 512, "quantum": 1_000_000, "write": 30, "order": "", "clean_every": 0}
WARM_UP, TICKS, ROUNDS = 2_000_000, 500_000, 9


# ---- one engine, in a process of its own


def found(*modules):
    """The first of these modules that the engine has: older baselines have theirs at the top of the package."""
    for name in modules:
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(f"pagingviz.{name}")
    raise SystemExit(f"This engine has none of {', '.join(modules)}.")


def compiler():
    """Compile every kernel, or load it, and print the CPU seconds of this process."""
    found("timeline.warm", "warm").warm()
    print(time.process_time())


def worker():
    """For every line on stdin run one round; print {case: [CPU seconds, ticks, guest accesses]} as one line of JSON."""
    scenario_module, Simulation = found("scenario.scenario", "scenario"), found("timeline.simulation", "simulation").Simulation
    ScenarioError, load = scenario_module.ScenarioError, scenario_module.load
    machines, names = {}, {field.name for field in dataclasses.fields(load("blackboard"))}
    for work, fields in WORK.items():
        for road, log in CASES:
            if ROADS[road].keys() - MAY_LACK - names:
                continue
            known = {key: value for key, value in ROADS[road].items() if key in names}
            with contextlib.suppress(ScenarioError):  # an engine that cannot do it has no such case
                scenario = load("blackboard").replace(**SIZE | fields | known, do="enable@0" if log else "")
                machines[f"{work} {road} {log}"] = Simulation(scenario)
    for machine in machines.values():
        machine.run(WARM_UP)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps({case: one_round(machine) for case, machine in machines.items()}), flush=True)


def one_round(machine):
    before, began = machine.counters(), time.process_time()
    machine.run(TICKS)
    seconds, after = time.process_time() - began, machine.counters()
    assert not machine.crashed
    names = ("fetches", "reads", "writes", "merged_fetch", "merged_read", "merged_write")
    return seconds, TICKS, sum(after[name] - before[name] for name in names)


class Engine:
    """The engine of the checkout `tree`, started in a process of its own."""

    def __init__(self, tree):
        self.tree, self.rounds = tree, []
        command = [sys.executable, __file__, "--worker"]
        self.process = subprocess.Popen(
            command, cwd=tree, env=environment(tree), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._line()

    def _line(self):
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"The engine in {self.tree} could not be measured (see above).")
        return line

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.rounds.append(json.loads(self._line()))

    def medians(self):
        """{case: (median M accesses/s, median M ticks/s)}."""
        return {
            case: tuple(statistics.median(r[case][k] / r[case][0] / 1e6 for r in self.rounds) for k in (2, 1))
            for case in self.rounds[0]
        }

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def environment(tree, **more):
    return os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"} | more


def compile_seconds(tree):
    """(cold, warm): CPU seconds of a new process until every kernel is ready, with an empty cache and with a filled one."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, "--compile"]
        runs = [
            subprocess.run(
                command, cwd=tree, env=environment(tree, NUMBA_CACHE_DIR=cache), capture_output=True, text=True, check=True
            )
            for _ in range(2)
        ]
    return tuple(float(run.stdout) for run in runs)


# ---- the baseline


def git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def commit_of(name):
    """The commit of a baseline by name, or of anything git understands."""
    known = tomllib.loads((ROOT / "tests/bench/baselines.toml").read_text())
    revision = known.get(name, {"commit": name})["commit"]
    if not revision:
        raise SystemExit(f"tests/bench/baselines.toml names no commit for {name} yet.")
    try:
        return git("rev-parse", "--verify", f"{revision}^{{commit}}")
    except subprocess.CalledProcessError:
        raise SystemExit(f"{name} is neither in tests/bench/baselines.toml ({', '.join(known)}) nor a commit.") from None


# ---- the report


def machine():
    """One line: processor, cores, versions, load."""
    import numba
    import numpy

    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine())
    load = os.getloadavg()[0]
    busy = "" if load < 0.5 else "; BUSY, figures for the record need a quiet machine"
    versions = f"Python {platform.python_version()}, numpy {numpy.__version__}, numba {numba.__version__}"
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, {versions}; load {load:.1f}{busy}"


def _cpuinfo():
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def measure(trees, rounds):
    """{name: {"cases": medians, "compile": (cold, warm)}} of every checkout, rounds interleaved."""
    compiled = {name: compile_seconds(tree) for name, tree in trees.items()}
    engines = {name: Engine(tree) for name, tree in trees.items()}
    for _ in range(rounds):
        for engine in engines.values():
            engine.round()
    for engine in engines.values():
        engine.close()
    return {name: {"cases": engine.medians(), "compile": compiled[name]} for name, engine in engines.items()}


def table(result, base=None):
    head = f"{'work':8}{'road':8}{'log-dirty':11}{'M accesses/s':>13}{'M ticks/s':>11}{'to bare':>9}"
    lines = [head + (f"{'to base':>9}" if base else "")]
    for case, (accesses, ticks) in result["cases"].items():
        work, road, log = case.split()
        bare = result["cases"][f"{work} bare 0"][0]
        line = f"{work:8}{road:8}{'on' if log == '1' else 'off':11}{accesses:13.1f}{ticks:11.1f}{accesses / bare:9.2f}"
        known = base["cases"].get(case) if base else None
        lines.append(line + (f"{accesses / known[0]:9.2f}" if known else f"{'-':>9}" if base else ""))
    cold, warm = result["compile"]
    lines.append(f"compiling every kernel: {cold:.1f} s CPU with an empty cache, {warm:.1f} s loading it")
    if base:
        lines.append("base: {:.1f} s, {:.1f} s".format(*base["compile"]))
    for size, cost in result["large"].items():
        operations = f"ENABLE {cost['enable']:.2f} ms, CLEAN {cost['clean']:.2f} ms"
        lines.append(f"{size}: open {cost['open'] / 1000:.2f} s, {operations}, a step with its four maps {cost['step']:.1f} ms")
    return "\n".join(lines)


def large():
    """What large.py measures."""
    command = [sys.executable, "-m", "tests.bench.large"]
    done = subprocess.run(command, cwd=ROOT, env=environment(ROOT), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", help="name in tests/bench/baselines.toml, or a commit")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--compile", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker()
    if options.compile:
        return compiler()
    head = f"{git('rev-parse', '--short', 'HEAD')}{' with changes' if git('status', '--porcelain') else ''}"
    print(f"{datetime.date.today()}, commit {head}, {machine()}", file=sys.stderr if options.json else sys.stdout)
    trees = {"now": ROOT}
    with tempfile.TemporaryDirectory() as folder:
        if options.base:
            trees["base"] = Path(folder) / "base"
            git("worktree", "add", "--detach", trees["base"], commit_of(options.base))
        try:
            results = measure(trees, options.rounds)
            results["now"]["large"] = large()
        finally:
            if options.base:
                git("worktree", "remove", "--force", trees["base"])
    print(json.dumps(results, indent=1) if options.json else table(results["now"], results.get("base")))


if __name__ == "__main__":
    main()
