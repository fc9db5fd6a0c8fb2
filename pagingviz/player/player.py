"""The player: answers what the board asks (ui/board.py lists the asks) with pictures of one Simulation.

Long ways are walked in slices: a job is a generator that works for about SLICE seconds between its yields, each of which is a
Progress. While it lives the answers carry that, and the board asks again. Nothing here knows Streamlit.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import numpy as np

from pagingviz.boards.board import Options, Plan
from pagingviz.boards.cell_words import differ
from pagingviz.boards.palette import CHANGED
from pagingviz.boards.payload import encode
from pagingviz.boards.registry import make_plan
from pagingviz.boards.shadow_pool import largest_pool
from pagingviz.player.asks import LABELS, Listener, inspected, number, way
from pagingviz.player.crowd import CROWD, LEAST_RATE, Crowd
from pagingviz.player.message import MOST_FRAMES, Display, board_record, header, plain, words
from pagingviz.player.shown import Shown, card_of, corners
from pagingviz.player.speed import ticks_a_frame
from pagingviz.player.told import Progress, Told, explained
from pagingviz.reading.marks import marks
from pagingviz.reading.to_come import none_to_come
from pagingviz.scenario.fields import MAX_TICK
from pagingviz.timeline.simulation import Simulation

SLICE = 0.25  # s of work between two words to the viewer
SEARCH = 1_000_000  # ticks that "next event" looks through before it gives up
STRIDE = 200_000  # ticks of the search between two looks at the clock


class Player(Listener):
    """Plays one Simulation. `machine` names it: the board starts afresh when the name changes."""

    def __init__(self, sim: Simulation, machine: str = "1", crowd: Crowd = CROWD):
        super().__init__(ticks_a_frame(sim.scenario))
        self.sim, self.machine, self.crowd = sim, machine, crowd
        self.playing = False
        self.job: Generator[Progress] | None = None
        self.aim: int | None = None  # where a job leads, if that is known
        self.searching_from: int | None = None
        self._reached = sim.reached  # before the search
        self._sought: tuple[int, str] = (-1, "")  # where a search has led, and the kind of event that it was for
        self.note = ""  # shown once instead of the sentence
        self._told: Told | None = None  # the last answer to "why"
        self._planned: tuple | None = None  # what _plans are made for
        self._plans: list[Plan] = []
        self._seen: tuple | None = None  # (tick, opened, boards, grids) last put on the screen
        self._past: tuple | None = None  # the same of the moment before the present one
        self._rate = (0.0, 0)  # since when the visitor has been running, frames sent since

    # ---- where to go

    def go(self, tick: int) -> None:
        """Set out for `tick`; the next answers walk the way."""
        self.aim = min(max(tick, 0), MAX_TICK)
        self.job = self._walk(self.aim)

    def look_for(self, kind: str) -> None:
        """Set out for the next event of a kind, which is the board's kind from then on."""
        self.kind = kind
        self._set_out("next", {})

    @property
    def now(self) -> str:
        """Names what the machine shows: it changes with every picture."""
        return f"{self.machine} {self.sim.tick} {self.sim.opened}"

    @property
    def sought(self) -> str:
        """The kind of event that was looked for and found in the present tick, else ""."""
        tick, kind = self._sought
        return kind if tick == self.sim.tick else ""

    @property
    def tick(self) -> int:
        """The tick on the screen, or the one that will be."""
        return self.sim.tick if self.aim is None else self.aim

    def cancel(self) -> None:
        """Give up the way: stay where it has led, or return from a search."""
        job, self.job, self.aim = self.job, None, None
        if job:
            job.close()  # it may have something to bring back
        if self.searching_from is not None:
            self.sim.seek(self.searching_from)
            self.sim.reach_back(self._reached)
            self.searching_from = None

    def command(self, text: str) -> None:
        """Carry out a command at the present tick. Raises ScenarioError. The board starts afresh on the changed machine."""
        self.cancel()
        self._sought, self._told = (-1, ""), None
        self.sim.command(text)
        self._seen = self._past = None
        self.sim.seek(self.sim.tick)

    # ---- asks and answers

    def answer(self, ask: dict | None, display: Display) -> bytes:
        """The message for `ask` (None: a page that is drawn anew)."""
        cell, ask = inspected(ask), ask or {}
        cmd = self.listen(ask)
        self.plans(display.boards, display.bits)
        if self._told and cmd and cell != self._told.cell:
            self._told = None
        if cmd == "run":
            batch = self._batch(ask, display)
            if batch is not None:
                return batch
        elif cmd:
            self._set_out(cmd, ask)
            if cmd == "cancel" and display.beside:
                self.go(min(self.sim.tick, display.beside.reached))
        progress = self.proceed() or self._together(display)
        if progress:
            return self._message(display, [], state="seeking", progress=progress.share, message=progress.message)
        picture = self._outlined if display.changes and not self.playing else self.frame
        return self._message(display, [picture(display)], cell=cell)

    def _set_out(self, cmd: str, ask: dict) -> None:
        """Start the job that an ask means. Polling, and asks that change no more than a setting, leave everything as it is."""
        here = number(ask.get("tick"), 0, MAX_TICK, self.sim.tick)
        n = number(ask.get("n"), -MAX_TICK, MAX_TICK, 1)
        if cmd in ("poll", "kind", "speed"):
            return
        if cmd == "inspect" and self.job:
            return
        self.cancel()
        self._sought = self._sought if cmd in ("inspect", "why") else (-1, "")
        self.playing = False
        self.crowd.leave(self)
        if cmd == "step":
            opened = self.sim.opened if self.sim.tick == here else None
            finish = opened is not None and opened[0] < opened[1] and n > 0  # the first step finishes an open tick
            self.go(here + n - finish)
        elif cmd == "micro":
            self.job = self._open(here, n)
        elif cmd in ("next", "prev"):
            self.job = self._search(here, max(1, n), cmd == "next")
        elif cmd == "why":
            self.job = self._explain(here, inspected(ask))
        elif cmd == "inspect" and self.sim.opened and self.sim.tick == here:
            return
        elif cmd != "cancel":
            self.go(way(cmd, n, here, self.sim.furthest))

    def proceed(self) -> Progress | None:
        """Work on the job for a slice. None when there is nothing left to do."""
        progress = next(self.job, None) if self.job else None
        if progress is None:
            self.job = self.aim = self.searching_from = None
            if not self.sim.opened:
                self.sim.seek(self.sim.tick)  # the tick's events, for the sentence
        return progress

    @staticmethod
    def _together(display: Display) -> Progress | None:
        """Bring the machines beside this one nearer to its tick for a slice. None when there is nothing left to do."""
        if display.beside is None or display.beside.follow(SLICE):
            return None
        return Progress(*display.beside.way())

    # ---- jobs

    def _walk(self, tick: int) -> Generator[Progress]:
        while not self.sim.seek(tick, SLICE):
            yield Progress(self.sim.tick / tick, f"On the way to tick {tick:,}: {self.sim.tick:,} done.")

    def _open(self, tick: int, n: int) -> Generator[Progress]:
        """n events onward: through the open tick, then into the next one."""
        if self.sim.tick != tick:
            yield from self._walk(tick)
        for _ in range(min(n, 1000)):
            k, last = self.sim.opened or (0, 0)
            if k >= last:
                self.sim.seek(self.sim.tick + 1)
                k = 0
            self.sim.micro(k + 1)

    def _search(self, tick: int, n: int, onward: bool) -> Generator[Progress]:
        """To the n-th event of the chosen kind, or back to where it began with a word that there is none."""
        yield from self._walk(tick)
        for _ in range(min(n, 1000)):
            here = self.searching_from = self.sim.tick
            self._reached = self.sim.reached
            why = "before this tick"
            if onward:
                why = yield from self._look_for(here)
            elif self.sim.previous_event(self.kind):
                why = ""
            if why:
                yield from self._walk(here)
                self.sim.reach_back(self._reached)
                self.note = f"No {LABELS[self.kind]} {why}."
                return
            self._sought = (self.sim.tick, self.kind)

    def _look_for(self, here: int) -> Generator[Progress, None, str]:
        """A generator that returns "" when the next event was found, else why it was not: words after "No event".

        Ticks only looked through do not count as reached.
        """
        began, reached = time.perf_counter(), self.sim.furthest
        end = min(here + SEARCH, MAX_TICK)
        while self.sim.tick < end:
            why = none_to_come(self.sim, self.kind)
            if why:
                return f"comes any more: {why}"
            found = self.sim.run_to_event(self.kind, min(STRIDE, end - self.sim.tick))
            self.sim.furthest = max(reached, self.sim.tick if found else here)
            if found:
                return ""
            if time.perf_counter() - began > SLICE:
                yield Progress((self.sim.tick - here) / SEARCH, f"No {LABELS[self.kind]} up to tick {self.sim.tick:,}.")
                began = time.perf_counter()
        return f"within {end - here:,} ticks"

    def _explain(self, tick: int, cell: tuple[str, int] | None) -> Generator[Progress]:
        """Why a cell is as it is at a tick."""
        if self.sim.tick != tick:
            yield from self._walk(tick)
        self.aim = tick
        self._told = yield from explained(self.sim, self._plans, cell, SLICE)

    # ---- running

    def _batch(self, ask: dict, display: Display) -> bytes | None:
        """The next frames. None while the way to where the board wants them from is still long."""
        if not self.crowd.admit(self):
            self._rate = (0.0, 0)
            message = f"The server is busy: {self.crowd.size} visitors run their machines at this moment. Yours is next …"
            return self._message(display, [], state="busy", progress=0, message=message)
        if self.job:
            self.cancel()
        began = time.thread_time()
        start = number(ask.get("from"), 0, MAX_TICK, self.sim.tick)
        self.playing = True
        if self.sim.tick != start or self.sim.opened:
            self.go(start)
            if self.proceed():
                self.go(start)
                return None
        self.job = self.aim = None
        if self._together(display):
            return None
        rate = self.crowd.rate(self.fps)
        wanted = number(ask.get("frames"), 1, MOST_FRAMES, self.fps)
        if rate < self.fps:  # many run: fewer frames, and twice as long a batch, since each batch costs something too
            wanted = max(2, min(MOST_FRAMES, round(2 * wanted * rate / self.fps)))
        end = time.perf_counter() + 0.7 * wanted / rate
        frames: list[tuple[dict, list]] = []
        while self.playing and len(frames) < wanted and (time.perf_counter() < end or not frames):
            self.sim.seek(min(self.sim.tick + self.per_frame, MAX_TICK))
            if display.beside:
                display.beside.arrive()
            frames.append(self.frame(display))
            if self.sim.crashed or self.sim.tick == MAX_TICK:
                self.playing = False
        self.crowd.spent(time.thread_time() - began, len(frames))
        self._warn_when_slow(frames, first=not ask.get("play"))
        return self._message(display, frames, cell=inspected(ask), pace=round(1000 / rate) if rate < self.fps else 0)

    def _warn_when_slow(self, frames: list, first: bool) -> None:
        """A word in the status line when this visitor gets fewer frames than promised."""
        now = time.monotonic()
        since, sent = self._rate
        if not since or now - since > 10:
            self._rate = since, sent = (now, 0)
        elif now - since > 2 and sent / (now - since) < min(LEAST_RATE, 0.9 * self.fps):
            for record, _ in frames:
                record["status"].append(["server", f"busy: {sent / (now - since):.0f} frames a second", "warn"])
        self._rate = (since, sent + len(frames))

    # ---- pictures

    def plans(self, boards: tuple[str, ...], bits: str) -> list[Plan]:
        """The plans of boards; a pool that grows by a command is shown at its largest from the start."""
        pages = largest_pool(self.sim)
        wanted = boards, pages, bits
        if self._planned != wanted:
            self._planned = wanted
            options = Options(pages, bits)
            self._plans = [make_plan(board, self.sim.scenario, self.sim.work, options) for board in boards]
        return self._plans

    def _shown(self, display: Display) -> list[Shown]:
        """The boards of a page, those of this machine first."""
        scene = display.scene(self.sim)
        own = [Shown(plan.id, plan, scene) for plan in self.plans(display.boards, display.bits)]
        return display.beside.among(own, display.bits) if display.beside else own

    def frame(self, display: Display) -> tuple[dict, list]:
        """(record, grids) of the present tick."""
        shown, plans = self._shown(display), self.plans(display.boards, display.bits)
        scene = shown[0].scene
        sentence, source = scene.sentence(self.sought)
        record = {
            "tick": self.sim.tick,
            "sentence": self.note or sentence,
            "source": "" if self.note else source,
            "status": [list(row) for row in scene.status()],
            "captions": [one.caption() for one in shown],
            "more": corners(shown) | scene.more(plans),
        }
        self.note = ""
        return record, [one.cells() for one in shown]

    def _outlined(self, display: Display) -> tuple[dict, list]:
        """A frame that stands still: what differs from the moment before (one tick, or one event ago) is outlined."""
        sim = self.sim
        now, was = self._moment(sim.tick, sim.opened, display), self._moment_before(display)
        if self._past is None or self._past[:3] != was:
            if self._seen and self._seen[:3] == was:
                self._past = self._seen
            else:
                self._past = (*was, self._grids_before(display))
        record, grids = self.frame(display)
        self._seen = (*now, grids)
        return record, outlined(grids, self._past[3] or grids)

    def _moment(self, tick: int, opened: tuple[int, int] | None, display: Display) -> tuple:
        """Names a picture: tick, events of it that have happened (None: all), boards and of what they tell."""
        what = display.boards, display.bits, display.beside.mark if display.beside else ""
        return tick, opened[0] if opened and opened[0] < opened[1] else None, what

    def _moment_before(self, display: Display) -> tuple:
        tick, opened = self.sim.tick, self.sim.opened
        if opened and opened[0] > 1:
            return self._moment(tick, (opened[0] - 1, opened[1]), display)
        return self._moment(tick - 1, None, display)

    def _grids_before(self, display: Display) -> list | None:
        """The grids of the moment before, None at tick 0. The machines are where they were afterwards."""
        sim, tick, opened = self.sim, self.sim.tick, self.sim.opened
        if tick == 0:
            return None
        if opened and opened[0] > 1:
            sim.micro(opened[0] - 1)
        else:
            sim.seek(tick - 1)
        if display.beside:
            display.beside.arrive()
        grids = [one.cells() for one in self._shown(display)]
        sim.seek(tick)
        if opened:
            sim.micro(opened[0])
        if display.beside:
            display.beside.arrive()
        return grids

    def _message(self, display: Display, frames: list, cell: tuple[str, int] | None = None, **more: Any) -> bytes:
        """Encode frames with everything else the board needs."""
        sim, shown, still = self.sim, self._shown(display), not self.playing
        boards = [board_record(one.plan, one.alt() if frames and still else "") | one.placed() for one in shown]
        found = self._inspect(shown, cell) if frames else None
        beside = f" {display.beside.mark}" if display.beside else ""
        known = header(
            display,
            self.seq,
            machine=f"{self.machine} {display.bits}{beside}",  # other cells, the same tick: the board has to paint anew
            playing=self.playing,
            fps=self.fps,
            per_frame=self.per_frame,
            furthest=sim.furthest,
            marks=marks(sim),
            kind=self.kind,
            boards=boards,
            **(words(boards, frames[-1][0], found, self.kind) if still and frames else {}),
            micro=list(sim.opened) if sim.opened else None,
            frames=[record for record, _ in frames],
            inspect=found,
            lit=found["lit"] if found else {},
            now=self.now + display.mark(),
            query=display.query(),
        )
        return encode(known | more, [grids for _, grids in frames])

    def _inspect(self, shown: list[Shown], cell: tuple[str, int] | None) -> dict | None:
        """The card of the cell under inspection, plain data."""
        found = card_of(shown, *cell) if cell else None
        told = {"because": self._told.wire(self.sim.tick)} if self._told and self._told.cell == cell else {}
        return plain(found.wire() | told) if found else None


def outlined(grids: list[np.ndarray], before: list[np.ndarray]) -> list[np.ndarray]:
    """The grids of a moment, uint16[h, w] each, with what differs from those of the moment before outlined."""
    pairs = zip(grids, before, strict=True)
    return [np.where(differ(now, was), now | CHANGED, now).astype(np.uint16) for now, was in pairs]
