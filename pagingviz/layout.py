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
RAM_BASE = U(0x10000)  # mfn of the first frame of guest RAM (s.ram_base if that has 1 GiB leaves); below it the pool's pages
CELLS = U(128 * 128)  # of a map at most: frames beyond that are shown several to a cell
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
PF_P, PF_W, PF_U, PF_RSVD, PF_I = U(1), U(2), U(4), U(8), U(16)
FAULT = U(1 << 62)  # marks a kernel's return value as "guest page fault, error code in the low bits"
GP = U(1 << 61)  # a kernel's return value: #GP(0) in the guest
EXIT = U(1 << 60)  # a kernel's return value: a VM exit that the nested tables caused; which one, c.x_kind says
X_NPF, X_VIOLATION, X_MISCONFIG, X_PML_FULL = U(4), U(5), U(6), U(7)
EPT_FINAL, NPF_FINAL = U(1 << 8), U(1 << 32)  # of their information: the access itself, not one to a guest table on the way

# ---- what of CR0, CR4, EFER and EFLAGS decides a walk (s.cr; one value for the domain)
CR_WP, CR_SMEP, CR_SMAP, CR_NXE, CR_AC, CR_PGE, CR_PSE, CR_PG = (U(1 << i) for i in range(8))
MAXPHYADDR = U(40)  # physical-address bits, unless s.maxphys says otherwise
MAXPHYADDR_SERVER = U(46)  # where 1 TiB is not enough

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
P2M_RAM_RW, P2M_RAM_LOGDIRTY = U(0), U(2)  # p2m types; an NPT entry holds its type in the same bits as an EPT entry
NPT_RECALC = US | A  # what a pending change takes from an NPT entry (Xen mm/p2m-pt.c: RECALC_FLAGS)
HAPS = ("ept", "npt")
PML_ENTRIES = U(512)  # of a vCPU's page-modification log; its index counts down from 511

# ---- paging modes of the guest, and their levels
GUESTS = ("hvm64", "pae", "hvm32")
GUEST_LEVELS = (4, 3, 2)

# ---- roads
BARE, PV, SHADOW, HAP = U(0), U(1), U(2), U(3)
ROADS = ("bare", "pv", "shadow", "hap")

# ---- kinds of access and of work (the low three bits of an op word)
FETCH, READ, WRITE, FORK, EXIT, IDLE = U(0), U(1), U(2), U(4), U(5), U(6)
OP_KIND = U(7)
RAW = U(7)  # an op of a raw guest: the row of its program stands above bit 12 (rawguest.py)
(RAW_FETCH, RAW_READ, RAW_WRITE, RAW_STORE, RAW_CR3, RAW_INVLPG, RAW_XEN_WRITE, RAW_NOP, RAW_EVENT, RAW_DYING, RAW_CR,
 RAW_UPDATE_VA, RAW_MMU_UPDATE, RAW_PIN, RAW_UNPIN, RAW_FLUSH, RAW_GRANT_WRITE, RAW_GRANT_UNMAP) = (U(i) for i in range(18))
OP_VMA_W, OP_VMA_X = U(1 << 3), U(1 << 4)
OP_PROC_SHIFT, OP_PROC_MASK = U(5), U(31)
OP_VPN_SHIFT = U(12)

# ---- TLB: two levels, true LRU
CORES = {  # core: sets and ways of both levels, for 4 KiB pages
    "skylake": (16, 4, 128, 12),  # WikiChip and the optimisation manual; CPUID says 6 ways
    "nehalem": (16, 4, 128, 4),  # Real World Technologies, "Inside Nehalem", April 2008
    "zen": (1, 64, 128, 12),  # WikiChip: the first level fully associative, the second of 1536 entries; its ways are a guess
}  # fmt: skip
T1_SIZE, T2_SIZE = 64, 1536  # entries of the largest
TLB_W, TLB_U, TLB_NX = U(1), U(2), U(4)  # TLB_W: anybody's store is allowed, and the leaf is dirty
TLB_KW = U(8)  # the supervisor's store is allowed although RW is 0 (CR0.WP=0), and the leaf is dirty
TLB_BIG, TLB_HUGE = U(16), U(32)  # a piece of a 2 or 4 MiB leaf, of a 1 GiB leaf: INVLPG drops all its pieces
TLB_GFN_SHIFT = U(6)
TLB_GEN_SHIFT = U(36)

