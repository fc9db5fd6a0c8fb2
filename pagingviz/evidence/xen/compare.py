"""Hold the model against a recording: everything that differs, one line each, and the two columns for the reader.

What is compared and how: issue text "How to compare fairly"; match.py for events, play.py for what is searched.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pagingviz.evidence.xen.dumps import read_dumps, within
from pagingviz.evidence.xen.exits import shown_in_trace
from pagingviz.evidence.xen.hw import read_hw
from pagingviz.evidence.xen.hwplay import HwRehearsal
from pagingviz.evidence.xen.match import Own, Pair, align, pool_differences, read_differences, spread
from pagingviz.evidence.xen.memory import Memory
from pagingviz.evidence.xen.perf import not_compared, read_perf
from pagingviz.evidence.xen.play import EPT_HITS, HITS, STARTS, Item, Outcome, Played, Rehearsal, builds, recorded_reading
from pagingviz.evidence.xen.pvguest import guest_of
from pagingviz.evidence.xen.read import Event, Operation, read_csv, read_jsonl
from pagingviz.evidence.xen.script import UNRECORDED, Step, parse, refuse_unknown
from pagingviz.scenario.fields import ScenarioError, quote
from pagingviz.scenario.scenario import Scenario

KNOWN = Path(__file__).parents[1] / "recordings/differences.toml"


@dataclass(frozen=True)
class Row:
    """One step of the script: its line and words, the two columns of events, where an operation found the guest."""

    line: int
    words: str
    pairs: tuple[Pair, ...] = ()
    place: str = ""
    reading: tuple = ()  # (recorded Reading, model Reading) of a PEEK or CLEAN
    besides: tuple[str, str] | None = None  # (recorded, model) what else is compared: the pool's size, lines of a dump


@dataclass
class Report:
    """The outcome of one comparison. percent: of the trace events, None without a trace; plain: nothing searched."""

    rows: list[Row]
    differences: list[str]
    played: Played
    events: int
    percent: float | None
    plain_percent: float | None
    plain_differences: int
    readings: int
    counters: dict[str, tuple[int, int]]  # name -> (recorded, model)
    notes: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)  # difference -> cause
    sought: tuple[str, ...] = ()  # what was searched beside the start, one sentence each

    def plain_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "searched": {
                "start": self.played.start,
                "built": self.played.where,
                "sought": list(self.sought),
                "places": [{"line": r.line, "step": r.words, "place": r.place} for r in self.rows if r.place],
            },
            "readings": self.readings,
            "events": self.events,
            "events_equal_percent": self.percent,
            "not_searched": {"events_equal_percent": self.plain_percent, "differences": self.plain_differences},
            "counters": {name: {"recorded": r, "model": m} for name, (r, m) in self.counters.items()},
            "differences": [{"text": text, "known": self.known.get(text)} for text in self.differences],
            "notes": self.notes,
        }


@dataclass(frozen=True)
class Texts:
    """The texts of the files of one recording; None where there is none. `variant`: which guest of the dumps it is; `memory`:
    what is declared of the domain's memory."""

    against: str | None = None  # operations (`.jsonl`)
    trace: str | None = None  # xentrace (`.csv`)
    perf: str | None = None  # performance counters
    hw: str | None = None  # the processor's events (`hw_*.csv`)
    dumps: str | None = None  # EPT leaves
    variant: str = ""
    memory: Memory = Memory()


