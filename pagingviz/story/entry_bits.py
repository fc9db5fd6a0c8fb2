"""The bits of page-table entries in words. Entries are uint64."""

import numpy as np

from pagingviz.arch import x86
from pagingviz.arch.words import U
from pagingviz.machine.machine import Machine
from pagingviz.reading import nested

_X86 = (
    (x86.P, "P"),
    (x86.RW, "RW"),
    (x86.US, "US"),
    (x86.A, "A"),
    (x86.D, "D"),
    (x86.PSE, "PSE"),
    (x86.COW, "COW"),
    (x86.NX, "NX"),
)
_EPT = (
    (x86.EPT_IPAT, "ipat"),
    (x86.EPT_SP, "sp"),
    (x86.EPT_A, "a"),
    (x86.EPT_D, "d"),
    (x86.EPT_RECALC, "recalc"),
    (x86.EPT_SVE, "sve"),
)
_EMT = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB", 7: "poison"}


def flags(entry: np.uint64) -> str:
    """The bits of an entry of a guest's table, a shadow or NPT, in the order of their numbers: "P RW A", or "empty"."""
    return " ".join(name for bit, name in _X86 if entry & bit) or "empty"


def ept_flags(entry: np.uint64) -> str:
    """The rights and bits of an EPT entry: "rw- a d"."""
    rights = "".join(c if entry & bit else "-" for bit, c in ((x86.EPT_R, "r"), (x86.EPT_W, "w"), (x86.EPT_X, "x")))
    return " ".join([rights, *(name for bit, name in _EPT if entry & bit)])


def nested_flags(machine: Machine, entry: np.uint64) -> str:
    """The bits of an entry of this machine's EPT or NPT."""
    return flags(entry) if machine.sys[0].npt else ept_flags(entry)


def memory_type(entry: np.uint64) -> int:
    """The memory type of an EPT entry, 0 to 7."""
    return int((entry & x86.EPT_EMT) >> U(3))


def memory_type_text(level: int, entry: np.uint64) -> str:
    """The memory type of an EPT entry: "6 WB"; of one that leads to a table "0: a table"."""
    emt = memory_type(entry)
    return "0: a table" if emt == 0 and not nested.is_leaf(level, entry) else f"{emt} {_EMT.get(emt, 'reserved')}"


def p2m_type(kind: int) -> str:
    """Xen's name of a p2m type: ram_rw, ram_logdirty."""
    return nested.KINDS.get(kind, "?")


def entry_flags(machine: Machine, level: int, entry: np.uint64) -> str:
    """All bits of an entry of EPT or NPT in one line, of a leaf with its p2m type: "rwx d emt=6 ram_rw"."""
    words = nested_flags(machine, entry)
    words = words if machine.sys[0].npt else f"{words} emt={memory_type(entry)}"
    return f"{words} {p2m_type(nested.kind(entry))}" if nested.is_leaf(level, entry) else words