# ---- paging-structure caches, of linear and of guest-physical addresses, and the nested TLB: first entry, sets, ways. No maker
# publishes them: the former have the sizes that the simulator ChampSim takes, the last is a guess.
CACHES = {
    "pde": (0, 4, 8), "pdpte": (32, 2, 4), "pml4e": (40, 1, 4),
    "nested_pde": (44, 4, 8), "nested_pdpte": (76, 2, 4), "nested_pml4e": (84, 1, 4), "nested_tlb": (88, 4, 8),
}  # fmt: skip
PSC_SIZE = 120
PSC_GEN_SHIFT = U(28)  # of a tag: a key has at most 28 bits, a gfn below MAXPHYADDR or a page number without its last level

# ---- shadow pool (Xen mm/shadow/private.h: SH_type_*; hash buckets SHADOW_HASH_BUCKETS)
(SH_FREE, SH_L1_32, SH_FL1_32, SH_L2_32, SH_L1_PAE, SH_FL1_PAE, SH_L2_PAE, SH_L1, SH_FL1, SH_L2, SH_L2H, SH_L3, SH_L4, SH_P2M,
 SH_MONITOR, SH_SNAPSHOT) = (U(i) for i in range(16))
SH_OUT, SH_MORE = U(16), U(17)  # ours: page not in the pool at present; further page of a shadow whose head is in `pkey`
_BY_TYPE = {  # type: level it shadows, levels of its guest, pages it costs (sh_type_to_size)
    SH_L1_32: (1, 2, 2), SH_FL1_32: (1, 2, 2), SH_L2_32: (2, 2, 4), SH_L1_PAE: (1, 3, 1), SH_FL1_PAE: (1, 3, 1),
    SH_L2_PAE: (2, 3, 1), SH_L1: (1, 4, 1), SH_FL1: (1, 4, 1), SH_L2: (2, 4, 1), SH_L3: (3, 4, 1), SH_L4: (4, 4, 1),
}  # fmt: skip
SH_LEVEL, SH_GUEST_LEVELS, SH_PAGES = (
    np.array([_BY_TYPE.get(kind, (0, 0, 1))[k] for kind in range(18)], np.uint64) for k in range(3))
TYPE_OF_LEVEL = np.array([[0] * 5, [0] * 5, [0, 1, 3, 0, 0], [0, 4, 6, 0, 0], [0, 7, 9, 11, 12]], np.uint64)  # [levels, level]
FL1_OF = np.array([0, 0, 2, 5, 8], np.uint64)  # by guest levels
HASH_BUCKETS = U(251)
PREFETCH_DISTANCE = U(32)
LOGDIRTY_LEVELS = U(4)
MIN_PAGES = U(128)  # a vCPU: shadow_min_acceptable_pages

# ---- out-of-sync L1 tables, the virtual TLB, and the switches (Xen asm/mm.h, shadow/private.h: SHOPT_*)
OOS_PAGES, OOS_FIXUPS, VTLB = 3, 2, 13
SHOPTS = ("writable_heuristic", "early_unshadow", "fast_fault_path", "prefetch", "linux_l3_toplevel", "skip_verify",
          "virtual_tlb", "fast_emulation", "out_of_sync")  # fmt: skip
(SHOPT_WRITABLE_HEURISTIC, SHOPT_EARLY_UNSHADOW, SHOPT_FAST_FAULT_PATH, SHOPT_PREFETCH, SHOPT_LINUX_L3, SHOPT_SKIP_VERIFY,
 SHOPT_VIRTUAL_TLB, SHOPT_FAST_EMULATION, SHOPT_OUT_OF_SYNC) = (U(1 << i) for i in range(9))
XENS = ("4.17", "master")
XEN_417 = U(0)
SET_CHANGED, SET_FLUSH, SET_ERROR = U(1), U(2), U(4)  # SHADOW_SET_*
# Path flags of trace events (private.h: TRCE_SFLAG_*), carried above bit 16 of an event's level.
SFLAGS = ("SET_AD", "SET_A", "L1_GET_REF", "L1_PUT_REF", "L2_PROPAGATE", "SET_CHANGED", "SET_FLUSH", "SET_ERROR", "DEMOTE",
          "PROMOTE", "WRMAP", "WRMAP_GUESS_FOUND", "WRMAP_BRUTE_FORCE", "EARLY_UNSHADOW", "2ND_PT_WRITTEN", "LAST_FAILED",
          "EMULATE_FULL_PT", "PREALLOC_UNHOOK", "UNSYNC", "OOS_ADD", "OOS_EVICT")  # fmt: skip
