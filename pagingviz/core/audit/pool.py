"""Pages, hash, references, pins, slots: the shadow pool as a set of things."""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.audit.says import clear_tmp, says
from pagingviz.core.build.jit import jit
from pagingviz.core.shadow.pool import entry_at, head_of
from pagingviz.core.shadow.shadows import bucket, frame_shadowed, has_shadow, is_fl1, pinnable
from pagingviz.core.walk.page_walk import frame


@jit
def is_shadow(kind):
    """Whether a page of this type is the head of a real shadow (types 1 to 12)."""
    return kind >= xen.SH_L1_32 and kind <= xen.SH_L4


@jit
def lists(s, a):
    """[18] Free list against page types, accounting. [22] The pinned list, and who is on it."""
    n, page = ZERO, s.free_head
    while page != NONE and n <= s.pool_cap:
        if a[s.o_ptype + page] != xen.SH_FREE:
            return says(1, page)
        n += ONE
        page = a[s.o_pnext + page]
    free, p2m, live, pinned = ZERO, ZERO, ZERO, ZERO
    for page in range(s.pool_cap):
        kind = a[s.o_ptype + page]
        if kind == xen.SH_FREE:
            free += ONE
        elif kind == xen.SH_P2M:
            p2m += ONE
        elif kind != xen.SH_OUT:
            live += ONE
            if a[s.o_ppin + page] != ZERO:
                pinned += ONE
    if n != free or n != s.free_pages:
        return says(1, n)
    if free + live != s.total_pages or p2m != s.p2m_pages:
        return says(2, live)
    page, before = s.pin_head, NONE
    while page != NONE and pinned != ZERO:
        if not pinnable(s, a[s.o_ptype + page]) or a[s.o_ppin + page] == ZERO or a[s.o_pprev + page] != before:
            return says(6, page)
        pinned -= ONE
        before, page = page, a[s.o_pnext + page]
    return ZERO if pinned == ZERO and page == NONE and s.pin_tail == before else says(6, pinned)


@jit
def hashed(s, a):
    """[19] Each shadow has the pages of its type. [21] Right bucket, no duplicates, flag set exactly when there is an entry."""
    heads, more = ZERO, ZERO
    for page in range(s.pool_cap):
        kind = a[s.o_ptype + page]
        if kind == xen.SH_MORE:
            more += ONE
        elif is_shadow(kind):
            heads += ONE
            rest = a[s.o_pmore + page]
            for _ in range(xen.SH_PAGES[kind] - ONE):
                if rest == NONE or a[s.o_ptype + rest] != xen.SH_MORE or a[s.o_pkey + rest] != U(page):
                    return says(30, page)
                more -= ONE
                rest = a[s.o_pmore + rest]
            if rest != NONE:
                return says(30, page)
    if more != ZERO:
        return says(30, more)
    flagged = ZERO
    for b in range(xen.HASH_BUCKETS):
        page = a[s.o_hash + b]
        while page != NONE:
            key, kind = a[s.o_pkey + page], a[s.o_ptype + page]
            if not is_shadow(kind) or bucket(key, kind) != b or heads == ZERO:
                return says(3, page)
            if not is_fl1(kind):
                if not has_shadow(s, a, frame_shadowed(s, a, page), kind):
                    return says(3, page)
                flagged += ONE
            other = a[s.o_phash + page]
            while other != NONE:
                if a[s.o_pkey + other] == key and a[s.o_ptype + other] == kind:
                    return says(3, other)
                other = a[s.o_phash + other]
            heads -= ONE
            page = a[s.o_phash + page]
    if heads != ZERO:
        return says(3, heads)
    for gfn in range(s.frames + ONE):
        flags = (a[s.o_info + gfn] & xen.SHADOW_FLAGS) >> xen.SHADOW_FLAG_SHIFT
        while flags != ZERO:
            flagged -= flags & ONE
            flags >>= ONE
    return ZERO if flagged == ZERO else says(4, flagged)


@jit
def slots(s, cpus, a):
    """[24] Every vCPU's slots hold the live shadow of the table that CR3, or a present PDPTE, names."""
    for v in range(s.vcpus):
        c = cpus[v]
        for i in range(4):
            want, kind = NONE, xen.TYPE_OF_LEVEL[c.levels, c.levels]
            if c.levels == THREE:
                kind = xen.SH_L2_PAE
                if c.pdpte[i] & x86.P:
                    want = frame(c.pdpte[i])
            elif i == 0:
                want = s.cr3[v] if s.cr & x86.CR_PG else s.frames
            page = s.root[U(v) * U(4) + U(i)]
            if want > s.frames:
                if page != NONE:
                    return says(31, v)
            elif page == NONE or a[s.o_ptype + page] != kind or a[s.o_pkey + page] != a[s.o_p2m + want]:
                return says(31, v)
    return ZERO


@jit
def references(s, a):
    """[20] refcount == parent entries + loaded slots + pinned, never 0; an up-pointer names an entry that points here."""
    clear_tmp(s, a, s.pool_cap)
    for page in range(s.pool_cap):
        kind = a[s.o_ptype + head_of(s, a, U(page))] if a[s.o_ptype + page] != xen.SH_OUT else xen.SH_OUT
        if not is_shadow(kind) or xen.SH_LEVEL[kind] == ONE:
            continue
        for i in range(ZERO, x86.ENTRIES, TWO if xen.SH_GUEST_LEVELS[kind] == TWO else ONE):
            e = a[entry_at(s, U(page), U(i))]
            if e & x86.P:
                a[s.o_tmp + frame(e)] += ONE
    for slot in range(s.vcpus * U(4)):
        if s.root[slot] != NONE:
            a[s.o_tmp + s.root[slot]] += ONE
    for page in range(s.pool_cap):
        if not is_shadow(a[s.o_ptype + page]):
            continue
        n = a[s.o_pref + page]
        if n == ZERO or n != a[s.o_tmp + page] + a[s.o_ppin + page]:
            return says(5, page)
        up = a[s.o_pup + page]
        if up != NONE and ((a[up] & x86.P) == ZERO or frame(a[up]) != U(page)):
            return says(5, page)
    return ZERO
