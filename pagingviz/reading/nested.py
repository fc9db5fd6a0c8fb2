"""EPT and NPT read as they stand: which table pages exist, what an entry says, what the next access of a frame would cost.

Everything is computed from the tables that exist, so the size of the guest's memory does not matter. Entries are uint64, and
the questions about them take arrays as well. The rules are those of
core/nested/p2m.py, npt.py and walk.py, which name their sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.sizes import LEAF_SIZES
from pagingviz.arch.words import U
from pagingviz.machine.machine import Machine


@dataclass(frozen=True)
class Step:
    """One entry of a walk: of which table page, and where in it."""

    level: int
    page: int
    index: int
    entry: np.uint64


LEVELS = (4, 3, 2, 1)
NONE, LEADS_ON, W_DIRTY, W_CLEAN, R_DIRTY, R_CLEAN, WAITS_DIRTY, WAITS = range(8)  # from the best to the worst, for `codes`
KINDS = {int(xen.P2M_RAM_RW): "ram_rw", int(xen.P2M_RAM_LOGDIRTY): "ram_logdirty"}


# ---- one entry


def present(m: Machine, e: Any) -> Any:
    """Whether entries are present (EPT: any right)."""
    return _present(bool(m.sys[0].npt), e)


def _present(npt: bool, e: Any) -> Any:
    return e & (x86.P if npt else x86.EPT_RWX) != 0


def pending(m: Machine, e: Any) -> Any:
    """Whether a change waits in entries themselves, to be carried out at the next access: EPT memory type 7, NPT without US.

    The engine's own words for it are core/nested/p2m.py: poisoned, and npt.py: pending.
    """
    return _pending(bool(m.sys[0].npt), e)


def _pending(npt: bool, e: Any) -> Any:
    if npt:
        return e & (x86.P | x86.US) == x86.P
    return (e & x86.EPT_EMT == x86.EPT_EMT) & (e & x86.EPT_RWX != 0)


def is_leaf(level: int, e: Any) -> Any:
    """Whether present entries of `level` map memory themselves (EPT's bit 7 and NPT's PS bit are the same one)."""
    return (e & x86.EPT_SP != 0) & (level < 4) | (level == 1)


def kind(e: np.uint64) -> int:
    """p2m type stored in a leaf."""
    return int(_kinds(e))


def _kinds(e: Any) -> Any:
    return (e & x86.EPT_TYPE_MASK) >> x86.EPT_TYPE_SHIFT


def writable(e: Any) -> Any:
    """Whether entries give the right to write: the same bit in both formats."""
    return e & x86.EPT_W != 0


def dirty_bit(m: Machine) -> np.uint64:
    """The D bit of this format."""
    return _dirty_bit(bool(m.sys[0].npt))


def _dirty_bit(npt: bool) -> np.uint64:
    return x86.D if npt else x86.EPT_D


def target(e: Any) -> Any:
    """Table page or machine frame that entries lead to, intp."""
    return ((e & x86.FRAME_MASK) >> x86.PAGE_BITS).astype(np.intp)


def codes(m: Machine, level: int, e: np.ndarray) -> np.ndarray:
    """Each entry of `e`, uint64[...], as one of NONE .. WAITS, uint8[...] of the same shape: the worse, the higher.

    R and W: the right that the hardware has.
    """
    return _by_bits(bool(m.sys[0].npt), level)[(e & _LOW).astype(np.intp)]


_LOW = U(0x3FF)  # all bits of either format that a code depends on


@lru_cache
def _by_bits(npt: bool, level: int) -> np.ndarray:
    """The code of every value of an entry's low bits, uint8[1024]."""
    e = np.arange(1024, dtype=np.uint64)
    leaf, d = is_leaf(level, e), e & _dirty_bit(npt) != 0
    out = np.where(leaf, R_CLEAN - 2 * writable(e) - d, LEADS_ON)
    out = np.where(_pending(npt, e), WAITS - (leaf & d), out)
    return np.where(_present(npt, e), out, NONE).astype(np.uint8)


# ---- tables


def tables(m: Machine) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """{level: (table pages intp[n], first gfn of each int64[n])}, ascending, found by walking down from the root."""
    pool = m.view("pool").reshape(-1, 512)
    page, first = np.array([int(m.sys[0].hap_root)]), np.zeros(1, np.int64)
    out = {4: (page, first)}
    for level in LEVELS[:-1]:
        e = pool[page]
        t, i = np.nonzero(present(m, e) & ~is_leaf(level, e))
        page, first = target(e[t, i]), first[t] + (i << 9 * (level - 1))
        out[level - 1] = page, first
    return out


def log_pages(m: Machine) -> np.ndarray:
    """Pool page of each vCPU's page-modification log, intp[n]; none while EPT's A and D bits are off."""
    s = m.sys[0]
    return s.pml_page[: m.scenario.vcpus if s.ept_ad else 0].astype(np.intp)


