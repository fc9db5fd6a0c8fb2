"""The page-table walk every road shares (Intel SDM vol. 3, 4.3 to 4.8; on the shadow road Xen mm/guest_walk.c):
order, rights, reserved bits, error code, accessed and dirty bits."""

from dataclasses import dataclass

from .config import (
    CR_AC,
    CR_NXE,
    CR_PSE,
    CR_SMAP,
    CR_SMEP,
    CR_WP,
    FETCH,
    NX,
    PSE,
    WRITE,
    A,
    D,
    P,
    U,
    W,
    frame,
    guest_index,
    index,
)

PF_P, PF_W, PF_U, PF_RSVD, PF_I = 1, 2, 4, 8, 16


class PageFault(Exception):
    """A #PF for the guest: `gva` (CR2) and `error`, the error code (P 1, W 2, U 4, RSVD 8, I 16)."""

    def __init__(self, gva, error):
        super().__init__(f"#PF at {gva:#x}, error {error:#x}")
        self.gva, self.error = gva, error


class GeneralProtection(Exception):
    """A #GP(0) for the guest: an address that is not canonical, or a CR3 load the PDPTEs at frame `root` forbid."""

    def __init__(self, root=None):
        super().__init__(root)
        self.root = root


@dataclass(frozen=True)
class Mode:
    """What a walk depends on besides the tables: levels, control bits, physical address width, and whether the road
    refuses 1 GiB and PSE-36 pages (Xen's shadow code does)."""

    levels: int
    cr: int
    maxphys: int
    small_only: bool = False

    def superpages(self):
        """Whether bit 7 of a level-2 entry makes it a leaf (guest_can_use_l2_superpages)."""
        return self.levels > 2 or bool(self.cr & CR_PSE)

    def nx(self):
        """Whether bit 63 forbids execution (guest_nx_enabled)."""
        return self.levels > 2 and bool(self.cr & CR_NXE)


@dataclass
class Step:
    """One level of a walk: the entry read at `table[slot]`; table None: it is in a register. `pdpte`: the top of a PAE walk."""

    level: int
    table: int
    slot: int
    entry: int
    pdpte: bool = False


def canonical(levels, gva):
    return levels < 4 or gva >> 47 in (0, (1 << 17) - 1)


def is_leaf(mode, level, entry):
    """Whether this present entry maps memory, not a table."""
    return level == 1 or bool(entry & PSE and (level == 2 and mode.superpages() or level == 3 == mode.levels - 1))


def reserved(mode, level, entry):
    """Whether this present entry has a reserved bit set."""
    if mode.levels == 2:
        if not is_leaf(mode, level, entry) or level == 1:
            return False
        if mode.small_only:
            return bool(entry & 0x3FE000)  # no PSE-36 under shadow: bits 21:13
        return bool(entry & 1 << 21) or bool((entry >> 13 & 0xFF) << 32 >> mode.maxphys)
    bits = (1 << 52) - (1 << mode.maxphys)
    bits |= 0 if mode.cr & CR_NXE else NX
    if mode.levels == 3:
        bits |= 0x7FF << 52
        bits |= 0x1E6 | NX if level == 3 else 0  # a PDPTE has no rights, no A, D, PSE, G, NX
    if level == 4 or level == 3 == mode.levels - 1 and mode.small_only:
        bits |= PSE
    if level > 1 and is_leaf(mode, level, entry):
        bits |= (1 << 12 + 9 * (level - 1)) - (1 << 13)  # bit 12 is PAT
    return bool(entry & bits)


def descend(root, gva, read):
    """The steps of a four-level shadow walk from level 4 down to 1, ending early at an entry that is not present.

    `read(table, slot)` gives an entry."""
    steps, table = [], root
    for level in (4, 3, 2, 1):
        slot = index(gva, level)
        entry = read(table, slot)
        steps.append(Step(level, table, slot, entry))
        if not entry & P:
            break
        table = frame(entry)
    return steps


def complete(steps):
    """True when the walk reached a present leaf."""
    return bool(steps[-1].entry & P)


def rights(steps):
    """(writable, user, no_execute): W and U must be set on every level, NX on any. A PAE PDPTE has none of them."""
    steps = [s for s in steps if not s.pdpte]
    return (all(s.entry & W for s in steps), all(s.entry & U for s in steps), any(s.entry & NX for s in steps))


def allowed(writable, user_page, no_execute, kind, user, cr=CR_WP):
    """Whether this access may go through (SDM vol. 3, 4.6.1)."""
    if kind == FETCH and no_execute:
        return False
    if user:
        return bool(user_page and (kind != WRITE or writable))
    if user_page and kind == FETCH and cr & CR_SMEP:
        return False
    if user_page and kind != FETCH and cr & CR_SMAP and not cr & CR_AC:
        return False
    return bool(kind != WRITE or writable or not cr & CR_WP)


class Walk(list):
    """The steps of a walk the guest's own tables allow. `leaf`: the step that maps the page; `gfn`: the 4 KiB frame
    addressed; `big`: the leaf maps 2**big pages, 0 for an ordinary one; `l1e`: the L1 entry, made up with all rights when
    the leaf is a superpage."""

    def __init__(self, steps, mode, gva):
        super().__init__(steps)
        self.leaf = steps[-1]
        self.rights = rights(steps)
        self.big = (self.leaf.level - 1) * (10 if mode.levels == 2 else 9)
        self.gfn = frame(self.leaf.entry)
        if self.big:
            first, pages = self.gfn, 1 << self.big
            if mode.levels == 2:
                first = first & ~0x1FF | (self.leaf.entry >> 13 & 0xFF) << 20
            self.gfn = first & ~(pages - 1) | gva >> 12 & pages - 1

    @property
    def l1e(self):
        return self.gfn << 12 | P | W | U | A | D if self.big else self.leaf.entry

    def step(self, level):
        """The step of that level, None where the walk has none."""
        return next((s for s in self if s.level == level), None)


def fault_bits(mode, kind, user):
    """The part of the error code that describes the access."""
    fetch = kind == FETCH and (mode.cr & CR_SMEP or mode.nx())
    return (PF_W if kind == WRITE else 0) | (PF_U if user else 0) | (PF_I if fetch else 0)


def guest_walk(mode, root, pdptes, gva, kind, user, read):
    """The walk of an access the guest's own tables allow; else PageFault or GeneralProtection.

    `read(table, slot)` gives a guest entry; `pdptes` are the PAE registers, None where a walk reads these from memory. Rights
    are judged only after the leaf is found."""
    if not canonical(mode.levels, gva):
        raise GeneralProtection
    error, steps, table = fault_bits(mode, kind, user), [], root
    for level in range(mode.levels, 0, -1):
        slot = guest_index(mode.levels, gva, level)
        pdpte = mode.levels == level == 3
        register = pdpte and pdptes is not None
        entry = pdptes[slot] if register else read(table, slot)
        if not entry & P:
            raise PageFault(gva, error)
        if reserved(mode, level, entry):
            raise PageFault(gva, error | PF_RSVD | PF_P)
        steps.append(Step(level, None if register else table, slot, entry, pdpte))
        if is_leaf(mode, level, entry):
            break
        table = frame(entry)
    if not allowed(*rights(steps), kind, user, mode.cr):
        raise PageFault(gva, error | PF_P)
    return Walk(steps, mode, gva)


def ad_bits(walk, step, kind):
    """The bits the walk leaves set in this entry: A on every level, D in the leaf of a write; none in a PDPTE."""
    if step.pdpte:
        return 0
    return A | (D if step is walk.leaf and kind == WRITE else 0)
