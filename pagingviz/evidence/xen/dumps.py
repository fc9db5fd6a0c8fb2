"""Dumps of all EPT leaves (Xen's debug key D), shortened: neighbours alike but for their frame are one line. And the model's.

A line: first and last guest frame, number of leaves, their order (9: 2 MiB, 18: 1 GiB), rights, memory type, and a last sign:
`?` a change of types waits in the leaf (then its memory type is `??`) or in a table above it, else `!` the type is the
hypervisor's alone (ipat). Source: Xen mm/p2m-ept.c: ept_dump_p2m_table. Frames beyond the guest's RAM, which no model has, are
left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from pagingviz.arch import x86
from pagingviz.machine.machine import Machine
from pagingviz.scenario.fields import ScenarioError, quote

_LINE = re.compile(r"(0x[0-9a-f]+)- *(0x[0-9a-f]+) +(\d+) x order +(\d+) ([r-][w-][x-]) (\S.\S)")
_TYPES = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB"}


@dataclass(frozen=True)
class Leaves:
    """`count` neighbouring leaves of one order, from frame `first` to `last`: `rights` as r-x, `memory` as WB!."""

    first: int
    last: int
    count: int
    order: int
    rights: str
    memory: str

    @property
    def words(self) -> str:
        """The line of a dump."""
        return f"{self.first:#x}-{self.last:#x} {self.count} x order {self.order} {self.rights} {self.memory}"


def read_dumps(text: str, variant: str = "") -> dict[str, tuple[Leaves, ...]]:
    """The dumps of a file by their names (lines `## name`); of a file with several guests (`#### guest`) those of `variant`."""
    out: dict[str, tuple[Leaves, ...]] = {}
    several, here, name = "#### " in text, False, ""
    for number, line in enumerate(text.splitlines(), 1):
        where = f"in line {number} of the dumps"
        if line.startswith("####"):
            here = re.split(r"[ ,]", line[4:].strip())[0] == variant
        elif line.startswith("##"):
            name = line[2:].strip()
            if here or not several:
                out[name] = ()
        elif line.strip() and (here or not several):
            found = _LINE.fullmatch(line.strip())
            if not found or name not in out:
                raise ScenarioError(f"What stands {where} is no line of a dump: {quote(line.strip())}.")
            first, last, count, order = int(found[1], 16), int(found[2], 16), int(found[3]), int(found[4])
            out[name] = (*out[name], Leaves(first, last, count, order, found[5], found[6]))
    if not out:
        raise ScenarioError(f"The file of dumps has none{' of ' + quote(variant) if several else ''}.")
    return out


def within(leaves: tuple[Leaves, ...], frames: int) -> tuple[Leaves, ...]:
    """Those of the guest's RAM of `frames` frames."""
    return tuple(row for row in leaves if row.first < frames)


def leaves_of(machine: Machine) -> tuple[Leaves, ...]:
    """The model's EPT leaves, as a dump has them."""
    out = []
    for (order, rights, memory), same in groupby(_every(machine), key=lambda leaf: leaf[1:]):
        frames = [gfn for gfn, *_ in same]
        out.append(Leaves(frames[0], frames[-1] + (1 << order) - 1, len(frames), order, rights, memory))
    return tuple(out)


def _every(machine: Machine) -> Iterator[tuple[int, int, str, str]]:
    """(first frame, order, rights, memory) of every leaf, ascending."""
    pool = machine.view("pool").reshape(-1, 512)
    rwx, emt, ipat, sp = int(x86.EPT_RWX), int(x86.EPT_EMT), int(x86.EPT_IPAT), int(x86.EPT_SP)

    def below(page: int, level: int, first: int, waits: bool) -> Iterator[tuple[int, int, str, str]]:
        for i, entry in enumerate(pool[page].tolist()):
            gfn, pending = first + (i << 9 * (level - 1)), waits or entry & emt == emt
            if not entry & rwx or gfn >= machine.scenario.frames:
                continue
            if level > 1 and not entry & sp:
                yield from below((entry & int(x86.FRAME_MASK)) >> 12, level - 1, gfn, pending)
                continue
            rights = "".join(letter if entry & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))
            sign = "?" if pending else "!" if entry & ipat else " "
            yield gfn, 9 * (level - 1), rights, _TYPES.get((entry & emt) >> 3, "??") + sign

    return below(int(machine.sys[0].hap_root), 4, 0, False)
