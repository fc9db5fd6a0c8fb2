"""Every present shadow entry is compared with the guest's entry, and each frame's writable mappings with its count.

The shadow of an out-of-sync table is compared with the snapshot of the table instead (sync.py).
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.audit import rules
from pagingviz.core.audit.pool import is_shadow
from pagingviz.core.audit.report import broken, clear_tmp
from pagingviz.core.audit.sync import remembered
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.entries import oos_slot
from pagingviz.core.shadow.oos import snapshot_entry
from pagingviz.core.shadow.pool import entry_at, gfn_of, head_of
from pagingviz.core.shadow.shadows import frame_shadowed, is_fl1, is_oos, is_page_table
from pagingviz.core.walk.page_walk import big_leaf, frame, get_entry, guest_frame

_G, _FLAGS = U(0x100), U(0x1FF)
_PAIRS = U(256)


@jit
def entries(s, a):
    """Every entry of every shadow: what it maps, with which rights, and where it must be empty."""
    for page in range(s.pool_cap):
        kind = a[s.o_ptype + page]
        if not is_shadow(kind):
            continue
        n, part = ZERO, U(page)
        while part != NONE:
            if is_fl1(kind):
                bad = _fl1_page(s, a, part, a[s.o_pkey + page] + n)
            else:
                bad = _page(s, a, U(page), part, n)
            if bad != ZERO:
                return broken(bad, page)
            n += _PAIRS if kind == xen.SH_L2_32 else x86.ENTRIES
            part = a[s.o_pmore + part]
    return ZERO


@jit
def _page(s, a, head, page, first):
    """The rule broken by one page of a shadow, whose entry 0 stands for guest entry `first`; or 0."""
    kind = a[s.o_ptype + head]
    level, levels = xen.SH_LEVEL[kind], xen.SH_GUEST_LEVELS[kind]
    gfn = frame_shadowed(s, a, head)
    stale = is_oos(s, a, gfn)
    double = kind == xen.SH_L2_32
    for i in range(ZERO, x86.ENTRIES, TWO if double else ONE):
        e = a[entry_at(s, page, i)]
        if e == ZERO:
            continue
        at = first + (i >> ONE if double else i)
        if stale:
            g = snapshot_entry(s, a, oos_slot(s, a[s.o_p2m + gfn]), at, levels == TWO)
        else:
            g = _guests(s, a, levels, gfn, at)
        if e & x86.P:
            bad = _level1(s, a, e, g) if level == ONE else _upper(s, a, e, g, level, levels, gfn == s.frames)
            if double and bad == ZERO:
                twin = (a[s.o_pmore + frame(e)] << x86.PAGE_BITS) | (e & ~(frame(e) << x86.PAGE_BITS))
                bad = ZERO if a[entry_at(s, page, i + ONE)] == twin else rules.TARGET
            if bad != ZERO:
                return rules.SNAPSHOT if stale else bad
        elif (g & x86.P) == ZERO and (s.shopt & xen.SHOPT_OUT_OF_SYNC) == ZERO:
            return rules.NOT_EMPTY
    return ZERO


@jit
def _guests(s, a, levels, gfn, i):
    """The guest's entry `i`. Frame s.frames stands for the identity map of CR0.PG=0, whose entries are computed."""
    if gfn == s.frames:
        return (i << U(22)) | x86.P | x86.RW | x86.US | x86.A | x86.D | x86.PSE
    return get_entry(s, a, levels, gfn, i)


@jit
def _flags(s, e, g):
    """What holds of an entry at every level, as in Xen's audit of flags: the broken rule, or 0."""
    if (g & x86.P) == ZERO:
        return rules.GUEST_NOT_PRESENT
    if (g & x86.A) == ZERO:
        return rules.GUEST_NOT_ACCESSED
    if e & (x86.PSE | _G):
        return rules.SUPERPAGE_OR_GLOBAL
    differ = (e ^ g) & (x86.US | x86.NX if s.cr & x86.CR_NXE else x86.US)
    if s.pv != ZERO:  # where U is always set
        differ &= x86.NX
    return rules.RIGHTS if differ != ZERO or (e & ~g & x86.RW) != ZERO else ZERO


