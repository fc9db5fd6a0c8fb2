"""Recorded pre-copy loops of a real Xen (`save_*.jsonl`, `save_table.txt`), and the same loops on the model.

A small program on libxenguest saved a running domain and wrote down every call of the policy. The name says what the guest did
and how the link was limited: `hap_w1024_5k_l2M` went over 1024 pages, at about 5000 pages a second (as measured with nothing
else to do), at most 2 MB/s; `idle`: only its idle loop. Single rounds went faster than the limit (that one's second: 21 MB/s).

Times are the emulator's, which shares its processors between the guest and the program that saves it, so only their ratio is
used: how many pages the guest goes to while the recorded round lasts. Two things are taken from the recording:

- the guest's rate, one number a run: pages dirtied over the time that it took, of all rounds in which it did not get to every
  page; more, if the rounds in which it did need more; where it always did, what the name says.
- the link's speed, one number a round: pages sent over time. One for all rounds fits no run: it changes 2 to 80 times.

The CLEANs lie somewhere between a question of the policy and the next, so a round is taken to last from answer to answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from pagingviz.arch import operation
from pagingviz.evidence.xen.compare import known_differences
from pagingviz.evidence.xen.guest import FRAMES, SPECIAL, Guest, Row
from pagingviz.evidence.xen.library import FOLDER, text
from pagingviz.evidence.xen.model import RecordedWork, scenario_of
from pagingviz.evidence.xen.pvguest import guest_of
from pagingviz.machine.machine import Machine
from pagingviz.migration import Migration, wire
from pagingviz.migration.effects import BeginRound, Effect
from pagingviz.migration.policy import STOP, Policy, Stats
from pagingviz.migration.state import Saved
from pagingviz.scenario.fields import ScenarioError, one_of, quote
from pagingviz.scenario.scenario import Scenario
from pagingviz.timeline.simulation import Simulation
from pagingviz.work.work import Work

TABLE = "save_table.txt"
P2M_SIZE = {"hap": 1_044_480, "shadow": 1_044_480, "pv": 8191}  # a PVH guest's special pages end there, below 4 GiB
HOLES = {"hap": 1_044_480 - FRAMES - SPECIAL, "shadow": 1_044_480 - FRAMES - SPECIAL, "pv": 2}  # entries without a page
POLICIES = {"w128_120": Policy("numbers", target=20, rounds=8)}  # how the program was asked to stop; else Xen's own policy
NAMES = tuple(sorted(path.stem.removeprefix("save_") for path in FOLDER.glob("save_*.jsonl")))
_IDLE = 100  # rounds of the idle loop in a second: any number does, each stores to the same pages
_FAST = 10**9  # MB/s: all that a page takes is in its overhead
_NAME = re.compile(r"(pv|hap|shadow)_(idle|w(\d+)_(\d+)(k?))_l\w+")


@dataclass(frozen=True)
class Call:
    """A call of the policy: t in ms; what it was told (dirty_count -1: not known yet), and what it said."""

    t: float
    iteration: int
    total_written: int
    dirty_count: int
    decision: str

    @property
    def told(self) -> tuple[int, int, int, str]:
        """As State.calls has it."""
        return self.iteration, self.total_written, self.dirty_count, self.decision


@dataclass(frozen=True)
class Save:
    """One recording. `suspended`: ms; `pages` the guest went to, 0: idle; `commanded`: pages a second."""

    name: str
    road: str
    pages: int
    commanded: int
    calls: tuple[Call, ...]
    suspended: float

    @property
    def policy(self) -> Policy:
        """The one that was asked."""
        return next((policy for part, policy in POLICIES.items() if f"_{part}_" in self.name), Policy("xen"))

    @property
    def sets(self) -> list[int]:
        """Frames of each live round: all, then each dirty_count."""
        return [call.dirty_count for call in self.calls if call.dirty_count >= 0]

    @property
    def lasted(self) -> list[float]:
        """Seconds of each live round."""
        answers = [call.t for call in self.calls if call.dirty_count >= 0]
        end = self.calls[-1].t if self.calls[-1].dirty_count < 0 else self.suspended
        return [(b - a) / 1e3 for a, b in zip(answers, (*answers[1:], end), strict=True)]

    @property
    def stop(self) -> tuple[int, str]:
        """(iteration, rule) that ended the live part."""
        last = self.calls[-1]
        return last.iteration, self.policy.ask(self.stats(last))[1]

    def stats(self, call: Call) -> Stats:
        """What the policy was told in that call."""
        return Stats(call.iteration, call.total_written, call.dirty_count, P2M_SIZE[self.road])

    def full(self, count: int) -> bool:
        """Whether a dirty_count is that of a guest that got to every page."""
        return count == self.pages + always(self.road)

    @property
    def rate(self) -> float:
        """Pages a second that the guest went to (see above)."""
        if not self.pages:
            return _IDLE
        rounds = list(zip(self.sets[1:], self.lasted, strict=False))
        least = max((self.pages / s for n, s in rounds if self.full(n)), default=0.0)
        some = [(n - always(self.road), s) for n, s in rounds if not self.full(n)]
        mean = sum(n for n, _ in some) / sum(s for _, s in some) if some else self.commanded
        return max(mean, least)


@dataclass(frozen=True)
class Line:
    """A line of the table: frames of each live round, iteration and dirty_count of the stop, the stream's bytes and entries."""

    sets: tuple[int, ...]
    iteration: int
    dirty_count: int
    stream_bytes: int
    pfns_sent: int

    @property
    def last(self) -> int:
        """Frames of the round after the suspend."""
        return self.pfns_sent - sum(self.sets)

    def bytes_by(self, road: str) -> int:
        """Bytes of the stream by the format (wire.py)."""
        records = sum(-(-n // wire.BATCH) for n in (*self.sets, self.last))
        return wire.stream_bytes(self.pfns_sent, self.pfns_sent - HOLES[road], records, wire.STATE[road])


# ---- reading


def read_save(name: str, lines: str) -> Save:
    """The recording of that name from its text."""
    given = _NAME.fullmatch(name)
    if not given:
        raise ScenarioError(f"{quote(name)} is not the name of a recorded pre-copy loop, such as hap_w1024_5k_l2M.")
    try:
        events = [json.loads(line) for line in lines.splitlines()]
        calls = tuple(
            Call(float(e["t"]), int(e["iteration"]), int(e["total_written"]), int(e["dirty_count"]), e["decision"])
            for e in events
            if e["ev"] == "policy"
        )
        (suspended,) = (float(e["t"]) for e in events if e["ev"] == "suspend")
    except (ValueError, KeyError, TypeError):
        raise ScenarioError(f"The pre-copy loop {name} must be lines of JSON: calls of the policy, and one suspend.") from None
    if not calls or calls[-1].decision != STOP:
        raise ScenarioError(f"The pre-copy loop {name} has no call of the policy that ends it.")
    road, _, pages, rate, thousands = given.groups()
    return Save(name, road, int(pages or 0), int(rate or 0) * (1000 if thousands else 1), calls, suspended)


def read_table(lines: str) -> dict[str, Line]:
    """The lines of save_table.txt by name of the run."""
    out = {}
    for line in lines.splitlines():
        sets = tuple(int(n) for n in re.findall(r"it\d+:(\d+)@", line))
        stop = re.search(r'stop@it (\d+) dirty (-?\d+) .*"stream_bytes":(\d+),"pfns_sent":(\d+)', line)
        if not sets or not stop:
            raise ScenarioError(f"This is not a line of the table of pre-copy loops: {quote(line)}.")
        out[line.split()[0]] = Line(sets, *(int(n) for n in stop.groups()))
    return out


@cache
def save(name: str) -> Save:
    """The recording of that name; ScenarioError when there is none."""
    if name not in NAMES:
        raise one_of("The pre-copy loop", name, NAMES)
    return read_save(name, text(f"save_{name}.jsonl"))


def always(road: str) -> int:
    """Frames that are dirty whatever the guest does: its stack, and on the hap road the four tables on its way."""
    return save(f"{road}_idle_l0").sets[-1]


# ---- the model


class LoopWork(RecordedWork):
    """The recordings' guest, which does `loop` over and over after its boot."""

    def __init__(self, guest: Guest, loop: Iterable[Row], scenario: Scenario) -> None:
        boot = guest.boot()
        self.boot = len(boot)
        super().__init__(guest, (*boot, *loop), 0, scenario)

    def fill(self, op: np.ndarray, credit: np.ndarray, t0: int) -> None:
        """The operations of tick `t0` and those that follow: `op` and `credit`, uint64[n]; the loop begins again at its end."""
        row = np.arange(t0, t0 + op.size, dtype=np.int64)
        again = self.boot + (row - self.boot) % (len(self.program) - self.boot)
        op[:] = np.where(row < self.boot, row, again).astype(np.uint64) << operation.OP_VPN_SHIFT | operation.RAW
        credit[:] = 0


class RecordedMigration(Migration):
    """A migration over the recorded link. `ticks[k]`: guest operations while one page of live round k goes over it."""

    def __init__(self, machine: Machine, work: Work, recorded: Save, ticks: list[float]) -> None:
        self.ticks = ticks
        super().__init__(machine, work, P2M_SIZE[recorded.road], recorded.policy)

    def apply(self, effect: Effect) -> bool | np.ndarray | None:
        """As Migration.apply, whose answer may be int64[n]; each round has the link of the recorded one."""
        answer = super().apply(effect)
        if isinstance(effect, BeginRound):
            self._take_link()
        return answer

    def restore(self, saved: Saved) -> None:
        """As Migration.restore."""
        super().restore(saved)
        self._take_link()

    def _take_link(self) -> None:
        """The link as it was in the recorded round of the same number; in rounds after the last one as in that."""
        ticks = self.ticks[max(0, min(len(self.state.rounds), len(self.ticks)) - 1)]
        self.link = replace(self.link, bandwidth=_FAST, latency=0, overhead=round(ticks * self.op))


def simulation(recorded: Save) -> Simulation:
    """The model of a recording, at its beginning: the guest boots, and is then saved while it goes on with its work."""
    guest = guest_of("pv64" if recorded.road == "pv" else "hvm64")
    loop = guest.visits(recorded.pages) if recorded.pages else guest.idle()
    scenario = scenario_of({"migrate": "precopy", "tracking": "free"}, recorded.road)
    work = LoopWork(guest, loop, scenario)
    rate = recorded.rate * len(loop) / (recorded.pages or 1)  # operations a second
    frames = [min(n, FRAMES) for n in recorded.sets]
    ticks = [rate * s / n for n, s in zip(frames, recorded.lasted, strict=True)]
    return Simulation(
        scenario.replace(migrate_at=work.boot), work=work, migration=lambda m, w: RecordedMigration(m, w, recorded, ticks)
    )


def moved(recorded: Save) -> Simulation:
    """The same, at the end of the migration."""
    sim = simulation(recorded)
    assert sim.migration
    while not sim.migration.state.ended:
        sim.run(sim.migration.state.next - sim.tick)
    return sim


@dataclass(frozen=True)
class Beside:
    """A recording and the model. rounds: (number, frames recorded, frames of the model; None: no such round); stops:
    (iteration, rule) of both; `why`: the reason of a known difference (differences.toml)."""

    rounds: tuple[tuple[int, int | None, int | None], ...]
    recorded: tuple[int, str]
    model: tuple[int, str]
    why: str


@cache
def side_by_side(name: str) -> Beside:
    """Recorded and modelled live rounds of one run: a second of work."""
    recorded = save(name)
    migration = moved(recorded).migration
    assert migration
    state = migration.state
    model = [r.planned for r in state.rounds if r.kind == "live"]
    both = [recorded.sets, model]
    most = max(map(len, both))
    columns = [[*counts, *[None] * (most - len(counts))] for counts in both]
    line = f"the model stops at iteration {state.iteration}, Xen at {recorded.stop[0]}"
    known = known_differences({f"save_{name}.jsonl"}).get(line, "")
    return Beside(tuple(zip(range(1, most + 1), *columns, strict=True)), recorded.stop, (state.iteration, state.stop), known)