SF = {name: U(1 << i) for i, name in enumerate(SFLAGS)}


def flag_names(flags: int) -> str:
    """`L1_GET_REF|PROMOTE`: the path flags of a trace event, "" for none."""
    return "|".join(name for bit, name in enumerate(SFLAGS) if flags >> bit & 1)


SF_GET_REF, SF_PUT_REF, SF_SET_CHANGED_SHIFT = SF["L1_GET_REF"], SF["L1_PUT_REF"], U(5)
SF_DEMOTE, SF_PROMOTE, SF_WRMAP, SF_GUESS_FOUND = SF["DEMOTE"], SF["PROMOTE"], SF["WRMAP"], SF["WRMAP_GUESS_FOUND"]
SF_EARLY_UNSHADOW, SF_SECOND_PT, SF_LAST_FAILED = SF["EARLY_UNSHADOW"], SF["2ND_PT_WRITTEN"], SF["LAST_FAILED"]
SF_FULL_PT, SF_UNHOOK, SF_UNSYNC = SF["EMULATE_FULL_PT"], SF["PREALLOC_UNHOOK"], SF["UNSYNC"]
SF_OOS_ADD, SF_OOS_EVICT = SF["OOS_ADD"], SF["OOS_EVICT"]
FLAGS_SHIFT = U(16)

# info word of a guest frame: writable typecount in the low half, one bit per shadow type above it
TYPECOUNT = U(0xFFFF_FFFF)
SHADOW_FLAG_SHIFT = U(32)
SHADOW_FLAGS = U(0x1FFF << 32)  # SHF_page_type_mask
OOS, OOS_MAY_WRITE, DYING = U(1 << 48), U(1 << 49), U(1 << 50)  # SHF_out_of_sync, SHF_oos_may_write, pagetable_dying

# of a PV guest's frame: the count is of its uses as PGT_* type (asm/mm.h: PGT_*), shadowed or not
PGT_SHIFT, PGT_TYPE, PGT_PINNED = U(52), U(7 << 52), U(1 << 55)
PGT_NONE, PGT_L1, PGT_WRITABLE = U(0), U(1), U(5)  # 1 to 4: a table of that level
HUNG = U(3)  # a value of s.crashed: the guest repeats one access for ever
GRANTED = U(1 << 56)  # another domain holds a writable mapping: its stores are marked when it ends

# ---- log-dirty tree (Xen mm/paging.c): leaf of 32768 bits, nodes of 512
LEAF_BITS = U(15)

# ---- the history of a frame's bit (a[o_dround + gfn], ours): in the low half the round in which it was last set, plus one (0:
# never); above it who set it then (one of MARKS); above that how many times it was set, once a round at most
DR_ROUND, DR_CAUSE_SHIFT, DR_CAUSE, DR_ROUNDS_SHIFT = U(0xFFFF_FFFF), U(32), U(7), U(36)
MARKS = ("nobody", "store", "walk", "emulated", "xen", "log", "device")
(_, MK_STORE, MK_WALK, MK_EMULATED, MK_XEN, MK_LOG, MK_DEVICE) = (U(i) for i in range(len(MARKS)))

