"""Hold the model against a recording: everything that differs, one line each, and the two columns for the reader.

What is compared and how: issue text "How to compare fairly"; match.py for events, play.py for what is searched.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pagingviz.evidence.xen.match import Pair, align, read_differences, spread
from pagingviz.evidence.xen.perf import NOT_COMPARED, read_perf
from pagingviz.evidence.xen.play import HITS, LOOPS, PLACES, STARTS, Item, Played, Rehearsal, recorded_reading
from pagingviz.evidence.xen.pvguest import guest_of
from pagingviz.evidence.xen.read import Event, Operation, read_csv, read_jsonl
from pagingviz.evidence.xen.script import Step, parse
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

    def plain_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "searched": {
                "start": self.played.start,
                "built": self.played.where,
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


def compare(
    script: str,
    guest: str,
    scenario: Scenario,
    against: str | None,
    trace: str | None = None,
    perf: str | None = None,
    known: dict[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Compare texts of files (recording `.jsonl`, trace `.csv`, perf `.txt`) with the model. Raises ScenarioError.

    `progress`, if given, is called before each way that is tried: (ways tried, ways there are).
    """
    if against is None and trace is None:
        raise ScenarioError("There is nothing to compare with: give a recording or a trace.")
    before, items = items_of(parse(script), against, trace, scenario.road)
    counts = read_perf(perf) if perf is not None else {}
    best: Report | None = None
    plain: Played | None = None
    for s, start in enumerate(STARTS):
        for n, loop in enumerate(LOOPS[guest]):
            if progress:
                progress(s * len(LOOPS[guest]) + n, len(STARTS) * len(LOOPS[guest]))
            player = Rehearsal(guest, scenario, before, items)
            player.traced = trace is not None
            if plain is None:
                plain = player.play(start, loop, False)
            played = player.play(start, loop, True, len(best.differences) if best else None)
            if played is None:
                continue
            report = _report(guest, before, items, played, counts, trace is not None)
            if best is None or len(report.differences) < len(best.differences):
                best = report
            if not best.differences:
                break
        if best and not best.differences:
            break
    assert best and plain  # the first way that is tried has no limit
    without = _report(guest, before, items, plain, counts, trace is not None)
    best.plain_percent, best.plain_differences = without.percent, len(without.differences)
    best.known = {text: cause for text, cause in (known or {}).items() if text in best.differences}
    return best


def known_differences(recordings: set[str], path: Path = KNOWN) -> dict[str, str]:
    """{difference: cause (Xen function)} of the list of known ones, for these files; empty when there is no list."""
    if not path.is_file():
        return {}
    try:
        rows = tomllib.loads(path.read_text("utf-8")).get("difference", [])
        return {row["line"]: f"{row['cause']} ({row['function']})" for row in rows if row["recording"] in recordings}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScenarioError(f"The list of known differences {path} cannot be used: {quote(str(error), 80)}.") from None


def items_of(steps: list[Step], against: str | None, trace: str | None, road: str = "shadow") -> tuple[list[Event], list[Item]]:
    """Steps beside what was recorded of them. Events belong to the last step that acts before them."""
    steps = [step for step in steps if step.name != "sleep"]
    before, traced = read_csv(trace, road) if trace is not None else ([], None)
    listed = read_jsonl(against) if against is not None else None
    for what, operations in (("recording", listed), ("trace", traced)):
        if operations is not None:
            _fits(what, steps, operations)
    items: list[Item] = []
    group, cleaned = before, False
    for step, operation, also in zip(steps, listed or traced or [], traced or listed or [], strict=True):
        item = Item(step, operation, reading=recorded_reading(operation), faults=cleaned)
        if traced is not None:
            if item.acts:
                group = item.events
            group += also.events
        cleaned = cleaned or step.name == "clean"
        items.append(item)
    return before, items


