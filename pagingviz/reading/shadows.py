"""Shadows as they stand in the pool: whether they are in use, which pages make up one, how they map each frame of the guest.

`machine` is a machine.machine.Machine. A pool page is named by its number in the pool, a shadow by its head, the first of its
pages. Source of the arrangement: Xen shadow/private.h, shadow/common.c.
"""

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ZERO
from pagingviz.machine.machine import Machine

UNMAPPED, READ_ONLY, WRITABLE, TABLE, OUT_OF_SYNC = range(5)  # what `frame_rights` finds, from the best to the worst

ROOTS = 4  # root shadows that a vCPU can have loaded: a PAE guest's four
FL1_KINDS = tuple(int(kind) for kind in xen.FL1_OF if kind)  # shadows of splintered superpages
_L1_KINDS = (xen.SH_L1_32, xen.SH_L1_PAE, xen.SH_L1)


def in_use(machine: Machine) -> bool:
    """Whether the hardware walks shadows now: on the shadow road always, a PV guest's while log-dirty is on."""
    road = machine.scenario.road
    return road == "shadow" or (road == "pv" and bool(machine.sys[0].log_dirty))


# ---- the pages of the pool


def head_pages(machine: Machine, n: int) -> np.ndarray:
    """The head of the shadow that each of the first n pool pages belongs to, int64[n]; a page of no shadow is its own head."""
    kind, page = machine.view("ptype")[:n], np.arange(n)
    return np.where(kind == xen.SH_MORE, machine.view("pkey")[:n].astype(np.int64), page)


def stamps(machine: Machine, n: int) -> np.ndarray:
    """The tick at which each of the first n pool pages was taken into use, of a shadow that of its head, int64[n]."""
    return machine.view("pstamp")[head_pages(machine, n)].astype(np.int64)


def chain(machine: Machine, head: int) -> list[int]:
    """All pages of the shadow that begins at pool page `head`, in order."""
    pages, more = [head], machine.view("pmore")
    while more[pages[-1]] != NONE:
        pages.append(int(more[pages[-1]]))
    return pages


def stale(machine: Machine, n: int) -> np.ndarray:
    """Which of the first n pool pages belong to the shadow of a guest table that is out of sync, bool[n]."""
    head = head_pages(machine, n)
    kind = machine.view("ptype")[head].astype(np.intp)
    key = machine.view("pkey")[head]
    l1 = np.isin(kind, _L1_KINDS)
    if not l1.any():
        return l1
    gfn = machine.view("m2p")[np.where(l1, key - xen.RAM_BASE, ZERO).astype(np.intp)].astype(np.intp)
    return l1 & out_of_sync(machine)[np.minimum(gfn, machine.scenario.frames - 1)]


def loaded_by(machine: Machine) -> dict[int, list[int]]:
    """{head of a root shadow: numbers of the vCPUs that run on it now, ascending}."""
    out: dict[int, list[int]] = {}
    for slot, root in enumerate(machine.sys[0].root):
        vcpu = slot // ROOTS
        if root != NONE and vcpu not in out.setdefault(int(root), []):
            out[int(root)].append(vcpu)
    return out


def present_entries(machine: Machine, head: int) -> int:
    """How many entries of the shadow that begins at pool page `head` are present."""
    pool = machine.view("pool").reshape(-1, 512)
    return sum(int(np.count_nonzero(pool[page] & x86.P)) for page in chain(machine, head))


def shadowed_frame(machine: Machine, head: int) -> int:
    """The guest frame that the shadow of pool page `head` belongs to: of a fl1 shadow the first one of its superpage.

    It is the number of frames of the guest where the shadow stands for a guest that does not page.
    """
    key = int(machine.view("pkey")[head])
    return key if int(machine.view("ptype")[head]) in FL1_KINDS else int(machine.view("m2p")[key - int(xen.RAM_BASE)])


# ---- the shadows of a guest table


def pool_size(machine: Machine) -> int:
    """Pages of the pool, those that the p2m has taken among them."""
    return int(machine.sys[0].total_pages + machine.sys[0].p2m_pages)


def shadowed_tables(machine: Machine) -> np.ndarray:
    """Which frames hold a guest table that has a shadow, bool[n], by place in the machine's regions by frame."""
    return machine.view("info") & xen.SHADOW_FLAGS != 0