# ---- event kinds: every visible change is one event. Names are Xen's trace or function names where one exists.
EVENTS = (
    "NONE", "ACCESS", "TLB_MISS", "GUEST_WALK", "AD_UPDATE", "PREFETCH",  # 1..5: only kept while somebody looks
    "GUEST_PF", "PTE_STORE", "CR3_LOAD", "INVLPG", "FORK", "EXIT", "FRAME_ALLOC", "FRAME_FREE", "COW_BREAK",
    "SHADOW_FAULT", "FIXUP", "NOT_SHADOW", "EMULATE", "EMULATE_UNSHADOW_USER", "EARLY_UNSHADOW", "UNSHADOW",
    "PROMOTE", "DEMOTE", "WRMAP", "WRMAP_BF", "PREALLOC_UNPIN", "PREALLOC_UNHOOK", "VALIDATE", "DOMF_DYING",
    "EMULATE_UNSHADOW_EVTINJ", "EMULATE_UNSHADOW_UNHANDLED", "UNSYNC", "RESYNC_FULL", "RESYNC_ONLY", "GP",
    "MMU_UPDATE", "PTWR", "PIN", "REFUSED", "GRANT_UNMAP",
    "EPT_MISCONFIG", "EPT_VIOLATION", "NPF_RECALC", "HVM_NPF", "P2M_SPLIT", "PML_FULL", "PML_FLUSH",
    "MARK_DIRTY", "TREE_ALLOC", "ENABLE", "PEEK", "CLEAN", "OFF", "BLOW", "SET_ALLOCATION", "TLB_FLUSH", "IGNORED", "NO_MEMORY",
    "REVOKE", "MODIFIED_MEMORY",
    "ROUND", "SUSPEND", "RESUME",  # of a migration
)  # fmt: skip
EV = {name: U(i) for i, name in enumerate(EVENTS)}
(_, EV_ACCESS, EV_TLB_MISS, EV_GUEST_WALK, EV_AD_UPDATE, EV_PREFETCH,
 EV_GUEST_PF, EV_PTE_STORE, EV_CR3_LOAD, EV_INVLPG, EV_FORK, EV_EXIT, EV_FRAME_ALLOC, EV_FRAME_FREE, EV_COW_BREAK,
 EV_SHADOW_FAULT, EV_FIXUP, EV_NOT_SHADOW, EV_EMULATE, EV_EMULATE_UNSHADOW_USER, EV_EARLY_UNSHADOW, EV_UNSHADOW,
 EV_PROMOTE, EV_DEMOTE, EV_WRMAP, EV_WRMAP_BF, EV_PREALLOC_UNPIN, EV_PREALLOC_UNHOOK, EV_VALIDATE, EV_DOMF_DYING,
 EV_EMULATE_UNSHADOW_EVTINJ, EV_EMULATE_UNSHADOW_UNHANDLED, EV_UNSYNC, EV_RESYNC_FULL, EV_RESYNC_ONLY, EV_GP,
 EV_MMU_UPDATE, EV_PTWR, EV_PIN, EV_REFUSED, EV_GRANT_UNMAP,
 EV_EPT_MISCONFIG, EV_EPT_VIOLATION, EV_NPF_RECALC, EV_HVM_NPF, EV_P2M_SPLIT, EV_PML_FULL, EV_PML_FLUSH,
 EV_MARK_DIRTY, EV_TREE_ALLOC, EV_ENABLE, EV_PEEK, EV_CLEAN, EV_OFF, EV_BLOW, EV_SET_ALLOCATION, EV_TLB_FLUSH,
 EV_IGNORED, EV_NO_MEMORY, EV_REVOKE, EV_MODIFIED_MEMORY, EV_ROUND, EV_SUSPEND, EV_RESUME) = EV.values()  # fmt: skip
LOOK_EVENTS = U(5)  # kinds up to this one are recorded only while s.look is set
RING = U(4096)  # events kept
RING_WORDS = U(8)  # tick, kind, vcpu, gva, gfn, mfn, level, detail

# ---- commands of the journal
COMMANDS = ("enable", "peek", "clean", "off", "blow", "pool", "flush", "dm")  # dm: GFN | N << 32
(CMD_ENABLE, CMD_PEEK, CMD_CLEAN, CMD_OFF, CMD_BLOW, CMD_POOL, CMD_FLUSH, CMD_DM) = (U(i) for i in range(len(COMMANDS)))

