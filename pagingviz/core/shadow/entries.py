"""Shadow entries: where they lie, and the only functions that write them.

With an entry changes what it refers to: a reference to a shadow for an entry above level 1, and for one of level 1 the
typecount of the frame that it maps. The typecount of a data frame is the number of present and writable level-1 shadow entries
that map it.

Source: Xen mm/shadow/set.c (shadow_set_l1e ... l4e), multi.c (shadow_l1_index, shadow_l2_index, sh_unhook_*_mappings), oos.c
(oos_fixup_add, master).
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.pool import entry_at, gfn_of, head_of
from pagingviz.core.shadow.shadows import get_ref, pin, pinnable, put_ref
from pagingviz.core.walk.page_walk import frame

_PAGES, _FIXUPS = U(xen.OOS_PAGES), U(xen.OOS_FIXUPS)
_INDEX, _EIGHT, _HALF_INDEX = U(511), U(8), U(255)


@jit
def nth_page(s, a, head, n):
    """Page number `n` (from 0) of the shadow with head `head`, which has more than one."""
    page = head
    for _ in range(n):
        page = a[s.o_pmore + page]
    return page


@jit
def entry_for(s, a, head, i):
    """Arena index of the entry of a shadow that stands for entry `i` of the guest's table.

    The shadow of a 32-bit level-2 table has two entries for each of the guest's: this is the first. Source: multi.c:
    shadow_l1_index, shadow_l2_index.
    """
    kind = a[s.o_ptype + head]
    if kind == xen.SH_L2_32:
        return entry_at(s, nth_page(s, a, head, i >> _EIGHT), (i & _HALF_INDEX) * TWO)
    if kind == xen.SH_L1_32 or kind == xen.SH_FL1_32:
        return entry_at(s, nth_page(s, a, head, i >> x86.ENTRY_BITS), i & _INDEX)
    return entry_at(s, head, i)


@jit
def page_at(s, at):
    """Page of the pool that holds arena index `at`."""
    return (at - s.o_pool) >> x86.ENTRY_BITS


# ---- level 1


@jit
def _write_l1(s, c, a, at, new):
    """Write a level-1 entry; the typecounts of the frames that it mapped and maps follow.

    The typecounts of a PV guest's frames count the entries of its own tables, and do not change here.
    """
    old = a[at]
    if s.pv != ZERO:
        a[at] = new
        return
    if new & x86.P:
        s.tflags[c.id] |= xen.SF_GET_REF
        if new & x86.RW:
            a[s.o_info + gfn_of(s, a, frame(new))] += ONE
    a[at] = new
    if old & x86.P:
        if old & x86.RW:
            a[s.o_info + gfn_of(s, a, frame(old))] -= ONE
        s.tflags[c.id] |= xen.SF_PUT_REF


@jit
def strip(s, c, a, at):
    """Take write access away from a level-1 entry, which must be present and writable."""
    _write_l1(s, c, a, at, a[at] & ~x86.RW)


@jit
def strip_remembered(s, c, a, mfn, page, off):
    """Strip a remembered entry (number `off` of page `page`) if it still maps `mfn` writable. True if it did.

    A page that is no level-1 shadow any more is not even counted. The vCPU also learns here whether the table has been
    announced as dying. Source: multi.c: sh_rm_write_access_from_sl1p.
    """
    head = head_of(s, a, page)
    at = entry_at(s, page, off)
    if xen.SH_LEVEL[a[s.o_ptype + head]] != ONE:
        return False
    if s.foreign == ZERO:
        s.dying[c.id] = ONE if a[s.o_info + gfn_of(s, a, mfn)] & xen.DYING else ZERO
    entry = a[at]
    if entry & x86.P and entry & x86.RW and frame(entry) == mfn:
        strip(s, c, a, at)
        s.shadow_writeable_h_7 += ONE
        return True
    s.shadow_writeable_h_8 += ONE
    return False


@jit
def oos_slot(s, mfn):
    """Slot (vcpu * 3 + i) that holds the table in machine frame `mfn`, of whichever vCPU, or NONE: the table is in sync."""
    own = mfn % _PAGES
    for vcpu in range(s.vcpus):
        slot = vcpu * _PAGES + own
        if s.oos[slot] != mfn:
            slot = vcpu * _PAGES + (own + ONE) % _PAGES
        if s.oos[slot] == mfn:
            return slot
    return NONE


@jit
def _remember_fixup(s, c, a, mfn, page, off):
    """Remember a writable mapping of a table out of sync: entry `off` of page `page`.

    Two are remembered; a third displaces the older one, which is stripped. Source: oos.c: oos_fixup_add (master).
    """
    s.shadow_oos_fixup_add += ONE
    slot = oos_slot(s, mfn)
    if slot == NONE:
        return
    for i in range(slot * _FIXUPS, (slot + ONE) * _FIXUPS):
        if s.fix_page[i] == page and s.fix_off[i] == off:
            return
    i = slot * _FIXUPS + s.fix_next[slot]
    if s.fix_page[i] != NONE:
        s.tflags[c.id] |= xen.SF_OOS_EVICT
        strip_remembered(s, c, a, mfn, s.fix_page[i], s.fix_off[i])
        s.shadow_oos_fixup_evict += ONE
    s.fix_page[i], s.fix_off[i] = page, off
    s.fix_next[slot] = (s.fix_next[slot] + ONE) % _FIXUPS
    s.tflags[c.id] |= xen.SF_OOS_ADD


@jit
def set_l1(s, c, a, at, new):
    """Write a level-1 shadow entry. Returns xen.SET_CHANGED, or 0 when it was the same before.

    It never asks for a TLB flush: that is for the guest to do. Source: set.c: shadow_set_l1e.
    """
    if new & x86.P and new & x86.RW and a[s.o_info + gfn_of(s, a, frame(new))] & xen.OOS_MAY_WRITE:
        _remember_fixup(s, c, a, frame(new), page_at(s, at), (at - s.o_pool) & _INDEX)
    if a[at] == new:
        return ZERO
    _write_l1(s, c, a, at, new)
    return xen.SET_CHANGED


# ---- levels 2 to 4


@jit
def _lost_rights(old, new):
    """Whether `new` lacks RW or US that `old` had, or has NX that it had not. Source: set.c: perms_strictly_increased."""
    return (old & ~new & (x86.RW | x86.US)) != ZERO or (new & ~old) >> U(63) != ZERO


@by_address
def set_upper(s, c, a, at, new):
    """Write a shadow entry of level 2 to 4. It refers to a shadow, and the references follow. Returns xen.SET_* bits.

    A flush is needed when an entry that was present leads elsewhere now or has lost rights. The two entries of a 32-bit level-2
    shadow are written together, the second leading to the second page of the child. `link` (links.py) is for a child that may
    be out of sync. Source: set.c: shadow_set_l2e, shadow_set_l3e, shadow_set_l4e.
    """
    old = a[at]
    if old == new:
        return ZERO
    kind = a[s.o_ptype + head_of(s, a, page_at(s, at))]
    second = new
    if new & x86.P:
        child = frame(new)
        get_ref(s, a, child, at)
        if kind == xen.SH_L4 and pinnable(s, xen.SH_L3):
            pin(s, a, child)
        if kind == xen.SH_L2_32:
            second = (a[s.o_pmore + child] << x86.PAGE_BITS) | (new & ~(frame(new) << x86.PAGE_BITS))
    a[at] = new
    if kind == xen.SH_L2_32:
        a[at + ONE] = second
    result = xen.SET_CHANGED
    if old & x86.P:
        if (new & x86.P) == ZERO or frame(old) != frame(new) or _lost_rights(old, new):
            result |= xen.SET_FLUSH
        put_ref(s, c, a, frame(old), at)
    return result


@jit
def unhook(s, c, a, root, user_only):
    """Clear every present entry of a root, or with `user_only` those that give user mode access.

    Source: multi.c: sh_unhook_l4_mappings, sh_unhook_l2_mappings (master).
    """
    s.unhooks += ONE
    step = TWO if a[s.o_ptype + root] == xen.SH_L2_32 else ONE
    page = root
    while page != NONE:
        for i in range(ZERO, x86.ENTRIES, step):
            entry = a[entry_at(s, page, i)]
            if entry & x86.P and (user_only == ZERO or entry & x86.US):
                set_upper(s, c, a, entry_at(s, page, i), ZERO)
        page = a[s.o_pmore + page]
