"""Every number of the architecture and of the machine's state: sizes, bit fields, codes. No rules live here.

A frame number is a gfn or an mfn, never "address"; NONE (all ones) means "no frame, no entry". All words are uint64:
numba turns uint64 mixed with int64 into float64, so every constant below is a np.uint64 and stays one.
"""

import numpy as np

U = np.uint64
ZERO, ONE, TWO, THREE = U(0), U(1), U(2), U(3)
NONE = U(0xFFFF_FFFF_FFFF_FFFF)

# ---- sizes
ENTRIES = U(512)  # entries in a table page
ENTRY_BITS = U(9)
PAGE_BITS = U(12)
MAX_VCPUS = 4
MAX_PROCESSES = 32
RAM_BASE = U(0x10000)  # mfn of the first frame of guest RAM; below it the hypervisor's own pool pages
ZONE_SLACK = U(8)  # frames of the table zone beyond what tables can need: so many may serve as data at a time
SUPERPAGE_FRAMES = U(512)  # 4 KiB frames in a 2 MiB leaf

# ---- x86 page-table entry (SDM vol. 3, 4.5)
P, RW, US = U(1), U(2), U(4)
A, D, PSE = U(0x20), U(0x40), U(0x80)
COW = U(1 << 9)  # available to software: the guest kernel's copy-on-write mark
NX = U(1 << 63)
FRAME_MASK = U(0x000F_FFFF_FFFF_F000)
VPN_MASK = U((1 << 36) - 1)

# ---- page-fault error code (SDM vol. 3, 4.7)
PF_P, PF_W, PF_U, PF_I = U(1), U(2), U(4), U(16)
FAULT = U(1 << 62)  # marks a kernel's return value as "guest page fault, error code in the low bits"

# ---- EPT entry (Xen asm/hvm/vmx/vmx.h: ept_entry_t)
EPT_R, EPT_W, EPT_X, EPT_RWX = U(1), U(2), U(4), U(7)
EPT_EMT = U(7 << 3)  # memory type; 7 (MTRR_NUM_TYPES) is Xen's poison: misconfigured on purpose
EPT_WB = U(6 << 3)
EPT_SP = U(1 << 7)
EPT_A, EPT_D = U(1 << 8), U(1 << 9)
EPT_RECALC = U(1 << 10)
EPT_TYPE_SHIFT = U(52)
EPT_TYPE_MASK = U(0x3F << 52)
EPT_SVE = U(1 << 63)
P2M_RAM_RW, P2M_RAM_LOGDIRTY = U(0), U(2)

# ---- roads
BARE, PV, SHADOW, HAP = U(0), U(1), U(2), U(3)
ROADS = ("bare", "pv", "shadow", "hap")

# ---- kinds of access and of work (the low three bits of an op word)
FETCH, READ, WRITE, FORK, EXIT, IDLE = U(0), U(1), U(2), U(4), U(5), U(6)
OP_KIND = U(7)
OP_VMA_W, OP_VMA_X = U(1 << 3), U(1 << 4)
OP_PROC_SHIFT, OP_PROC_MASK = U(5), U(31)
OP_VPN_SHIFT = U(12)

# ---- TLB: 64-entry 4-way and 1536-entry 12-way, true LRU (Skylake's sizes, facts: WikiChip)
T1_SETS, T1_WAYS = U(16), U(4)
T2_SETS, T2_WAYS = U(128), U(12)
TLB_W, TLB_U, TLB_NX = U(1), U(2), U(4)
TLB_GFN_SHIFT = U(4)
TLB_GEN_SHIFT = U(36)

# ---- shadow pool (Xen mm/shadow/private.h: SH_type_*; hash buckets SHADOW_HASH_BUCKETS)
SH_FREE, SH_L1, SH_L2, SH_L3, SH_L4 = U(0), U(7), U(9), U(11), U(12)
SH_P2M, SH_MONITOR, SH_OUT = U(13), U(14), U(16)  # SH_OUT is ours: the page does not belong to the pool at present
SH_LEVEL = np.array([0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 4, 0, 0, 0, 0], np.uint64)
TYPE_OF_LEVEL = np.array([0, 7, 9, 11, 12], np.uint64)
HASH_BUCKETS = U(251)
PREFETCH_DISTANCE = U(32)
LOGDIRTY_LEVELS = U(4)
GUESS_BASE = U(0xFFFF_8800_0000_0000)  # Xen's guess for Linux' direct map (sh_remove_write_access)