# ---- counters. Xen's own perf-counter names (asm/perfc_defn.h) first; the rest are ours.
XEN_COUNTERS = (
    "shadow_alloc", "shadow_alloc_tlbflush", "shadow_alloc_count", "shadow_free", "shadow_prealloc_1", "shadow_prealloc_2",
    "shadow_fault", "shadow_fault_bail_bad_gfn", "shadow_fault_bail_real_fault", "shadow_fault_emulate_write",
    "shadow_fault_emulate_failed", "shadow_fault_emulate_wp", "shadow_fault_fast_emulate", "shadow_fault_fast_emulate_fail",
    "shadow_fault_fixed",
    "shadow_validate_gl1e_calls", "shadow_validate_gl2e_calls", "shadow_validate_gl3e_calls",
    "shadow_validate_gl4e_calls", "shadow_hash_lookups", "shadow_hash_lookup_head", "shadow_hash_lookup_miss",
    "shadow_hash_inserts", "shadow_hash_deletes", "shadow_get_shadow_status", "shadow_writeable",
    "shadow_writeable_h_1", "shadow_writeable_h_2", "shadow_writeable_h_3", "shadow_writeable_h_4", "shadow_writeable_h_5",
    "shadow_writeable_h_6", "shadow_writeable_h_7", "shadow_writeable_h_8", "shadow_writeable_bf", "shadow_writeable_bf_1",
    "shadow_early_unshadow",
    "shadow_unshadow", "shadow_up_pointer", "shadow_unshadow_bf", "shadow_check_gwalk", "shadow_inconsistent_gwalk",
    "shadow_rm_write_flush_tlb", "shadow_invlpg", "shadow_em_ex_pt", "shadow_em_ex_non_pt", "shadow_em_ex_fail",
    "shadow_unsync", "shadow_unsync_evict", "shadow_resync", "shadow_oos_fixup_add", "shadow_oos_fixup_evict",
    "guest_walk",
)
PV_COUNTERS = (  # Xen's too, of hypercalls and what stands for them
    "calls_to_mmu_update", "num_page_updates", "writable_mmu_updates", "calls_to_update_va", "calls_to_mmuext_op",
    "ptwr_emulations",
)  # fmt: skip
OUR_COUNTERS = (
    "ops", "fetches", "reads", "writes", "merged_fetch", "merged_read", "merged_write",
    "tlb_l1_hit", "tlb_l2_hit", "tlb_miss", "tlb_flush", "walks", "walk_refs",
    "guest_faults", "pte_stores", "cr3_loads", "context_switches", "invlpg", "forks", "exits", "cow_breaks",
    "frames_allocated", "frames_freed", "ad_updates", "prefetched", "exits_page_fault", "exits_cr3", "exits_invlpg",
    "ept_misconfig", "ept_violation",
    "npf_recalc", "npf_write", "p2m_split", "pml_full", "pml_logged", "pages_marked", "enables", "peeks", "cleans", "offs",
    "blows",
    "unhooks", "ignored", "refused", "toggles", "no_memory",
    # searches of L1 shadows for a frame, Xen's own and those of a CLEAN that revokes; frames_revoked: of the latter only
    "shadows_searched", "entries_searched", "entries_stripped", "frames_revoked", "device_writes",
)  # fmt: skip
COUNTERS = XEN_COUNTERS + PV_COUNTERS + OUR_COUNTERS

# ---- the machine's record. Offsets (o_*) are word indexes into the arena.
ARENA = (  # name, meaning
    "ver", "cver", "info", "p2m", "m2p", "share", "dround",  # by gfn, of kept frames (m2p: by mfn - RAM_BASE)
    "tstack", "dstack", "roots", "uroots",  # guest kernel: free stacks, process roots (of a PV guest for its user mode, too)
    "sparse",  # n_sparse pairs (physical address of an 8-byte word, the word): tables outside the zone
    "ptype", "pkey", "pref", "pup", "phash", "pprev", "pnext", "ppin", "pstamp", "pepoch", "pmore",  # by pool page
    "pml",  # by vCPU and slot: guest-physical addresses
    "hash", "tables", "pool", "prog", "ring", "tmp",  # prog (a raw guest's program) never changes; ring and tmp are not state
)  # fmt: skip
_u = [(name, "u8") for name in (
    "road", "vcpus", "frames", "zone", "pool_cap", "pv_pool", "superpages", "direct_map", "kslot", "processes", "clean_every",
    "revoke",  # CLEAN takes write access away frame by frame instead of throwing all shadows away (the road Xen does not take)
    "tick", "crashed", "kl3", "ttop", "dtop", "recycled", "tdata", "fault_hash",
    "total_pages", "free_pages", "p2m_pages", "free_head", "free_tail", "pin_head", "pin_tail", "pool_used",
    "t1_sets", "t1_ways", "t2_sets", "t2_ways",
    "flush_epoch", "hap_root", "guest_levels", "cr", "maxphys", "gib_leaves", "n_sparse",  # gib_leaves: 1 GiB leaves work
    # pv: the guest's tables hold machine frames and are validated; npt: nested tables are AMD's; pml: the processor may log
    # what becomes dirty; ept_ad: EPTP.AD, on while it does; host_nxe: the host's EFER.NXE; by_host: guest tables are kept by
    # host frame
    # kept: frames that have words in the regions by frame: all if spread is 0, else 2**run_bits of every 2**spread;
    # ram_*: where the machine frames lie (frames.py); kslots: L3 tables of the direct map
    "kept", "spread", "run_bits", "ram_base", "ram_shift", "ram_whole", "kslots",
    "pv", "npt", "pml", "ept_ad", "host_nxe", "by_host", "table_mask", "table_plain", "leaf_mask", "leaf_plain",
    "shopt", "xen", "floor", "opt_l3", "foreign", "gt_version", "dying_op", "row", "skip_rows", "rows", "boot_p2m",
    "log_dirty", "dirty_round", "tree_root", "dirty_count", "fault_count", "failed_allocs",
)]  # fmt: skip
# Kernels that others call through an address in s.far (core/far.py), in the order in which they need each other.
FAR = ("write_event", "destroy", "set_upper", "_prealloc", "_grow", "propagate_l1", "_brute_force", "remove_write_access",
       "remove_shadows", "_resync", "resync_all", "get_and_create_l1", "validate", "emulate", "page_fault", "update_cr3",
       "update_modes", "hold", "drop", "modify", "mmu_update", "update_va_mapping", "remap", "ptwr", "pin", "unpin",
       "new_baseptr", "toggle", "second", "handle_exit", "miss", "far_access", "store", "load_cr3", "clear_frame",
       "free_frame", "make_path", "handle_fault", "fork", "exit_process", "switch_to", "raw_operation")  # fmt: skip
