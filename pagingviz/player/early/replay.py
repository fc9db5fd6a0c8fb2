"""A replay: a recorded stretch of a shipped scenario, to be played while the engine is not compiled yet.

recordings/SCENARIO.SUBJECT.board is one message of the live board (boards/payload.py), deflated: what a browser can inflate
and read without help. Its header has a record for each tick of the stretch, as every message has for each of its frames; a
record here also has what a board that stands still is told: "alts" and "marks". The grids are those of a machine that runs,
without outlines of what has changed.

recordings/SCENARIO.state is the whole machine at the first tick of the stretch: Simulation.freeze as a .npz, packed with
LZMA. A scenario with a migration has none, because its stretch begins so early that it can be run from tick 0.
"""

from __future__ import annotations

import functools
import io
import lzma
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.boards.payload import encode, read
from pagingviz.boards.registry import HOME, MIGRATION, REGISTRY
from pagingviz.boards.scene import Scene
from pagingviz.player.message import Display, board_record, header
from pagingviz.player.player import Player
from pagingviz.reading.marks import marks
from pagingviz.scenario.scenario import Scenario, load, names
from pagingviz.timeline.simulation import Simulation

BEFORE, AFTER = 100, 500  # ticks that can be shown before and after the scenario's start
FOLDER = Path(__file__).with_name("recordings")
MACHINE, MIGRATES = "machine", "migration"  # subjects: what a recording shows
BOARDS: dict[str, tuple[str, ...]] = {MACHINE: (*HOME, "nested-tables"), MIGRATES: MIGRATION}
SCENES: dict[str, Callable[[Simulation], Scene]] = {MACHINE: Scene, MIGRATES: MigrationScene}

Grids = list[np.ndarray]  # of one frame, by board: cell words, uint16[h, w]


def subjects(scenario: Scenario) -> tuple[str, ...]:
    """What is recorded of a scenario."""
    return (MACHINE,) if scenario.migrate == "no" else (MACHINE, MIGRATES)


def subject_of(boards: tuple[str, ...]) -> str:
    """The subject whose recordings have all these boards. Raises StopIteration when none has."""
    return next(subject for subject, recorded in BOARDS.items() if set(boards) <= set(recorded))


def stretch(scenario: Scenario) -> range:
    """The recorded ticks. Beside tick 0 the first is there only so that the next one knows what has changed since."""
    return range(max(0, scenario.start - BEFORE - 1), scenario.start + AFTER + 1)


def record(scenario: Scenario, subject: str, ticks: Iterable[int] | None = None) -> bytes:
    """Run the engine over the stretch of a scenario, and write down what the live board would be sent: the message.

    ticks: the ticks of the stretch that are written down, ascending; None: all.
    """
    player = Player(Simulation(scenario))
    display = Display("", BOARDS[subject], scene=SCENES[subject])
    plans = player.plans(display.boards, display.bits)
    records: list[dict[str, Any]] = []
    frames: list[Grids] = []
    for tick in stretch(scenario) if ticks is None else ticks:
        player.sim.seek(tick)
        scene = display.scene(player.sim)
        shown, grids = player.frame(display)
        shown["alts"] = [REGISTRY[plan.id].alt(scene, plan) for plan in plans]
        shown["marks"] = marks(player.sim)
        records.append(shown)
        frames.append(grids)
    boards = [board_record(plan) for plan in plans]
    return encode(header(display, 0, machine=scenario.name, boards=boards, frames=records), frames)


def freeze(scenario: Scenario) -> bytes:
    """The machine at the first tick of the stretch, as `thaw` takes it."""
    sim, file = Simulation(scenario), io.BytesIO()
    sim.run(stretch(scenario).start)  # not seek: its record of the last tick would be longer than of the others
    np.savez(file, **sim.freeze())  # type: ignore[arg-type]  # a name may not be allow_pickle
    return lzma.compress(file.getvalue())


def thaw(scenario: Scenario) -> Simulation:
    """The machine of a shipped scenario at the first tick of its stretch, or at tick 0 where that is not recorded."""
    sim, path = Simulation(scenario), FOLDER / f"{scenario.name}.state"
    if path.exists():
        with np.load(io.BytesIO(lzma.decompress(path.read_bytes()))) as frozen:
            sim.thaw(frozen)
    return sim


class Replay:
    """The recorded stretch of one scenario and subject. `first`, `last`: ticks that can be shown."""

    def __init__(self, message: bytes) -> None:
        self.header, self._key, self._changes = read(message)
        self.records: list[dict[str, Any]] = self.header.pop("frames")
        self._from = int(self.records[0]["tick"])
        self.first, self.last = self._from + (self._from > 0), int(self.records[-1]["tick"])
        self.ids = [board["id"] for board in self.header["boards"]]
        self._at, self._grids = 0, [grid.copy() for grid in self._key]

    def record(self, tick: int) -> dict[str, Any]:
        """What is recorded of a tick beside its grids; first - 1 <= tick <= last."""
        return self.records[tick - self._from]

    def grids(self, tick: int) -> Grids:
        """Copies of the grids of a tick, by board as in `ids`; first - 1 <= tick <= last."""
        wanted = tick - self._from
        if wanted < self._at:
            self._at, self._grids = 0, [grid.copy() for grid in self._key]
        for changes in self._changes[self._at : wanted]:
            for grid, (index, value) in zip(self._grids, changes, strict=True):
                grid.flat[index] = value
        self._at = wanted
        return [grid.copy() for grid in self._grids]


@functools.lru_cache(maxsize=8)
def _message(name: str, subject: str) -> bytes:
    return zlib.decompress((FOLDER / f"{name}.{subject}.board").read_bytes())


def find(scenario: Scenario, display: Display) -> Replay | None:
    """The replay that has all boards of a display; None when nothing is recorded of just this scenario or view."""
    if scenario.name not in names() or scenario != load(scenario.name) or display.bits != "round":
        return None
    for subject in subjects(scenario):
        if set(display.boards) <= set(BOARDS[subject]):
            return Replay(_message(scenario.name, subject))
    return None


def write_all() -> None:
    """Record every shipped scenario anew."""
    FOLDER.mkdir(exist_ok=True)
    for old in [*FOLDER.glob("*.board"), *FOLDER.glob("*.state")]:
        old.unlink()
    for name in names():
        scenario = load(name)
        for subject in subjects(scenario):
            (FOLDER / f"{name}.{subject}.board").write_bytes(zlib.compress(record(scenario, subject), 9))
        if scenario.migrate == "no":
            (FOLDER / f"{name}.state").write_bytes(freeze(scenario))
        print(name, flush=True)


if __name__ == "__main__":
    write_all()
