"""Cards before the engine is compiled: the engine as plain Python, in a process of its own, at a tick of a recorded stretch.

Both ends are here. The server asks with lines of JSON and gets lines of JSON, one for each ask, in order. Plain kernels do
a few hundred ticks a second: enough for the card of a cell that somebody clicks.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from pagingviz.timeline.own_process import start


@dataclass(frozen=True)
class Wanted:
    """Which card: of a cell of a board, at a tick of a shipped scenario, on a page with these boards."""

    scenario: str
    tick: int
    boards: tuple[str, ...]
    board: str
    cell: int


class Cards:
    """The server's end. The process starts with the first ask and ends with `close`, or when the server ends."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._line = ThreadPoolExecutor(1, "cards")  # asks wait for each other here, not in a page
        self._lock = threading.Lock()

    def prepare(self, scenario: str, tick: int, boards: tuple[str, ...]) -> Future[dict[str, Any] | None]:
        """Bring the process to a tick that is on the screen, so that the first card is near."""
        return self.ask(Wanted(scenario, tick, boards, boards[0], -1))

    def ask(self, wanted: Wanted) -> Future[dict[str, Any] | None]:
        """The card as the board gets it (boards.board.Card.wire), None where there is none. Fails when the process does."""
        return self._line.submit(self._exchange, wanted)

    def close(self) -> None:
        """End the process; a later ask starts another one."""
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()

    def _exchange(self, wanted: Wanted) -> dict[str, Any] | None:
        with self._lock:
            process = self._process = self._process or start(__name__, PAGINGVIZ_PLAIN="1")
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(asdict(wanted)) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        except (OSError, ValueError):  # it has died
            self.close()
            raise


def answers(asks: TextIO) -> Iterator[str]:
    """The process's end: for each line of asks the line with its card. One machine is kept, the one asked for last."""
    from pagingviz.boards.registry import card
    from pagingviz.player.early.replay import SCENES, subject_of, thaw
    from pagingviz.player.message import plain
    from pagingviz.player.player import Player
    from pagingviz.scenario.scenario import load

    name, player = "", None
    for line in asks:
        wanted = Wanted(**json.loads(line))
        if player is None or wanted.scenario != name:
            name, player = wanted.scenario, Player(thaw(load(wanted.scenario)))
        player.sim.seek(wanted.tick)
        boards = tuple(wanted.boards)
        plans = player.plans(boards, "round")
        scene = SCENES[subject_of(boards)](player.sim)
        found = card(scene, plans, plans[boards.index(wanted.board)], wanted.cell)
        yield json.dumps(plain(found.wire()) if found else None)


def main() -> None:
    """Answer until the server closes its end."""
    warnings.simplefilter("ignore", RuntimeWarning)  # plain words of numpy warn where they wrap, as the engine's words shall
    with contextlib.suppress(BrokenPipeError):
        for line in answers(sys.stdin):
            print(line, flush=True)


if __name__ == "__main__":
    main()