SCRATCH = ("far", "look", "ev_now", "ev_n", "ev_tick", "ev_stop", "stop_mask", "stop_hit")  # not part of the state: see digest
SYS_DTYPE = np.dtype(
    (np.record, [(f"o_{name}", "u8") for name in ARENA] + _u + [(name, "u8") for name in COUNTERS]
     + [(name, "u8", MAX_VCPUS) for name in (
         "cur", "cr3", "kroot", "uroot", "tlb_gen", "psc_gen", "npt_gen", "last_emul", "last_wr", "last_ok", "last_frame",
         "last_mfn", "tflags", "event", "dying", "monitor", "pml_index")]
     + [("root", "u8", MAX_VCPUS * 4), ("oos", "u8", MAX_VCPUS * OOS_PAGES), ("oos_snap", "u8", MAX_VCPUS * OOS_PAGES),
        ("fix_page", "u8", MAX_VCPUS * OOS_PAGES * OOS_FIXUPS), ("fix_off", "u8", MAX_VCPUS * OOS_PAGES * OOS_FIXUPS),
        ("fix_next", "u8", MAX_VCPUS * OOS_PAGES), ("vtlb_page", "u8", MAX_VCPUS * VTLB),
        ("vtlb_frame", "u8", MAX_VCPUS * VTLB), ("vtlb_err", "u8", MAX_VCPUS * VTLB), ("first_va", "u8", MAX_VCPUS),
        ("last_tick", "u8", 64), ("d_head", "u8", 4), ("d_page", "u8", 4), ("d_idx", "u8", 4),
        ("t_page", "u8", 4), ("t_idx", "u8", 4)]
     + [("far", "u8", len(FAR))] + [(name, "u8") for name in SCRATCH[1:]]), align=True)  # fmt: skip
# The path of the last walk (core/walk.py). w_all, w_any: its entries ANDed and ORed, without PAE's PDPTE; w_mask: bits reserved
# in all of them; w_next: the table to read next. n_*: the last walk of nested tables, x_*: the last exit (core/nested.py).
CPU_SCRATCH = ("w_tab", "w_ent", "w_leaf", "w_size", "w_rights", "w_missing", "w_rsvd", "w_l1e", "w_all", "w_any", "w_mask",
               "w_next", "w_err", "hw_err", "kept_flags", "pair_va", "pair_value", "pair_done",
               "n_frame", "n_store", "tlb_rights", "x_kind", "x_gpa", "x_info", "x_access")  # fmt: skip
CPU_DTYPE = np.dtype(
    (np.record, [("id", "u8"), ("clock", "u8"), ("levels", "u8"), ("pdpte", "u8", 4), ("big_gen", "u8"),
                 ("w_tab", "u8", 4), ("w_ent", "u8", 4), ("n_at", "u8", 4), *[(name, "u8") for name in CPU_SCRATCH[2:]],
                 *[(name, "u8", T1_SIZE) for name in ("t1t", "t1v", "t1s")],
                 *[(name, "u8", T2_SIZE) for name in ("t2t", "t2v", "t2s")],
                 ("psc_t", "u8", PSC_SIZE), ("psc_s", "u8", PSC_SIZE)]), align=True)  # fmt: skip
