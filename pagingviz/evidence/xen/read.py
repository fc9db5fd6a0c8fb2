"""Files of a recording: operations (`.jsonl`), operations and trace events in one timeline (`.csv`), counters (`perf_*.txt`).

What the processor itself did is read by hw.py. Every reader takes text and gives plain data; anything unexpected is one
sentence (ScenarioError). Times are not read.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field, replace

from pagingviz.arch import x86, xen
from pagingviz.scenario.fields import ScenarioError, quote

# Path flags as the decoded records spell them.
FLAG_BIT = {name: 1 << bit for bit, name in enumerate(xen.SFLAGS)} | {
    "SHADOW_L1_GET_REF": 1 << 2,
    "SHADOW_L1_PUT_REF": 1 << 3,
    "EMULATION_2ND_PT_WRITTEN": 1 << 14,
    "EMULATION_LAST_FAILED": 1 << 15,
    "FULL_PT": 1 << 16,
    "OOS_FIXUP_ADD": 1 << 19,
    "OOS_FIXUP_EVICT": 1 << 20,
}
BY_GFN = ("WRMAP_BF", "PREALLOC_UNPIN", "RESYNC_FULL", "RESYNC_ONLY")  # payload: one gfn of 8 bytes, nothing else
BY_PAGE = ("EMULATE_UNSHADOW_USER", "EMULATE_UNSHADOW_EVTINJ", "EMULATE_UNSHADOW_UNHANDLED")  # payload: gfn, va
# Of a HAP guest: every NPF exit, the change of the p2m that it led to, and (HVM_NPF) the guest-physical address.
NESTED = ("NPF", "MEM_SET_P2M_ENTRY", "HVM_NPF")
# Of a guest on EPT: its exits. The address of a violation is in the HVM_NPF record after it.
EPT_EXITS = ("EPT_MISCONFIG", "EPT_VIOLATION", "PML_FULL")
KINDS = (
    "NOT_SHADOW",
    "FAST_PROPAGATE",
    "FAST_MMIO",
    "FALSE_FAST_PATH",
    "MMIO",
    "FIXUP",
    "DOMF_DYING",
    "EMULATE",
    *BY_PAGE,
    *BY_GFN,
)
MAX_FILE = 16 << 20


@dataclass(frozen=True)
class Event:
    """One event. kind: of KINDS, of NESTED, or of hw.KINDS; va or gfn; flags: path flags or None where the record has none.

    Of a processor's event va is the guest-physical address, None where only the frame is recorded.
    """

    kind: str
    va: int | None = None
    gfn: int | None = None
    flags: int | None = None
    value: int | None = None  # what an EMULATE stored; the slot of an entry of the page-modification log
    detail: str = ""  # of an EPT violation: access, rights of the entry, and of which walk
    tick: int = field(default=0, compare=False)  # of the model's machine

    @property
    def words(self) -> str:
        """The event in one short line."""
        slot = f"in slot {self.value}" if self.kind == "PML_LOG" and self.value is not None else ""
        stored = f"of {self.value:#x}" if self.kind == "EMULATE" and self.value is not None else ""
        return " ".join(part for part in (self.kind, self.place, stored, slot, flag_names(self.flags), self.detail) if part)

    @property
    def place(self) -> str:
        """Its address or frame, in words; of an exit of EPT the guest-physical one."""
        if self.va is None:
            return f"gfn {self.gfn:#x}" if self.gfn is not None else ""
        return f"{'gpa' if self.kind in EPT_EXITS else 'va'} {self.va:#x}"


@dataclass
class Operation:
    """One operation of a recording and the trace events until the next one."""

    name: str
    fields: dict = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    read_back: bool = False  # whether `fields` hold what the tool read back afterwards


def flag_names(flags: int | None) -> str:
    """`L1_GET_REF|PROMOTE`; 0 gives "0", None the empty text."""
    if flags is None:
        return ""
    return xen.flag_names(flags) or "0"


def pages(text: str) -> frozenset[int]:
    """`119 11e 1000-1007` to the set of frame numbers."""
    out: set[int] = set()
    for item in text.split():
        first, _, last = item.partition("-")
        try:
            low, high = int(first, 16), int(last or first, 16)
        except ValueError:
            raise ScenarioError(f"The page range {quote(item)} of a bitmap is not hexadecimal.") from None
        if not 0 <= low <= high < 1 << 32:
            raise ScenarioError(f"The page range {quote(item)} of a bitmap is not in order.")
        out.update(range(low, high + 1))
    return frozenset(out)


def read_jsonl(text: str) -> list[Operation]:
    """The operations of a `.jsonl` recording, without events."""
    operations: list[Operation] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            raise ScenarioError(f"Line {number} of the recording is not JSON: {quote(line)}.") from None
        if isinstance(row, dict) and "ev" in row:  # what another program of that machine did meanwhile
            continue
        if not isinstance(row, dict) or not isinstance(row.get("op"), str):
            raise ScenarioError(f"Line {number} of the recording names no operation: {quote(line)}.")
        add_operation(operations, Operation(row.pop("op"), row))
    return operations


def read_csv(text: str, road: str = "shadow") -> tuple[list[Event], list[Operation]]:
    """(events before the first operation, operations with the events that follow each) of a trace recording.

    Of a shadow or PV guest the events of the shadow code are taken, of a HAP guest those of NESTED, on EPT ("ept") EPT_EXITS.
    """
    before: list[Event] = []
    operations: list[Operation] = []
    chunks: dict[int, int] = {}
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
        name, fields = row.get("name"), row.get("fields")
        if name is None or fields is None:
            raise ScenarioError(f"Line {number} of the trace does not have the columns name and fields.")
        if name.startswith("OP_"):
            add_operation(operations, Operation(name[3:], fields_of(fields, name == "OP_note")))
        else:
            found = fields_of(fields, False)
            if road in ("shadow", "pv") and name.startswith("SHADOW_"):
                event = _event(number, name.removeprefix("SHADOW_"), found)
                if road == "pv" and event.va is not None and isinstance(found.get("gl1e"), int):
                    chunks[(found["gl1e"] & int(x86.FRAME_MASK)) >> 21] = event.va >> 21
            elif road == "hap" and (name in NESTED or (name == "VMEXIT" and found.get("reason") == "NPF")):
                event = Event("NPF" if name == "VMEXIT" else name, va=found.get("gpa"), gfn=found.get("gfn"))
            elif road == "ept" and name == "HVM_NPF" and isinstance(found.get("gpa"), int):
                event = Event("EPT_VIOLATION", found["gpa"], found["gpa"] >> 12)
            elif road == "ept" and name == "VMEXIT" and found.get("reason") in ("EPT_MISCONFIG", "PML_FULL"):
                event = Event(found["reason"])
            else:
                continue
            (operations[-1].events if operations else before).append(event)
    if road == "pv":
        for events in (before, *(operation.events for operation in operations)):
            events[:] = [_by_pfn(event, chunks) for event in events]
    return before, operations


def _by_pfn(event: Event, chunks: dict[int, int]) -> Event:
    """The event with a pfn where Xen traced a PV guest's machine frame. `chunks`: 2 MiB of machine frames -> of pfns.

    What the FIXUPs tell: the recorded guest maps pfn at address pfn * 4096, and got its memory in pieces of 2 MiB.
    """
    if event.gfn is None or event.gfn >> 9 not in chunks:
        return event
    return replace(event, gfn=chunks[event.gfn >> 9] << 9 | event.gfn & 511)


def add_operation(operations: list[Operation], operation: Operation) -> None:
    """Append an operation. What the tool read back afterwards (`after-...`) belongs to the operation of that name before it.

    A trace has no row of a setpages, only of what was read back: that row then stands for the operation. A `cmd1` is a command
    of vCPU 1.
    """
    name = operation.name.removeprefix("after-")
    if name != operation.name:
        last = operations[-1] if operations else None
        if last and last.name == name and not last.read_back:
            last.fields.update(operation.fields)
            last.read_back = True
            return
        operation = Operation(name, operation.fields, read_back=True)
    if name == "cmd1":
        operation = Operation("cmd", operation.fields | {"vcpu": 1})
    operations.append(operation)


def fields_of(text: str, note: bool) -> dict:
    """`cmd=1 a=0 ranges=119 11e` to a dict: numbers become int, what follows ranges= or text= stays whole."""
    out: dict = {}
    if note:
        return {"text": text.removeprefix("text=")}
    text, found, ranges = text.partition("ranges=")
    for key, value in re.findall(r"(\w+)=(\S+)", text):
        try:
            out[key] = int(value, 0)
        except ValueError:
            out[key] = value
    return out | {"ranges": ranges.strip()} if found else out


def _event(number: int, kind: str, fields: dict) -> Event:
    if kind not in KINDS:
        raise ScenarioError(f"The event in line {number} of the trace is not known: {quote(kind)}.")
    raw = fields.get("raw")
    if raw is not None:
        fields = _raw(number, kind, str(raw))
    flags = fields.get("flags")
    if isinstance(flags, str):
        flags = sum(_bit(number, name) for name in set(flags.split("|")))
    return Event(kind, fields.get("va"), fields.get("gfn"), flags, fields.get("write_val"))


def _bit(number: int, name: str) -> int:
    if name not in FLAG_BIT:
        raise ScenarioError(f"The path flag {quote(name)} in line {number} of the trace is not known.")
    return FLAG_BIT[name]


def _raw(number: int, kind: str, text: str) -> dict:
    """An undecoded record, little endian; PAE ones have a va of 4 bytes."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise ScenarioError(f"The raw record in line {number} of the trace is not hexadecimal: {quote(text)}.") from None

    def word(first: int, size: int) -> int:
        return int.from_bytes(data[first : first + size], "little")

    if kind in BY_GFN and len(data) == 8:
        return {"gfn": word(0, 8)}
    if kind in BY_PAGE and len(data) in (12, 16):
        return {"gfn": word(0, 8), "va": word(8, len(data) - 8)}
    if kind in ("FIXUP", "NOT_SHADOW") and len(data) == 16:
        return {"va": word(8, 4), "flags": word(12, 4)}
    if kind == "EMULATE" and len(data) == 24:
        return {"write_val": word(8, 8), "va": word(16, 4), "flags": word(20, 4) & (1 << 29) - 1}
    if kind not in (*BY_GFN, *BY_PAGE, "FIXUP", "NOT_SHADOW", "EMULATE") and len(data) in (4, 8):
        return {"va": word(0, len(data))}
    raise ScenarioError(f"The raw {kind} record in line {number} of the trace has {len(data)} bytes, which is not known.")