def out_of_sync(machine: Machine) -> np.ndarray:
    """Which frames hold a guest table that is out of sync with its shadow (sh_unsync), bool[n] as `shadowed_tables`."""
    return machine.view("info") & xen.OOS != 0


def stores_trapped(machine: Machine, gfn: int) -> bool:
    """Whether each store to frame `gfn` exits: it holds a shadowed table that is not out of sync and writable."""
    info = machine.view("info")[gfn]
    return bool(info & xen.SHADOW_FLAGS) and not info & xen.OOS_MAY_WRITE


def pages_of_table(machine: Machine, gfn: int) -> list[int]:
    """Pool pages of all shadows of the guest table in frame `gfn`, ascending; [] while shadows are not in use."""
    if not in_use(machine):
        return []
    kind = machine.view("ptype").astype(np.intp)
    head = head_pages(machine, kind.size)
    of_table = (xen.SH_LEVEL[kind[head]] > 0) & ~np.isin(kind[head], xen.FL1_OF)
    return np.flatnonzero(of_table & (machine.view("pkey")[head] == machine.view("p2m")[gfn])).tolist()


def has_splinters(machine: Machine, first: int) -> bool:
    """Whether the superpage that begins at guest frame `first` has a fl1 shadow."""
    kind = int(xen.FL1_OF[int(machine.sys[0].guest_levels)])
    return bool(np.any((machine.view("pkey") == first) & (machine.view("ptype") == kind)))


def shadow_entry(machine: Machine, gfn: int, index: int, level: int) -> np.uint64 | None:
    """The shadow entry for entry `index` of the guest table of `level` in frame `gfn`; None where the table has no shadow."""
    if not in_use(machine):
        return None
    kind = int(xen.TYPE_OF_LEVEL[int(machine.sys[0].guest_levels), level])
    if not kind or gfn >= machine.scenario.frames:
        return None
    pages = np.flatnonzero((machine.view("pkey") == machine.view("p2m")[gfn]) & (machine.view("ptype") == kind))
    return machine.view("pool")[_entry_at(machine, int(pages[0]), index)] if pages.size else None


def _entry_at(machine: Machine, head: int, index: int) -> int:
    """Index into the pool's words of the shadow entry for guest entry `index` (core/shadow/entries.py: entry_for)."""
    kind, pages = int(machine.view("ptype")[head]), chain(machine, head)
    if kind == xen.SH_L2_32:
        return pages[index >> 8] * 512 + (index & 255) * 2
    if kind in (xen.SH_L1_32, xen.SH_FL1_32):
        return pages[index >> 9] * 512 + (index & 511)
    return head * 512 + index


# ---- frames


def frame_rights(machine: Machine) -> np.ndarray:
    """How the shadows map each frame of the guest, intp[frames]: UNMAPPED .. OUT_OF_SYNC.

    Of a PV guest while shadows are not in use what the types of its frames allow: UNMAPPED where none is in use, WRITABLE or
    TABLE (Xen x86/mm.c: get_page_type).
    """
    info, kind = machine.view("info"), machine.view("ptype")
    if machine.scenario.road == "pv" and not in_use(machine):
        types = (info & xen.PGT_TYPE) >> xen.PGT_SHIFT
        return np.where(types == xen.PGT_WRITABLE, WRITABLE, np.where(types != xen.PGT_NONE, TABLE, UNMAPPED))
    rights = np.zeros(info.size, np.intp)
    pool = machine.view("pool").reshape(-1, 512)
    l1 = pool[xen.SH_LEVEL[kind[head_pages(machine, kind.size)].astype(np.intp)] == 1]
    for bits, found in ((x86.P, READ_ONLY), (x86.P | x86.RW, WRITABLE)):
        mfn = (l1[l1 & bits == bits] & x86.FRAME_MASK) >> x86.PAGE_BITS
        rights[machine.view("m2p")[(mfn - xen.RAM_BASE).astype(np.intp)].astype(np.intp)] = found
    rights[shadowed_tables(machine)] = TABLE
    rights[out_of_sync(machine)] = OUT_OF_SYNC
    return rights