def _fits(what: str, steps: list[Step], operations: list[Operation]) -> None:
    """The script and the recording must list the same operations in the same order."""
    for number, step in enumerate(steps):
        if number >= len(operations):
            raise ScenarioError(f"The {what} ends before line {step.line} of the script ({quote(step.words)}).")
        row = operations[number].fields
        same = operations[number].name == step.name
        if step.name == "cmd" and same:
            same = (step.number, *step.args[:4]) == tuple(row.get(key) for key in ("cmd", "a", "b", "c", "d"))
        if not same:
            has = " ".join(str(v) for v in (operations[number].name, *(row.get(k, "") for k in ("cmd", "a", "b", "c", "d"))))
            line = f"line {step.line} of the script is {quote(step.words)}"
            raise ScenarioError(f"The {what} is not of this script: {line}, the {what} has {quote(has.strip())} there.")
    if len(operations) > len(steps):
        raise ScenarioError(f"The {what} goes on after the last line of the script, with {quote(operations[len(steps)].name)}.")


def _report(kind: str, before: list[Event], items: list[Item], played: Played, counts: dict[str, int], traced: bool) -> Report:
    own = guest_of(kind, played.loop).own
    if kind == "pv64" and traced:
        recorded = [*before, *(event for item in items if item.acts for event in item.events)]
        acting = [n for n, item in enumerate(items) if item.acts]
        dealt = dict(zip(acting, spread(recorded, [played.outcomes[n].events for n in acting], own), strict=True))
        items = [replace(item, events=dealt.get(n, [])) for n, item in enumerate(items)]
        before = []
    rows, differences, notes, total, equal, readings = [], [], [], 0, 0, 0
    if before:
        rows.append(Row(0, "before the first step", tuple(align(before, [], own))))
    for item, outcome in zip(items, played.outcomes, strict=True):
        where = f"line {item.step.line}, {item.step.words}"
        pairs = tuple(align(item.events, list(outcome.events), own)) if traced and item.acts else ()
        both = (item.reading, outcome.reading) if item.reading and outcome.reading else ()
        rows.append(Row(item.step.line, item.step.words, pairs, outcome.place, both))
        if both:
            readings += 1
            differences += [f"{where}: {text}" for text in read_differences(*both, item.faults)]
            if not item.faults:
                notes.append(
                    f"{where}: fault_count {both[0].fault_count} counts from the building of the domain and is "
                    f"not compared; the model has {both[1].fault_count}"
                )
        if outcome.pool is not None:
            differences += [f"{where}: {text}" for text in _pool_differs(item.operation.fields, outcome.pool)]
    for row in rows:
        total += len(row.pairs)
        equal += sum(pair.equal for pair in row.pairs)
        differences += [f"line {row.line}, {row.words}: {pair.words}" for pair in row.pairs if not pair.equal]
    counters = {name: (count, played.counters.get(name, 0)) for name, count in counts.items() if name not in NOT_COMPARED}
    differences += [f"counter {name}: {r}, the model has {m}" for name, (r, m) in counters.items() if r != m]
    percent = round(100 * equal / total, 2) if total else (100.0 if traced else None)
    return Report(rows, differences, played, total, percent, None, 0, readings, counters, notes)


def _pool_differs(recorded: dict[str, Any], pages: int) -> list[str]:
    """The pool's size beside the model's: in pages where Xen gave it (never of a PV guest), else in MiB, rounded up."""
    if recorded.get("mempool_rc", 0) == 0:
        recorded_pages = recorded.get("mempool_pages")
        return [f"pool of {recorded_pages} pages, the model has {pages}"] if recorded_pages not in (None, pages) else []
    recorded_mib, mib = recorded.get("shop_mb"), -(-pages // 256)
    return [f"pool of {recorded_mib} MiB, the model has {mib}"] if recorded_mib not in (None, mib) else []


def text(report: Report, title: str) -> str:
    """The report for a terminal: what was searched, what was equal, then one line a difference."""
    played = report.played
    lines = [title, f"  searched: start: {played.start} (one of: {'; '.join(STARTS)})", f"  {played.where}"]
    lines += [f"  place (one of: {', '.join(PLACES)}) at which each of {', '.join(HITS)} found the guest:"]
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
