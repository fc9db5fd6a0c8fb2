"""Level-1 tables out of sync: the guest writes them freely for a while, and its next TLB flush brings the shadow up to date.

Each vCPU has three slots for such tables. Slot k = vcpu * 3 + i holds the machine frame of the table (s.oos), a page with the
guest entries that its shadow was made from (s.oos_snap), and up to two writable mappings of the table (s.fix_page, s.fix_off:
page of the pool and number of the entry in it).

Source: Xen mm/shadow/oos.c, multi.c (sh_resync_l1, sh_safe_not_to_sync).
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.entries import entry_for, oos_slot, set_l1, strip_remembered
from pagingviz.core.shadow.pool import entry_at, gfn_of
from pagingviz.core.shadow.propagate import propagate_l1
from pagingviz.core.shadow.shadows import find, has_shadow, has_up, is_oos
from pagingviz.core.shadow.writeable import remove_write_access
from pagingviz.core.walk.page_walk import get_entry, reserved
from pagingviz.core.walk.tlb import flush_all

_PAGES, _FIXUPS, _FOUR = U(xen.OOS_PAGES), U(xen.OOS_FIXUPS), U(4)
_L1_TYPES = 1 << 1 | 1 << 4 | 1 << 7  # SHF_L1_ANY: l1_32, l1_pae, l1_64
_L1_ONLY = U(_L1_TYPES) << xen.SHADOW_FLAG_SHIFT
_THIRTY_TWO, _LOW = U(32), U(0xFFFFFFFF)


@jit
def l1_kind(s, a, gfn):
    """The one level-1 type (xen.SH_L1*) that a table out of sync is shadowed as."""
    if has_shadow(s, a, gfn, xen.SH_L1):
        return xen.SH_L1
    return xen.SH_L1_PAE if has_shadow(s, a, gfn, xen.SH_L1_PAE) else xen.SH_L1_32


@jit
def snapshot_entry(s, a, k, i, narrow):
    """Entry `i` of the snapshot in slot `k`: the guest entry that the shadow was made from. `narrow`: entries of 4 bytes."""
    if narrow:
        return (a[entry_at(s, s.oos_snap[k], i >> ONE)] >> (_THIRTY_TWO * (i & ONE))) & _LOW
    return a[entry_at(s, s.oos_snap[k], i)]


@jit
def set_snapshot_entry(s, a, k, i, narrow, value):
    """Enter `value` into the snapshot in slot `k`, as the guest entry that shadow entry `i` has been made from."""
    if narrow:
        at, shift = entry_at(s, s.oos_snap[k], i >> ONE), _THIRTY_TWO * (i & ONE)
        a[at] = (a[at] & ~(_LOW << shift)) | (value << shift)
    else:
        a[entry_at(s, s.oos_snap[k], i)] = value


@jit
def note_snapshot(s, a, gfn, i, narrow, value):
    """Enter into the snapshot of table `gfn` that its shadow entry `i` has just been made from `value`.

    Nothing happens when the table is in sync. Source: multi.c: sh_page_fault, validate_gl1e.
    """
    if is_oos(s, a, gfn):
        k = oos_slot(s, a[s.o_p2m + gfn])
        if k != NONE:
            set_snapshot_entry(s, a, k, i, narrow, value)


@jit
def _update_shadow(s, c, a, k):
    """Propagate again every entry that is present in the shadow of the table in slot `k` and differs from the snapshot.

    Source: multi.c: sh_resync_l1.
    """
    gfn = gfn_of(s, a, s.oos[k])
    kind = l1_kind(s, a, gfn)
    page = find(s, a, s.oos[k], kind)
    narrow = kind == xen.SH_L1_32
    levels = TWO if narrow else (THREE if kind == xen.SH_L1_PAE else _FOUR)
    for i in range(x86.ENTRIES * (TWO if narrow else ONE)):
        at = entry_for(s, a, page, U(i))
        if (a[at] & x86.P) == ZERO:
            continue
        gent = get_entry(s, a, levels, gfn, U(i))
        if snapshot_entry(s, a, k, U(i), narrow) != gent:
            new = ZERO
            if gent & x86.P and reserved(s, gent, ONE, levels) == ZERO:
                new = propagate_l1(s, c, a, gent, False)
            set_l1(s, c, a, at, new)
            set_snapshot_entry(s, a, k, U(i), narrow, gent)


@by_address
def _resync(s, c, a, k):
    """Bring the table in slot `k` back into sync; the caller empties the slot.

    Afterwards no writable mapping of the table is left, every present entry of its shadow follows from the guest's entry as it
    is now, and a store to the table faults again. Source: oos.c: _sh_resync (master).
    """
    mfn = s.oos[k]
    gfn = gfn_of(s, a, mfn)
    for i in range(k * _FIXUPS, (k + ONE) * _FIXUPS):
        if s.fix_page[i] != NONE:
            strip_remembered(s, c, a, mfn, s.fix_page[i], s.fix_off[i])
            s.fix_page[i] = NONE
    remove_write_access(s, c, a, gfn, ZERO, ZERO)
    flush_all(s)
    a[s.o_info + gfn] &= ~xen.OOS_MAY_WRITE
    _update_shadow(s, c, a, k)
    a[s.o_info + gfn] &= ~xen.OOS
    s.shadow_resync += ONE
    emit(s, a, ev.RESYNC_FULL, c.id, ZERO, gfn, mfn, ONE, ZERO)


@jit
def resync(s, c, a, gfn):
    """Bring the table in frame `gfn` back into sync, if it is out of sync. Source: oos.c: sh_resync (master)."""
    if not is_oos(s, a, gfn):
        return
    k = oos_slot(s, a[s.o_p2m + gfn])
    if k != NONE:
        _resync(s, c, a, k)
        s.oos[k] = NONE


@jit
def unsync(s, c, a, gfn):
    """Let the table in frame `gfn` go out of sync. True if it has gone.

    Only a table that is shadowed as one level-1 type, and as nothing else, may go. Source: oos.c: sh_unsync (master).
    """
    info = a[s.o_info + gfn]
    kinds = (info & xen.SHADOW_FLAGS) >> xen.SHADOW_FLAG_SHIFT
    if (kinds << xen.SHADOW_FLAG_SHIFT) & ~_L1_ONLY or info & xen.OOS or kinds & (kinds - ONE) or not allowed(s):
        return False
    a[s.o_info + gfn] |= xen.OOS | xen.OOS_MAY_WRITE
    _hash_add(s, c, a, a[s.o_p2m + gfn])
    s.shadow_unsync += ONE
    s.tflags[c.id] |= xen.SF_UNSYNC
    emit(s, a, ev.UNSYNC, c.id, ZERO, gfn, a[s.o_p2m + gfn], ONE, ZERO)
    return True


@jit
def allowed(s):
    """Whether tables may go out of sync at all: the switch is on, and the guest has paging enabled.

    Source: common.c: sh_update_paging_modes; what it computes is called oos_active.
    """
    return s.shopt & xen.SHOPT_OUT_OF_SYNC != ZERO and s.cr & x86.CR_PG != ZERO


@jit
def _hash_add(s, c, a, mfn):
    """Give the table in machine frame `mfn` a slot of this vCPU, and fill its snapshot.

    Its own slot is number mfn % 3. A table that has the same own slot and stands in it moves on to the next one, with all that
    belongs to it. Whatever table is in the slot that is then needed comes back into sync. Source: oos.c: oos_hash_add (master).
    """
    first = c.id * _PAGES
    own = first + mfn % _PAGES
    slot, moved = own, False
    table, page0, off0, page1, off1, turn = mfn, NONE, ZERO, NONE, ZERO, ZERO
    if s.oos[slot] != NONE and s.oos[slot] % _PAGES == mfn % _PAGES:
        fix = slot * _FIXUPS
        table, turn = s.oos[slot], s.fix_next[slot]
        page0, off0, page1, off1 = s.fix_page[fix], s.fix_off[fix], s.fix_page[fix + ONE], s.fix_off[fix + ONE]
        s.oos[slot], s.fix_next[slot], s.fix_page[fix], s.fix_page[fix + ONE] = mfn, ZERO, NONE, NONE
        moved = True
        slot = first + (mfn % _PAGES + ONE) % _PAGES
    if s.oos[slot] != NONE:
        _resync(s, c, a, slot)
        s.shadow_unsync_evict += ONE
    fix = slot * _FIXUPS
    s.oos[slot], s.fix_next[slot] = table, turn
    s.fix_page[fix], s.fix_off[fix], s.fix_page[fix + ONE], s.fix_off[fix + ONE] = page0, off0, page1, off1
    if moved:
        snapshot = s.oos_snap[slot]
        s.oos_snap[slot] = s.oos_snap[own]
        s.oos_snap[own] = snapshot
    gfn = gfn_of(s, a, s.oos[own])
    for i in range(x86.ENTRIES):
        a[entry_at(s, s.oos_snap[own], i)] = get_entry(s, a, _FOUR, gfn, U(i))


@jit
def _safe_not_to_sync(s, c, a, k):
    """Whether the shadow of the table in slot `k` cannot be used by this vCPU, so that it need not be brought up to date.

    That is known when at every level exactly one entry leads to it, up to a root that this vCPU is not running on.
    Source: multi.c: sh_safe_not_to_sync.
    """
    gfn = gfn_of(s, a, s.oos[k])
    kind = l1_kind(s, a, gfn)
    if not has_up(s, kind):
        return False
    page = find(s, a, s.oos[k], kind)
    for _ in range(THREE if kind == xen.SH_L1 else ONE):
        if a[s.o_pref + page] != ONE or a[s.o_pup + page] == NONE or not has_up(s, a[s.o_ptype + page]):
            return False
        page = (a[s.o_pup + page] - s.o_pool) // x86.ENTRIES
    for i in range(c.id * _FOUR, (c.id + ONE) * _FOUR):
        if s.root[i] == page:
            return False
    return True


@by_address
def resync_all(s, c, a, skip, this, others):
    """Bring the tables of this vCPU back into sync (`this`), and those of the other vCPUs (`others`).

    With `skip` the tables of the others stay out of sync. Their shadows are brought up to date, except where this vCPU cannot
    use them. Source: oos.c: sh_resync_all (master).
    """
    if this:
        for k in range(c.id * _PAGES, (c.id + ONE) * _PAGES):
            if s.oos[k] != NONE:
                _resync(s, c, a, k)
                s.oos[k] = NONE
    if not others:
        return
    for vcpu in range(s.vcpus):
        if U(vcpu) == c.id:
            continue
        for k in range(vcpu * _PAGES, (vcpu + ONE) * _PAGES):
            if s.oos[k] == NONE:
                continue
            if not skip:
                _resync(s, c, a, k)
                s.oos[k] = NONE
            elif not _safe_not_to_sync(s, c, a, k):
                emit(s, a, ev.RESYNC_ONLY, c.id, ZERO, gfn_of(s, a, s.oos[k]), s.oos[k], ONE, ZERO)
                _update_shadow(s, c, a, k)
