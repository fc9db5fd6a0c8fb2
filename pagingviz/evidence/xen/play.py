"""Play a script on the model beside its recording, and search the two things a recording does not tell.

Unknown are (1) the place of the guest's idle loop at which a tool operation hit it, and the page that loop lies in, and
(2) what was shadowed when the recording began. Both are searched over the finite sets below, and over nothing else; no
rule here looks at which recording is compared. `play(..., searched=False)` takes the first value of every set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from pagingviz.evidence.xen.dumps import Leaves
from pagingviz.evidence.xen.eptguest import SECOND
from pagingviz.evidence.xen.guest import PAGES, WRITE, Guest, Row
from pagingviz.evidence.xen.match import Reading, align, pool_differences, reached, read_differences
from pagingviz.evidence.xen.model import Model
from pagingviz.evidence.xen.pvguest import LAST_IN_TABLE, Build, guest_of
from pagingviz.evidence.xen.read import Event, Operation, pages
from pagingviz.evidence.xen.script import Step, of_the_second
from pagingviz.scenario.scenario import Scenario
from pagingviz.work.work import ANY_GIBS

# ---- the sets that are searched
STARTS = {
    "booted": "the guest has booted and numbered its region, no operation before",
    "after a log-dirty session": "booted, then log-dirty on, CLEAN, idle, and off again",
    "empty": "booted, then log-dirty on and off again while the guest did not run: nothing is shadowed",
}
# How the program was built: the page of the idle loop, 0x104 in the rebuilt 64-bit one; of the PV one the region's first page.
LOOPS = {"hvm64": (0x103, 0x104), "pae": (0x103,), "pv64": (0x110, 0x112)}
PLACES = {  # where an operation found the guest
    "loop": "waiting in its loop",
    "yield": "behind its yield, in the hypercall page",
    "top": "about to look into the control page: after its yield, or right after a command that is done",
    "status": "right after a command, whose last word in the status page was not yet written",
}
# What it did then: it ran; or the next operation came while it still stood there, or after some instructions that stored
# nothing yet.
RAN, STILL, BEGUN = "", "still there at the next step", "no store before the next step"

SLACK = 4  # events more than the model has that are looked through for its last one, in recordings that are one stream
HITS = ("enable", "clean", "off", "setpages")  # operations that change shadows
EPT_HITS = ("enable", "clean", "off", "peek")  # on EPT: that change its entries, or empty the page-modification log


@dataclass
class Item:
    """One step of the script beside what was recorded: its operation, and the events up to the next that acts."""

    step: Step
    operation: Operation
    events: list[Event] = field(default_factory=list)
    reading: Reading | None = None
    faults: bool = True  # whether the fault_count of the reading is compared
    hits: tuple[str, ...] = HITS  # operations that act
    leaves: tuple[Leaves, ...] | None = None  # of a dump
    exits: list[Event] = field(default_factory=list)  # what xentrace has of them, beside the processor's own events

    @property
    def acts(self) -> bool:
        """A command or an operation that changes what the guest meets: it begins a new group of events."""
        return self.step.name == "cmd" or self.step.name in self.hits


@dataclass(frozen=True)
class Outcome:
    """What the model did at one step: its events, its reading, its pool, its leaves, and where an operation found the guest."""

    events: tuple[Event, ...] = ()
    reading: Reading | None = None
    pool: int | None = None
    leaves: tuple[Leaves, ...] = ()
    refused: bool = False  # whether Xen refused the operation
    place: str = ""
    stands: str = "idle"  # where the guest stands at the end of the step; of several vCPUs one word each, with + between


@dataclass(frozen=True)
class Candidate:
    """One way up to some step: `cost` differences so far."""

    cost: int
    stands: str  # "idle", "status" (a command is not quite done), or the place of PLACES where it still stands
    state: tuple
    outcomes: tuple[Outcome, ...] = ()
    counts: tuple[int, int] = (0, 0)  # dirty_count and fault_count
    seen: int = 0  # events of the stream that it has gone through


@dataclass(frozen=True)
class Played:
    """One way through the script. `where`: what `loop` means for this guest; `counters`: of the guest's CPU."""

    start: str
    loop: Build
    cost: int
    outcomes: tuple[Outcome, ...]
    counters: dict[str, int]
    crashed: bool
    where: str


