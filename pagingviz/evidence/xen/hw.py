"""The processor's own events beside a recording (`hw_*.csv`): exits of EPT, the page-modification log, INVEPT.

The emulator under that Xen wrote them down, in time order with the tool's operations. A row stands for one event, or for a run
of events that are alike but for their frame: these come out as single events, in the order in which they happened. What is not
compared is dropped: rip, the raw qualification, and time stamps, which must only be in order.
"""

from __future__ import annotations

import csv
import io
import re

from pagingviz.evidence.xen.read import Event, Operation, add_operation, fields_of
from pagingviz.scenario.fields import ScenarioError, one_of, quote

KINDS = ("EPT_MISCONFIG", "EPT_VIOLATION", "PML_LOG", "PML_FULL", "INVEPT")
_RUN = "EPT_VIOLATION_RUN"
COLUMNS = ("tsc_rel", "name", "fields")
_FOLLOWED = "each followed by INVEPT"
_FIELDS = {  # what each kind of row must have
    "EPT_MISCONFIG": ("gpa", "rip", "ad"),
    "EPT_VIOLATION": ("gpa", "access", "perm", "gla", "walk", "qual", "rip", "ad"),
    _RUN: ("n", "access", "perm", "walk", "gfns"),
    "PML_LOG": ("n", "slots", "gfns"),
    "PML_FULL": ("rip",),
    "INVEPT": ("type",),
}
_ACCESSES, _WALKS = ("r", "w", "x"), ("leaf", "table", "-")
_MOST = 1 << 20  # events that one row may stand for


def read_hw(text: str) -> tuple[list[Event], list[Operation]]:
    """(events before the first operation, operations with the processor's events that follow each); ScenarioError."""
    before: list[Event] = []
    operations: list[Operation] = []
    rows = csv.DictReader(io.StringIO(text))
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise ScenarioError(f"The file of the processor's events must begin with the columns {', '.join(COLUMNS)}.")
    last = 0
    for row in rows:
        where = f"in line {rows.line_num} of the processor's events"
        name, fields = row["name"], row["fields"]
        if name is None or fields is None:
            raise ScenarioError(f"The row {where} does not have the columns {', '.join(COLUMNS)}.")
        time = _number(f"The time stamp {where}", row["tsc_rel"])
        if time < last:
            raise ScenarioError(f"The time stamp {where} is {time}, earlier than the one before it, {last}.")
        last = time
        if name.startswith("OP_"):
            add_operation(operations, Operation(name[3:], fields_of(fields, name == "OP_note")))
        else:
            (operations[-1].events if operations else before).extend(_events(where, name, fields))
    return before, operations


def _events(where: str, name: str, text: str) -> list[Event]:
    """The events that one row stands for."""
    if name not in _FIELDS:
        raise one_of(f"The event {where}", name, tuple(_FIELDS))
    text, found, gfns = text.partition("gfns=")
    row = dict(re.findall(r"(\w+)=(\S+)", text)) | ({"gfns": gfns} if found else {})
    missing = [field for field in _FIELDS[name] if field not in row]
    if missing:
        raise ScenarioError(f"The {name} {where} has no {missing[0]}.")
    if name in ("PML_FULL", "INVEPT"):
        return [Event(name)]
    if name == "PML_LOG":
        return _logged(where, row)
    if name == _RUN:
        kind, frames = _kind(where, row), _frames(where, row["gfns"].replace(_FOLLOWED, ""), row["n"])
        flush = [Event("INVEPT")] if _FOLLOWED in row["gfns"] else []
        return [event for gfn in frames for event in (Event("EPT_VIOLATION", gfn=gfn, detail=kind), *flush)]
    gpa = _number(f"The gpa {where}", row["gpa"])
    return [Event(name, gpa, gpa >> 12, detail=_kind(where, row) if name == "EPT_VIOLATION" else "")]


def _logged(where: str, row: dict[str, str]) -> list[Event]:
    """The entries of one row of the page-modification log, with their slots."""
    first, dots, last = row["slots"].partition("..")
    slots = [_number(f"The slot {where}", slot) for slot in (first, last if dots else first)]
    frames = _frames(where, row["gfns"], row["n"])
    if not 511 >= slots[0] >= slots[1] >= 0 or slots[0] - slots[1] + 1 != len(frames):
        raise ScenarioError(f"The slots {where} are {quote(row['slots'])}, which does not fit its {len(frames)} frames.")
    return [Event("PML_LOG", gfn=gfn, value=slots[0] - k) for k, gfn in enumerate(frames)]


def _kind(where: str, row: dict[str, str]) -> str:
    """Access, rights and walk of a violation, as words that are compared."""
    for field, allowed in (("access", _ACCESSES), ("walk", _WALKS)):
        if row[field] not in allowed:
            raise one_of(f"The {field} {where}", row[field], allowed)
    if not re.fullmatch("r?w?x?|-", row["perm"]):
        raise ScenarioError(
            f"The perm {where} is {quote(row['perm'])}, not of the letters r, w and x in this order, or - for none."
        )
    return violation(row["access"], row["perm"].replace("-", ""), row["walk"])


def violation(access: str, rights: str, walk: str) -> str:
    """What an EPT violation was: access r, w or x; rights that the entries gave; walk leaf, table or -."""
    return f"{access} of {rights or 'nothing'}, {walk}"


def _frames(where: str, text: str, count: str) -> list[int]:
    """`10d 10c 1001-1007` to frame numbers, in this order; `count` as the row tells it."""
    out: list[int] = []
    for item in text.split():
        match = re.fullmatch(r"([0-9a-f]+)(?:-([0-9a-f]+))?", item)
        low, high = (int(match[1], 16), int(match[2] or match[1], 16)) if match else (1, 0)
        if not low <= high < low + _MOST:
            raise ScenarioError(
                f"The frames {where} have {quote(item)}, which is no hexadecimal number and no ascending run a-b."
            )
        out.extend(range(low, high + 1))
    if len(out) != _number(f"The number of events {where}", count):
        raise ScenarioError(f"The row {where} says {quote(count)} events, but lists {len(out)} frames.")
    return out


def _number(what: str, text: str | None) -> int:
    try:
        return int(text or "", 0)
    except ValueError:
        raise ScenarioError(f"{what} is {quote(text or '')}, which is no number.") from None
