"""Where a guest's frames lie in the machine, which of them the state keeps anything for, and how many pages that can cost.

A guest of more than fields.MAX_FRAMES frames is far larger than its work: the state has words only for frames that the work
can touch, runs of 2**bits neighbours that begin 2**spread frames apart, the first at frame 0 with all page tables in it. The
others exist in the nested tables, in the bitmap's tree and on the maps; nothing ever happens to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pagingviz.arch import xen
from pagingviz.arch.words import ONE, U
from pagingviz.scenario.fields import MAX_FRAMES
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario

GIB_BITS, CHUNK_BITS = 18, 9  # frames in a leaf of 1 GiB and of 2 MiB, as powers of two
MAX_RUNS = 8  # each may split a 1 GiB leaf, which costs 2 MiB of tables in every checkpoint


class Demand(Protocol):
    """What the work of a guest needs of its memory."""

    @property
    def zone(self) -> int:
        """Frames at the bottom of guest memory that may hold page tables."""

    @property
    def need_frames(self) -> int:
        """Frames that it can touch, the zone among them; 0: any frame of the guest."""

    @property
    def hap_pool(self) -> int:
        """Pages of the pool of the hap road; 0: as many as it can need."""


@dataclass(frozen=True)
class Modelled:
    """The `count` frames with state: with spread 0 all, frames 0 to count - 1; else the first 2**bits of every 2**spread."""

    count: int
    spread: int = 0
    bits: int = 0

    def frames(self) -> np.ndarray:
        """The frames in the order of the regions by frame: int64[count]."""
        at = np.arange(self.count)
        return at >> self.bits << self.spread | at & (1 << self.bits) - 1 if self.spread else at

    def index(self, gfn: np.ndarray | int) -> np.ndarray:
        """Index of each frame (int64[n], or one) in the regions by frame, int64[n]; `count` for one without state."""
        gfn = np.asarray(gfn, np.int64)
        if not self.spread:
            return np.where(gfn < self.count, gfn, self.count)
        within = gfn & (1 << self.spread) - 1
        at = gfn >> self.spread << self.bits | within
        return np.where((within < 1 << self.bits) & (at < self.count), at, self.count)


def modelled(frames: int, work: Demand) -> Modelled:
    """Which frames have state in a guest of `frames` frames. All, when it is small, given entry by entry, or nearly filled."""
    if frames <= MAX_FRAMES or not work.need_frames:
        return Modelled(frames)
    bits = CHUNK_BITS
    while 1 << bits < work.zone or -(-work.need_frames >> bits) > MAX_RUNS:
        bits += 1
    runs = -(-work.need_frames >> bits)
    spread = (frames // runs).bit_length() - 1
    return Modelled(runs << bits, spread, bits) if spread >= bits else Modelled(frames)


def placing(scenario: Scenario) -> tuple[int, int, int]:
    """(base, shift, whole): first mfn of RAM, and how it lies: whole chunks of 2**shift frames, each in the next one's place.

    The last of the `whole` lies in the first one's place; what is left over after them lies as it is.
    """
    frames = scenario.frames
    if scenario.superpages == 2 and frames >> GIB_BITS:
        return 1 << GIB_BITS, GIB_BITS, frames >> GIB_BITS
    return int(xen.RAM_BASE), CHUNK_BITS, frames >> CHUNK_BITS


def huge_leaves(scenario: Scenario, most: int) -> int:
    """How many 1 GiB leaves the nested tables begin with, from frame 0 on; most: how many the work allows."""
    return min(scenario.frames >> GIB_BITS, most) if scenario.superpages == 2 else 0


def machine_frames(scenario: Scenario, gfn: np.ndarray) -> np.ndarray:
    """Machine frame of each guest frame `gfn` (uint64 array): scattered for toy guests, whole chunks moved otherwise."""
    if not road_of(scenario).hypervisor:
        return gfn
    frames = scenario.frames
    if frames < 512:
        step = next(k for k in (5, 7, 1) if math.gcd(k, frames) == 1)
        return (gfn * U(step) + U(3)) % U(frames) + xen.RAM_BASE
    base, shift, whole = placing(scenario)
    moved = ((gfn >> U(shift)) + ONE) % U(whole) << U(shift) | gfn & U((1 << shift) - 1)
    return np.where(gfn < U(whole << shift), moved, gfn) + U(base)


def hap_pages(scenario: Scenario, work: Demand) -> int:
    """HAP pool: nested tables, log-dirty tree and logs when the work has split and dirtied all that it can, rounded up to 8.

    Where every frame has state: every nested table if all leaves were 4 KiB.
    """
    if work.hap_pool:
        return work.hap_pool
    frames, those, logs = scenario.frames, modelled(scenario.frames, work), scenario.vcpus if scenario.pml else 0
    l3, l2, l1, leaves = (-(-frames >> bits) for bits in (27, GIB_BITS, CHUNK_BITS, int(xen.LEAF_BITS)))
    if not those.spread:
        return -(-(1 + l3 + l2 + l1 + 3 + leaves + logs) // 8) * 8
    runs = those.count >> those.bits
    chunks, gibs = (runs << max(those.bits - bits, 0) for bits in (CHUNK_BITS, GIB_BITS))
    split = chunks + bool(frames & 511)
    if scenario.superpages == 2:
        l2 -= frames >> GIB_BITS
        split += gibs * 513 if scenario.hap == "ept" else gibs
    tree = 2 + min(runs, -(-frames >> 24)) + (runs << max(those.bits - int(xen.LEAF_BITS), 0))
    return -(-(1 + l3 + l2 + split + tree + logs) // 8) * 8


# ---- the guest kernel's direct map


def root_slots(first: int, frames: int) -> int:
    """Entries of a 64-bit guest's root that map `frames` frames from address `first` on, 512 GiB each."""
    return ((first + (frames << 12) - 1) >> 39) - (first >> 39) + 1


def superpage_bits(scenario: Scenario) -> int:
    """Frames in a superpage of the guest's own level-2 tables, as a power of two: 2 MiB, or 4 MiB without PAE."""
    return 10 if scenario.guest == "hvm32" else CHUNK_BITS


def kernel_tables(scenario: Scenario, frames: int) -> tuple[int, int, int]:
    """(L3, L2, L1) tables of the direct map of `frames` frames; the template of a 32-bit guest's roots counts as its L2.

    Larger pages are used for whole ones only: what is left at the end of memory gets smaller ones.
    """
    pages = scenario.direct_map_pages
    span = superpage_bits(scenario)
    l1 = -(-frames >> span) if pages == "4k" else int(frames & (1 << span) - 1 != 0)
    if scenario.guest != "hvm64":
        return 0, 1, l1
    l2 = int(frames & (1 << GIB_BITS) - 1 != 0) if pages == "huge" else -(-frames >> GIB_BITS)
    return root_slots(scenario.direct_map_base, frames), l2, l1
