"""Two lists of trace events beside each other: which are equal, which stand alone. And one reading beside another.

Compared are kind, address and path flags, in order. Addresses of tables and of the region count exactly, those of the
guest's own code, stack, status and control pages by page. The flags of a fast emulation are stale in Xen and not
compared: the model marks such an event with flags None. Of a processor's event the frame and what is said of a violation count,
and the address where the recording has it. What an EMULATE stored and the slot of an entry of the log count wherever both
sides have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate
from typing import Any

from pagingviz.evidence.xen.hw import KINDS
from pagingviz.evidence.xen.read import Event

Own = Callable[[int], bool]


@dataclass(frozen=True)
class Pair:
    """One row of two columns; None where a side has nothing."""

    recorded: Event | None
    model: Event | None
    equal: bool

    @property
    def words(self) -> str:
        """The difference in one line."""
        recorded = "nothing" if self.recorded is None else self.recorded.words
        if self.model is None:
            return f"the recording has {recorded}, the model has nothing"
        return f"the recording has {recorded}, the model has {self.model.words}"


@dataclass(frozen=True)
class Reading:
    """What a PEEK or CLEAN gave."""

    pages: frozenset[int]
    dirty_count: int
    fault_count: int


def kind_and_address(event: Event, own: Own) -> tuple[str, int | None]:
    """Kind and address of an event as far as they are compared; a processor's event has its frame."""
    kind = f"{event.kind} {event.detail}"
    if event.va is None or event.kind in KINDS:
        return kind, event.gfn
    return kind, event.va & ~0xFFF if own(event.va >> 12) else event.va


def align(recorded: list[Event], model: list[Event], own: Own) -> list[Pair]:
    """The two lists in order, rows matched by kind and address; a matched row is equal when the flags are, too."""
    left, right = [kind_and_address(e, own) for e in recorded], [kind_and_address(e, own) for e in model]
    head = _same(left, right)
    tail = _same(left[head:][::-1], right[head:][::-1])
    a, b = len(left) - tail, len(right) - tail  # between head and tail something differs, and only there it is searched
    matcher = SequenceMatcher(None, left[head:a], right[head:b], autojunk=False)
    parts: list[tuple[bool, int, int, int, int]] = [(True, 0, head, 0, head)]
    if a > head or b > head:
        for tag, a0, a1, b0, b1 in matcher.get_opcodes():
            parts.append((tag == "equal", head + a0, head + a1, head + b0, head + b1))
    pairs: list[Pair] = []
    for equal, a0, a1, b0, b1 in (*parts, (True, a, len(left), b, len(right))):
        if equal:
            pairs += [Pair(r, m, _alike(r, m, own)) for r, m in zip(recorded[a0:a1], model[b0:b1], strict=True)]
            continue
        lonely, alone = recorded[a0:a1], model[b0:b1]
        for k in range(max(len(lonely), len(alone))):
            left_over = lonely[k] if k < len(lonely) else None
            pairs.append(Pair(left_over, alone[k] if k < len(alone) else None, False))
    return pairs


def _same(left: list, right: list) -> int:
    """How many items at the beginning of both lists are equal."""
    return next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def _alike(r: Event, m: Event, own: Own) -> bool:
    """Whether two events of one kind and place are equal: value and flags, of a processor's event also its exact address."""
    if r.kind in KINDS and r.va is not None and r.va != m.va and not own(r.va >> 12):
        return False
    if r.value is not None and m.value is not None and r.value != m.value:
        return False
    return m.flags is None or r.flags is None or m.flags == r.flags


def spread(recorded: list[Event], groups: list[tuple[Event, ...]], own: Own) -> list[list[Event]]:
    """The recorded events dealt out to the model's groups of events, in order: for records that have no time of their own."""
    out: list[list[Event]] = [[] for _ in groups]
    ends = list(accumulate(len(group) for group in groups))
    used = 0
    for pair in align(recorded, [event for group in groups for event in group], own):
        here = next((k for k, end in enumerate(ends) if used < end), len(groups) - 1)
        if pair.recorded is not None:
            out[here].append(pair.recorded)
        used += pair.model is not None
    return out


def reached(recorded: list[Event], model: list[Event], own: Own) -> int:
    """How many of the next recorded events belong to the model's: up to the last that one of these is beside.

    So a record too many or too few is one difference where it is, and no shift of all that follows.
    """
    if not model:
        return 0
    n = at = 0
    for pair in align(recorded, model, own):
        n += pair.recorded is not None
        if pair.recorded is not None and pair.model is not None and _beside(pair, own):
            at = n
    return at


def _beside(pair: Pair, own: Own) -> bool:
    """Whether the two events of a row are of one kind and place, whatever their flags."""
    assert pair.recorded and pair.model
    return kind_and_address(pair.recorded, own) == kind_and_address(pair.model, own)


def read_differences(recorded: Reading, model: Reading, faults: bool) -> list[str]:
    """Differences of two readings in words; fault_count only when `faults`."""
    out = []
    if recorded.pages != model.pages:
        missing, extra = recorded.pages - model.pages, model.pages - recorded.pages
        parts = [f"only the recording has {ranges(missing)}"] if missing else []
        parts += [f"only the model has {ranges(extra)}"] if extra else []
        out.append(f"bitmap: {'; '.join(parts)}")
    if recorded.dirty_count != model.dirty_count:
        out.append(f"dirty_count {recorded.dirty_count}, the model has {model.dirty_count}")
    if faults and recorded.fault_count != model.fault_count:
        out.append(f"fault_count {recorded.fault_count}, the model has {model.fault_count}")
    return out


def pool_differences(recorded: Mapping[str, Any], pages: int) -> list[str]:
    """The pool's size beside the model's: in pages where Xen gave it (never of a PV guest), else in MiB, rounded up."""
    if recorded.get("mempool_rc", 0) == 0:
        recorded_pages = recorded.get("mempool_pages")
        return [f"pool of {recorded_pages} pages, the model has {pages}"] if recorded_pages not in (None, pages) else []
    recorded_mib, mib = recorded.get("shop_mb"), -(-pages // 256)
    return [f"pool of {recorded_mib} MiB, the model has {mib}"] if recorded_mib not in (None, mib) else []


def ranges(pages: frozenset[int] | set[int]) -> str:
    """{0x119, 0x11a, 0x200} to `119-11a 200`."""
    out: list[list[int]] = []
    for page in sorted(pages):
        if out and out[-1][1] == page - 1:
            out[-1][1] = page
        else:
            out.append([page, page])
    return " ".join(f"{low:x}" if low == high else f"{low:x}-{high:x}" for low, high in out)
