"""The player before the engine is compiled: answers a board with a replay, and keeps for the machine what only that can do."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np

from pagingviz.boards.board import Card
from pagingviz.boards.payload import encode
from pagingviz.player.asks import Listener, inspected, number, way
from pagingviz.player.early.cards import Cards, Wanted
from pagingviz.player.early.replay import Replay, find
from pagingviz.player.message import MOST_FRAMES, Display, compiling, header, words
from pagingviz.player.player import Player, outlined
from pagingviz.player.speed import ticks_a_frame
from pagingviz.scenario.fields import MAX_TICK
from pagingviz.scenario.scenario import Scenario
from pagingviz.timeline import warm

CARD_MS, LOOK_MS = 300, 1000  # until the board asks again: for a card, and whether the machine is there
MACHINE_ONLY = ("micro", "next", "prev", "why")  # commands that a recording cannot follow

SOON = Card("One moment", [], [], "This card is being worked out, slowly as long as the simulator is not compiled.").wire()
CARDS = Cards()  # one a server


class EarlyPlayer(Listener):
    """Plays what is recorded of a shipped scenario. `machine` names it, as Player.machine does.

    tick: on the screen; furthest: reached so far; waits: the ask that needs the machine, or None.
    """

    def __init__(self, scenario: Scenario, tick: int, machine: str, cards: Cards = CARDS) -> None:
        super().__init__(ticks_a_frame(scenario))
        self.scenario, self.machine, self.cards = scenario, machine, cards
        self.tick = self.furthest = tick
        self.playing = False
        self.waits: dict[str, Any] | None = None
        self._replays: dict[tuple, Replay | None] = {}
        self._asked: Wanted | None = None
        self._card: Future[dict[str, Any] | None] | None = None

    def answer(self, ask: dict | None, display: Display) -> bytes:
        """The message for `ask` (None: a page that is drawn anew), as from Player.answer."""
        cell, ask = inspected(ask), ask or {}
        cmd = self.listen(ask)
        replay = self._replay(display)
        if replay is None or not replay.first <= self.tick <= replay.last:
            return compiling(self.scenario, display, warm.progress(), self.seq)
        if cmd == "poll" and self._asked is None and self._card is None:  # the picture stands: now there is time for more
            self._card = self.cards.prepare(self.scenario.name, self.tick, display.boards)
        if cmd == "run":
            return self._batch(ask, display, replay)
        self._set_out(cmd, ask, replay)
        if self.waits:
            return self._wait(display, replay)
        if cmd == "poll" and self.playing:  # the frames that it has are still to be seen
            return self._message(display, replay, [])
        return self._message(display, replay, [self._still(display, replay)], cell=cell, card=self._look_up(display, cell))

    def hand_over(self, player: Player) -> bool:
        """Bring the machine's player to where this one stands; True when it can go on from there, with what waits."""
        if player.proceed():
            return False
        if player.sim.furthest < self.furthest or player.sim.tick != self.tick:
            player.go(self.tick if player.sim.furthest >= self.furthest else self.furthest)
            return False
        player.seq, player.kind, player.fps, player.per_frame = self.seq, self.kind, self.fps, self.per_frame
        player.playing = self.playing
        self.cards.close()
        return True

    # ---- where to go

    def _replay(self, display: Display) -> Replay | None:
        key = display.boards, display.bits
        if key not in self._replays:
            self._replays[key] = find(self.scenario, display)
        return self._replays[key]

    def _set_out(self, cmd: str, ask: dict[str, Any], replay: Replay) -> None:
        """Go where an ask means, or keep the ask for the machine."""
        if cmd in ("", "poll", "kind", "speed", "inspect"):
            return
        self.playing, self.waits = False, None
        here = number(ask.get("tick"), 0, MAX_TICK, self.tick)
        target = way(cmd, number(ask.get("n"), -MAX_TICK, MAX_TICK, 1), here, self.furthest)
        if cmd in MACHINE_ONLY or not replay.first <= target <= replay.last:
            self.waits = ask
        else:
            self._go(target)

    def _go(self, tick: int) -> None:
        self.tick, self.furthest = tick, max(self.furthest, tick)

    # ---- pictures

    def _batch(self, ask: dict[str, Any], display: Display, replay: Replay) -> bytes:
        """The next frames of a run; at the end of the recording the run waits for the machine."""
        self.playing, self.waits = True, None
        self._go(min(max(number(ask.get("from"), 0, MAX_TICK, self.tick), replay.first), replay.last))
        if self.tick + self.per_frame > replay.last:
            self.waits = ask
            return self._wait(display, replay)
        frames = []
        for _ in range(number(ask.get("frames"), 1, MOST_FRAMES, self.fps)):
            if self.tick + self.per_frame > replay.last:
                break
            self._go(self.tick + self.per_frame)
            frames.append(self._frame(display, replay, self.tick))
        return self._message(display, replay, frames, cell=inspected(ask))

    def _picked(self, display: Display, replay: Replay) -> list[int]:
        """Which of the recorded boards a display has."""
        return [replay.ids.index(board) for board in display.boards]

    def _frame(self, display: Display, replay: Replay, tick: int) -> tuple[dict[str, Any], list[np.ndarray]]:
        """(record, grids) of a tick, as Player.frame makes them."""
        boards, record, grids = self._picked(display, replay), dict(replay.record(tick)), replay.grids(tick)
        del record["alts"], record["marks"]
        record["captions"] = [record["captions"][b] for b in boards]
        corners = record["more"].get("corners")
        shown = [corners[b] for b in boards] if corners else []
        record["more"] = {"corners": shown} if any(shown) else {}
        return record, [grids[b] for b in boards]

    def _still(self, display: Display, replay: Replay) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The frame of the present tick, with what has changed since the tick before outlined."""
        record, grids = self._frame(display, replay, self.tick)
        if not display.changes or self.playing or self.tick == 0:
            return record, grids
        before = self._frame(display, replay, self.tick - 1)[1]
        return record, outlined(grids, before)

    def _look_up(self, display: Display, cell: tuple[str, int] | None) -> dict[str, Any] | None:
        """The card of the inspected cell when it is there already; asks for it else."""
        if cell is None or cell[0] not in display.boards:
            return None
        wanted = Wanted(self.scenario.name, self.tick, display.boards, *cell)
        if wanted != self._asked:
            if self._card:
                self._card.cancel()  # nobody waits for it any more
            self._asked, self._card = wanted, self.cards.ask(wanted)
        assert self._card
        if not self._card.done():
            return SOON
        return self._card.result() if not self._card.exception() else None

    def _wait(self, display: Display, replay: Replay) -> bytes:
        """Nothing new on the screen: what is asked for needs the machine."""
        why = f"Only ticks {replay.first:,} to {replay.last:,} are recorded, and this needs the machine. {warm.sentence()}"
        return self._message(display, replay, [], state="seeking", progress=warm.progress(), message=why)

    def _message(
        self,
        display: Display,
        replay: Replay,
        frames: list,
        cell: tuple[str, int] | None = None,
        card: dict[str, Any] | None = None,
        **more: Any,
    ) -> bytes:
        still, here = not self.playing, replay.record(self.tick)
        boards = [replay.header["boards"][b] | {"alt": here["alts"][b] if still else ""} for b in self._picked(display, replay)]
        known = header(
            display,
            self.seq,
            machine=f"{self.machine} {display.bits}",
            playing=self.playing,
            fps=self.fps,
            per_frame=self.per_frame,
            furthest=self.furthest,
            marks=self._marks(replay),
            kind=self.kind,
            boards=boards,
            **(words(boards, frames[-1][0], card, self.kind) if still and frames else {}),
            frames=[record for record, _ in frames],
            inspect=card,
            lit=card["lit"] if card else {},
            now=f"{self.machine} {self.tick} recorded",
            query=display.query(),
            aside=f"You see a recording. {warm.sentence()}",
            again=CARD_MS if card is SOON else LOOK_MS,
        )
        return encode(known | more, [grids for _, grids in frames])

    def _marks(self, replay: Replay) -> list[list]:
        """The scrubber's marks up to the furthest tick; rounds of a migration only as far as the present one."""
        return [mark for mark in replay.record(self.furthest)["marks"] if mark[1] != "round" or mark[0] <= self.tick]
