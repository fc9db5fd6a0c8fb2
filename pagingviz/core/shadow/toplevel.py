"""Shadow paging: the roots that the hardware runs on, when a vCPU loads CR3 and when its paging mode changes.

A vCPU has four slots for roots (s.root, four for each vCPU): a PAE guest uses all four, for the level-2 shadows of its four
loaded entries, any other guest uses the first. A slot holds a reference to its shadow.

Source: Xen mm/shadow/multi.c (sh_update_cr3), common.c (sh_set_toplevel_shadow, sh_update_paging_modes).
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.links import make_shadow
from pagingviz.core.shadow.oos import resync_all
from pagingviz.core.shadow.pool import alloc, release
from pagingviz.core.shadow.recycle import prealloc
from pagingviz.core.shadow.shadows import find, get_ref, pin, put_ref
from pagingviz.core.shadow.vtlb import forget
from pagingviz.core.shadow.writeable import remove_write_access
from pagingviz.core.walk.page_walk import frame, get_entry
from pagingviz.core.walk.tlb import flush, flush_all

_FOUR = U(4)


# ---- CR3


@jit
def _set_slot(s, c, a, slot, gfn, kind):
    """Put the shadow of root `gfn` into a slot: find or make it, take a reference, pin it, let go of the old root.

    `gfn` NONE empties the slot. Source: common.c: sh_set_toplevel_shadow.
    """
    page = NONE
    if gfn != NONE:
        page = find(s, a, a[s.o_p2m + gfn], kind)
        if page == NONE and prealloc(s, c, a, kind, ONE):
            page = make_shadow(s, c, a, gfn, kind)
        if page != NONE:
            get_ref(s, a, page, NONE)
            pin(s, a, page)
    old = s.root[slot]
    s.root[slot] = page
    if old != NONE:
        put_ref(s, c, a, old, NONE)


@by_address
def update_cr3(s, c, a, vcpu):
    """Run vCPU `vcpu`, whose record is `c`, on the shadow of the root in its CR3, and flush its TLB.

    First its own tables come back into sync, and the new root loses its writable mappings. The four level-2 tables that a PAE
    guest has loaded are roots of their own. Source: multi.c: sh_update_cr3.
    """
    resync_all(s, c, a, False, True, False)
    slot = vcpu * _FOUR
    if c.levels == THREE:
        removed = False
        for i in range(_FOUR):
            c.pdpte[i] = get_entry(s, a, THREE, s.cr3[vcpu], U(i))
        for i in range(_FOUR):
            gfn = _pae_root(s, c, i)
            if gfn != NONE and remove_write_access(s, c, a, gfn, TWO, ZERO):
                removed = True
        if removed:
            flush_all(s)
        for i in range(_FOUR):
            _set_slot(s, c, a, slot + U(i), _pae_root(s, c, i), xen.SH_L2_PAE)
    else:
        gfn = s.cr3[vcpu] if s.cr & x86.CR_PG else s.frames
        if remove_write_access(s, c, a, gfn, c.levels, ZERO):
            flush_all(s)
        _set_slot(s, c, a, slot, gfn, xen.TYPE_OF_LEVEL[c.levels, c.levels])
    flush(s, vcpu)
    forget(s, c)
    resync_all(s, c, a, True, False, True)


@jit
def _pae_root(s, c, i):
    """Guest frame of the level-2 table that loaded entry `i` (0 to 3) of a PAE guest leads to, or NONE."""
    pdpte = c.pdpte[i]
    return frame(pdpte) if pdpte & x86.P and frame(pdpte) < s.frames else NONE


@jit
def detach(s, c, a, vcpu):
    """Empty all four slots of a vCPU. Source: common.c: sh_detach_old_tables (master)."""
    for slot in range(vcpu * _FOUR, vcpu * _FOUR + _FOUR):
        old = s.root[slot]
        s.root[slot] = NONE
        if old != NONE:
            put_ref(s, c, a, old, NONE)


# ---- the paging mode


@by_address
def update_modes(s, c, a):
    """Give a vCPU the shadows of its present paging mode, after CR0.PG, CR4 or log-dirty has changed.

    Its roots are let go of, every table comes back into sync, and the root in CR3 is loaded anew; a new monitor table is made
    when the mode needs another. Source: common.c: sh_update_paging_modes.
    """
    had = monitor_pages(c.levels)
    detach(s, c, a, c.id)
    resync_all(s, c, a, False, True, True)
    c.levels = s.guest_levels if s.cr & x86.CR_PG else TWO
    if monitor_pages(c.levels) != had:
        old = s.monitor[c.id]
        s.monitor[c.id] = make_monitor(s, c, a)
        while old != NONE:
            after = a[s.o_pup + old]
            release(s, a, old)
            old = after
    update_cr3(s, c, a, c.id)


@jit
def monitor_pages(levels):
    """How many pages a monitor table has: one in 4-level mode, three where Xen extends a three-level shadow to four levels."""
    return ONE if levels == _FOUR else THREE


@jit
def make_monitor(s, c, a):
    """Make the monitor table of a vCPU. Returns its first page, or NONE; the others are chained by the region `pup`.

    Xen 4.17 asks the pool for four pages, however many it then uses. Source: shadow/hvm.c: sh_make_monitor_table.
    """
    count = monitor_pages(c.levels)
    if not prealloc(s, c, a, xen.SH_MONITOR, _FOUR if s.xen == xen.XEN_417 else count):
        return NONE
    first = NONE
    for _ in range(count):
        page = alloc(s, a, xen.SH_MONITOR, NONE)
        a[s.o_pup + page] = first
        first = page
    return first


@jit
def make_snapshots(s, c, a):
    """Take the three pages of a vCPU for snapshots of tables out of sync from the pool.

    Xen 4.17 takes them also when no table can go out of sync, as for a PV guest. Source: common.c: sh_update_paging_modes.
    """
    if s.xen != xen.XEN_417 and s.shopt & xen.SHOPT_OUT_OF_SYNC == ZERO:
        return
    if prealloc(s, c, a, xen.SH_SNAPSHOT, U(xen.OOS_PAGES)):
        for k in range(c.id * U(xen.OOS_PAGES), (c.id + ONE) * U(xen.OOS_PAGES)):
            s.oos_snap[k] = alloc(s, a, xen.SH_SNAPSHOT, NONE)


@jit
def disable(s, c, a):
    """End shadow paging for a PV guest's vCPU: no root, no snapshots, and CR3 leads to the guest's own table again.

    Source: common.c: shadow_one_bit_disable.
    """
    detach(s, c, a, c.id)
    for k in range(c.id * U(xen.OOS_PAGES), (c.id + ONE) * U(xen.OOS_PAGES)):
        if s.oos_snap[k] != NONE:
            release(s, a, s.oos_snap[k])
            s.oos_snap[k] = NONE
    forget(s, c)
    flush(s, c.id)
