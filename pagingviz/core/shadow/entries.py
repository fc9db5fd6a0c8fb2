"""Shadow entries: where they lie, and the only places that write them and move what they refer to.

Source: Xen mm/shadow/set.c (shadow_set_l1e ... l4e), multi.c (shadow_l1_index, shadow_l2_index, sh_unhook_*_mappings), oos.c
(oos_fixup_add). A data frame's typecount is the number of present writable L1 shadow entries that map it.
"""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.pool import entry_at, gfn_of, head_of
from pagingviz.core.shadow.shadows import get_ref, pin, pinnable, put_ref
from pagingviz.core.walk.page_walk import frame

_PAGES, _FIXUPS = U(xen.OOS_PAGES), U(xen.OOS_FIXUPS)
_INDEX, _EIGHT, _HALF_INDEX = U(511), U(8), U(255)


@jit
def nth_page(s, a, head, n):
    """Page `n` of a shadow of several pages."""
    page = head
    for _ in range(n):
        page = a[s.o_pmore + page]
    return page


@jit
def place(s, a, head, i):
    """Arena index of the shadow entry for guest entry `i`; of a 32-bit L2's pair the first."""
    kind = a[s.o_ptype + head]
    if kind == xen.SH_L2_32:
        return entry_at(s, nth_page(s, a, head, i >> _EIGHT), (i & _HALF_INDEX) * TWO)
    if kind == xen.SH_L1_32 or kind == xen.SH_FL1_32:
        return entry_at(s, nth_page(s, a, head, i >> x86.ENTRY_BITS), i & _INDEX)
    return entry_at(s, head, i)


@jit
def page_at(s, at):
    """Pool page that holds arena index `at`."""
    return (at - s.o_pool) >> x86.ENTRY_BITS


# ---- level 1


@jit
def _write_l1(s, c, a, at, new):
    """Write a level-1 entry; references and writable typecounts follow (a PV guest's own tables hold those: none here)."""
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
def strip_known(s, c, a, mfn, page, off):
    """sh_rm_write_access_from_sl1p: strip the remembered entry if it maps `mfn` writable (h_7). False: not any more (h_8).

    A page that is no L1 shadow by now is not even counted. On the way the vCPU learns whether the table is said to be dying.
    """
    head = head_of(s, a, page)
    at = entry_at(s, page, off)
    if xen.SH_LEVEL[a[s.o_ptype + head]] != ONE:
        return False
    if s.foreign == ZERO:
        s.dying[c.id] = ONE if a[s.o_info + gfn_of(s, a, mfn)] & xen.DYING else ZERO
    e = a[at]
    if e & x86.P and e & x86.RW and frame(e) == mfn:
        strip(s, c, a, at)
        s.shadow_writeable_h_7 += ONE
        return True
    s.shadow_writeable_h_8 += ONE
    return False


@jit
def oos_slot(s, mfn):
    """Place (vcpu * 3 + i) of an out-of-sync frame in the tables of the vCPUs (oos_hash lookup), or NONE."""
    home = mfn % _PAGES
    for v in range(s.vcpus):
        k = v * _PAGES + home
        if s.oos[k] != mfn:
            k = v * _PAGES + (home + ONE) % _PAGES
        if s.oos[k] == mfn:
            return k
    return NONE


@jit
def _remember_fixup(s, c, a, mfn, page, off):
    """oos_fixup_add: remember a writable mapping of an out-of-sync page; a third one displaces the oldest and strips it."""
    s.shadow_oos_fixup_add += ONE
    k = oos_slot(s, mfn)
    if k == NONE:
        return
    for i in range(k * _FIXUPS, (k + ONE) * _FIXUPS):
        if s.fix_page[i] == page and s.fix_off[i] == off:
            return
    i = k * _FIXUPS + s.fix_next[k]
    if s.fix_page[i] != NONE:
        s.tflags[c.id] |= xen.SF_OOS_EVICT
        strip_known(s, c, a, mfn, s.fix_page[i], s.fix_off[i])
        s.shadow_oos_fixup_evict += ONE
    s.fix_page[i], s.fix_off[i] = page, off
    s.fix_next[k] = (s.fix_next[k] + ONE) % _FIXUPS
    s.tflags[c.id] |= xen.SF_OOS_ADD


@jit
def set_l1(s, c, a, at, new):
    """shadow_set_l1e. Never asks for a flush: that is the guest's job. Returns SET_CHANGED or 0."""
    if new & x86.P and new & x86.RW and a[s.o_info + gfn_of(s, a, frame(new))] & xen.OOS_MAY_WRITE:
        _remember_fixup(s, c, a, frame(new), page_at(s, at), (at - s.o_pool) & _INDEX)
    if a[at] == new:
        return ZERO
    _write_l1(s, c, a, at, new)
    return xen.SET_CHANGED


# ---- levels 2 to 4


@jit
def _lost_rights(old, new):
    """not perms_strictly_increased: RW or US went away, or NX came."""
    return (old & ~new & (x86.RW | x86.US)) != ZERO or (new & ~old) >> U(63) != ZERO


@far
def set_upper(s, c, a, at, new):
    """shadow_set_l2e/l3e/l4e: write an entry that points to a shadow, moving the references. Returns SET_* bits.

    A flush is owed when a present entry changed its target or lost rights. Entries of a 32-bit L2 are written in pairs, the
    second one pointing to the second page of the child. Whether the child must first be brought back into sync: links.py.
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
    need = xen.SET_CHANGED
    if old & x86.P:
        if (new & x86.P) == ZERO or frame(old) != frame(new) or _lost_rights(old, new):
            need |= xen.SET_FLUSH
        put_ref(s, c, a, frame(old), at)
    return need


@jit
def unhook(s, c, a, root, user_only):
    """sh_unhook_l4_mappings, sh_unhook_l2_mappings: clear every present entry of a root (or only the user's)."""
    s.unhooks += ONE
    step = TWO if a[s.o_ptype + root] == xen.SH_L2_32 else ONE
    page = root
    while page != NONE:
        for i in range(ZERO, x86.ENTRIES, step):
            e = a[entry_at(s, page, i)]
            if e & x86.P and (user_only == ZERO or e & x86.US):
                set_upper(s, c, a, entry_at(s, page, i), ZERO)
        page = a[s.o_pmore + page]
