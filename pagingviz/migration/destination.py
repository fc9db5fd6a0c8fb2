"""The other host: the versions of the pages that have arrived, the contents of page tables, and machine frames of its own.

A PV guest's tables hold machine frames. On the wire they hold pfns (xg_sr_common_x86_pv / xg_sr_save_x86_pv.c:
normalise_pagetable), and the receiver puts its own machine frames in (xg_sr_restore_x86_pv.c: x86_pv_localise_page).
"""

from __future__ import annotations

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import U
from pagingviz.machine.machine import Machine

_SHIFT, _P = x86.PAGE_BITS, x86.P


class InFlux(Exception):
    """A PV page table refers to a frame that is not the guest's: EAGAIN while it runs, fatal once it is suspended."""


def normalise(words: np.ndarray, m2p: np.ndarray, base: int) -> np.ndarray:
    """Table words, uint64[..., 512], with the machine frame of each present entry replaced by its pfn.

    m2p: uint64[frames]; `m2p[mfn - base]` is the pfn of a machine frame. Raises
    InFlux for an entry whose frame is not in the guest (bad mfn).
    """
    out = words.copy()
    present = words & _P != 0
    mfn = (words[present] & x86.FRAME_MASK) >> _SHIFT
    if np.any((mfn < base) | (mfn >= base + m2p.size)):
        raise InFlux
    out[present] = words[present] & ~x86.FRAME_MASK | m2p[(mfn - U(base)).astype(np.intp)] << _SHIFT
    return out


def localise(words: np.ndarray, p2m: np.ndarray) -> np.ndarray:
    """Inverse on the other host: words, uint64[..., 512], whose pfns become that host's machine frames, p2m uint64[frames]."""
    out = words.copy()
    present = words & _P != 0
    pfn = (words[present] & x86.FRAME_MASK) >> _SHIFT
    out[present] = words[present] & ~x86.FRAME_MASK | p2m[pfn.astype(np.intp)] << _SHIFT
    return out


class Destination:
    """What has arrived. `machine`: the source, whose shape it has. Places are those of frames.Modelled.

    versions uint64[modelled]; tables uint64[zone, 512], of a PV guest with this host's machine frames; p2m as on the source but
    for its numbers: machine frames are handed out downwards here.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        s = machine.sys[0]
        self.pv = bool(s.pv)
        self.versions = np.zeros(machine.modelled.count, np.uint64)
        self.tables = np.zeros((int(s.zone), 512), np.uint64)
        if self.pv:
            frames = int(s.frames)
            self.p2m = xen.RAM_BASE + U(2 * frames) - np.arange(frames, dtype=np.uint64)
            self.m2p = np.zeros(2 * frames + 1, np.uint64)
            self.m2p[(self.p2m - xen.RAM_BASE).astype(np.intp)] = np.arange(frames, dtype=np.uint64)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """What a checkpoint keeps: versions uint64[modelled], tables uint64[zone, 512]."""
        return self.versions, self.tables

    def normalised(self, zone: np.ndarray) -> np.ndarray:
        """Words of the source's tables at `zone`, int64[n], as they go over the wire: uint64[n, 512]. Raises InFlux."""
        words = self.machine.view("tables").reshape(-1, 512)[zone]
        if self.pv:
            real = self._typed(zone)
            words[real] = normalise(words[real], self.machine.view("m2p"), int(self.machine.sys[0].ram_base))
        return words

    def in_flux(self, zone: np.ndarray) -> np.ndarray:
        """Those of these frames of the zone, int64[n], that cannot be normalised now: int64[k]."""
        try:
            self.normalised(zone)
            return zone[:0]
        except InFlux:
            if zone.size == 1:
                return zone
        return np.concatenate([self.in_flux(zone[k : k + 1]) for k in range(zone.size)])

    def _typed(self, places: np.ndarray) -> np.ndarray:
        """bool[n]: which frames are page tables by type."""
        kind = self.machine.view("info")[places] >> xen.PGT_SHIFT & U(7)
        return (kind >= 1) & (kind <= 4)

    def _arriving(self, zone: np.ndarray) -> np.ndarray:
        """Words of these frames as this host will have them. Raises InFlux."""
        words = self.normalised(zone)
        if self.pv:
            real = self._typed(zone)
            words[real] = localise(words[real], self.p2m)
        return words

    def receive(self, places: np.ndarray) -> None:
        """The pages at `places`, int64[n], arrive as they are on the source now. Raises InFlux, and then none has."""
        zone = places[places < self.tables.shape[0]]
        self.tables[zone] = self._arriving(zone)
        self.versions[places] = self.machine.view("ver")[places]

    def take(self, places: np.ndarray, versions: np.ndarray, tables: np.ndarray) -> None:
        """Pages at `places`, int64[n], arrive as they were when `versions` and `tables` (of `image`) were set aside."""
        self.versions[places] = versions[places]
        zone = places[places < self.tables.shape[0]]
        self.tables[zone] = tables[zone]

    def image(self) -> tuple[np.ndarray, np.ndarray]:
        """The source now, as it would arrive: versions uint64[modelled], tables uint64[zone, 512]. Raises InFlux."""
        return self.machine.view("ver").copy(), self._arriving(np.arange(self.tables.shape[0]))

    def differs(self, versions: np.ndarray, tables: np.ndarray) -> np.ndarray:
        """Places whose page is not that of the image: int64[n]."""
        wrong = self.versions != versions
        wrong[: len(tables)] |= np.any(self.tables != tables, axis=1)
        return np.flatnonzero(wrong)
