"""What a board in the browser asks (ui/board.py lists the asks), taken as what came from a browser: not to be trusted."""

from __future__ import annotations

from typing import Any

from pagingviz.player.message import KINDS, MOST_FPS
from pagingviz.player.speed import FPS
from pagingviz.scenario.fields import MAX_TICK
from pagingviz.story.kinds import EVENT_KINDS

LABELS = dict(EVENT_KINDS)


class Listener:
    """What every ask carries along: its number, the pace that the viewer wants, and the kind of event that is looked for."""

    def __init__(self, per_frame: int) -> None:
        self.seq = 0
        self.kind, self.fps, self.per_frame = KINDS[0][0], FPS, per_frame

    def listen(self, ask: dict[str, Any]) -> str:
        """Take over what an ask carries; returns its command."""
        self.seq = number(ask.get("seq"), 0, 2**53, self.seq)
        self.fps = number(ask.get("fps"), 1, MOST_FPS, self.fps)
        self.per_frame = number(ask.get("per_frame"), 1, 10**6, self.per_frame)
        self.kind = ask["kind"] if str(ask.get("kind")) in LABELS else self.kind
        return str(ask.get("cmd", ""))


def way(cmd: str, n: int, here: int, furthest: int) -> int:
    """The tick to which a command leads: home, end, seek (to n), step (by n); for any other the tick where the board is."""
    return min(max({"home": 0, "end": furthest, "seek": n, "step": here + n}.get(cmd, here), 0), MAX_TICK)


def inspected(ask: dict | None) -> tuple[str, int] | None:
    """(board, cell) under inspection, or None."""
    if not ask or ask.get("board") is None or ask.get("cell") is None:
        return None
    return str(ask["board"]), number(ask["cell"], -1, 2**31, -1)


def number(value: object, low: int, high: int, default: int) -> int:
    """A whole number that came from a browser, brought into its bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return default
    return int(min(max(value, low), high))
