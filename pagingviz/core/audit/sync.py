"""Out-of-sync tables: who may be one, where each is noted, and what is remembered of it."""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.core.audit.says import clear_tmp, says
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.entries import oos_slot
from pagingviz.core.shadow.pool import entry_at, gfn_of, head_of
from pagingviz.core.shadow.shadows import is_oos
from pagingviz.core.walk.page_walk import frame

_PAGES, _FIXUPS = U(xen.OOS_PAGES), U(xen.OOS_FIXUPS)


@jit
def out_of_sync(s, a):
    """[13] sh_oos_audit, both ways: each noted frame is out of sync, in its home slot or the next, and the other way round.

    [15] None while the switch is off, or paging.
    """
    clear_tmp(s, a, s.frames)
    for v in range(s.vcpus):
        for i in range(_PAGES):
            k = v * _PAGES + i
            if s.oos[k] == NONE:
                continue
            gfn = gfn_of(s, a, s.oos[k])
            home = s.oos[k] % _PAGES
            if gfn == NONE or (i != home and i != (home + ONE) % _PAGES) or not is_oos(s, a, gfn):
                return says(26, k)
            if s.oos_snap[k] == NONE or a[s.o_ptype + s.oos_snap[k]] != xen.SH_SNAPSHOT:
                return says(26, k)
            a[s.o_tmp + gfn] += ONE
    for gfn in range(s.frames):
        info = a[s.o_info + gfn]
        if not is_oos(s, a, gfn):
            if a[s.o_tmp + gfn] != ZERO or (info & xen.OOS_MAY_WRITE) != ZERO:
                return says(26, gfn)
            continue
        if (s.shopt & xen.SHOPT_OUT_OF_SYNC) == ZERO or (s.cr & x86.CR_PG) == ZERO:
            return says(28, gfn)
        flags = (info & xen.SHADOW_FLAGS) >> xen.SHADOW_FLAG_SHIFT
        kind = ZERO
        while flags > ONE:
            kind += ONE
            if flags & ONE:
                return says(26, gfn)  # a second type
            flags >>= ONE
        if a[s.o_tmp + gfn] != ONE or kind == ZERO or xen.SH_LEVEL[kind] != ONE:
            return says(26, gfn)
    return ZERO


@jit
def remembered(s, a, gfn):
    """[14] Number of writable mappings of an out-of-sync frame that its fixups know, at most two."""
    mfn = a[s.o_p2m + gfn]
    k = oos_slot(s, mfn)
    n = ZERO
    if k == NONE:
        return n
    for i in range(k * _FIXUPS, (k + ONE) * _FIXUPS):
        page = s.fix_page[i]
        if page == NONE or xen.SH_LEVEL[a[s.o_ptype + head_of(s, a, page)]] != ONE:
            continue
        e = a[entry_at(s, page, s.fix_off[i])]
        if e & x86.P and e & x86.RW and frame(e) == mfn:
            n += ONE
    return n
