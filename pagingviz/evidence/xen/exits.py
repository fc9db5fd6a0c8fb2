"""The model's events on EPT as the recordings of the processor have them (hw.py), with guest-physical addresses."""

from __future__ import annotations

from dataclasses import replace

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.evidence.xen.guest import Guest
from pagingviz.evidence.xen.hw import KINDS, violation
from pagingviz.evidence.xen.read import Event

EXITS = {int(ev.CODES[name]): name for name in KINDS if name in ev.CODES}
_RIGHTS_SHIFT = 3  # of the exit qualification: what the entries gave


def exit_of(guest: Guest, kind: int, gva: int, gfn: int, qualification: int, detail: int, tick: int) -> Event:
    """The event of a row of the machine's record; `kind` is one of EXITS. `detail`: of an entry of the log its slot.

    An access of a guest table counts as a write where the manual's qualification has read and write.
    """
    name = EXITS[kind]
    if name == "PML_LOG":
        return Event(name, gfn=gfn, value=detail, tick=tick)
    if name in ("PML_FULL", "INVEPT"):
        return Event(name, tick=tick)
    if name == "EPT_MISCONFIG":  # has no qualification: the guest maps each frame at its own address, so it shows in that
        return Event(name, _gpa(guest, gva, gfn, gva >> 12 == gfn), gfn, tick=tick)
    final = bool(qualification & int(x86.EPT_FINAL))
    access = "w" if qualification & int(x86.EPT_W) else "x" if qualification & int(x86.EPT_X) else "r"
    given = qualification >> _RIGHTS_SHIFT
    rights = "".join(letter for letter, bit in (("r", x86.EPT_R), ("w", x86.EPT_W), ("x", x86.EPT_X)) if given & int(bit))
    words = violation(access, rights, "leaf" if final else "table")
    return Event(name, _gpa(guest, gva, gfn, final), gfn, detail=words, tick=tick)


def shown_in_trace(events: list[Event]) -> list[Event]:
    """What xentrace shows of these events: exits, a violation with its address. It has nothing of the log and of INVEPT."""
    out = []
    for event in events:
        if event.kind in ("EPT_MISCONFIG", "PML_FULL"):
            out.append(Event(event.kind))
        elif event.kind == "EPT_VIOLATION":
            out.append(replace(event, detail=""))
    return out


def _gpa(guest: Guest, gva: int, gfn: int, final: bool) -> int:
    """The guest-physical address of an access to frame `gfn`: to the data at `gva`, or to an entry of a table on its path."""
    if final:
        return gfn << 12 | gva & 0xFFF
    level = guest.level_of(gfn)
    return gfn << 12 | (gva >> 12 + 9 * (level - 1) & 511) << 3 if level else gfn << 12
