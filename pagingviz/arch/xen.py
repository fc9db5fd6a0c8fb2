"""Xen's numbers: roads, p2m types, types of shadows, optimisations, types of frames, the log-dirty tree, and commands.

Each section names the file of Xen that it comes from; what is marked as ours exists in this model only.
"""

import numpy as np

from pagingviz.arch.words import U

# ---- roads
BARE, PV, SHADOW, HAP = U(0), U(1), U(2), U(3)

# ---- p2m types; an entry of EPT and one of NPT hold the type in the same bits
P2M_RAM_RW, P2M_RAM_LOGDIRTY = U(0), U(2)

# ---- machine memory
RAM_BASE = U(0x10000)  # mfn of the first frame of guest RAM (s.ram_base if that has 1 GiB leaves); below it the pool's pages

# ---- shadow pool (Xen mm/shadow/private.h: SH_type_*; hash buckets SHADOW_HASH_BUCKETS)
(
    SH_FREE,
    SH_L1_32,
    SH_FL1_32,
    SH_L2_32,
    SH_L1_PAE,
    SH_FL1_PAE,
    SH_L2_PAE,
    SH_L1,
    SH_FL1,
    SH_L2,
    SH_L2H,
    SH_L3,
    SH_L4,
    SH_P2M,
    SH_MONITOR,
    SH_SNAPSHOT,
) = (U(i) for i in range(16))
SH_OUT, SH_MORE = U(16), U(17)  # ours: page not in the pool at present; further page of a shadow whose head is in `pkey`
_BY_TYPE = {  # for each type, the level it shadows, the levels of its guest, and the pages it costs (sh_type_to_size)
    SH_L1_32: (1, 2, 2), SH_FL1_32: (1, 2, 2), SH_L2_32: (2, 2, 4), SH_L1_PAE: (1, 3, 1), SH_FL1_PAE: (1, 3, 1),
    SH_L2_PAE: (2, 3, 1), SH_L1: (1, 4, 1), SH_FL1: (1, 4, 1), SH_L2: (2, 4, 1), SH_L3: (3, 4, 1), SH_L4: (4, 4, 1),
}  # fmt: skip
SH_LEVEL, SH_GUEST_LEVELS, SH_PAGES = (
    np.array([_BY_TYPE.get(U(kind), (0, 0, 1))[k] for kind in range(18)], np.uint64) for k in range(3)
)
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
(
    SHOPT_WRITABLE_HEURISTIC,
    SHOPT_EARLY_UNSHADOW,
    SHOPT_FAST_FAULT_PATH,
    SHOPT_PREFETCH,
    SHOPT_LINUX_L3,
    SHOPT_SKIP_VERIFY,
    SHOPT_VIRTUAL_TLB,
    SHOPT_FAST_EMULATION,
    SHOPT_OUT_OF_SYNC,
) = (U(1 << i) for i in range(9))
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
NOT_SHATTERED = U(4)  # another: no pages to split a superpage leaf in which the guest fetches, and Xen crashes the domain
GRANTED = U(1 << 56)  # another domain holds a writable mapping: its stores are marked when it ends

# ---- log-dirty tree (Xen mm/paging.c): leaf of 32768 bits, nodes of 512
LEAF_BITS = U(15)

# ---- the history of a frame's bit (a[o_dround + gfn], ours): in the low half the round in which it was last set, plus one (0:
# never); above it who set it then (one of MARKS); above that how many times it was set, once a round at most
DR_ROUND, DR_CAUSE_SHIFT, DR_CAUSE, DR_ROUNDS_SHIFT = U(0xFFFF_FFFF), U(32), U(7), U(36)
MARKS = ("nobody", "store", "walk", "emulated", "xen", "log", "device")
(_, MK_STORE, MK_WALK, MK_EMULATED, MK_XEN, MK_LOG, MK_DEVICE) = (U(i) for i in range(len(MARKS)))

# ---- commands of the journal
COMMANDS = ("enable", "peek", "clean", "off", "blow", "pool", "flush", "dm")  # dm: GFN | N << 32
(CMD_ENABLE, CMD_PEEK, CMD_CLEAN, CMD_OFF, CMD_BLOW, CMD_POOL, CMD_FLUSH, CMD_DM) = (U(i) for i in range(len(COMMANDS)))