# info word of a guest frame: writable typecount in the low half, one bit per shadow type above it
TYPECOUNT = U(0xFFFF_FFFF)
SHADOW_FLAG_SHIFT = U(32)

# ---- log-dirty tree (Xen mm/paging.c): leaf of 32768 bits, nodes of 512
LEAF_BITS = U(15)

# ---- event kinds: every visible change is one event. Names are Xen's trace or function names where one exists.
EVENTS = (
    "NONE", "ACCESS", "TLB_MISS", "GUEST_WALK", "AD_UPDATE", "PREFETCH",  # 1..5: only kept while somebody looks
    "GUEST_PF", "PTE_STORE", "CR3_LOAD", "INVLPG", "FORK", "EXIT", "FRAME_ALLOC", "FRAME_FREE", "COW_BREAK",
    "SHADOW_FAULT", "FIXUP", "NOT_SHADOW", "EMULATE", "EMULATE_UNSHADOW_USER", "EARLY_UNSHADOW", "UNSHADOW",
    "PROMOTE", "DEMOTE", "WRMAP", "WRMAP_BF", "PREALLOC_UNPIN", "PREALLOC_UNHOOK", "VALIDATE", "DOMF_DYING",
    "EPT_MISCONFIG", "EPT_VIOLATION", "EPT_SPLIT",
    "MARK_DIRTY", "TREE_ALLOC", "ENABLE", "PEEK", "CLEAN", "OFF", "BLOW", "SET_ALLOCATION", "TLB_FLUSH", "IGNORED",
)  # fmt: skip
EV = {name: U(i) for i, name in enumerate(EVENTS)}
(_, EV_ACCESS, EV_TLB_MISS, EV_GUEST_WALK, EV_AD_UPDATE, EV_PREFETCH,
 EV_GUEST_PF, EV_PTE_STORE, EV_CR3_LOAD, EV_INVLPG, EV_FORK, EV_EXIT, EV_FRAME_ALLOC, EV_FRAME_FREE, EV_COW_BREAK,
 EV_SHADOW_FAULT, EV_FIXUP, EV_NOT_SHADOW, EV_EMULATE, EV_EMULATE_UNSHADOW_USER, EV_EARLY_UNSHADOW, EV_UNSHADOW,
 EV_PROMOTE, EV_DEMOTE, EV_WRMAP, EV_WRMAP_BF, EV_PREALLOC_UNPIN, EV_PREALLOC_UNHOOK, EV_VALIDATE, EV_DOMF_DYING,
 EV_EPT_MISCONFIG, EV_EPT_VIOLATION, EV_EPT_SPLIT,
 EV_MARK_DIRTY, EV_TREE_ALLOC, EV_ENABLE, EV_PEEK, EV_CLEAN, EV_OFF, EV_BLOW, EV_SET_ALLOCATION, EV_TLB_FLUSH,
 EV_IGNORED) = EV.values()  # fmt: skip
LOOK_EVENTS = U(5)  # kinds up to this one are recorded only while s.look is set
RING = U(4096)  # events kept
RING_WORDS = U(8)  # tick, kind, vcpu, gva, gfn, mfn, level, detail

# ---- commands of the journal
COMMANDS = ("enable", "peek", "clean", "off", "blow", "pool", "flush")
(CMD_ENABLE, CMD_PEEK, CMD_CLEAN, CMD_OFF, CMD_BLOW, CMD_POOL, CMD_FLUSH) = (U(i) for i in range(len(COMMANDS)))