def counts(m: Machine) -> dict[int, tuple[int, int, int]]:
    """{level: (table pages, entries present, entries pending)}."""
    pool, out = m.view("pool").reshape(-1, 512), {}
    for level, (page, _) in tables(m).items():
        code = codes(m, level, pool[page])
        out[level] = page.size, int(np.count_nonzero(code)), int(np.count_nonzero(code >= WAITS_DIRTY))
    return out


def split_costs(m: Machine) -> dict[str, int]:
    """{size of a superpage leaf of which there are any: pages that splitting one takes}, the smaller size first.

    EPT splits a leaf of 1 GiB into 4 KiB ones at once, NPT by one level (core/nested/p2m.py: split, npt.py: split).
    """
    pool, found = m.view("pool").reshape(-1, 512), tables(m)
    by_level = {2: 1, 3: 1 if m.sys[0].npt else 513}
    return {
        LEAF_SIZES[level]: pages
        for level, pages in by_level.items()
        if np.any(is_leaf(level, e := pool[found[level][0]]) & present(m, e))
    }


def path(m: Machine, gfn: int, down_to: int = 1) -> list[Step]:
    """The walk of `gfn`: [Step] from the root to its leaf, to an entry that is not present, or to level `down_to`."""
    pool, page, out = m.view("pool").reshape(-1, 512), int(m.sys[0].hap_root), []
    for level in range(4, down_to - 1, -1):
        index = gfn >> 9 * (level - 1) & 511
        e = pool[page, index]
        out.append(Step(level, page, index, e))
        if is_leaf(level, e) or not present(m, e):
            break
        page = int(target(e))
    return out


def below(m: Machine, level: int, entry: np.uint64, waits: bool = False) -> dict[str, int]:
    """Leaves under an entry of `level` (itself, if it is one): {leaves, pending, logged, writable}.

    pending: a mark waits in the leaf or above it (`waits`: above this entry); logged: stored type ram_logdirty; writable: the
    hardware lets a store pass now.
    """
    pool, out = m.view("pool").reshape(-1, 512), Counter(leaves=0, pending=0, logged=0, writable=0)
    e, marked = np.array([entry], np.uint64), np.array([bool(waits)])
    while e.size:
        there = present(m, e)
        e, marked = e[there], marked[there]
        marked = marked | pending(m, e)
        leaf = is_leaf(level, e)
        out["leaves"] += int(np.count_nonzero(leaf))
        out["pending"] += int(np.count_nonzero(leaf & marked))
        out["logged"] += int(np.count_nonzero(leaf & (_kinds(e) == xen.P2M_RAM_LOGDIRTY)))
        out["writable"] += int(np.count_nonzero(leaf & ~marked & writable(e)))
        marked = np.repeat(marked[~leaf], 512)
        e = pool[target(e[~leaf])].reshape(-1)
        level -= 1
    return dict(out)


# ---- what an access would do


def waiting(m: Machine, steps: Sequence[Step]) -> list[Step]:
    """Those entries of a path in which a change waits: the next access carries it out."""
    return [step for step in steps if pending(m, step.entry)]


def effective(m: Machine, steps: Sequence[Step]) -> int:
    """p2m type that a reader computes for a path's leaf: what all shall become, if a mark waits on it (p2m_recalc_type)."""
    if waiting(m, steps):
        return int(xen.P2M_RAM_LOGDIRTY if m.sys[0].global_logdirty else xen.P2M_RAM_RW)
    return kind(steps[-1].entry)


def next_access(m: Machine, gfn: int, access: np.uint64, vcpu: int = 0) -> Counter[str]:
    """Exits that the next access of a frame's data would take, and leaves that it would split: Counter by name of counter.

    access: x86.FETCH, READ or WRITE.
    Of the access itself only: the walk's own references to guest tables come before it, and may exit for their frames.
    "pml_logged": 1 if the processor writes the address into its log.
    """
    s, steps, out = m.sys[0], path(m, gfn), Counter[str]()
    leaf = steps[-1]
    npt, waits, logging = bool(s.npt), bool(waiting(m, steps)), bool(s.ept_ad)
    if waits:
        out["npf_recalc" if npt else "ept_misconfig"] = 1
    if access == x86.FETCH and leaf.level > 1 and not s.exec_sp:
        out["ept_violation"] = out["p2m_split"] = out["p2m_shatter"] = 1
    if access != x86.WRITE:
        return out
    may, d = bool(writable(leaf.entry)), bool(leaf.entry & dirty_bit(m))
    if waits and effective(m, steps) != kind(leaf.entry):  # the leaf is made anew (ept_p2m_type_to_flags, p2m_type_to_flags)
        may = not s.global_logdirty or (logging and leaf.level == 1)
        d = npt or not s.global_logdirty
    if not may:
        out["npf_write" if npt else "ept_violation"] = 1
        out["p2m_split"] = leaf.level - 1 if npt else int(leaf.level > 1)  # EPT splits a 1 GiB leaf into 4 KiB ones at once
    elif logging and not d:
        out["pml_full"] = int(s.pml_index[vcpu] >= x86.PML_ENTRIES)
        out["pml_logged"] = 1
    return +out


