"""What a model machine is made from, and the numbers of the architecture that its parts share."""

from dataclasses import dataclass
from math import gcd

# Bits of an x86 page-table entry (Intel SDM vol. 3, 4.5). COW is one of the ignored bits, used by our guest's kernel.
P, W, U, A, D, PSE, COW, NX = 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 7, 1 << 9, 1 << 63
ADDRESS = 0x000F_FFFF_FFFF_F000

# Control bits in force, CR0.WP to CR4.PSE in one word.
CR_WP, CR_SMEP, CR_SMAP, CR_NXE, CR_AC, CR_PGE, CR_PSE, CR_PG = (1 << i for i in range(8))

FETCH, READ, WRITE, FORK, EXIT, IDLE = 0, 1, 2, 4, 5, 6  # kinds of an operation

# Codes of the rows of a raw guest's program; the first three are the kinds of access.
RAW_STORE, RAW_CR3, RAW_INVLPG, RAW_XEN_WRITE, RAW_NOP, RAW_EVENT, RAW_DYING, RAW_CR = range(3, 11)
RAW_UPDATE_VA, RAW_MMU_UPDATE, RAW_PIN, RAW_UNPIN, RAW_FLUSH, RAW_GRANT_WRITE, RAW_GRANT_UNMAP = range(11, 18)

POOL_EMPTY, UNEXPECTED_FAULT, HUNG, NOT_SHATTERED = 1, 2, 3, 4  # values of Model.crashed

RAM_BASE = 0x10000  # first machine frame of guest RAM, above all pool frames

LEVELS = {"hvm64": 4, "pae": 3, "hvm32": 2}


@dataclass(frozen=True)
class Op:
    """One operation: the work of one tick. `vma_w`, `vma_x`: whether the page may be written and executed.

    `credit`: how many further accesses of a trace are merged into it.
    """

    proc: int = 0
    vpn: int = 0
    kind: int = IDLE
    vma_w: int = 1
    vma_x: int = 0
    credit: int = 0


@dataclass(frozen=True)
class Row:
    """One row of a raw guest's program: what vCPU `vcpu` does in one tick."""

    code: int = RAW_NOP
    va: int = 0
    value: int = 0
    size: int = 0
    user: int = 0
    vcpu: int = 0


@dataclass(frozen=True)
class Raw:
    """A guest given entry by entry: `tables` {frame: {slot: entry}} (slots and entries of the guest's own size),
    the frame of the root every vCPU starts with, and its program."""

    tables: dict
    cr3: int
    program: tuple = ()


@dataclass(frozen=True)
class Config:
    """frames: guest frames; zone: frames [0, zone) that may hold page tables; pool: shadow pool pages; processes:
    slots of the guest's kernel; floor: the pool of a PV guest has Xen's minimum; raw: the guest given entry by entry.

    commands: (tick, name, argument), done in order before the operation of that tick."""

    road: str = "bare"
    hap: str = "ept"
    pml: int = 0
    exec_sp: int = 0
    ept_ad: int = 1
    frames: int = 64
    zone: int = 24
    direct_map: int = 0xFFFF_8800_0000_0000
    vcpus: int = 1
    core: str = "skylake"
    pool: int = 64
    superpages: int = 0
    clean: str = "blow"
    clean_every: int = 0
    processes: int = 8
    commands: tuple = ()
    guest: str = "hvm64"
    direct_map_pages: str = "4k"
    cr: int = CR_WP | CR_NXE | CR_PSE | CR_PG
    maxphys: int = 40
    shopt: int = 0x1FF
    oos: int = 1
    xen: str = "4.17"
    floor: int = 0
    raw: Raw | None = None

    @property
    def levels(self):
        return LEVELS[self.guest]


class MachineCrash(Exception):
    """The domain is crashed (Xen's domain_crash): the tick is abandoned where it stands."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Livelock(Exception):
    """The same access faults for ever. Xen would never end it either.

    An example is an instruction that its emulator does not know, which stores into the very table that maps it.
    """


def frame(entry):
    """The frame number in a page-table entry."""
    return (entry & ADDRESS) >> 12


def index(gva, level):
    """The slot of `gva` in its 512-entry table of `level` (4 = root .. 1 = leaf table)."""
    return gva >> (12 + 9 * (level - 1)) & 511


def guest_index(levels, gva, level):
    """The slot of `gva` in the guest's own table: 1024 entries in a 32-bit guest, 4 in the top table of a PAE one."""
    if levels == 2:
        return gva >> (12 + 10 * (level - 1)) & 1023
    return index(gva, level) & (3 if levels == level == 3 else 511)


def machine_frame(gfn, frames, superpages=0):
    """The machine frame of guest frame `gfn`.

    Frames of a small guest are scattered. Of a large one whole chunks of 2 MiB lie together, because they may be superpages, or
    whole GiBs where those may be superpages.
    """
    gib = 512**2
    if superpages == 2 and frames >= gib:
        whole = frames // gib * gib
        return gib + ((gfn + gib) % whole if gfn < whole else gfn)
    if frames < 512:
        factor = 5 if gcd(5, frames) == 1 else 7 if gcd(7, frames) == 1 else 1
        return RAM_BASE + (gfn * factor + 3) % frames
    chunks = frames // 512
    if gfn >= chunks * 512:
        return RAM_BASE + gfn
    return RAM_BASE + ((gfn // 512 + 1) % chunks) * 512 + gfn % 512
