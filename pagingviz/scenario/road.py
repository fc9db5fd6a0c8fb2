"""What a road is: one way by which the frames of a guest become frames of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Road:
    """A value of the scenario's field `road`, and what follows from it before the first tick.

    code: the kernels' number of it (arch/xen.py). It decides what the processor does on a TLB miss (core/access.py: miss) and
    what a command does (core/control.py); two roads may have the same. forms: the kinds of this road that a comparison shows
    side by side, each a title and the fields that choose it.
    shadows: Xen keeps shadows of the guest's tables, always or, for a PV guest, while log-dirty is on. paravirtual: the guest
    knows of the hypervisor, and its tables hold machine frames. nested: EPT or NPT lead from guest frames to machine frames.
    """

    name: str
    code: np.uint64
    forms: tuple[tuple[str, Mapping[str, str | int]], ...]
    shadows: bool = False
    paravirtual: bool = False
    nested: bool = False

    @property
    def hypervisor(self) -> bool:
        """Whether there is one: it chooses the machine frames, and can log what becomes dirty."""
        return self.shadows or self.nested

    @property
    def always_shadows(self) -> bool:
        """Whether the guest runs on shadows all the time, not only while log-dirty is on."""
        return self.shadows and not self.paravirtual

    @property
    def superpages(self) -> bool:
        """Whether the guest's own superpages work: Xen gives a PV guest none."""
        return not self.paravirtual

    @property
    def hardware_alone(self) -> bool:
        """Whether only the processor translates: 1 GiB pages work, and nothing is kept for each frame of a large guest."""
        return not self.shadows