_EXITS = (
    ("ept_misconfig", "EPT misconfiguration"),
    ("ept_violation", "EPT violation"),
    ("npf_recalc", "NPF (pending change)"),
    ("npf_write", "NPF (store)"),
    ("pml_full", "full log"),
)


def next_access_words(m: Machine, gfn: int, access: np.uint64) -> str:
    """`next_access` in words: "1 EPT misconfiguration, 1 EPT violation, a split"; "no exit"."""
    found = next_access(m, gfn, access)
    parts = [f"{found[name]} {words}" for name, words in _EXITS if found[name]] or ["no exit"]
    if found["p2m_split"]:
        parts.append("a split" if found["p2m_split"] == 1 else f"{found['p2m_split']} splits")
        pages = 1 if m.sys[0].npt else (0, 0, 1, 513)[path(m, gfn)[-1].level]
        if m.sys[0].free_pages < pages:
            parts.append(f"and the pool has no page for it: the guest {'hangs' if access == x86.WRITE else 'crashes'}")
    if found["pml_logged"]:
        parts.append("logged by PML")
    return ", ".join(parts)


# ---- which event wrote an entry


_POISON, _RESOLVE = ("ENABLE", "CLEAN", "OFF"), ("EPT_MISCONFIG", "NPF_RECALC")
_STORE, _SPLIT, _MARK = ("EPT_VIOLATION", "HVM_NPF"), ("P2M_SPLIT", "P2M_SHATTER"), ("MARK_DIRTY",)
_LOG = ("PML_LOG",)
TELLING = _POISON + _RESOLVE + _STORE + _SPLIT + _MARK + _LOG


def writes(events: np.ndarray, level: int, gfn: int, leaf_level: int, npt: bool) -> list[np.void]:
    """Events that wrote the entry of `level` on the way of `gfn`, told from the events alone.

    events: EVENT_DTYPE[n] in order; the result is a list of such rows. leaf_level: of the leaf of `gfn` now. Marks are
    followed down the path: root entries get them at ENABLE, CLEAN and OFF, and an exit for a pending change moves those on its
    own way down, to whole tables. Nothing is marked where the record begins. A leaf whose frame is in a vCPU's log becomes
    ram_rw when the log is flushed: its MARK_DIRTY tells that, but at OFF nothing is marked.
    """
    out: list[np.void] = []
    marked, logged = dict.fromkeys(LEVELS, False), False
    named = {int(ev.CODES[name]): name for name in TELLING}
    events = events[np.isin(events["kind"], list(named))]
    splits = [
        e
        for e in events
        if named[int(e["kind"])] in _SPLIT and int(e["gfn"]) >> 9 * (int(e["level"]) - 1) == gfn >> 9 * (int(e["level"]) - 1)
    ]
    leaf_level = max([leaf_level, *(int(e["level"]) for e in splits)])
    for e in events:
        name, other = named[int(e["kind"])], int(e["gfn"])
        wrote = set()
        if (name == "OFF" and e["level"]) or (name == "EPT_VIOLATION" and int(e["level"]) & int(x86.EPT_X)):
            continue  # OFF with log-dirty off does nothing; a fetch that exits is told by the split
        if name in _LOG:
            logged |= other == gfn
        elif name in _POISON:
            wrote = set() if marked[4] else {4}
            marked[4] = True
            if name == "OFF" and logged and leaf_level == 1:
                wrote.add(1)
            logged &= name == "ENABLE"
        elif name in _RESOLVE:
            wrote = _resolved(marked, gfn, other, leaf_level, npt)
        elif name in _SPLIT:
            at = int(e["level"])
            if at <= leaf_level and other >> 9 * (at - 1) == gfn >> 9 * (at - 1):
                leaf_level = at - 1 if npt else 1
                wrote = set(range(leaf_level, at + 1))
                if out and level == leaf_level and out[-1]["tick"] == e["tick"] and named[int(out[-1]["kind"])] in _STORE:
                    wrote = set()  # the store that needed the split is told instead
        elif other == gfn and level == 1 and (leaf_level == 1 or name in _STORE):
            wrote = {1}
            if out and out[-1]["tick"] == e["tick"] and named[int(out[-1]["kind"])] in _MARK:
                out.pop()
            if name in _MARK and out and out[-1]["tick"] == e["tick"] and named[int(out[-1]["kind"])] in _STORE:
                wrote = set()
        if level in wrote:
            out.append(e)
    return out


def _resolved(marked: dict[int, bool], gfn: int, other: int, leaf_level: int, npt: bool) -> set[int]:
    """Carry out an exit for a pending change at frame `other` on the marks of the way of `gfn`; levels that were written."""
    wrote = set()
    for level in LEVELS:
        if not npt and level == 1:  # all leaves of the table at once
            if marked[1]:
                marked[1] = False
                wrote.add(1)
            break
        if other >> 9 * (level - 1) != gfn >> 9 * (level - 1):
            break
        if marked[level]:
            marked[level] = False
            wrote.add(level)
            if level > leaf_level and not marked[level - 1]:
                marked[level - 1] = True
                wrote.add(level - 1)
        if level == leaf_level:
            break
    return wrote
