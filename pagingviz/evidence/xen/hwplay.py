"""Play a script beside what the processor itself recorded on EPT, and search the little that such a recording leaves open.

The row of an operation stands where the tool asked for it. Left open is what each vCPU, which waits in its loop, did about
then: WAITS. No rule here looks at which recording is compared. Of a guest with two vCPUs nobody recorded whose an event was, so
its events are one stream, of which each step takes as many as the model has there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

from pagingviz.evidence.xen.dumps import leaves_of
from pagingviz.evidence.xen.eptguest import EptGuest
from pagingviz.evidence.xen.guest import FETCH, READ, WRITE, Guest, Row
from pagingviz.evidence.xen.model import Model
from pagingviz.evidence.xen.play import EPT_HITS, RAN, Candidate, Item, Outcome, Rehearsal
from pagingviz.evidence.xen.read import Event
from pagingviz.scenario.fields import MAX_FRAMES
from pagingviz.scenario.scenario import Scenario

# What a waiting vCPU did about an operation. What it did before the next one is its choice there.
WAITS = {
    "went on": "it went round its loop after the operation, and waits again",
    "not yet": "it has not run since",
    "before": "it still went round its loop between the time stamp and the pause",
    "first exit": "it met the exit of its first reference to memory, and has not been entered again since",
    "first store": "it met all exits up to its first store, and has not been entered again since",
    "between": "with two vCPUs: the other one went round its loop at the first exit of this command",
}


class HwRehearsal(Rehearsal):
    """As Rehearsal, of a guest on EPT. A candidate's `stands` has one word a vCPU: idle, or where in its loop it stands."""

    sought = (
        "What the guest, waiting in its loop, did about each operation, one of:",
        *(f"{w}: {what};" for w, what in WAITS.items()),
    )

    alike = 3
    margin = 1  # a round of the loop has two events or more: a way that is wrong about one is far worse at once

    def __init__(self, kind: str, scenario: Scenario, before: list[Event], items: list[Item]) -> None:
        super().__init__(kind, scenario, before, items)
        self.guests: tuple[EptGuest, ...] = tuple(EptGuest(kind, vcpu) for vcpu in range(scenario.vcpus))
        if scenario.frames > MAX_FRAMES:  # each state of it has tens of megabytes
            self.alike, self.keep = 1, 4
        if scenario.vcpus > 1:
            self.stream = [*before, *(event for item in items if item.acts for event in item.events)]
        self._least = -1, 0  # of the step that is being tried: its number, the lowest cost so far
        self.nobody = "+".join(["idle"] * scenario.vcpus)

    def begin(self, model: Model, guest: Guest, start: str) -> None:
        super().begin(model, guest, start)
        for other in self.guests[1:]:
            model.run(other.idle())

    def _step(self, model: Model, guest: Guest, old: Candidate, number: int, searched: bool) -> list[Candidate]:
        item = self.items[number]
        if item.step.name == "note":
            return [replace(old, outcomes=(*old.outcomes, Outcome(stands=old.stands)))]
        model.restore(old.state)
        if item.step.name == "cmd":
            return self._gone(model, old, number, self._commanded(model, old, item, searched))
        if item.step.name in EPT_HITS:
            return self._gone(model, old, number, self._asked(model, old, item, searched))
        outcome, state = Outcome(stands=old.stands), old.state
        if item.step.name == "setpages":
            model.operation("setpages", item.step.number)
            state = model.snapshot()
        if item.step.name in ("pool", "setpages"):
            outcome = replace(outcome, pool=model.pool_pages)
        elif item.step.name == "dump":
            outcome = replace(outcome, leaves=leaves_of(model.machine))
        cost = old.cost + self.unread(item, outcome)
        return [replace(old, cost=cost, state=state, outcomes=(*old.outcomes, outcome))]

    def _gone(self, model: Model, old: Candidate, number: int, ways: Iterator[Outcome]) -> list[Candidate]:
        """The candidates that have gone each of `ways`, without those that are too bad to be followed."""
        item, out = self.items[number], []
        least = self._least[1] if self._least[0] == number else None
        for outcome in ways:
            events = tuple(model.take())
            seen, wrong = self.beside(item, old.seen, events, self.guests[0])
            cost = old.cost + wrong + self.unread(item, outcome)
            least = cost if least is None else min(least, cost)
            if cost <= least + self.margin:
                counts = model.dirty_count, model.fault_count
                outcomes = (*old.outcomes, replace(outcome, events=events))
                out.append(Candidate(cost, outcome.stands, model.snapshot(), outcomes, counts, seen))
        self._least = number, least or 0
        return out

    # ---- an operation

    def _asked(self, model: Model, old: Candidate, item: Item, searched: bool) -> Iterator[Outcome]:
        """Every way through an operation of the tool, one after the other: the model stands at the end of each."""
        for late in self._orders(old.stands) if searched else [()]:
            model.restore(old.state)
            stands = self._round(model, old.stands, late)
            refused = model.operation(item.step.name)
            reading = model.read
            state = model.snapshot()
            waiting = "+".join("yield" if where == "idle" else where for where in stands.split("+"))
            for order in self._orders(waiting) if searched else [tuple(range(len(self.guests)))]:
                model.restore(state)
                after = self._round(model, waiting, order)
                words = ["before"] * bool(late) + ["went on" if order else "not yet"]
                place = ", ".join(word for word in words if word) + self._named(late) + self._named(order)
                yield Outcome(reading=reading, place=place, stands=after, refused=refused)
            if searched and len(self.guests) == 1:
                for where, rows, at in (
                    ("first exit", self.guests[0].first_reference(), waiting),
                    ("first store", self._upto_store(waiting), "call"),
                ):
                    model.restore(state)
                    model.run(rows)
                    model.leave()
                    place = ", ".join(["before"] * bool(late) + [where])
                    yield Outcome(reading=reading, place=place, stands=at, refused=refused)
            model.recycle(state)

    def _orders(self, stands: str) -> list[tuple[int, ...]]:
        """The vCPUs that may run now, in each order: none, one, or several one after the other."""
        waiting = [vcpu for vcpu, where in enumerate(stands.split("+")) if where != "idle"]
        return [order for n in range(len(waiting) + 1) for order in permutations(waiting, n)]

    def _named(self, order: tuple[int, ...]) -> str:
        """Which of several vCPUs ran, in their order."""
        return f" (vCPU {', '.join(map(str, order))})" if order and len(self.guests) > 1 else ""

    def _round(self, model: Model, stands: str, order: tuple[int, ...]) -> str:
        """Each vCPU of `order` goes once round its loop, from where it stands. Returns where all stand then."""
        where = stands.split("+")
        for vcpu in order:
            model.run(self.guests[vcpu].idle(where[vcpu]))
            where[vcpu] = "idle"
        return "+".join(where)

    def _upto_store(self, stands: str) -> list[Row]:
        rows = self.guests[0].idle(stands)
        return rows[: 1 + next(n for n, row in enumerate(rows) if row[0] == WRITE)]

    # ---- a command

    def _commanded(self, model: Model, old: Candidate, item: Item, searched: bool) -> Iterator[Outcome]:
        """Every way through a command, as in _asked: its vCPU takes it up; others run before, between, after, or not yet."""
        mine = item.step.vcpu
        where = old.stands.split("+")
        others = self._orders("+".join("idle" if vcpu == mine else at for vcpu, at in enumerate(where)))
        for order in others if searched else others[-1:]:
            for place in ("before", "between", RAN) if order and searched else (RAN,):
                model.restore(old.state)
                stands = self._round(model, old.stands, order) if place == "before" else old.stands
                guest = self.guests[mine]
                rows = [] if where[mine] == "idle" else guest.resume(where[mine])
                rows = rows + guest.command(item.step, model.word) + guest.finish()
                if place == "between":
                    done = self._upto_exit(model, rows)
                    stands = self._round(model, stands, order)
                    rows = rows[done:]
                model.run(rows + guest.idle())
                if place == RAN:
                    stands = self._round(model, stands, order)
                after = "+".join("idle" if vcpu == mine else at for vcpu, at in enumerate(stands.split("+")))
                yield Outcome(place=place + self._named(order) if order else "", stands=after)

    def _upto_exit(self, model: Model, rows: list[Row]) -> int:
        """Carry out rows up to the one that meets the command's first misconfiguration of data. Returns how many are done.

        That access is tried as a load, which exits as the store would; it counts as not done, for it starts again.
        """
        for done, row in enumerate(rows):
            if row[0] not in (FETCH, READ, WRITE):
                model.run([row])
                continue
            met = len(model.events)
            model.run([(READ, *row[1:]) if row[0] == WRITE else row])
            if any(e.kind == "EPT_MISCONFIG" and e.gfn == row[1] >> 12 for e in model.events[met:]):
                return done
            if row[0] == WRITE:
                model.run([row])
        return len(rows)
