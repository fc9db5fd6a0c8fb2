"""The player: answers what the board asks (ui/board.py lists the asks) with pictures of one Simulation.

Long ways are walked in slices: a job is a generator that works for about SLICE seconds between its yields and says how far
it has come; while it lives the board is told so and asks again. Knows nothing of Streamlit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pagingviz.boards import portray
from pagingviz.boards.palette import AGE_YOUNGEST, CHANGED, CROSSED, FILL_MASK
from pagingviz.boards.payload import encode
from pagingviz.player.crowd import CROWD, LEAST_RATE, Crowd
from pagingviz.player.message import KINDS, MOST_FPS, MOST_FRAMES, Look, board_record, header, plain
from pagingviz.scenario.fields import MAX_TICK

SLICE = 0.25  # s of work between two words to the viewer
SEARCH = 4_000_000  # ticks that "next event" looks through before it gives up
STRIDE = 200_000  # ticks of the search between two looks at the clock
LABELS = dict(portray.EVENT_KINDS)


@dataclass(frozen=True)
class Progress:
    """Where a job stands: share 0..1 and a sentence."""

    share: float
    message: str


class Player:
    """Plays one Simulation. `machine` names it: the board starts afresh when the name changes."""

    def __init__(self, sim, machine: str = "1", crowd: Crowd = CROWD):
        self.sim, self.machine, self.crowd = sim, machine, crowd
        self.seq = 0
        self.playing = False
        self.kind, self.fps, self.per_frame = KINDS[0][0], 30, 1
        self.job: Iterator[Progress] | None = None
        self.aim: int | None = None  # where a job leads, if that is known
        self.searching_from: int | None = None
        self.note = ""  # said once instead of the sentence
        self._planned, self._plans = None, []
        self._seen: tuple | None = None  # (tick, opened, boards, grids) last put on the screen
        self._past: tuple | None = None  # the same of the moment before the present one
        self._rate = (0.0, 0)  # since when the visitor has been running, frames sent since

    # ---- where to go

    def go(self, tick: int) -> None:
        """Set out for `tick`; the next answers walk the way."""
        self.aim = min(max(tick, 0), MAX_TICK)
        self.job = self._walk(self.aim)

    @property
    def now(self) -> str:
        """Names what the machine shows: it changes with every picture."""
        return f"{self.machine} {self.sim.tick} {self.sim.opened}"

    @property
    def tick(self) -> int:
        """The tick on the screen, or the one that will be."""
        return self.sim.tick if self.aim is None else self.aim

    def cancel(self) -> None:
        """Give up the way: stay where it has led, or return from a search."""
        self.job = self.aim = None
        if self.searching_from is not None:
            self.sim.seek(self.searching_from)
            self.searching_from = None

    def command(self, text: str) -> None:
        """Carry out a command at the present tick. Raises ScenarioError. The board starts afresh on the changed machine."""
        self.cancel()
        self.sim.command(text)
        self._seen = self._past = None
        self.sim.seek(self.sim.tick)

    # ---- asks and answers

    def answer(self, ask: dict | None, look: Look) -> bytes:
        """The message for `ask` (None: a page that is drawn anew)."""
        cmd = self._listen(ask or {})
        if cmd == "run":
            batch = self._batch(ask, look)
            if batch is not None:
                return batch
        elif cmd:
            self._set_out(cmd, ask)
        progress = self.proceed()
        if progress:
            return self._message(look, [], state="seeking", progress=progress.share, message=progress.message)
        picture = self._outlined if look.changes and not self.playing else self._frame
        return self._message(look, [picture(look)], cell=_cell(ask))

    def _listen(self, ask: dict) -> str:
        """Take over what every ask carries; returns the command."""
        self.seq = number(ask.get("seq"), 0, 2**53, self.seq)
        self.fps = number(ask.get("fps"), 1, MOST_FPS, self.fps)
        self.per_frame = number(ask.get("per_frame"), 1, 10**6, self.per_frame)
        self.kind = ask["kind"] if str(ask.get("kind")) in LABELS else self.kind
        return str(ask.get("cmd", ""))

    def _set_out(self, cmd: str, ask: dict) -> None:
        """Start the job that an ask means. Polling and asks about looks only leave everything as it is."""
        here = number(ask.get("tick"), 0, MAX_TICK, self.sim.tick)
        n = number(ask.get("n"), -MAX_TICK, MAX_TICK, 1)
        if cmd in ("poll", "kind", "speed"):
            return
        if cmd == "inspect" and self.job:
            return
        self.cancel()
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
        elif cmd == "inspect" and self.sim.opened and self.sim.tick == here:
            return
        elif cmd != "cancel":
            self.go({"home": 0, "end": self.sim.furthest, "seek": n}.get(cmd, here))

    def proceed(self) -> Progress | None:
        """Work on the job for a slice. None when there is nothing left to do."""
        progress = next(self.job, None) if self.job else None
        if progress is None:
            self.job = self.aim = self.searching_from = None
            if not self.sim.opened:
                self.sim.seek(self.sim.tick)  # the tick's events, for the sentence
        return progress

    # ---- jobs

    def _walk(self, tick: int) -> Iterator[Progress]:
        while not self.sim.seek(tick, SLICE):
            yield Progress(self.sim.tick / tick, f"On the way to tick {tick:,}: {self.sim.tick:,} done.")

    def _open(self, tick: int, n: int) -> Iterator[Progress]:
        """n events onward: through the open tick, then into the next one."""
        if self.sim.tick != tick:
            yield from self._walk(tick)
        for _ in range(min(n, 1000)):
            k, last = self.sim.opened or (0, 0)
            if k >= last:
                self.sim.seek(self.sim.tick + 1)
                k = 0
            self.sim.micro(k + 1)

    def _search(self, tick: int, n: int, onward: bool) -> Iterator[Progress]:
        """To the n-th event of the chosen kind, or back to where it began with a word that there is none."""
        yield from self._walk(tick)
        for _ in range(min(n, 1000)):
            here = self.searching_from = self.sim.tick
            if not onward:
                found = self.sim.previous_event(self.kind)
            else:
                found = yield from self._look_for(here)
            if not found:
                where = f"within {SEARCH:,} ticks" if onward else "before this tick"
                yield from self._walk(here)
                self.note = f"No {LABELS[self.kind]} {where}."
                return

    def _look_for(self, here: int):
        """A generator that returns whether the next event was found. Ticks only looked through do not count as reached."""
        began = time.perf_counter()
        end, reached = min(here + SEARCH, MAX_TICK), self.sim.furthest
        while self.sim.tick < end:
            found = self.sim.run_to_event(self.kind, min(STRIDE, end - self.sim.tick))
            self.sim.furthest = max(reached, self.sim.tick if found else here)
            if found:
                return True
            if time.perf_counter() - began > SLICE:
                yield Progress((self.sim.tick - here) / SEARCH, f"No {LABELS[self.kind]} up to tick {self.sim.tick:,}.")
                began = time.perf_counter()
        return False

    # ---- running

    def _batch(self, ask: dict, look: Look) -> bytes | None:
        """The next frames. None while the way to where the board wants them from is still long."""
        if not self.crowd.admit(self):
            self._rate = (0.0, 0)
            message = f"The server is busy: {self.crowd.size} visitors run their machines at this moment. Yours is next …"
            return self._message(look, [], state="busy", progress=0, message=message)
        began = time.thread_time()
        start = number(ask.get("from"), 0, MAX_TICK, self.sim.tick)
        self.playing = True
        if self.sim.tick != start or self.sim.opened:
            self.go(start)
            if self.proceed():
                self.go(start)
                return None
        self.job = self.aim = None
        rate = self.crowd.rate(self.fps)
        wanted = number(ask.get("frames"), 1, MOST_FRAMES, self.fps)
        if rate < self.fps:  # many run: fewer frames, and twice as long a batch, since each batch costs something too
            wanted = max(2, min(MOST_FRAMES, round(2 * wanted * rate / self.fps)))
        end = time.perf_counter() + 0.7 * wanted / rate
        frames = []
        while self.playing and len(frames) < wanted and (time.perf_counter() < end or not frames):
            self.sim.seek(min(self.sim.tick + self.per_frame, MAX_TICK))
            frames.append(self._frame(look))
            if self.sim.crashed or self.sim.tick == MAX_TICK:
                self.playing = False
        self.crowd.spent(time.thread_time() - began, len(frames))
        self._warn_when_slow(frames, first=not ask.get("play"))
        return self._message(look, frames, cell=_cell(ask), pace=round(1000 / rate) if rate < self.fps else 0)

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

    def plans(self, look: Look) -> list:
        """The plans of the page's maps; a pool that grows by a command is shown at its largest from the start."""
        pages = max([self.sim.scenario.pool, *(c.arg for c in self.sim.journal if c.name == "pool")])
        wanted = look.boards, pages, look.bits
        if self._planned != wanted:
            self._planned = wanted
            self._plans = [look.portrait.plan(self.sim.scenario, self.sim.work, name, pages, look.bits) for name in look.boards]
        return self._plans

    def _frame(self, look: Look) -> tuple[dict, list]:
        """(record, grids) of the present tick."""
        sim, plans, portrait = self.sim, self.plans(look), look.portrait
        sentence, source = portrait.sentence(sim)
        record = {
            "tick": sim.tick,
            "sentence": self.note or sentence,
            "source": "" if self.note else source,
            "status": [list(row) for row in portrait.status(sim)],
            "captions": [portrait.caption(sim, plan) for plan in plans],
            "more": portrait.more(sim, plans),
        }
        self.note = ""
        return record, [portrait.cells(sim, plan) for plan in plans]

    def _outlined(self, look: Look) -> tuple[dict, list]:
        """A frame that stands still: what differs from the moment before (one tick, or one event ago) is outlined."""
        sim = self.sim
        now, was = self._moment(sim.tick, sim.opened, look), self._moment_before(look)
        if self._past is None or self._past[:3] != was:
            if self._seen and self._seen[:3] == was:
                self._past = self._seen
            else:
                self._past = (*was, self._grids_before(look))
        record, grids = self._frame(look)
        self._seen = (*now, grids)
        pairs = zip(grids, self._past[3] or grids, strict=True)
        differs = [differ(a, b) for a, b in pairs]
        return record, [np.where(d, a | CHANGED, a).astype(np.uint16) for d, a in zip(differs, grids, strict=True)]

    def _moment(self, tick: int, opened, look: Look) -> tuple:
        """Names a picture: tick, events of it that have happened (None: all), boards and what their bits tell."""
        return tick, opened[0] if opened and opened[0] < opened[1] else None, (look.boards, look.bits)

    def _moment_before(self, look: Look) -> tuple:
        tick, opened = self.sim.tick, self.sim.opened
        if opened and opened[0] > 1:
            return self._moment(tick, (opened[0] - 1, opened[1]), look)
        return self._moment(tick - 1, None, look)

    def _grids_before(self, look: Look) -> list | None:
        """The grids of the moment before, None at tick 0. The machine is where it was afterwards."""
        sim, tick, opened = self.sim, self.sim.tick, self.sim.opened
        if tick == 0:
            return None
        if opened and opened[0] > 1:
            sim.micro(opened[0] - 1)
        else:
            sim.seek(tick - 1)
        grids = [look.portrait.cells(sim, plan) for plan in self.plans(look)]
        if opened:
            sim.seek(tick)
            sim.micro(opened[0])
        else:
            sim.seek(tick)
        return grids

    def _message(self, look: Look, frames: list, cell=None, **more) -> bytes:
        """Encode frames with everything else the board needs."""
        sim, plans = self.sim, self.plans(look)
        still = not self.playing
        portrait = look.portrait
        boards = [board_record(plan, portrait.caption(sim, plan), portrait.alt(sim, plan) if still else "") for plan in plans]
        found = self._inspect(look, plans, cell) if frames else None
        name = f"{self.machine} {look.bits}"  # other cells, the same tick: the board has to paint anew
        told = (
            header(
                look,
                self.seq,
                machine=name,
                playing=self.playing,
                fps=self.fps,
                per_frame=self.per_frame,
                furthest=sim.furthest,
                marks=portray.marks(sim),
                kind=self.kind,
                boards=boards,
                micro=list(sim.opened) if sim.opened else None,
                frames=[record for record, _ in frames],
                inspect=found,
                lit=found.get("lit", {}) if found else {},
                now=self.now + look.mark(),
                query=look.query(),
            )
            | more
        )
        return encode(told, [grids for _, grids in frames])

    def _inspect(self, look: Look, plans: list, cell) -> dict | None:
        """The card of the cell under inspection, plain data."""
        plan = next((plan for plan in plans if cell and plan.id == cell[0]), None)
        return plain(look.portrait.inspect(self.sim, plan, cell[1])) if plan else None


def differ(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Cells that have changed. That a page has grown older, or that a cross has gone, is no change."""
    aged = ((now & FILL_MASK) >= AGE_YOUNGEST) & ((before & FILL_MASK) >= AGE_YOUNGEST)
    return (now ^ before) & ~np.where(aged, CROSSED | FILL_MASK, CROSSED).astype(np.uint16) != 0


def _cell(ask: dict | None) -> tuple[str, int] | None:
    """(board, cell) under inspection, or None."""
    if not ask or ask.get("board") is None or ask.get("cell") is None:
        return None
    return str(ask["board"]), number(ask["cell"], -1, 2**31, -1)


def number(value: object, low: int, high: int, default: int) -> int:
    """A whole number that came from a browser, brought into its bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return default
    return int(min(max(value, low), high))