# ---- counters. Xen's own perf-counter names (asm/perfc_defn.h) first; the rest are ours.
XEN_COUNTERS = (
    "shadow_alloc", "shadow_alloc_tlbflush", "shadow_free", "shadow_prealloc_1", "shadow_prealloc_2",
    "shadow_fault", "shadow_fault_bail_bad_gfn", "shadow_fault_bail_real_fault", "shadow_fault_emulate_write",
    "shadow_fault_emulate_failed", "shadow_fault_fixed",
    "shadow_validate_gl1e_calls", "shadow_validate_gl2e_calls", "shadow_validate_gl3e_calls",
    "shadow_validate_gl4e_calls", "shadow_hash_lookups", "shadow_hash_lookup_head", "shadow_hash_lookup_miss",
    "shadow_hash_inserts", "shadow_hash_deletes", "shadow_get_shadow_status", "shadow_writeable",
    "shadow_writeable_h_4", "shadow_writeable_h_5", "shadow_writeable_bf", "shadow_early_unshadow",
    "shadow_unshadow", "shadow_up_pointer", "shadow_unshadow_bf", "shadow_rm_write_flush_tlb", "shadow_invlpg",
    "guest_walk",
)  # fmt: skip
OUR_COUNTERS = (
    "ops", "fetches", "reads", "writes", "merged_fetch", "merged_read", "merged_write",
    "tlb_l1_hit", "tlb_l2_hit", "tlb_miss", "tlb_flush",
    "guest_faults", "pte_stores", "cr3_loads", "context_switches", "invlpg", "forks", "exits", "cow_breaks",
    "frames_allocated", "frames_freed", "ad_updates", "prefetched", "exits_page_fault", "exits_cr3", "exits_invlpg",
    "ept_misconfig", "ept_violation", "ept_split", "pages_marked", "enables", "peeks", "cleans", "offs", "blows",
    "unhooks", "ignored",
)  # fmt: skip
COUNTERS = XEN_COUNTERS + OUR_COUNTERS

# ---- the machine's record. Offsets (o_*) are word indexes into the arena.
ARENA = (  # name, meaning
    "ver", "cver", "info", "p2m", "m2p", "share", "dround",  # by gfn (m2p: by mfn - RAM_BASE)
    "tstack", "dstack", "roots",  # guest kernel: free stacks, process roots
    "ptype", "pkey", "pref", "pup", "phash", "pprev", "pnext", "ppin", "pstamp", "pepoch",  # by pool page
    "hash", "tables", "pool", "ring", "tmp",  # ring (events) and tmp (counts of the audit) are not state
)  # fmt: skip
_u = [(name, "u8") for name in (
    "road", "vcpus", "frames", "zone", "pool_cap", "superpages", "direct_map", "kslot", "processes", "clean_every",
    "tick", "crashed", "cur", "kl3", "ttop", "dtop", "recycled", "tdata", "fault_hash",
    "total_pages", "free_pages", "p2m_pages", "free_head", "free_tail", "pin_head", "pin_tail", "pool_used",
    "flush_epoch", "last_writeable", "hap_root",
    "log_dirty", "dirty_round", "tree_root", "dirty_count", "fault_count", "failed_allocs",
)]  # fmt: skip
SCRATCH = ("look", "ev_now", "ev_n", "ev_tick", "ev_stop", "stop_mask", "stop_hit")  # not part of the state: see digest
SYS_DTYPE = np.dtype(
    (np.record, [(f"o_{name}", "u8") for name in ARENA] + _u + [(name, "u8") for name in COUNTERS]
     + [("cr3", "u8", MAX_VCPUS), ("root", "u8", MAX_VCPUS), ("tlb_gen", "u8", MAX_VCPUS),
        ("last_emul", "u8", MAX_VCPUS), ("last_tick", "u8", 64), ("d_page", "u8", 4), ("d_idx", "u8", 4)]
     + [(name, "u8") for name in SCRATCH]), align=True)  # fmt: skip
CPU_SCRATCH = ("w_tab", "w_ent", "w_leaf")  # the path of the last walk
CPU_DTYPE = np.dtype(
    (np.record, [("id", "u8"), ("clock", "u8"), ("w_tab", "u8", 4), ("w_ent", "u8", 4), ("w_leaf", "u8"),
                 ("t1t", "u8", 64), ("t1v", "u8", 64), ("t1s", "u8", 64),
                 ("t2t", "u8", 1536), ("t2v", "u8", 1536), ("t2s", "u8", 1536)]), align=True)  # fmt: skip
