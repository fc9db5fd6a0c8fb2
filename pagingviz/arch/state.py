"""The record of the machine: names of its registers and counters, regions of its arena, and sizes of both.

`sys` is one record of SYS_DTYPE, `cpu` one of CPU_DTYPE for each vCPU, and the arena is one array of words, divided into
the regions of ARENA. The offset of region `x` in the arena is the register `o_x`.
"""

import numpy as np

from pagingviz.arch.events import STOP_WORDS, WORD
from pagingviz.arch.words import U
from pagingviz.arch.x86 import PSC_SIZE, T1_SIZE, T2_SIZE
from pagingviz.arch.xen import OOS_FIXUPS, OOS_PAGES, VTLB

# ---- sizes
MAX_VCPUS = 4
MAX_PROCESSES = 32
CELLS = U(128 * 128)  # of a map at most: frames beyond that are shown several to a cell
ZONE_SLACK = U(8)  # frames of the table zone beyond what tables can need: so many may serve as data at a time

# ---- counters. Xen's own perf-counter names (asm/perfc_defn.h) first; the rest are ours.
XEN_COUNTERS = (
    "shadow_alloc",
    "shadow_alloc_tlbflush",
    "shadow_alloc_count",
    "shadow_free",
    "shadow_prealloc_1",
    "shadow_prealloc_2",
    "shadow_fault",
    "shadow_fault_bail_bad_gfn",
    "shadow_fault_bail_real_fault",
    "shadow_fault_emulate_write",
    "shadow_fault_emulate_failed",
    "shadow_fault_emulate_wp",
    "shadow_fault_fast_emulate",
    "shadow_fault_fast_emulate_fail",
    "shadow_fault_fixed",
    "shadow_validate_gl1e_calls",
    "shadow_validate_gl2e_calls",
    "shadow_validate_gl3e_calls",
    "shadow_validate_gl4e_calls",
    "shadow_hash_lookups",
    "shadow_hash_lookup_head",
    "shadow_hash_lookup_miss",
    "shadow_hash_inserts",
    "shadow_hash_deletes",
    "shadow_get_shadow_status",
    "shadow_writeable",
    "shadow_writeable_h_1",
    "shadow_writeable_h_2",
    "shadow_writeable_h_3",
    "shadow_writeable_h_4",
    "shadow_writeable_h_5",
    "shadow_writeable_h_6",
    "shadow_writeable_h_7",
    "shadow_writeable_h_8",
    "shadow_writeable_bf",
    "shadow_writeable_bf_1",
    "shadow_early_unshadow",
    "shadow_unshadow",
    "shadow_up_pointer",
    "shadow_unshadow_bf",
    "shadow_check_gwalk",
    "shadow_inconsistent_gwalk",
    "shadow_rm_write_flush_tlb",
    "shadow_invlpg",
    "shadow_em_ex_pt",
    "shadow_em_ex_non_pt",
    "shadow_em_ex_fail",
    "shadow_unsync",
    "shadow_unsync_evict",
    "shadow_resync",
    "shadow_oos_fixup_add",
    "shadow_oos_fixup_evict",
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
    "ept_misconfig", "ept_violation", "invept",
    "npf_recalc", "npf_write", "p2m_split", "p2m_shatter", "pml_full", "pml_logged",
    "pages_marked", "enables", "peeks", "cleans", "offs", "blows",
    "unhooks", "ignored", "refused", "toggles", "no_memory",
    # searches of L1 shadows for a frame, Xen's own and those of a CLEAN that revokes; frames_revoked: of the latter only
    "shadows_searched", "entries_searched", "entries_stripped", "frames_revoked", "device_writes",
)  # fmt: skip
COUNTERS = XEN_COUNTERS + PV_COUNTERS + OUR_COUNTERS

