"""What the model leaves out: the ONE list. The page "What the model leaves out" and the lines on the other pages come from it.

`pages` names the pages it concerns (keys of PAGES, the first one lists it), `room` the module beside which it was left out,
`where` the function of Xen or the manual that does it, `why` what follows for somebody who reads the maps.
"""

from dataclasses import dataclass

PAGES = {
    "guest-tables": "Guest page tables",
    "shadow-pool": "Shadow pool",
    "ept-npt": "EPT / NPT",
    "dirty-bitmap": "Dirty bitmap",
    "machine": "The machine as a whole",
}


@dataclass(frozen=True)
class LeftOut:
    """One thing that real Xen or real hardware does and this machine does not."""

    what: str
    where: str
    why: str
    room: str
    pages: tuple[str, ...]


def _at(room: str, *pages: str):
    return lambda what, where, why: LeftOut(what, where, why, room, pages)


_walk, _tlb, _run = _at("walk", "guest-tables"), _at("tlb", "machine"), _at("run", "machine")
_recycle = _at("recycle", "shadow-pool")
_shadow, _pool = _at("shadow", "shadow-pool", "guest-tables"), _at("pool", "shadow-pool")
_p2m, _dirty, _guest = _at("p2m", "ept-npt"), _at("logdirty", "dirty-bitmap"), _at("guest", "machine", "guest-tables")

LEFT_OUT = (
    _walk(
        "guest superpages, 5-level paging, SMEP, SMAP and protection keys",
        "SDM vol. 3, 4.5 and 4.6; guest_walk.c: guest_walk_tables",
        "Every guest mapping is a 4 KiB page, and the guest's kernel may touch user pages.",
    ),
    _walk(
        "PAE and 32-bit guests",
        "shadow/multi.c, built once for each guest paging mode",
        "Only 64-bit guests run; guest=pae and guest=hvm32 are refused.",
    ),
    _shadow(
        "out-of-sync L1 tables",
        "shadow/oos.c: sh_unsync, sh_resync",
        "Every store to a shadowed table is emulated; real Xen lets an L1 go out of sync at the first and has fewer exits.",
    ),
    _shadow(
        "shadows of superpages (FL1)",
        "shadow/multi.c: make_fl1_shadow",
        "The pool never holds pages of type fl1.",
    ),
    _shadow(
        "the fast paths: magic entries, fast emulation",
        "shadow/multi.c: sh_page_fault, SHOPT_FAST_FAULT_PATH",
        "An exit that real Xen ends early goes the long way here, so more guest walks are counted.",
    ),
    _shadow(
        "the virtual TLB and the Linux-L3 mode",
        "shadow/private.h: SHOPT_VIRTUAL_TLB, SHOPT_LINUX_L3_TOPLEVEL",
        "Guest walks are never cached, and top-level tables are always L4s.",
    ),
    _shadow(
        "event injection and instruction emulation",
        "shadow/multi.c: sh_page_fault; shadow/hvm.c",
        "An emulated store is one 8-byte write; nothing else is ever emulated.",
    ),
    _pool(
        "NUMA, and the floor of 128 pages a vCPU",
        "shadow/common.c: shadow_alloc, shadow_min_acceptable_pages",
        "A toy pool may be smaller than any real one.",
    ),
    _pool(
        "the p2m's own pages on the shadow road",
        "shadow/common.c: shadow_alloc_p2m_page",
        "The p2m is a plain array here; real Xen takes its tables from the same pool.",
    ),
    _recycle(
        "preemption",
        "shadow/common.c: shadow_set_allocation",
        "Setting the pool's size is one indivisible step, however many shadows must die for it.",
    ),
    _pool(
        "TLB timestamps finer than one epoch",
        "asm/flushtlb.h: tlbflush_filter",
        "shadow_alloc_tlbflush is counted by whole flushes, not by Xen's clock.",
    ),
    _p2m(
        "NPT of AMD",
        "mm/p2m-pt.c",
        "hap=npt is refused.",
    ),
    _p2m(
        "page-modification logging",
        "mm/p2m-ept.c: ept_vcpu_flush_pml_buffer",
        "Each first store of a round is an EPT violation; pml=1 is refused.",
    ),
    _p2m(
        "1 GiB leaves, and types other than ram_rw and ram_logdirty",
        "mm/p2m-ept.c: ept_set_entry",
        "No ballooning, paging, sharing, grants or device memory: the p2m changes by log-dirty only.",
    ),
    _dirty(
        "clearing bits when the physmap changes",
        "mm/paging.c: paging_mark_pfn_clean",
        "Nothing is ever removed from the physmap, so no bit goes but by CLEAN.",
    ),
    _dirty(
        "marks by devices and by the toolstack",
        "mm/paging.c: paging_mark_dirty",
        "Only the guest's own stores and the A/D bits set for it make a frame dirty.",
    ),
    _tlb(
        "paging-structure caches, global pages, PCID",
        "SDM vol. 3, 4.10.2 and 4.10.3",
        "A miss walks all levels, and every CR3 load empties the TLB.",
    ),
    _guest(
        "interrupts, devices, system calls",
        "a real guest kernel",
        "The kernel runs only for page faults, fork, exit and context switches.",
    ),
    _guest(
        "the guest kernel's own fetches, and its reads of page tables",
        "a real guest kernel",
        "Of the kernel's work only its stores, and its reads of pages that it copies, are accesses.",
    ),
    _guest(
        "contents of data pages",
        "—",
        "A frame has a version that counts its stores; copying a page is one read and one store.",
    ),
    _run(
        "more than one running vCPU",
        "shadow/common.c: sh_update_paging_modes for each vCPU",
        "vCPUs beyond the first are idle: no locks, no races, no TLB shoot-downs between them.",
    ),
)


def left_out(page: str) -> tuple[LeftOut, ...]:
    """The entries that concern a page."""
    return tuple(item for item in LEFT_OUT if page in item.pages)
