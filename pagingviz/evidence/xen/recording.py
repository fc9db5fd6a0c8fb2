"""One recording that comes with the package, and the families of them: what was recorded on which processor.

What the recordings of a family are and are not is told by its `what`, which the page shows as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pagingviz.evidence.xen.model import scenario_of
from pagingviz.scenario.scenario import Scenario


@dataclass(frozen=True)
class Family:
    """`short`: one sentence above a recording; `what`: what its recordings are, and what was searched."""

    short: str
    what: str


QEMU = Family(
    "Recorded from a real Xen 4.17.5 under QEMU's emulation of an AMD processor: orders and counts are real, times are not.",
    "A real Xen 4.17.5, rebuilt with shadow paging and performance counters on, ran a small guest and wrote down what it did. "
    "The computer under it was QEMU's software emulation of an AMD processor (SVM), so every order, count and bitmap is Xen's "
    "own, but the times are not real and are not shown. There is one vCPU and 32 MiB. Two things a recording does not tell "
    "are searched, each over a short written list: where in its idle loop an operation found the guest, and what was shadowed "
    "when the recording began.",
)
BOCHS_EPT = Family(
    "Recorded from a real Xen 4.17.5 on Bochs' emulation of VMX: orders and counts are real, times are not.",
    "A real Xen 4.17.5 ran a small guest on EPT. The computer under it was Bochs' software emulation of an Intel processor "
    "with VMX. What Xen did is Xen's own; what the processor did was written down by the emulator: each exit because of EPT "
    "with its guest-physical address, each entry of the page-modification log, each INVEPT. These are as Bochs models them and "
    "as the manual has them, with two corrections of Bochs: when a full log exits, and that the walker's own stores to guest "
    "tables need the right to write. There is one TLB, no speculation, no paging-structure cache, one processor; times mean "
    "nothing. Searched, over a short written list, is what the guest, which waits in its loop, did about each operation: "
    "whether it ran after it, or still before it, or not at all.",
)
BOCHS_NPT = Family(
    "Recorded from a real Xen 4.17.5 on Bochs' emulation of SVM: orders and counts are real, times are not.",
    "The same Xen and guest as on EPT, on Bochs' emulation of an AMD processor: a second emulator's nested paging beside "
    "QEMU's. Searched is where in its idle loop an operation found the guest, and which program of the guest it was.",
)
QEMU_SECOND = Family(
    QEMU.short,
    "The second program of the guest, which was written for the recordings on EPT, under QEMU's nested paging: bitmaps and "
    "counts are those of the first program.",
)


@dataclass(frozen=True)
class Recording:
    """One recording: `name` as in the URL, `title` for the reader, files of library.FOLDER ("" where there is none).

    `settings`: fields of the scenario, as Xen and the processor were; `hw`: the processor's events; `dumps`: of its EPT leaves.
    """

    name: str
    title: str
    script: str
    guest: str
    jsonl: str = ""
    csv: str = ""
    perf: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    about: str = ""
    road: str = "shadow"
    hw: str = ""
    dumps: str = ""
    family: Family = QEMU

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that belong to it."""
        return tuple(name for name in (self.script, self.jsonl, self.csv, self.perf, self.hw, self.dumps) if name)

    @property
    def scenario(self) -> Scenario:
        """The model's scenario of the recorded domain."""
        return scenario_of(self.settings, self.road)
