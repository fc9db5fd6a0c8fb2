"""Plays the film of a broken rule: the true machine and the broken one side by side, tick by tick, as one board's two maps.

It answers the asks that the machine's player answers (ui/board.py lists them), but knows the ticks of the film alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pagingviz.boards.board import Card, Plan
from pagingviz.boards.in_words import alternative, by_fill, state_by_letter
from pagingviz.boards.payload import encode
from pagingviz.boards.registry import make_plan
from pagingviz.experiments.broken_rules import BROKEN_RULES
from pagingviz.experiments.what_if import Film
from pagingviz.player.asks import Listener, inspected, number, way
from pagingviz.player.message import MOST_FRAMES, Display, board_record, header, words
from pagingviz.player.player import outlined
from pagingviz.scenario.fields import MAX_TICK
from pagingviz.work.programs import Programs

TRUE, BROKEN = SIDES = ("true machine", "broken machine")
MARK = "wrong"  # kind of the one mark on the scrubber
KINDS = [[MARK, "the first wrong tick"]]  # what N and P lead to

Frame = tuple[dict[str, Any], list[np.ndarray]]


class FilmPlayer(Listener):
    """Plays one film. It stands at first where the broken rule is noticed. tick: on the screen."""

    def __init__(self, film: Film) -> None:
        super().__init__(per_frame=1)
        self.film, self.tick, self.playing = film, film.wrong.tick, False
        self.note = ""  # shown once instead of the sentence
        rule = BROKEN_RULES[film.rule]
        plan = make_plan(rule.board, rule.scenario, Programs(rule.scenario))
        wide = plan.width > 2 * plan.height  # then the cells are larger one below the other
        self.changes = rule.scenario.migrate == "no"  # an outline on a migration's maps means something else
        self.plans: list[Plan] = [
            dataclasses.replace(plan, id=f"{plan.id}-{k}", title=f"{plan.title}, {side}", column=0 if wide else k)
            for k, side in enumerate(SIDES)
        ]

    def answer(self, ask: dict[str, Any] | None, display: Display) -> bytes:
        """The message for `ask` (None: a page that is drawn anew), as from Player.answer."""
        cell, ask = inspected(ask), ask or {}
        cmd = self.listen(ask)
        if cmd == "run":
            return self._message(display, self._batch(ask), cell)
        if cmd == "poll" and self.playing:
            return self._message(display, [], cell)
        if cmd not in ("", "poll", "kind", "speed", "inspect"):
            self.playing = False
            self._set_out(cmd, ask)
        return self._message(display, [self._still()], cell)

    def _set_out(self, cmd: str, ask: dict[str, Any]) -> None:
        """Go where an ask means, within the film."""
        if cmd == "micro":
            self.note = "This film has whole ticks alone: what is inside a tick can be seen on your own machine."
        here = number(ask.get("tick"), 0, MAX_TICK, self.tick)
        target = way(cmd, number(ask.get("n"), -MAX_TICK, MAX_TICK, 1), here, self.film.last)
        self._go(self.film.wrong.tick if cmd in ("next", "prev") else target)

    def _go(self, tick: int) -> None:
        self.tick = min(max(tick, self.film.first), self.film.last)

    # ---- pictures

    def _batch(self, ask: dict[str, Any]) -> list[Frame]:
        """The next frames of a run, which ends with the film."""
        self.playing = True
        self._go(number(ask.get("from"), 0, MAX_TICK, self.tick))
        frames = []
        for _ in range(number(ask.get("frames"), 1, MOST_FRAMES, self.fps)):
            self._go(self.tick + self.per_frame)
            frames.append(self._frame(self.tick))
            if self.tick == self.film.last:
                self.playing = False
                break
        return frames

    def _frame(self, tick: int) -> Frame:
        """(record, grids) of a tick."""
        film, k = self.film, tick - self.film.first
        record = {
            "tick": tick,
            "sentence": self._sentence(tick),
            "source": BROKEN_RULES[film.rule].source if tick == film.wrong.tick else "",
            "status": [],
            "captions": film.captions[k],
            "more": {},
        }
        return record, list(film.grids[k])

    def _sentence(self, tick: int) -> str:
        """What happens at a tick on both machines; at the first wrong one, what is wrong."""
        film = self.film
        true, broken = film.told[tick - film.first]
        if tick == film.wrong.tick:
            return film.wrong.text
        return f"On both machines: {true}" if true == broken else f"True: {true} Broken: {broken}"

    def _still(self) -> Frame:
        """The frame of the present tick, with what has changed since the tick before outlined."""
        record, grids = self._frame(self.tick)
        if self.note:
            record |= {"sentence": self.note, "source": ""}
            self.note = ""
        before = self._frame(max(self.tick - 1, self.film.first))[1]
        return record, outlined(grids, before) if self.changes else grids

    def _card(self, cell: tuple[str, int] | None) -> dict[str, Any] | None:
        """What a cell is on both machines."""
        ids = [plan.id for plan in self.plans]
        plan = self.plans[0]
        if cell is None or cell[0] not in ids or not 0 <= cell[1] < plan.width * plan.height:
            return None
        at, state = cell[1], state_by_letter(plan)
        grids = self.film.grids[self.tick - self.film.first]
        rows = [(side, state(int(grid.flat[at]))) for side, grid in zip(SIDES, grids, strict=True)]
        return Card("The same cell on both machines", [], rows, "", lit={board: [at] for board in ids}).wire()

    def _lit(self, card: dict[str, Any] | None) -> dict[str, list[int]]:
        """The cells that are outlined: those of the card, else from the first wrong tick on those of the wrong page."""
        if card or self.tick < self.film.wrong.tick:
            return card["lit"] if card else {}
        return {plan.id: cells for plan, cells in zip(self.plans, self.film.lit, strict=True)}

    def _alt(self, side: int) -> str:
        """The alternative text of one map."""
        k = self.tick - self.film.first
        return alternative(self.tick, self.plans[side], by_fill(self.film.grids[k][side]), self.film.captions[k][side])

    def _message(self, display: Display, frames: list[Frame], cell: tuple[str, int] | None) -> bytes:
        still, film = bool(frames) and not self.playing, self.film
        boards = [board_record(plan, self._alt(k) if still else "") for k, plan in enumerate(self.plans)]
        card = self._card(cell) if frames else None
        known = header(
            display,
            self.seq,
            machine=f"what-if {film.rule}",
            playing=self.playing,
            fps=self.fps,
            per_frame=self.per_frame,
            furthest=film.last,
            marks=[[film.wrong.tick, MARK]],
            boards=boards,
            **(words(boards, frames[-1][0], card, self.kind) if still else {}),
            frames=[record for record, _ in frames],
            inspect=card,
            lit=self._lit(card),
            now=f"what-if {film.rule} {self.tick}",
        )
        return encode(known | {"kinds": KINDS, "kind": MARK}, [grids for _, grids in frames])
