"""What the model leaves out: the one list, from which the page of that name and the lines on the other pages come.

An entry is made by the function of the module beside which it was left out: of `_pool` are those of core/shadow/pool.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

PAGES = {
    "guest-tables": "Guest page tables",
    "shadow-pool": "Shadow pool",
    "ept-npt": "EPT / NPT",
    "dirty-bitmap": "Dirty bitmap",
    "translation": "Translation",
    "source": "Live migration",
    "machine": "The machine as a whole",
}


@dataclass(frozen=True)
class LeftOut:
    """One thing that real Xen or real hardware does and this machine does not.

    what: it; where: the function of Xen or the section of a manual that does it; why: what follows for somebody who reads the
    maps; room: the module below pagingviz/ that leaves it out; pages: whom it concerns, keys of PAGES, the first one lists it.
    """

    what: str
    where: str
    why: str
    room: str
    pages: tuple[str, ...]


def _at(room: str, *pages: str) -> Callable[[str, str, str], LeftOut]:
    """A maker of entries for one module and its pages."""
    return lambda what, where, why: LeftOut(what, where, why, room, pages)


_page_walk = _at("core/walk/page_walk", "guest-tables", "translation")
_tlb = _at("core/walk/tlb", "machine", "translation")
_loop = _at("core/run", "machine")
_recycling = _at("core/shadow/recycle", "shadow-pool")
_pool = _at("core/shadow/pool", "shadow-pool")
_shadow_entry = _at("core/shadow/propagate", "shadow-pool")
_shadow_fault = _at("core/shadow/faults", "shadow-pool", "guest-tables")
_emulation = _at("core/shadow/emulate", "guest-tables", "shadow-pool")
_p2m = _at("core/nested/p2m", "ept-npt")
_bitmap = _at("core/logdirty", "dirty-bitmap")
_guest_kernel = _at("core/guest", "machine", "guest-tables")
_shadows = _at("core/shadow/shadows", "shadow-pool")
_nested_walk = _at("core/nested/walk", "ept-npt")
_npt = _at("core/nested/npt", "ept-npt")
_walk_caches = _at("core/walk/caches", "machine")
_pv_types = _at("core/pv/updates", "guest-tables", "machine")
_migration = _at("migration/run", "source")
_wire = _at("migration/wire", "source")
_first_touches = _at("migration/touch", "source")

LEFT_OUT = (
    _page_walk(
        "5-level paging, protection keys and shadow stacks",
        "SDM vol. 3, 4.5 and 4.6; guest_walk.c: guest_walk_tables",
        "Guests have two, three or four levels; CR4.LA57, PKE and CET do not exist.",
    ),
    _page_walk(
        "implicit supervisor accesses",
        "SDM vol. 3, 4.6; guest_walk.c: PFEC_implicit",
        "No descriptor table is ever read, so SMAP is only met by the guest kernel's own loads and stores.",
    ),
    _shadow_fault(
        "device memory (MMIO), and the magic entries that make its faults fast",
        "shadow/multi.c: sh_page_fault, sh_l1e_mmio; SHOPT_FAST_FAULT_PATH",
        "All memory is RAM: shadow_fault_fast_* and shadow_fault_mmio would always be 0.",
    ),
    _shadow_fault(
        "implicit supervisor accesses that hit a shadowed table",
        "shadow/multi.c: sh_page_fault",
        "The processor itself never stores to a page table for the kernel, except where an event is injected.",
    ),
    _emulation(
        "unaligned and page-crossing stores to page tables, segmentation, single-stepping",
        "shadow/hvm.c: hvm_emulate_write, hvm_translate_virtual_addr; x86_emulate.c",
        "An emulated store is one aligned word of 4 or 8 bytes; any other instruction is one the emulator does not know.",
    ),
    _shadow_entry(
        "video memory tracking, read-only and paged-out p2m types, cache attributes",
        "shadow/multi.c: _sh_propagate; hvm/dm.c: track_dirty_vram",
        "A shadow entry is read-only for one of three reasons only: the guest says so, a page table, or a dirty mark to come.",
    ),
    _shadows(
        "Xen's own order within a hash bucket",
        "shadow/common.c: sh_hash",
        "The bucket hangs on host frame numbers; the model has a hash of its own, so shadow_hash_lookup_head differs.",
    ),
    _pool(
        "NUMA",
        "shadow/common.c: shadow_alloc",
        "Every page of the pool is as near as any other.",
    ),
    _recycling(
        "preemption",
        "shadow/common.c: shadow_set_allocation",
        "Setting the pool's size is one indivisible step, however many shadows must die for it.",
    ),
    _pool(
        "how the p2m of a shadow guest grows",
        "shadow/common.c: shadow_alloc_p2m_page",
        "The p2m is a plain array; only the recordings' guest starts with the pool pages that its tables took.",
    ),
    _pool(
        "TLB timestamps finer than one epoch",
        "asm/flushtlb.h: tlbflush_filter",
        "shadow_alloc_tlbflush is counted by whole flushes, not by Xen's clock.",
    ),
    _nested_walk(
        "mode-based execute control, sub-page write rights, paging-write and #VE of EPT",
        "SDM vol. 3, 29.3; p2m-ept.c: ept_p2m_type_to_flags",
        "An EPT entry grants read, write and execute to user and supervisor alike, and every EPT fault is an exit.",
    ),
    _p2m(
        "two processors that resolve one misconfiguration at once, and one INVEPT for each processor",
        "mm/p2m-ept.c: resolve_misconfig; vmx.c: vmx_vmenter_helper",
        "An exit is handled before another begins (no ept_spurious_misconfig), and invept counts once for the domain.",
    ),
    _p2m(
        "a retry of the split that lacks pages, page by page, and devices that share the tables",
        "mm/p2m-ept.c: ept_split_super_page, ept_set_entry",
        "A split takes all its pages or none; the pages that Xen would take and give back keep their order in the free list.",
    ),
    _npt(
        "a TLB flush for every NPT entry that is written",
        "mm/p2m-pt.c: p2m_pt_set_entry",
        "Xen 4.17 flushes entry by entry; here one flush follows each exit.",
    ),
    _p2m(
        "types other than ram_rw and ram_logdirty, and log-dirty of a part of memory",
        "mm/p2m-ept.c: ept_set_entry; mm/p2m.c: p2m_change_type_range",
        "No ballooning, paging, sharing or device memory: the p2m changes by log-dirty only, a pending superpage as a whole.",
    ),
    _pv_types(
        "linear (self) maps, superpages and foreign frames of PV guests, and the slots of an L4 that are Xen's own",
        "x86/mm.c: get_page_from_l1e, define_get_linear_pagetable, init_xen_l4_slots",
        "A table entry may lead to a table of the next lower level or to the guest's own page, nothing else.",
    ),
    _pv_types(
        "32-bit PV guests, and PV shadows forced by L1TF",
        "x86/pv; shadow/common.c: pv_l1tf_tasklet",
        "A PV guest has four levels, and its shadows come and go with log-dirty alone.",
    ),
    _bitmap(
        "clearing bits when the physmap changes",
        "mm/paging.c: paging_mark_pfn_clean",
        "Nothing is ever removed from the physmap, so no bit goes but by CLEAN.",
    ),
    _bitmap(
        "marks by the toolstack and for frames that Xen maps permanently",
        "mm/paging.c: paging_log_dirty_op (LOGDIRTY_FINAL), hvm_mapped_guest_frames_mark_dirty",
        "A frame is marked for the guest's stores, the A/D bits set for it, Xen's own stores, grants that end, and devices.",
    ),
    _tlb(
        "global pages, PCID and VPID, entries of their own for large pages",
        "SDM vol. 3, 4.10.1 and 4.10.2",
        "Every CR3 load empties the TLB, and it holds a superpage in pieces of 4 KiB.",
    ),
    _walk_caches(
        "what a stale entry of a paging-structure cache does to a guest that does not flush; the walker's data caches",
        "SDM vol. 3, 4.10.4.3",
        "The caches tell which references a walk saves; what it finds is always read from the tables.",
    ),
    _guest_kernel(
        "interrupts, devices, system calls",
        "a real guest kernel",
        "The kernel runs only for page faults, fork, exit and context switches.",
    ),
    _guest_kernel(
        "the guest kernel's own fetches, and its reads of page tables",
        "a real guest kernel",
        "Of the kernel's work only its stores and its reads of pages that it copies are accesses; no code of it splits a leaf.",
    ),
    _guest_kernel(
        "contents of data pages",
        "—",
        "A frame has a version that counts its stores; copying a page is one read and one store.",
    ),
    _loop(
        "vCPUs that run at the same instant, races and locks",
        "mm/mm-locks.h: paging_lock; shadow/oos.c",
        "vCPUs take turns tick by tick and a flush reaches the others at once: shadow_inconsistent_gwalk stays 0.",
    ),
    _wire(
        "what is in the state records: static data, CPUID policy, vCPU and platform state of several vCPUs, devices",
        "libs/guest/xg_sr_save_x86_hvm.c, xg_sr_save_x86_pv.c; QEMU's own stream",
        "All of it has one size for each road, that of a recorded stream; QEMU's device state is not sent.",
    ),
    _wire(
        "TCP, compression threads, multifd: whatever lies between a page and its bytes on the link",
        "QEMU docs/devel/migration; the operating system",
        "The link carries its bandwidth from the first byte on, after a fixed latency, one page after the other.",
    ),
    _wire(
        "torn pages",
        "libs/guest/xg_sr_save.c: write_batch",
        "A page is copied in one instant; in Xen the guest may write while it is copied, and the bit brings it again.",
    ),
    _first_touches(
        "post-copy's waits at the very access that waits",
        "QEMU docs/devel/migration/postcopy.rst; userfaultfd",
        "What a stretch of the guest's work touched is fetched at its end, and the waits are added up there.",
    ),
    _migration(
        "the destination's own machine after the resume",
        "libs/guest/xg_sr_restore.c; libxl",
        "The guest goes on in the same machine, caches flushed; the destination's memory is compared at the resume.",
    ),
    _migration(
        "DMA, a changing physmap, and what the toolstack does besides: disks, network, the handshake",
        "mm/paging.c: paging_log_dirty_enable; libxl_dom_save.c",
        "No device is passed through, no page is ballooned in or out, and the network is never silent after the resume.",
    ),
)


def left_out(page: str) -> tuple[LeftOut, ...]:
    """The entries that concern a page."""
    return tuple(item for item in LEFT_OUT if page in item.pages)
