"""Out-of-sync tables: which table may be one, where it is noted, and which writable mappings of it are remembered."""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.core.audit import rules
from pagingviz.core.audit.report import broken, clear_tmp
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.entries import oos_slot
from pagingviz.core.shadow.pool import entry_at, gfn_of, head_of
from pagingviz.core.shadow.shadows import is_oos
from pagingviz.core.walk.page_walk import frame

_PAGES, _FIXUPS = U(xen.OOS_PAGES), U(xen.OOS_FIXUPS)


@jit
def out_of_sync(s, a):
    """Each noted frame is out of sync, in its home slot or the next one; each frame out of sync is noted (sh_oos_audit).

    There is none while out-of-sync tables are switched off, or paging is.
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
                return broken(rules.OUT_OF_SYNC, k)
            if s.oos_snap[k] == NONE or a[s.o_ptype + s.oos_snap[k]] != xen.SH_SNAPSHOT:
                return broken(rules.OUT_OF_SYNC, k)
            a[s.o_tmp + gfn] += ONE
    for gfn in range(s.frames):
        info = a[s.o_info + gfn]
        if not is_oos(s, a, gfn):
            if a[s.o_tmp + gfn] != ZERO or (info & xen.OOS_MAY_WRITE) != ZERO:
                return broken(rules.OUT_OF_SYNC, gfn)
            continue
        if (s.shopt & xen.SHOPT_OUT_OF_SYNC) == ZERO or (s.cr & x86.CR_PG) == ZERO:
            return broken(rules.NEVER_OUT_OF_SYNC, gfn)
        flags = (info & xen.SHADOW_FLAGS) >> xen.SHADOW_FLAG_SHIFT
        kind = ZERO
        while flags > ONE:
            kind += ONE
            if flags & ONE:
                return broken(rules.OUT_OF_SYNC, gfn)  # a second type
            flags >>= ONE
        if a[s.o_tmp + gfn] != ONE or kind == ZERO or xen.SH_LEVEL[kind] != ONE:
            return broken(rules.OUT_OF_SYNC, gfn)
    return ZERO


@jit
def remembered(s, a, gfn):
    """Number of writable mappings of an out-of-sync frame that its fixups name, at most two."""
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
