"""Kinds of events: every visible change of the machine is written as one event, and each kind has a number and a name.

Names are those of Xen's trace events or functions where one exists. Import it as `ev`: the kind of a CLEAN is ev.CLEAN.
A new kind is one more line at the end of the kinds, and its words in story/events.py.
"""

import numpy as np

from pagingviz.arch.words import ONE, THREE, TWO, ZERO, U

NONE = U(0)
# recorded only while s.verbose is set
ACCESS = U(1)
TLB_MISS = U(2)
GUEST_WALK = U(3)
AD_UPDATE = U(4)
PREFETCH = U(5)
# the guest and its kernel
GUEST_PF = U(6)
PTE_STORE = U(7)
CR3_LOAD = U(8)
INVLPG = U(9)
FORK = U(10)
EXIT = U(11)
FRAME_ALLOC = U(12)
FRAME_FREE = U(13)
COW_BREAK = U(14)
# shadow paging
SHADOW_FAULT = U(15)
FIXUP = U(16)
NOT_SHADOW = U(17)
EMULATE = U(18)
EMULATE_UNSHADOW_USER = U(19)
EARLY_UNSHADOW = U(20)
UNSHADOW = U(21)
PROMOTE = U(22)
DEMOTE = U(23)
WRMAP = U(24)
WRMAP_BF = U(25)
PREALLOC_UNPIN = U(26)
PREALLOC_UNHOOK = U(27)
VALIDATE = U(28)
DOMF_DYING = U(29)
EMULATE_UNSHADOW_EVTINJ = U(30)
EMULATE_UNSHADOW_UNHANDLED = U(31)
UNSYNC = U(32)
RESYNC_FULL = U(33)
RESYNC_ONLY = U(34)
GP = U(35)
# a PV guest's hypercalls
MMU_UPDATE = U(36)
PTWR = U(37)
PIN = U(38)
REFUSED = U(39)
GRANT_UNMAP = U(40)
# nested tables
EPT_MISCONFIG = U(41)
EPT_VIOLATION = U(42)
NPF_RECALC = U(43)
HVM_NPF = U(44)
P2M_SPLIT = U(45)
PML_FULL = U(46)
PML_FLUSH = U(47)
# log-dirty, and what the hypervisor is asked for
MARK_DIRTY = U(48)
TREE_ALLOC = U(49)
ENABLE = U(50)
PEEK = U(51)
CLEAN = U(52)
OFF = U(53)
BLOW = U(54)
SET_ALLOCATION = U(55)
TLB_FLUSH = U(56)
IGNORED = U(57)
NO_MEMORY = U(58)
REVOKE = U(59)
MODIFIED_MEMORY = U(60)
# a migration
ROUND = U(61)
SUSPEND = U(62)
RESUME = U(63)
# of walks that the machine does not make, but a copy of it (core/one_walk.py)
REFERENCE = U(64)
# nested tables again
PML_LOG = U(65)  # the processor has logged a frame; detail: the slot
INVEPT = U(66)
P2M_SHATTER = U(67)  # a superpage leaf was split because of a fetch; the fields are those of P2M_SPLIT

_WORDS = ("ZERO", "ONE", "TWO", "THREE")
CODES = {name: value for name, value in globals().items() if isinstance(value, np.uint64) and name not in _WORDS}  # by name
NAMES = tuple(CODES)  # by number
VERBOSE_EVENTS = PREFETCH  # kinds up to this one are recorded only while s.verbose is set

# The values of s.verbose beside 0:
VERBOSE = ONE  # somebody wants to see this tick: the kinds up to VERBOSE_EVENTS are recorded as well
EVERY_REFERENCE = TWO  # a copy makes one walk: each entry that it reads is recorded, too, and no short cut is taken

WORD = U(64)
STOP_WORDS = -(-len(NAMES) // int(WORD))  # words of a set of kinds, a bit a kind: of s.stop_mask

RING = U(4096)  # events kept
RING_WORDS = U(8)  # tick, kind, vcpu, gva, gfn, mfn, level, detail

# A REFERENCE: one entry is read. gva: the address walked, in a nested table the guest-physical address; gfn: the guest's table,
# the frame asked for (nested), or the frame that a shadow stands for; mfn: frame of the table read, of the hypervisor's own
# ones the page of the pool; detail: the entry before the walk changes it; level: the table's level and, shifted,
REF_LEVEL = U(0xF)
REF_COLUMN = U(4)  # 4 bits: level of the guest's table for whose sake it is read, 0 for the data
REF_INDEX = U(8)  # 12 bits: number of the entry in its table
REF_DIMENSION = U(20)  # 2 bits: whose table it is
REF_GUEST, REF_NESTED, REF_SHADOW = ZERO, ONE, TWO
REF_LEADS = U(22)  # 2 bits: what the entry yields; a hole is not present, a bad one has reserved bits or is misconfigured
REF_TABLE, REF_LEAF, REF_HOLE, REF_BAD = ZERO, ONE, TWO, THREE
REF_UPDATE = ONE << U(24)  # read once more, to set A or D in the guest's table of the column
REF_SERVED = ONE << U(25)  # a cache knows the entry: the processor reads no memory for it