@jit
def _level1(s, a, e, g):
    """The rule that entry `e` of level 1 breaks beside the guest's entry `g`; or 0."""
    bad = _flags(s, e, g)
    if bad != ZERO:
        return bad
    if e & x86.RW and (g & x86.D) == ZERO:
        return rules.GUEST_NOT_DIRTY
    gfn = guest_frame(s, a, g)
    return rules.TARGET if gfn >= s.frames or frame(e) != a[s.o_p2m + gfn] else ZERO


@jit
def _upper(s, a, e, g, level, levels, unpaged):
    """The same above level 1, where an entry leads to another shadow; `unpaged`: the guest has paging off."""
    bad = _flags(s, e, g)
    if bad != ZERO:
        return bad
    if (e & x86.A) == ZERO or (e & x86.D) == ZERO:
        return rules.UPPER_FLAGS
    child = frame(e)
    if level == TWO and g & x86.PSE and (levels != TWO or unpaged or s.cr & x86.CR_PSE):
        if e & x86.RW and (g & x86.D) == ZERO:
            return rules.GUEST_NOT_DIRTY
        right = a[s.o_pkey + child] == big_leaf(levels, TWO, g) and a[s.o_ptype + child] == xen.FL1_OF[levels]
        return ZERO if right else rules.TARGET
    gfn = guest_frame(s, a, g)
    if gfn >= s.frames or a[s.o_pkey + child] != a[s.o_p2m + gfn]:
        return rules.TARGET
    return ZERO if a[s.o_ptype + child] == xen.TYPE_OF_LEVEL[levels, level - ONE] else rules.TARGET


@jit
def _fl1_page(s, a, page, gfn):
    """The shadow of a superpage: entry i grants everything and maps the i-th frame; `gfn`: the frame of entry 0."""
    for i in range(x86.ENTRIES):
        e = a[entry_at(s, page, i)]
        if (e & x86.P) == ZERO:
            continue
        if (e & _FLAGS) | x86.RW | x86.D != x86.P | x86.US | x86.A | x86.RW | x86.D or e & x86.NX:
            return rules.SPLINTERS
        if gfn + i >= s.frames or frame(e) != a[s.o_p2m + gfn + i]:
            return rules.TARGET
    return ZERO


@jit
def typecounts(s, a):
    """Each frame's typecount is the number of its writable mappings, which is 0 for a page table in sync.

    Writable mappings of a table out of sync are remembered; with log-dirty on a writable frame is dirty.
    """
    clear_tmp(s, a, s.frames)
    for page in range(s.pool_cap):
        kind = a[s.o_ptype + head_of(s, a, U(page))]
        if is_shadow(kind) and xen.SH_LEVEL[kind] == ONE:
            for i in range(x86.ENTRIES):
                e = a[entry_at(s, U(page), i)]
                if e & x86.P and e & x86.RW:
                    a[s.o_tmp + gfn_of(s, a, frame(e))] += ONE
    for gfn in range(s.frames):
        n, info = a[s.o_tmp + gfn], a[s.o_info + gfn]
        if s.pv == ZERO and n != info & xen.TYPECOUNT:
            return broken(rules.TYPECOUNT, gfn)
        if n == ZERO:
            continue
        if is_page_table(s, a, gfn):
            if (info & xen.OOS_MAY_WRITE) == ZERO:
                return broken(rules.TABLE_WRITABLE, gfn)
            if n != remembered(s, a, U(gfn)):
                return broken(rules.FIXUPS, gfn)
        if s.log_dirty != ZERO and s.failed_allocs == ZERO and not logdirty.is_dirty(s, a, U(gfn)):
            return broken(rules.CLEAN_WRITABLE, gfn)
    return ZERO