# ---- the machine's record. Offsets (o_*) are word indexes into the arena.
ARENA = (  # name, meaning
    "ver", "cver", "info", "p2m", "m2p", "share", "dround",  # by gfn, of frames that have words (m2p: by mfn - RAM_BASE)
    "tstack", "dstack", "roots", "uroots",  # guest kernel: free stacks, process roots (of a PV guest for its user mode, too)
    "sparse",  # n_sparse pairs (physical address of an 8-byte word, the word): tables outside the zone
    "ptype", "pkey", "pref", "pup", "phash", "pprev", "pnext", "ppin", "pstamp", "pepoch", "pmore",  # by pool page
    "hash", "tables", "pool", "prog", "ring", "tmp",  # prog (a raw guest's program) never changes; ring and tmp are not state
)  # fmt: skip
_u = [(name, "u8") for name in (
    "road", "vcpus", "frames", "zone", "pool_cap", "pv_pool", "superpages", "direct_map", "kslot", "processes", "clean_every",
    "revoke",  # CLEAN takes write access away frame by frame instead of throwing all shadows away (the road Xen does not take)
    "tick", "crashed", "kl3", "ttop", "dtop", "recycled", "tdata", "fault_hash",
    "total_pages", "free_pages", "p2m_pages", "free_head", "free_tail", "pin_head", "pin_tail", "pool_used",
    "t1_sets", "t1_ways", "t2_sets", "t2_ways",
    "flush_epoch", "hap_root", "guest_levels", "cr", "maxphys", "gib_leaves", "n_sparse",  # gib_leaves: 1 GiB leaves work
    # pv: the guest's tables hold machine frames and are validated; npt: nested tables are AMD's; pml: Xen uses the processor's
    # log of what becomes dirty; ept_ad: EPTP.AD, on while it does; ad_bits: which of A and D Xen presets in EPT; exec_sp:
    # superpages of nested tables are executable; host_nxe: the host's EFER.NXE; by_host: guest tables are kept by host frame
    # modelled: how many frames have words in the regions by frame: all if spread is 0, else 2**run_bits of every 2**spread;
    # ram_*: where the machine frames lie (frames.py); kslots: L3 tables of the direct map
    "modelled", "spread", "run_bits", "ram_base", "ram_shift", "ram_whole", "kslots",
    "pv", "npt", "pml", "ept_ad", "ad_bits", "exec_sp", "host_nxe", "by_host",
    "table_mask", "table_plain", "leaf_mask", "leaf_plain",
    "shopt", "xen", "floor", "opt_l3", "foreign", "gt_version", "dying_op", "row", "skip_rows", "rows", "boot_p2m",
    # global_logdirty: what a pending change of types makes of a frame; invept_tick: of the last INVEPT by a command, plus 1
    "log_dirty", "global_logdirty", "invept_tick", "dirty_round", "tree_root", "dirty_count", "fault_count", "failed_allocs",
)]  # fmt: skip
# Kernels that others call through an address in s.addresses (core/build/by_address.py), each after those that it calls.
BY_ADDRESS = (
       "write_event", "refer_guest", "refer_nested", "refer_shadow",
       "destroy", "set_upper", "_prealloc", "_grow", "propagate_l1", "_brute_force", "remove_write_access",
       "remove_shadows", "_resync", "resync_all", "get_and_create_l1", "validate", "emulate", "page_fault", "update_cr3",
       "update_modes", "hold", "drop", "modify", "mmu_update", "update_va_mapping", "remap", "ptwr", "pin", "unpin",
       "new_baseptr", "toggle", "second", "handle_exit", "miss", "access_by_address", "store", "load_cr3", "clear_frame",
       "free_frame", "make_path", "handle_fault", "fork", "exit_process", "switch_to", "raw_operation")  # fmt: skip
# Not part of the state: see Machine.digest.
SCRATCH = ("addresses", "stop_mask", "verbose", "ev_now", "ev_n", "ev_tick", "ev_stop", "stop_hit")
SYS_DTYPE = np.dtype(
    (np.record, [(f"o_{name}", "u8") for name in ARENA] + _u + [(name, "u8") for name in COUNTERS]
     + [(name, "u8", MAX_VCPUS) for name in (
         "cur", "cr3", "kroot", "uroot", "tlb_gen", "psc_gen", "npt_gen", "last_emul", "last_wr", "last_ok", "last_frame",
         "last_mfn", "tflags", "event", "dying", "monitor", "pml_index", "pml_page")]
     + [("root", "u8", MAX_VCPUS * 4), ("oos", "u8", MAX_VCPUS * OOS_PAGES), ("oos_snap", "u8", MAX_VCPUS * OOS_PAGES),
        ("fix_page", "u8", MAX_VCPUS * OOS_PAGES * OOS_FIXUPS), ("fix_off", "u8", MAX_VCPUS * OOS_PAGES * OOS_FIXUPS),
        ("fix_next", "u8", MAX_VCPUS * OOS_PAGES), ("vtlb_page", "u8", MAX_VCPUS * VTLB),
        ("vtlb_frame", "u8", MAX_VCPUS * VTLB), ("vtlb_err", "u8", MAX_VCPUS * VTLB), ("first_va", "u8", MAX_VCPUS),
        ("last_tick", "u8", STOP_WORDS * int(WORD)), ("d_head", "u8", 4), ("d_page", "u8", 4), ("d_idx", "u8", 4),
        ("t_page", "u8", 4), ("t_idx", "u8", 4)]
     + [("addresses", "u8", len(BY_ADDRESS)), ("stop_mask", "u8", STOP_WORDS)]
     + [(name, "u8") for name in SCRATCH[2:]]), align=True)  # fmt: skip
# The path of the last walk (core/walk/page_walk.py). w_all, w_any: its entries ANDed and ORed, without PAE's PDPTE;
# w_mask: bits reserved in all of them; w_next: the table to read next.
# n_*: the last walk of nested tables, n_column: level of the guest's table that it is for; x_*: the last exit
# (core/nested/walk.py).
CPU_SCRATCH = ("w_tab", "w_ent", "w_leaf", "w_size", "w_rights", "w_missing", "w_rsvd", "w_l1e", "w_all", "w_any", "w_mask",
               "w_next", "w_err", "hw_err", "saved_flags", "pair_va", "pair_value", "pair_done",
               "n_frame", "n_store", "n_exec", "n_column", "tlb_rights", "x_kind", "x_gpa", "x_info", "x_access")  # fmt: skip
CPU_DTYPE = np.dtype(
    (np.record, [("id", "u8"), ("clock", "u8"), ("levels", "u8"), ("pdpte", "u8", 4), ("big_gen", "u8"),
                 ("w_tab", "u8", 4), ("w_ent", "u8", 4), ("n_at", "u8", 4), *[(name, "u8") for name in CPU_SCRATCH[2:]],
                 *[(name, "u8", T1_SIZE) for name in ("t1t", "t1v", "t1s")],
                 *[(name, "u8", T2_SIZE) for name in ("t2t", "t2v", "t2s")],
                 ("psc_t", "u8", PSC_SIZE), ("psc_s", "u8", PSC_SIZE)]), align=True)  # fmt: skip
