"""The processor: bits of page-table entries of the guest, of EPT and of NPT, error codes, exits, sizes of TLBs and caches.

Sources: Intel's Software Developer's Manual (SDM) volume 3, AMD's Architecture Programmer's Manual volume 2. A frame number is
a gfn or an mfn and is never called an address; addresses are in bytes.
"""

from pagingviz.arch.words import U

# ---- sizes
ENTRIES = U(512)  # entries in a table page
ENTRY_BITS = U(9)
PAGE_BITS = U(12)
SUPERPAGE_FRAMES = U(512)  # 4 KiB frames in a 2 MiB leaf

# ---- kinds of access
FETCH, READ, WRITE = U(0), U(1), U(2)

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
VM_EXIT = U(1 << 60)  # a kernel's return value: a VM exit that the nested tables caused; which one, c.x_kind says
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
EPT_IPAT = U(1 << 6)  # the guest's own PAT does not count
EPT_SP = U(1 << 7)
EPT_A, EPT_D = U(1 << 8), U(1 << 9)
EPT_RECALC = U(1 << 10)
EPT_TYPE_SHIFT = U(52)
EPT_TYPE_MASK = U(0x3F << 52)
EPT_SVE = U(1 << 63)
NPT_RECALC = US | A  # what a pending change takes from an NPT entry (Xen mm/p2m-pt.c: RECALC_FLAGS)
PML_ENTRIES = U(512)  # of a vCPU's page-modification log; its index counts down from 511

# ---- paging modes of the guest, and their levels
GUESTS = ("hvm64", "pae", "hvm32")
GUEST_LEVELS = (4, 3, 2)

# ---- TLB: two levels, true LRU; their sizes stand in cores.py
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
