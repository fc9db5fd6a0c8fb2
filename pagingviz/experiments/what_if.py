"""One rule broken on purpose, beside the true machine: who notices it first, at which tick, on which page; and a film of both.

Both machines run in a process of their own in which kernels are plain Python, because compiled ones cannot be replaced. Its
end of the talk is `main`: a line with the name of a rule comes in; lines of JSON go out, first how far it is, then the film.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import warnings
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

import numpy as np

from pagingviz.boards.board import Board, Plan
from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.boards.registry import REGISTRY, make_plan
from pagingviz.boards.scene import Scene
from pagingviz.experiments.breaking import broken
from pagingviz.experiments.broken_rules import BROKEN_RULES, BrokenRule
from pagingviz.experiments.noticed import Wrong, noticed
from pagingviz.timeline import own_process
from pagingviz.timeline.simulation import Simulation

MOST = 1000  # ticks in which a broken rule must have shown
BEFORE, AFTER = 30, 10  # ticks of the film before and after the first one at which something is wrong
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Film:
    """The two machines around the moment at which a broken rule is noticed.

    rule: its name; wrong: what is noticed first; first: the tick of the first frame, the others follow one by one; told: for
    each frame the sentences of the true and of the broken machine; captions: the same of their boards; lit: at the tick
    `wrong.tick` the cells of the true machine's board, and of the broken one's, that stand for the frames `wrong.gfns`; grids:
    cell words, uint16[frames, 2, height, width]; digest: of the true machine at that tick; audit: what its audit says there.
    """

    rule: str
    wrong: Wrong
    first: int
    told: list[list[str]]
    captions: list[list[str]]
    lit: list[list[int]]
    grids: np.ndarray
    digest: str
    audit: str

    @property
    def last(self) -> int:
        """The tick of the last frame."""
        return self.first + len(self.told) - 1

    def wire(self) -> dict[str, Any]:
        """The film as plain data for JSON."""
        packed = base64.b64encode(zlib.compress(self.grids.astype("<u2").tobytes())).decode()
        return asdict(self) | {"grids": packed, "shape": self.grids.shape}

    @classmethod
    def of_wire(cls, data: dict[str, Any]) -> Film:
        """Inverse of `wire`."""
        raw = zlib.decompress(base64.b64decode(data["grids"]))
        grids = np.frombuffer(raw, "<u2").reshape(data.pop("shape"))
        return cls(**data | {"wrong": Wrong(**data["wrong"]), "grids": grids})


class Pair:
    """The two machines of a rule: `true`, and `wrong`, on which it is broken. Both are at the same tick."""

    def __init__(self, rule: BrokenRule) -> None:
        self.rule = rule
        self.true = self._machine()
        with self.broken():
            self.wrong = self._machine()

    def _machine(self) -> Simulation:
        return Simulation(self.rule.scenario, migration=self.rule.migration)

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        """Meanwhile the rule is broken."""
        with contextlib.ExitStack() as stack:
            for way in self.rule.ways:
                stack.enter_context(broken(*way))
            yield

    def seek(self, tick: int) -> None:
        """Bring both to a tick."""
        self.true.seek(tick)
        with self.broken():
            self.wrong.seek(tick)

    def step(self) -> None:
        """One tick on both."""
        self.true.run(1)
        with self.broken():
            self.wrong.run(1)

    def _boards(self) -> Iterator[tuple[Scene, Plan, Board]]:
        """Scene, plan and board of the present moment of the true machine, then of the broken one."""
        for sim in (self.true, self.wrong):
            plan = make_plan(self.rule.board, sim.scenario, sim.work)
            yield MigrationScene(sim) if sim.migration else Scene(sim), plan, REGISTRY[plan.id]

    def frame(self) -> tuple[list[str], list[str], list[np.ndarray]]:
        """(told, captions, grids) of the present tick, as in Film: the grids are uint16[height, width], one of each machine."""
        found = [
            (scene.sentence()[0], board.caption(scene, plan), board.cells(scene, plan)) for scene, plan, board in self._boards()
        ]
        told, captions, grids = (list(part) for part in zip(*found, strict=True))
        return told, captions, grids

    def lit(self, gfns: list[int]) -> list[list[int]]:
        """The cells of both boards that stand for these frames at the present tick, ascending."""
        return [
            sorted({int(cell) for gfn in gfns for cell in board.lit(scene, plan, gfn)}) for scene, plan, board in self._boards()
        ]


def work_out(name: str, progress: Progress) -> Film:
    """The film of a rule. Kernels must be plain Python. Raises LookupError when nobody notices it in MOST ticks."""
    pair = Pair(BROKEN_RULES[name])
    for tick in range(1, MOST + 1):
        pair.step()
        wrong = noticed(pair.true, pair.wrong)
        if wrong:
            break
        if tick % 50 == 0:
            progress(tick, MOST)
    else:
        raise LookupError(f"Nobody has noticed in {MOST} ticks that the rule {name} is broken.")
    digest, audit, lit = pair.true.machine.digest(), pair.true.audit(), pair.lit(wrong.gfns)
    first = max(0, tick - BEFORE)
    frames = []
    for shown in range(first, tick + AFTER + 1):
        pair.seek(shown)
        frames.append(pair.frame())
    told, captions, grids = zip(*frames, strict=True)
    return Film(name, wrong, first, list(told), list(captions), lit, np.array(grids, np.uint16), digest, audit)


# ---- the process, seen from both ends


def films(names: list[str], progress: Progress = lambda done, of: None) -> Generator[Film, None, None]:
    """The films of rules, one after the other, worked out by one process with plain kernels. RuntimeError when it fails."""
    with own_process.start(__name__, PAGINGVIZ_PLAIN="1") as process:
        assert process.stdin and process.stdout
        try:
            for name in names:
                process.stdin.write(name + "\n")
                process.stdin.flush()
                yield _heard(process.stdout, progress)
            process.stdin.close()
        finally:
            process.kill()


def _heard(lines: IO[str], progress: Progress) -> Film:
    """Listen until a film is there."""
    for line in lines:
        said = json.loads(line)
        if "wrong" in said:
            return Film.of_wire(said)
        progress(said["done"], said["of"])
    raise RuntimeError("the process of the two machines has ended before its work was done")


def film(name: str, progress: Progress = lambda done, of: None) -> Film:
    """The film of one rule. Raises as `films`."""
    with contextlib.closing(films([name], progress)) as one:
        return next(one)


def main() -> None:
    """Work out the films of the rules that are named on the input, line by line, until it ends."""
    warnings.simplefilter("ignore", RuntimeWarning)  # plain words of numpy warn where they wrap, as the engine's words shall

    def told(done: int, of: int) -> None:
        print(json.dumps({"done": done, "of": of}), flush=True)

    for line in sys.stdin:
        print(json.dumps(work_out(line.strip(), told).wire()), flush=True)


if __name__ == "__main__":
    main()