def builds(kind: str, scenario: Scenario, steps: list[Step]) -> tuple[Build, ...]:
    """The programs that may have run: on EPT, and of a script with its commands, the second one only; on NPT either.

    How long a PV program's table of commands is shows only in commands that do nothing there, near its end.
    """
    if kind == "pv64":
        open_end = any(step.name == "cmd" and LAST_IN_TABLE[-1] < step.number <= LAST_IN_TABLE[0] for step in steps)
        return tuple((page, last) for last in (LAST_IN_TABLE if open_end else LAST_IN_TABLE[:1]) for page in LOOPS[kind])
    if scenario.road != "hap":
        return LOOPS[kind]
    return (SECOND,) if scenario.hap == "ept" or any(map(of_the_second, steps)) else (*LOOPS[kind], SECOND)


def recorded_reading(operation: Operation) -> Reading | None:
    """The reading a PEEK or CLEAN of a recording gave, None when it failed."""
    row = operation.fields
    if operation.name not in ("peek", "clean") or "ranges" not in row or int(row.get("rc", 0)) < 0:
        return None
    return Reading(pages(str(row["ranges"])), int(row["dirty_count"]), int(row["fault_count"]))


class Rehearsal:
    """Plays `items` for one start and one build of the program. `before`: recorded events before the first step.

    A PV guest's records carry the time of something earlier (it has no exits), so an event may stand before the operation that
    led to it: they are one stream, in order, and `before` and the events of the items are that stream's pieces.
    """

    huge_leaves = ANY_GIBS  # as RecordedWork

    def __init__(self, kind: str, scenario: Scenario, before: list[Event], items: list[Item]) -> None:
        self.kind, self.scenario, self.before, self.items = kind, scenario, before, items
        self.stream = None if kind != "pv64" else [*before, *(event for item in items if item.acts for event in item.events)]
        steps = [item.step for item in items]
        self.aliases = max((s.args[0] for s in steps if s.name == "cmd" and s.number == 13), default=0)
        self.largest = max((s.number for s in steps if s.name == "setpages"), default=0)

    def play(self, start: str, loop: Build, searched: bool, limit: int | None = None) -> Played | None:
        """The best way through; without search, the way of the first values. None once it has `limit` differences."""
        model, guest = self.ready(start, loop)
        base = model.counters()
        cost = 0 if self.stream is not None else len(self.before)
        candidates = [Candidate(cost, self.nobody, model.snapshot())]
        for number, item in enumerate(self.items):
            if item.step.name == "clean" and not self.alike:
                candidates = self._tell_apart(model, candidates, item)
            found = [c for old in candidates for c in self._step(model, guest, old, number, searched)]
            candidates, before = self._best(found), candidates
            self._forget(model, [*before, *found], candidates)
            if item.step.name == "peek" and not self.alike:
                candidates = list({c.stands: c for c in reversed(candidates)}.values())[::-1]
            if limit is not None and candidates[0].cost >= limit:
                return None
        best = min(candidates, key=self._in_the_end)
        model.restore(best.state)
        counts = {key: count - base[key] for key, count in model.counters().items()}
        return Played(start, loop, best.cost, best.outcomes, counts, model.crashed, guest.where)

    def _best(self, found: list[Candidate]) -> list[Candidate]:
        """The best of them; of equally good ones first one of each kind of standing: which is right may show only later."""
        alike: dict[tuple, int] = {}
        best = min(candidate.cost for candidate in found)
        ranked = []
        for candidate in found:
            key = candidate.cost, candidate.stands, candidate.counts, candidate.seen
            if candidate.cost <= best + self.margin and (not self.alike or alike.get(key, 0) < self.alike):
                ranked.append((candidate.cost, alike.get(key, 0), candidate))
            alike[key] = alike.get(key, 0) + 1
        return [candidate for _, _, candidate in sorted(ranked, key=lambda row: row[:2])][: self.keep]

    def _forget(self, model: Model, found: list[Candidate], kept: list[Candidate]) -> None:
        """Give back the memory of candidates that are not followed; some share a state."""
        followed = {id(candidate.state) for candidate in kept}
        for state in {id(candidate.state): candidate.state for candidate in found}.values():
            if id(state) not in followed:
                model.recycle(state)

    def _in_the_end(self, candidate: Candidate) -> int:
        """Its cost; what is left of a stream of events is missing in the model."""
        return candidate.cost + (len(self.stream) - candidate.seen if self.stream is not None and self.traced else 0)

    def replay(self, played: Played, upto: int) -> Model:
        """The model after item number `upto` (from 0) on the way that `played` went; -1: before the first."""
        model, _ = self.ready(played.start, played.loop)
        for way in self.ways(model, played, upto):
            model.restore(way.state)
        return model

    def ways(self, model: Model, played: Played, upto: int) -> Iterator[Candidate]:
        """From where `model` is ready, the way of `played` after each of its items up to number `upto`."""
        guest, candidate = guest_of(self.kind, played.loop), Candidate(0, self.nobody, model.snapshot())
        for number in range(upto + 1):
            wanted = played.outcomes[number]
            for searched in (False, True):
                found = self._step(model, guest, candidate, number, searched)
                same = [c for c in found if (c.outcomes[-1].place, c.stands) == (wanted.place, wanted.stands)]
                if same:
                    candidate = same[0]
                    break
            yield candidate

    model_type: type[Model] = Model

    def ready(self, start: str, loop: Build) -> tuple[Model, Guest]:
        """A model at one of STARTS."""
        guest = guest_of(self.kind, loop)
        model = self.model_type(guest, self.scenario, min(self.aliases, PAGES), self.largest, self.huge_leaves)
        self.begin(model, guest, start)
        model.take()
        return model, guest

    def begin(self, model: Model, guest: Guest, start: str) -> None:
        """Bring the model to one of STARTS."""
        model.run(guest.boot() + guest.idle())
        for name in {"booted": (), "after a log-dirty session": ("enable", "clean", "off"), "empty": ("enable", "off")}[start]:
            model.operation(name)
            if start != "empty":
                model.run(guest.idle("loop"))

    def _tell_apart(self, model: Model, candidates: list[Candidate], item: Item) -> list[Candidate]:
        """Before a CLEAN, which reads the counts: the best candidate for each place of the guest and each record."""
        best: dict[tuple[str, int], tuple[int, Candidate]] = {}
        for candidate in candidates:
            model.restore(candidate.state)
            cost = candidate.cost + self.unread(item, Outcome(reading=model.reading))
            key = candidate.stands, candidate.seen
            if key not in best or cost < best[key][0]:
                best[key] = cost, candidate
        return [candidate for _, candidate in best.values()]

    def _step(self, model: Model, guest: Guest, old: Candidate, number: int, searched: bool) -> list[Candidate]:
        """The candidates that one step makes of one candidate."""
        item = self.items[number]
        step, cost = item.step, old.cost
        then = next((i for i in self.items[number + 1 :] if i.acts or i.step.name == "peek"), None)
        # Without a trace, nobody can tell whether a fault came before or within the next command. At the end none need come.
        stay = searched and (self.traced if then is None else then.acts and (self.traced or then.step.name in HITS))
        if step.name == "note":
            return [replace(old, outcomes=(*old.outcomes, Outcome(stands=old.stands)))]
        model.restore(old.state)
        if step.name in HITS:
            return self._hit(model, guest, old, item, stay, searched)
        if step.name in ("cmd", "peek") and old.stands != "idle":
            taken_up = step.name == "cmd" and old.stands != "status"
            model.run(guest.resume(old.stands) if taken_up else _resume(guest, old.stands))
        stands = "idle" if step.name in ("cmd", "peek") else old.stands
        outcome = Outcome(stands=stands)
        if step.name == "cmd":
            model.run(guest.command(step, model.word) + guest.finish())
            forks = [(RAN, "idle")]
            if stay and then is not None and then.step.name in HITS:
                forks += [(RAN, "status"), (RAN, "top")]
            return self._fork(model, guest, old, item, outcome, forks, cost)
        if step.name == "peek":
            refused = model.operation("peek")
            outcome = replace(outcome, reading=model.read, refused=refused)
            cost += self.unread(item, outcome)
        elif step.name == "pool":
            outcome = replace(outcome, pool=model.pool_pages)
            cost += self.unread(item, outcome)
        return [replace(old, cost=cost, stands=stands, state=model.snapshot(), outcomes=(*old.outcomes, outcome))]

    def _hit(self, model: Model, guest: Guest, old: Candidate, item: Item, stay: bool, searched: bool) -> list[Candidate]:
        """An operation finds the guest at a place; then the guest goes on, or still stands there at the next step."""
        name = item.step.name
        refused = model.operation(name, item.step.number)
        outcome = Outcome(reading=model.read, refused=refused, pool=model.pool_pages if name == "setpages" else None)
        cost = old.cost + self.unread(item, outcome)
        places = (("loop", "yield", "top") if searched else ("loop",)) if old.stands == "idle" else (old.stands,)
        forks = [(ran, place) for ran in ((RAN, STILL, BEGUN) if stay else (RAN,)) for place in places]
        return self._fork(model, guest, old, item, outcome, forks, cost)

    def _fork(
        self,
        model: Model,
        guest: Guest,
        old: Candidate,
        item: Item,
        outcome: Outcome,
        forks: list[tuple[str, str]],
        cost: int,
    ) -> list[Candidate]:
        """One candidate for each of `forks`: (what it did, place). The events of the step are complete then."""
        state, out = model.snapshot(), []
        for ran, place in forks:
            model.restore(state)
            stands = place
            if item.step.name == "cmd":
                if place == "idle":
                    model.run(guest.idle())
            elif ran == RAN:
                model.run(_resume(guest, place))
                stands = "idle"
            elif ran == BEGUN and place == "top":
                model.run(guest.look())
                stands = "idle"
            elif ran == BEGUN:
                rows = _resume(guest, place)
                model.run(rows[: next(n for n, row in enumerate(rows) if row[0] == WRITE)])
                if place == "yield":  # it has read the control page; a PV guest was seen to take up the next command there
                    stands = "loop" if self.stream is None else "idle"
            events = tuple(model.take())
            seen, wrong = self.beside(item, old.seen, events, guest)
            where = "" if item.step.name == "cmd" else ", ".join(part for part in (place, ran) if part)
            done = replace(outcome, events=events, place=where, stands=stands)
            counts = model.dirty_count, model.fault_count
            out.append(Candidate(cost + wrong, stands, model.snapshot(), (*old.outcomes, done), counts, seen))
        return out

    def beside(self, item: Item, seen: int, events: tuple[Event, ...], guest: Guest) -> tuple[int, int]:
        """(events of the stream gone through, differences) of a step with these events, from event `seen` of the stream on."""
        if self.stream is None:
            return seen, self.wrong(item.events, events, guest)
        shown = self.view(list(events))
        taken = reached(self.stream[seen : seen + len(shown) + SLACK], shown, guest.own)
        return seen + taken, self.wrong(self.stream[seen : seen + taken], events, guest)

    def wrong(self, expected: list[Event], events: tuple[Event, ...], guest: Guest) -> int:
        """How many rows of the two columns differ."""
        return sum(not pair.equal for pair in align(expected, self.view(list(events)), guest.own)) if self.traced else 0

    def unread(self, item: Item, outcome: Outcome) -> int:
        """How many differences the reading of a step has, and the size of the pool after it."""
        pool = 0 if outcome.pool is None else len(pool_differences(item.operation.fields, outcome.pool))
        if item.reading is None or outcome.reading is None:
            return pool + int((item.reading is None) != (outcome.reading is None))
        return pool + len(read_differences(item.reading, outcome.reading, item.faults))

    keep = 24  # candidates followed at a time
    margin = 1 << 20  # how much worse than the best one of them may be
    alike = 0  # how many of one cost, standing and counts; 0: any number, but fewer before a CLEAN and after a PEEK
    nobody = "idle"  # where the guest stands while it does not stand anywhere
    traced = True  # whether the recording has trace events at all
    sought: tuple[str, ...] = (  # what is searched at each step, in words
        f"Where each of {', '.join(HITS)} found the guest, one of:",
        *(f"{place}: {what};" for place, what in PLACES.items()),
    )
    view: Callable[[list[Event]], list[Event]] = staticmethod(lambda events: events)  # what of them the recording can show


def _resume(guest: Guest, stands: str) -> list[Row]:
    """What the guest does next from where it stands."""
    return guest.finish() + guest.idle() if stands == "status" else guest.idle(stands)
