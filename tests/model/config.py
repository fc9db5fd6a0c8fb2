"""What a model machine is made from, and the numbers of the architecture that its parts share."""
from dataclasses import dataclass
from math import gcd

# Bits of an x86 page-table entry (Intel SDM vol. 3, 4.5). COW is one of the ignored bits, used by our guest's kernel.
P, W, U, A, D, COW, NX = 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 9, 1 << 63
ADDRESS = 0x000F_FFFF_FFFF_F000

FETCH, READ, WRITE, FORK, EXIT, IDLE = 0, 1, 2, 4, 5, 6   # kinds of an operation

POOL_EMPTY, UNEXPECTED_FAULT = 1, 2                       # values of Model.crashed

RAM_BASE = 0x10000                                        # first machine frame of guest RAM, above all pool frames


@dataclass(frozen=True)
class Op:
    """One operation: the work of one tick. `vma_w`, `vma_x`: may the page be written, executed; `credit`:
    further trace events merged in."""
    proc: int = 0
    vpn: int = 0
    kind: int = IDLE
    vma_w: int = 1
    vma_x: int = 0
    credit: int = 0


@dataclass(frozen=True)
class Config:
    """frames: guest frames; zone: frames [0, zone) that may hold page tables; pool: shadow pool pages; processes:
    slots of the guest's kernel.

    commands: (tick, name, argument), done in order before the operation of that tick."""
    road: str = "bare"
    frames: int = 64
    zone: int = 24
    direct_map: int = 0xFFFF_8800_0000_0000
    vcpus: int = 1
    pool: int = 64
    superpages: int = 0
    clean_every: int = 0
    processes: int = 8
    commands: tuple = ()


class MachineCrash(Exception):
    """The domain is crashed (Xen's domain_crash): the tick is abandoned where it stands."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def frame(entry):
    """The frame number in a page-table entry."""
    return (entry & ADDRESS) >> 12


def index(gva, level):
    """The slot of `gva` in its table of `level` (4 = root .. 1 = leaf table)."""
    return gva >> (12 + 9 * (level - 1)) & 511


def machine_frame(gfn, frames):
    """The machine frame of guest frame `gfn`:
    scattered when small, whole 2 MiB chunks kept together when large (they may be superpages)."""
    if frames < 512:
        factor = 5 if gcd(5, frames) == 1 else 7 if gcd(7, frames) == 1 else 1
        return RAM_BASE + (gfn * factor + 3) % frames
    chunks = frames // 512
    if gfn >= chunks * 512:
        return RAM_BASE + gfn
    return RAM_BASE + ((gfn // 512 + 1) % chunks) * 512 + gfn % 512
