"""The shadow pool: its pages and lists, the hash, what vCPUs have loaded, reference counts."""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.audit import rules
from pagingviz.core.audit.report import broken, clear_tmp
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
    """The free list holds the free pages, all pages add up, and the pinned list holds the pinned pages and no others."""
    n, page = ZERO, s.free_head
    while page != NONE and n <= s.pool_cap:
        if a[s.o_ptype + page] != xen.SH_FREE:
            return broken(rules.FREE_LIST, page)
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
        return broken(rules.FREE_LIST, n)
    if free + live != s.total_pages or p2m != s.p2m_pages:
        return broken(rules.POOL_SIZE, live)
    page, before = s.pin_head, NONE
    while page != NONE and pinned != ZERO:
        if not pinnable(s, a[s.o_ptype + page]) or a[s.o_ppin + page] == ZERO or a[s.o_pprev + page] != before:
            return broken(rules.PINNED_LIST, page)
        pinned -= ONE
        before, page = page, a[s.o_pnext + page]
    return ZERO if pinned == ZERO and page == NONE and s.pin_tail == before else broken(rules.PINNED_LIST, pinned)


@jit
def hashed(s, a):
    """Each shadow has the pages of its type, is in the right bucket once, and its frame has the flag of its type."""
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
                    return broken(rules.SHADOW_PAGES, page)
                more -= ONE
                rest = a[s.o_pmore + rest]
            if rest != NONE:
                return broken(rules.SHADOW_PAGES, page)
    if more != ZERO:
        return broken(rules.SHADOW_PAGES, more)
    flagged = ZERO
    for b in range(xen.HASH_BUCKETS):
        page = a[s.o_hash + b]
        while page != NONE:
            key, kind = a[s.o_pkey + page], a[s.o_ptype + page]
            if not is_shadow(kind) or bucket(key, kind) != b or heads == ZERO:
                return broken(rules.HASH, page)
            if not is_fl1(kind):
                if not has_shadow(s, a, frame_shadowed(s, a, page), kind):
                    return broken(rules.HASH, page)
                flagged += ONE
            other = a[s.o_phash + page]
            while other != NONE:
                if a[s.o_pkey + other] == key and a[s.o_ptype + other] == kind:
                    return broken(rules.HASH, other)
                other = a[s.o_phash + other]
            heads -= ONE
            page = a[s.o_phash + page]
    if heads != ZERO:
        return broken(rules.HASH, heads)
    for gfn in range(s.frames + ONE):
        flags = (a[s.o_info + gfn] & xen.SHADOW_FLAGS) >> xen.SHADOW_FLAG_SHIFT
        while flags != ZERO:
            flagged -= flags & ONE
            flags >>= ONE
    return ZERO if flagged == ZERO else broken(rules.SHADOW_FLAG, flagged)


@jit
def slots(s, cpus, a):
    """Every vCPU's slots hold the live shadow of the table that CR3, or a present PDPTE, names."""
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
                    return broken(rules.LOADED, v)
            elif page == NONE or a[s.o_ptype + page] != kind or a[s.o_pkey + page] != a[s.o_p2m + want]:
                return broken(rules.LOADED, v)
    return ZERO


@jit
def references(s, a):
    """A reference count is parent entries + slots that hold the shadow + 1 if pinned, and never 0.

    An up-pointer names an entry that leads to the shadow.
    """
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
            return broken(rules.REFERENCES, page)
        up = a[s.o_pup + page]
        if up != NONE and ((a[up] & x86.P) == ZERO or frame(a[up]) != U(page)):
            return broken(rules.REFERENCES, page)
    return ZERO
