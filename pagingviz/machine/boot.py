"""What stands before tick 0: the guest and its kernel's direct map as its boot loader leaves them, the hypervisor's pool, and
RAM in the nested tables.

Nothing here is an access. Of guest frames the kernel's tables come first, by level from the top down, then the first root.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.scenario.frames import CHUNK_BITS, GIB_BITS, huge_leaves, kernel_tables, machine_frames
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario
from pagingviz.work.raw_guest import RawWork
from pagingviz.work.work import Work

if TYPE_CHECKING:
    from pagingviz.machine.machine import Machine

_KERNEL = x86.P | x86.RW | x86.A  # entries of the kernel's own tables


def _leaf(sc: Scenario, big: bool) -> np.uint64:
    """Flags of a leaf of the direct map."""
    return _KERNEL | x86.D | (x86.PSE if big else ZERO) | (x86.NX if sc.nx and sc.guest != "hvm32" else ZERO)


# ---- the guest


def guest(machine: Machine) -> None:
    """What the boot loader leaves behind: direct map, root of process 0, free stacks."""
    s, sc, zone = machine.sys[0], machine.scenario, int(machine.sys[0].zone)
    root = {"hvm64": hvm64, "pae": pae, "hvm32": hvm32}[sc.guest](machine, sc)
    machine.view("roots")[0] = last = root
    if s.pv:
        machine.view("uroots")[0] = last = root + 1
    free = np.arange(zone - 1, last, -1, dtype=np.uint64)
    machine.view("tstack")[: free.size] = free
    s.ttop, s.dtop = free.size, machine.modelled.count - zone
    machine.view("dstack")[:] = machine.modelled.frames()[: zone - 1 : -1]  # the lowest first
    if s.pv:  # a PV kernel may not write to its tables, and they hold machine frames
        machine.view("tables")[1024 + np.arange(last + 1)] &= ~x86.RW  # the direct map's L1 tables begin at frame 2
        _localise(machine)


def raw_guest(machine: Machine, work: RawWork) -> None:
    """A guest given entry by entry: its words, its root, its program."""
    s = machine.sys[0]
    machine.view("tables")[:] = work.contents().reshape(-1)
    if s.pv:
        _localise(machine)
    machine.view("roots")[0] = work.cr3
    machine.view("prog")[:] = work.program.reshape(-1)
    s.rows, s.cr, s.boot_p2m, s.guest_levels = len(work.program), work.cr, work.p2m_pages, work.levels
    machine.cpu["levels"] = work.levels if work.cr & int(x86.CR_PG) else 2


def _localise(machine: Machine) -> None:
    """What the domain builder does last to a PV guest's tables: each entry's frame becomes a machine frame."""
    words = machine.view("tables")
    present = words & x86.P != 0
    gfn = (words[present] & x86.FRAME_MASK) >> x86.PAGE_BITS
    words[present] = (words[present] & ~x86.FRAME_MASK) | machine.view("p2m")[gfn.astype(np.intp)] << x86.PAGE_BITS


# ---- the direct map


def hvm64(machine: Machine, sc: Scenario) -> int:
    """A 64-bit guest's direct map: L3 tables from frame 0 on, L2s, L1s; returns the first root's frame."""
    s, tables = machine.sys[0], machine.view("tables").reshape(-1, 512)
    first = sc.direct_map_base >> 30
    n3, n2, _ = kernel_tables(sc, sc.frames)
    s.kl3, s.kslot, s.kslots = 0, first >> 9 & 511, n3
    gib = np.arange(-(-sc.frames >> GIB_BITS), dtype=np.uint64)
    entry = gib << U(GIB_BITS + 12) | _leaf(sc, True)
    small = gib.size - n2  # of the GiBs from here on the pages are smaller
    entry[small:] = np.arange(n3, n3 + n2, dtype=np.uint64) << x86.PAGE_BITS | _KERNEL
    at = first + np.arange(gib.size)
    tables[(at >> 9) - (first >> 9), at & 511] = entry
    root = _map_ram(sc, tables, n3, n3 + n2, small << CHUNK_BITS)
    tables[root, int(s.kslot) : int(s.kslot) + n3] = np.arange(n3, dtype=np.uint64) << x86.PAGE_BITS | _KERNEL
    return root


def pae(machine: Machine, sc: Scenario) -> int:
    """Frame 0 the kernel's L2, then its L1s, then the first root, whose last entry is the kernel's."""
    s, tables = machine.sys[0], machine.view("tables").reshape(-1, 512)
    s.kl3, s.kslot = 0, 3
    root = _map_ram(sc, tables, 0, 1, 0)
    tables[root, 3] = x86.P  # frame 0; a top entry has no rights
    return root


def hvm32(machine: Machine, sc: Scenario) -> int:
    """Frame 0 the template of all roots, then the kernel's L1s, then the first root: the kernel's quarter copied."""
    s, tables = machine.sys[0], machine.view("tables").view(np.uint32).reshape(-1, 1024)
    s.kl3, s.kslot = 0, -(-sc.frames // 1024)  # here: how many entries of the template are the direct map
    root = _map_ram(sc, tables, 0, 1, 0, 10, 768)
    tables[root] = tables[0]
    return root


def _map_ram(
    sc: Scenario, tables: np.ndarray, l2: int, first_l1: int, chunk: int, span: int = CHUNK_BITS, slot: int = 0
) -> int:
    """Map the RAM from chunk number `chunk` on in L2 tables `l2`, ...; returns the first frame not used for it.

    A chunk is what one L2 entry maps, 2**span frames; `slot`: entry of the first one.
    """
    chunks = np.arange(chunk, -(-sc.frames >> span), dtype=np.uint64)
    entry = chunks << U(span + 12) | _leaf(sc, True)
    small = 0 if sc.direct_map_pages == "4k" else (sc.frames >> span) - chunk  # chunks from here on have an L1 table
    l1 = np.arange(first_l1, first_l1 + chunks.size - small, dtype=np.uint64)
    entry[small:] = l1 << x86.PAGE_BITS | _KERNEL
    at = slot + np.arange(chunks.size)
    wide = tables.shape[1]
    tables[l2 + at // wide, at % wide] = entry
    gfn = np.arange(chunk + small << span, sc.frames, dtype=np.uint64)
    where = np.arange(gfn.size)
    tables[first_l1 + (where >> span), where & (1 << span) - 1] = gfn << x86.PAGE_BITS | _leaf(sc, False)
    return first_l1 + l1.size


# ---- the hypervisor


def pool(machine: Machine, work: Work) -> None:
    """The hypervisor's pages: free list in index order; the nested tables (a shadow guest's own come in core/run.py: boot)."""
    s, sc, road = machine.sys[0], machine.scenario, road_of(machine.scenario)
    if road.paravirtual:  # nothing before log-dirty is switched on
        return
    pages = int(s.pool_cap) if road.nested else sc.pool
    machine.view("ptype")[:pages] = xen.SH_FREE
    index = np.arange(pages, dtype=np.uint64)
    machine.view("pprev")[:pages] = index - ONE  # index 0 wraps to NONE
    machine.view("pnext")[:pages] = index + ONE
    machine.view("pnext")[pages - 1] = NONE
    s.free_head, s.free_tail, s.free_pages, s.total_pages = 0, pages - 1, pages, pages
    s.pool_used = 0 if s.spread else pages
    if road.nested:
        nested(machine, sc, work.small_chunks, work.huge_leaves)


def _take(machine: Machine, first: int, level: int) -> int:
    """The head of the free list becomes a nested table for the frames from `first` on, and cannot be recycled any more."""
    s = machine.sys[0]
    page = int(s.free_head)
    s.free_head = machine.view("pnext")[page]
    machine.view("pprev")[int(s.free_head)] = NONE
    s.free_pages -= 1
    s.total_pages -= 1
    s.p2m_pages += 1
    s.pool_used = max(int(s.pool_used), page + 1)
    machine.view("ptype")[page], machine.view("pkey")[page], machine.view("pref")[page] = xen.SH_P2M, first, level
    return page


def nested(machine: Machine, sc: Scenario, small: Collection[int], most_huge: int) -> None:
    """The domain builder populates guest RAM (p2m_set_entry): the largest leaf that alignment and `superpages` allow.

    `small`: numbers of 2 MiB chunks that are mapped by 4 KiB leaves all the same; `most_huge`: the most leaves of 1 GiB.
    """
    s, pool, frames = machine.sys[0], machine.view("pool").reshape(-1, 512), sc.frames
    if sc.hap == "ept":
        table = x86.EPT_RWX | x86.EPT_SVE | s.ad_bits & x86.EPT_A
        small_leaf = x86.EPT_RWX | x86.EPT_SVE | x86.EPT_WB | x86.EPT_IPAT | s.ad_bits
        large_leaf = (small_leaf if s.exec_sp else small_leaf & ~x86.EPT_X) | x86.EPT_SP
    else:
        table = small_leaf = x86.P | x86.RW | x86.US | x86.A | x86.D
        large_leaf = table | x86.PSE

    def leaves(first: int, shift: int, n: int) -> np.ndarray:
        gfn = np.arange(first, first + (n << shift), 1 << shift, dtype=np.uint64)
        return machine_frames(sc, gfn) << x86.PAGE_BITS | (large_leaf if shift else small_leaf)

    def new(first: int, level: int) -> tuple[int, np.uint64]:
        page = _take(machine, first, level)
        return page, U(page << 12) | table

    s.hap_root, _ = new(0, 4)
    huge = huge_leaves(sc, most_huge)
    not_huge = {chunk >> 9 for chunk in small}
    for top in range(0, frames, 1 << 27):
        l3, pool[int(s.hap_root), top >> 27] = new(top, 3)
        gibs = -(-min(frames - top, 1 << 27) >> GIB_BITS)
        whole = max(min(huge - (top >> GIB_BITS), gibs), 0)
        pool[l3, :whole] = leaves(top, GIB_BITS, whole)
        for gib in range(gibs):
            first = top + (gib << GIB_BITS)
            if gib >= whole or first >> GIB_BITS in not_huge:
                l2, pool[l3, gib] = new(first, 2)
                _chunks(sc, pool, first, l2, small, leaves, new)


def _chunks(
    sc: Scenario,
    pool: np.ndarray,
    first: int,
    l2: int,
    small: Collection[int],
    leaves: Callable[[int, int, int], np.ndarray],
    new: Callable[[int, int], tuple[int, np.uint64]],
) -> None:
    """The 2 MiB chunks of one GiB, whose table is pool page `l2`."""
    end = min(first + (1 << GIB_BITS), sc.frames)
    whole = end - first >> CHUNK_BITS if sc.superpages else 0
    pool[l2, :whole] = leaves(first, CHUNK_BITS, whole)
    for chunk in range(-(-(end - first) >> CHUNK_BITS)):
        start = first + (chunk << CHUNK_BITS)
        if chunk >= whole or start >> CHUNK_BITS in small:
            l1, pool[l2, chunk] = new(start, 1)
            n = min(end - start, 512)
            pool[l1, :n] = leaves(start, 0, n)