def compare(
    script: str,
    guest: str,
    scenario: Scenario,
    texts: Texts,
    known: dict[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Compare the files of a recording with the model. Raises ScenarioError.

    `progress`, if given, is called before each way that is tried: (ways tried, ways there are).
    """
    if texts.against is None and texts.trace is None and texts.hw is None:
        raise ScenarioError("There is nothing to compare with: give a recording, a trace, or the processor's events.")
    before, items = items_of(parse(script), texts, scenario)
    counts = read_perf(texts.perf) if texts.perf is not None else {}
    best: Report | None = None
    plain: Played | None = None
    programs = builds(guest, scenario, [item.step for item in items])
    ways = [(start, loop) for start in STARTS for loop in programs]
    for n, (start, loop) in enumerate(ways):
        if progress:
            progress(n, len(ways))
        player = player_of(guest, scenario, before, items, texts)
        if plain is None:
            plain = player.play(start, loop, False)
        played = player.play(start, loop, True, len(best.differences) if best else None)
        if played is None:
            continue
        report = _report(player, played, counts)
        if best is None or len(report.differences) < len(best.differences):
            best = report
        if not best.differences:
            break
    assert best and plain  # the first way that is tried has no limit
    best.notes = [note for note in (texts.memory.note, *best.notes) if note]
    without = _report(player, plain, counts)
    best.plain_percent, best.plain_differences = without.percent, len(without.differences)
    best.known = {text: cause for text, cause in (known or {}).items() if text in best.differences}
    return best


def player_of(guest: str, scenario: Scenario, before: list[Event], items: list[Item], texts: Texts) -> Rehearsal:
    """Who plays this recording: on EPT the search is another one."""
    player = (HwRehearsal if on_ept(scenario) else Rehearsal)(guest, scenario, before, items)
    player.huge_leaves = texts.memory.huge_leaves
    player.traced = texts.trace is not None or texts.hw is not None
    if on_ept(scenario) and texts.hw is None:
        player.view = shown_in_trace
    return player


def on_ept(scenario: Scenario) -> bool:
    """Whether the recorded domain had EPT."""
    return scenario.road == "hap" and scenario.hap == "ept"


def known_differences(recordings: set[str], path: Path = KNOWN) -> dict[str, str]:
    """{difference: cause (Xen function)} of the list of known ones, for these files; empty when there is no list."""
    if not path.is_file():
        return {}
    try:
        rows = tomllib.loads(path.read_text("utf-8")).get("difference", [])
        return {row["line"]: f"{row['cause']} ({row['function']})" for row in rows if row["recording"] in recordings}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScenarioError(f"The list of known differences {path} cannot be used: {quote(str(error), 80)}.") from None


def items_of(steps: list[Step], texts: Texts, scenario: Scenario) -> tuple[list[Event], list[Item]]:
    """Steps beside what was recorded of them. Events belong to the last step that acts before them."""
    ept = on_ept(scenario)
    _possible(steps, texts, scenario)
    before: list[Event] = []
    traced = exits = None
    if texts.trace is not None:
        before, traced = read_csv(texts.trace, "ept" if ept else scenario.road)
    if texts.hw is not None:
        exits, (before, traced) = traced, read_hw(texts.hw)
    listed = read_jsonl(texts.against) if texts.against is not None else None
    dumps = read_dumps(texts.dumps, texts.variant) if texts.dumps is not None else {}
    rows = [step for step in steps if step.name not in UNRECORDED]
    found = {"recording": listed, "processor's events" if texts.hw is not None else "trace": traced, "trace": exits or traced}
    for what, operations in found.items():
        if operations is not None:
            operations[:] = [operation for operation in operations if operation.name not in UNRECORDED]
            _fits(what, rows, operations)
    items: list[Item] = []
    group, exit_group, cleaned, number = before, [], False, 0
    for step in steps:
        if step.name in UNRECORDED:
            if step.text in dumps:
                items.append(Item(step, Operation("dump"), leaves=within(dumps[step.text], scenario.frames)))
            continue
        operation, also, shown = ((x or listed or traced or [])[number] for x in (listed, traced, exits))
        number += 1
        item = Item(step, operation, [], recorded_reading(operation), cleaned, EPT_HITS if ept else HITS)
        if traced is not None:
            if item.acts:
                group, exit_group = item.events, item.exits
            group += also.events
            exit_group += shown.events if exits is not None else []
        cleaned = cleaned or step.name == "clean"
        items.append(item)
    return before, items


def _possible(steps: list[Step], texts: Texts, scenario: Scenario) -> None:
    """What a script or a file needs of the domain."""
    if scenario.road != "pv":
        refuse_unknown(steps)
    ept = on_ept(scenario)
    if texts.hw is not None and not ept:
        raise ScenarioError("The processor's events are those of EPT: they need road=hap and hap=ept.")
    if texts.dumps is not None and not ept:
        raise ScenarioError("Dumps of leaves are those of EPT: they need road=hap and hap=ept.")
    if scenario.vcpus > 1 and not ept:
        raise ScenarioError("A guest with more than one vCPU can be compared on EPT only (road=hap and hap=ept).")
    named = [step.text for step in steps if step.name == "dump"]
    if texts.dumps is not None and sorted(named) != sorted(found := read_dumps(texts.dumps, texts.variant)):
        raise ScenarioError(f"The script has the dumps {quote(', '.join(named))}, the file of dumps {quote(', '.join(found))}.")
    for step in steps:
        if step.vcpu >= scenario.vcpus:
            raise ScenarioError(f"cmd1 in line {step.line} of the script needs a guest with two vCPUs (vcpus=2).")


def _fits(what: str, steps: list[Step], operations: list[Operation]) -> None:
    """The script and the recording must list the same operations in the same order."""
    for number, step in enumerate(steps):
        if number >= len(operations):
            raise ScenarioError(f"The {what} ends before line {step.line} of the script ({quote(step.words)}).")
        row = operations[number].fields
        same = operations[number].name == step.name
        if step.name == "cmd" and same:
            same = (step.number, *step.args[:4], step.vcpu) == (*map(row.get, ("cmd", "a", "b", "c", "d")), row.get("vcpu", 0))
        if not same:
            has = " ".join(str(v) for v in (operations[number].name, *(row.get(k, "") for k in ("cmd", "a", "b", "c", "d"))))
            line = f"line {step.line} of the script is {quote(step.words)}"
            raise ScenarioError(f"The {what} is not of this script: {line}, the {what} has {quote(has.strip())} there.")
    if len(operations) > len(steps):
        raise ScenarioError(f"The {what} goes on after the last line of the script, with {quote(operations[len(steps)].name)}.")


def _report(player: Rehearsal, played: Played, counts: dict[str, int]) -> Report:
    before, items, own = player.before, player.items, guest_of(player.kind, played.loop).own
    if player.stream is not None and player.traced:
        acting = [n for n, item in enumerate(items) if item.acts]
        dealt = dict(zip(acting, spread(player.stream, [played.outcomes[n].events for n in acting], own), strict=True))
        items = [replace(item, events=dealt.get(n, [])) for n, item in enumerate(items)]
        before = []
    rows, differences, notes, total, equal, readings = [], [], [], 0, 0, 0
    if before:
        rows.append(Row(0, "before the first step", tuple(align(before, [], own))))
    for item, outcome in zip(items, played.outcomes, strict=True):
        where = f"line {item.step.line}, {item.step.words}"
        pairs = tuple(align(item.events, player.view(list(outcome.events)), own)) if player.traced and item.acts else ()
        both = (item.reading, outcome.reading) if item.reading and outcome.reading else ()
        rows.append(Row(item.step.line, item.step.words, pairs, outcome.place, both, _besides(item, outcome)))
        if both:
            readings += 1
            differences += [f"{where}: {text}" for text in read_differences(*both, item.faults)]
            if not item.faults:
                notes.append(
                    f"{where}: fault_count {both[0].fault_count} counts from the building of the domain and is "
                    f"not compared; the model has {both[1].fault_count}"
                )
        elif item.reading or outcome.reading:
            there, without = ("recording", "model") if item.reading else ("model", "recording")
            differences.append(f"{where}: the {there} has a reading, the {without} has none")
        differences += [f"{where}: {text}" for text in _differs(item, outcome, own)]
    for row in rows:
        total += len(row.pairs)
        equal += sum(pair.equal for pair in row.pairs)
        differences += [f"line {row.line}, {row.words}: {pair.words}" for pair in row.pairs if not pair.equal]
    skipped = not_compared(player.scenario.road)
    counters = {name: (count, played.counters.get(name, 0)) for name, count in counts.items() if name not in skipped}
    differences += [f"counter {name}: {r}, the model has {m}" for name, (r, m) in counters.items() if r != m]
    percent = round(100 * equal / total, 2) if total else (100.0 if player.traced else None)
    return Report(rows, differences, played, total, percent, None, 0, readings, counters, notes, sought=player.sought)


def _besides(item: Item, outcome: Outcome) -> tuple[str, str] | None:
    """What is compared of a step beside events and a reading, in words: by the recording, and by the model."""
    if item.leaves is not None:
        return f"{len(item.leaves)} kinds of leaves", f"{len(outcome.leaves)} kinds of leaves"
    pages = item.operation.fields.get("mempool_pages")
    return None if outcome.pool is None or pages is None else (f"{pages} pages", f"{outcome.pool} pages")


def _differs(item: Item, outcome: Outcome, own: Own) -> list[str]:
    """What of a step differs beside its events and its reading: pool, leaves, refusal, exits of a second trace."""
    out = [] if outcome.pool is None else pool_differences(item.operation.fields, outcome.pool)
    if item.step.name in EPT_HITS and "rc" in item.operation.fields:
        refused = int(item.operation.fields["rc"]) < 0
        if refused != outcome.refused:
            out.append(f"Xen {'refused' if refused else 'did'} it, the model {'did not' if refused else 'did'} refuse it")
    if item.leaves is not None and item.leaves != outcome.leaves:
        for side, other, what in ((item.leaves, outcome.leaves, "recording"), (outcome.leaves, item.leaves, "model")):
            out += [f"only the {what} has leaves {row.words}" for row in side if row not in other]
    if item.exits:
        pairs = align(item.exits, shown_in_trace(list(outcome.events)), own)
        out += [f"in the trace of Xen {pair.words}" for pair in pairs if not pair.equal]
    return out


def text(report: Report, title: str) -> str:
    """The report for a terminal: what was searched, what was equal, then one line a difference."""
    played = report.played
    lines = [title, f"  searched: start: {played.start} (one of: {'; '.join(STARTS)})", f"  {played.where}"]
    lines += [f"  {'' if n == 0 else '  '}{sentence}" for n, sentence in enumerate(report.sought)]
    lines += [f"    line {row.line:>3} {row.words:<12} {row.place}" for row in report.rows if row.place]
    if report.percent is not None:
        lines += [
            f"  trace events equal: {report.percent} % of {report.events}; with nothing searched: {report.plain_percent} %"
        ]
    lines += [
        f"  readings compared: {report.readings}; counters compared: {len(report.counters)}; "
        f"differences with nothing searched: {report.plain_differences}"
    ]
    lines += [f"  note: {note}" for note in report.notes]
    for difference in report.differences:
        lines.append(f"  differs: {difference}")
        if difference in report.known:
            lines.append(f"    known: {report.known[difference]}")
    lines += [f"  differences: {len(report.differences)}"]
    return "\n".join(lines)
