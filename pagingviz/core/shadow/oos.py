"""Out-of-sync L1 tables: the guest writes them freely for a while, and its next TLB flush brings the shadow up to date.

Source: Xen mm/shadow/oos.c, multi.c (sh_resync_l1, sh_safe_not_to_sync). Each vCPU has three places; place k = vcpu * 3 + i
holds the machine frame (s.oos), a snapshot page of what the shadow reflects (s.oos_snap) and up to two remembered writable
mappings.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.entries import oos_slot, place, set_l1, strip_known
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
    """The one L1 type under which a frame is shadowed."""
    if has_shadow(s, a, gfn, xen.SH_L1):
        return xen.SH_L1
    return xen.SH_L1_PAE if has_shadow(s, a, gfn, xen.SH_L1_PAE) else xen.SH_L1_32


@jit
def snapshot_entry(s, a, k, i, narrow):
    """Entry `i` of the snapshot at place `k`; narrow: entries of 4 bytes."""
    if narrow:
        return (a[entry_at(s, s.oos_snap[k], i >> ONE)] >> (_THIRTY_TWO * (i & ONE))) & _LOW
    return a[entry_at(s, s.oos_snap[k], i)]


@jit
def set_snapshot_entry(s, a, k, i, narrow, value):
    """Remember that the shadow now reflects `value` for entry `i`."""
    if narrow:
        at, shift = entry_at(s, s.oos_snap[k], i >> ONE), _THIRTY_TWO * (i & ONE)
        a[at] = (a[at] & ~(_LOW << shift)) | (value << shift)
    else:
        a[entry_at(s, s.oos_snap[k], i)] = value


@jit
def note_snapshot(s, a, gfn, i, narrow, value):
    """If the table `gfn` is out of sync: its shadow entry `i` has just been made from `value`."""
    if is_oos(s, a, gfn):
        k = oos_slot(s, a[s.o_p2m + gfn])
        if k != NONE:
            set_snapshot_entry(s, a, k, i, narrow, value)


@jit
def _update_shadow(s, c, a, k):
    """sh_resync_l1: propagate again every entry that is present in the shadow and no longer what the snapshot says."""
    gfn = gfn_of(s, a, s.oos[k])
    kind = l1_kind(s, a, gfn)
    page = find(s, a, s.oos[k], kind)
    narrow = kind == xen.SH_L1_32
    levels = TWO if narrow else (THREE if kind == xen.SH_L1_PAE else _FOUR)
    for i in range(x86.ENTRIES * (TWO if narrow else ONE)):
        at = place(s, a, page, U(i))
        if (a[at] & x86.P) == ZERO:
            continue
        gent = get_entry(s, a, levels, gfn, U(i))
        if snapshot_entry(s, a, k, U(i), narrow) != gent:
            new = ZERO
            if gent & x86.P and reserved(s, gent, ONE, levels) == ZERO:
                new = propagate_l1(s, c, a, gent, False)
            set_l1(s, c, a, at, new)
            set_snapshot_entry(s, a, k, U(i), narrow, gent)


@far
def _resync(s, c, a, k):
    """_sh_resync: no writable mapping of the table is left, its shadow says what it says, it is an ordinary table again."""
    mfn = s.oos[k]
    gfn = gfn_of(s, a, mfn)
    for i in range(k * _FIXUPS, (k + ONE) * _FIXUPS):
        if s.fix_page[i] != NONE:
            strip_known(s, c, a, mfn, s.fix_page[i], s.fix_off[i])
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
    """sh_resync: bring one table back into sync if it is out of it."""
    if not is_oos(s, a, gfn):
        return
    k = oos_slot(s, a[s.o_p2m + gfn])
    if k != NONE:
        _resync(s, c, a, k)
        s.oos[k] = NONE


@jit
def unsync(s, c, a, gfn):
    """sh_unsync: let a table that is shadowed as one L1 and nothing else go out of sync. False when that is not allowed."""
    info = a[s.o_info + gfn]
    kinds = (info & xen.SHADOW_FLAGS) >> xen.SHADOW_FLAG_SHIFT
    if (kinds << xen.SHADOW_FLAG_SHIFT) & ~_L1_ONLY or info & xen.OOS or kinds & (kinds - ONE) or not allowed(s):
        return False
    a[s.o_info + gfn] |= xen.OOS | xen.OOS_MAY_WRITE
    _take_place(s, c, a, a[s.o_p2m + gfn])
    s.shadow_unsync += ONE
    s.tflags[c.id] |= xen.SF_UNSYNC
    emit(s, a, ev.UNSYNC, c.id, ZERO, gfn, a[s.o_p2m + gfn], ONE, ZERO)
    return True


@jit
def allowed(s):
    """Whether tables may go out of sync: switched on, and paging enabled on all vCPUs (oos_active)."""
    return s.shopt & xen.SHOPT_OUT_OF_SYNC != ZERO and s.cr & x86.CR_PG != ZERO


@jit
def _take_place(s, c, a, mfn):
    """oos_hash_add: place frame % 3; who is at home there moves on to the next place, and who is in that one is resynced."""
    first = c.id * _PAGES
    home = first + mfn % _PAGES
    k, moved = home, False
    new, fix0, off0, fix1, off1, turn = mfn, NONE, ZERO, NONE, ZERO, ZERO
    if s.oos[k] != NONE and s.oos[k] % _PAGES == mfn % _PAGES:
        j = k * _FIXUPS
        new, turn = s.oos[k], s.fix_next[k]
        fix0, off0, fix1, off1 = s.fix_page[j], s.fix_off[j], s.fix_page[j + ONE], s.fix_off[j + ONE]
        s.oos[k], s.fix_next[k], s.fix_page[j], s.fix_page[j + ONE] = mfn, ZERO, NONE, NONE
        moved = True
        k = first + (mfn % _PAGES + ONE) % _PAGES
    if s.oos[k] != NONE:
        _resync(s, c, a, k)
        s.shadow_unsync_evict += ONE
    j = k * _FIXUPS
    s.oos[k], s.fix_next[k] = new, turn
    s.fix_page[j], s.fix_off[j], s.fix_page[j + ONE], s.fix_off[j + ONE] = fix0, off0, fix1, off1
    if moved:
        snap = s.oos_snap[k]
        s.oos_snap[k] = s.oos_snap[home]
        s.oos_snap[home] = snap
    gfn = gfn_of(s, a, s.oos[home])
    for i in range(x86.ENTRIES):
        a[entry_at(s, s.oos_snap[home], i)] = get_entry(s, a, _FOUR, gfn, U(i))


@jit
def _safe_not_to_sync(s, c, a, k):
    """sh_safe_not_to_sync: used only once at every level up to a root that this vCPU is not running on."""
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


@far
def resync_all(s, c, a, skip, this, others):
    """sh_resync_all: bring this vCPU's tables back into sync (this=1), and those of the others (others=1).

    skip=1: the others' stay out of sync, only their shadows are updated, and not even that where it is safe (RESYNC_ONLY).
    """
    if this:
        for k in range(c.id * _PAGES, (c.id + ONE) * _PAGES):
            if s.oos[k] != NONE:
                _resync(s, c, a, k)
                s.oos[k] = NONE
    if not others:
        return
    for v in range(s.vcpus):
        if U(v) == c.id:
            continue
        for k in range(v * _PAGES, (v + ONE) * _PAGES):
            if s.oos[k] == NONE:
                continue
            if not skip:
                _resync(s, c, a, k)
                s.oos[k] = NONE
            elif not _safe_not_to_sync(s, c, a, k):
                emit(s, a, ev.RESYNC_ONLY, c.id, ZERO, gfn_of(s, a, s.oos[k]), s.oos[k], ONE, ZERO)
                _update_shadow(s, c, a, k)
