"""The page-table walk every road shares (Intel SDM vol. 3, 4.5 to 4.8):
order, rights, error code, accessed and dirty bits."""
from dataclasses import dataclass

from .config import FETCH, NX, WRITE, A, D, P, U, W, frame, index


class PageFault(Exception):
    """A #PF for the guest: `gva` (CR2) and `error`, the error code (P 1, W 2, U 4, I 16)."""

    def __init__(self, gva, error):
        super().__init__(f"#PF at {gva:#x}, error {error:#x}")
        self.gva, self.error = gva, error


@dataclass
class Step:
    """One level of a walk: the entry read at `table[slot]`."""
    level: int
    table: int
    slot: int
    entry: int


def descend(root, gva, read):
    """The steps from level 4 down to 1, ending early at an entry that is not present.

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
    """(writable, user, no_execute): W and U must be set on every level, NX on any."""
    return (all(s.entry & W for s in steps), all(s.entry & U for s in steps), any(s.entry & NX for s in steps))


def allowed(writable, user_page, no_execute, kind, user):
    """May this access go through? CR0.WP is set, SMEP and SMAP are off."""
    if user and not user_page:
        return False
    if kind == WRITE:
        return bool(writable)
    return not (kind == FETCH and no_execute)


def guest_walk(root, gva, kind, user, read):
    """The four steps of an access the guest's own tables allow; else PageFault.

    Rights are judged only after the leaf is found."""
    steps = descend(root, gva, read)
    error = (2 if kind == WRITE else 0) | (4 if user else 0) | (16 if kind == FETCH else 0)
    if not complete(steps):
        raise PageFault(gva, error)
    if not allowed(*rights(steps), kind, user):
        raise PageFault(gva, error | 1)
    return steps


def with_accessed_dirty(step, kind):
    """The entry as the walk leaves it: A on every level, D in the leaf of a write."""
    return step.entry | A | (D if step.level == 1 and kind == WRITE else 0)
