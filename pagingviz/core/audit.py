"""The invariants, checked on the arrays. Bracketed numbers: our lists of Xen's rules, for shadow (sh_audit_* and ours) and EPT.

`audit` returns 0, or code | where << 8 for the first broken rule; RULES gives the words. It changes nothing but the region tmp.
"""

from pagingviz.core import logdirty
from pagingviz.core.jit import jit
from pagingviz.core.p2m import index as p2m_index
from pagingviz.core.p2m import poisoned, recalculated
from pagingviz.core.pool import entry_at, gfn_of
from pagingviz.core.shadows import bucket, has_shadow, is_page_table
from pagingviz.core.walk import frame, read_path, rights
from pagingviz.layout import (
    A, BARE, D, ENTRIES, ENTRY_BITS, EPT_RECALC, EPT_RWX, EPT_SP, EPT_TYPE_MASK, EPT_TYPE_SHIFT, EPT_W, EV_CLEAN,
    EV_ENABLE, HASH_BUCKETS, NONE, NX, ONE, P, P2M_RAM_LOGDIRTY, PAGE_BITS, RW, SH_FREE, SH_L1, SH_L4, SH_LEVEL, SH_OUT,
    SH_P2M, SHADOW, SHADOW_FLAG_SHIFT, TLB_GEN_SHIFT, TLB_GFN_SHIFT, TLB_NX, TLB_U, TLB_W, TYPE_OF_LEVEL, TYPECOUNT, U,
    US, VPN_MASK, ZERO,
)  # fmt: skip

RULES = (
    "",
    "the free list does not hold exactly the free pages",
    "free pages, shadows and monitor tables do not add up to total_pages",
    "a shadow is missing from its hash chain, or stands in a wrong one",
    "a frame's shadow flag and the hash disagree",
    "a reference count is not parents + loaded slots + pin",
    "a pinned page is not a root, or the pinned list is broken",
    "a shadow entry is present although the guest's entry is not, or has not been accessed",
    "a shadow entry gives more rights than the guest's entry, or is writable while the guest's D is clear",
    "a shadow entry points to the wrong frame or shadow",
    "a frame's writable typecount is not the number of its writable shadow mappings",
    "a shadowed page table is mapped writable",
    "log-dirty is on and a frame is mapped writable with its bit clear",
    "dirty_count is not the number of bits set",
    "a frame was stored to since the last CLEAN and its bit is clear: a lost write",
    "the TLB holds a translation that the guest's tables do not give",
    "the TLB lets a store through that must be trapped",
    "an EPT leaf maps the wrong machine frame",
    "an EPT leaf of type ram_logdirty is writable",
    "a page's share count is not the number of page-table entries that map it",
)


@jit
def audit(r, cpus, a):
    """Check every rule that applies to the road. Returns 0 or code | where << 8 (where: a page, a frame or a vpn)."""
    s = r[0]
    bad = _guest_frames(s, a)
    if bad == ZERO:
        bad = _tlbs(s, cpus, a)
    if bad == ZERO and s.road != BARE:
        bad = _pool_lists(s, a)
    if bad == ZERO and s.road == SHADOW:
        bad = _hash(s, a)
    if bad == ZERO and s.road == SHADOW:
        bad = _references(s, a)
    if bad == ZERO and s.road == SHADOW:
        bad = _entries(s, a)
    if bad == ZERO and s.road == SHADOW:
        bad = _typecounts(s, a)
    if bad == ZERO and s.road != BARE and s.road != SHADOW:
        bad = _ept(s, a)
    if bad == ZERO and s.log_dirty != ZERO:
        bad = _bitmap(s, a)
    return bad


@jit
def _says(code, where):
    return U(code) | (where << U(8))


@jit
def _clear_tmp(s, a, n):
    for i in range(s.o_tmp, s.o_tmp + n):
        a[i] = ZERO


@jit
def _guest_frames(s, a):
    """share[gfn] == user entries of all processes that map it (walked through every L4..L1)."""
    _clear_tmp(s, a, s.frames)
    for proc in range(s.processes):
        root = a[s.o_roots + proc]
        if root == NONE:
            continue
        for i4 in range(U(256)):
            e4 = a[s.o_tables + (root << ENTRY_BITS) + i4]
            if (e4 & P) == ZERO:
                continue
            for i3 in range(ENTRIES):
                e3 = a[s.o_tables + (frame(e4) << ENTRY_BITS) + i3]
                if (e3 & P) == ZERO:
                    continue
                for i2 in range(ENTRIES):
                    e2 = a[s.o_tables + (frame(e3) << ENTRY_BITS) + i2]
                    if e2 & P:
                        o = s.o_tables + (frame(e2) << ENTRY_BITS)
                        for i in range(o, o + ENTRIES):
                            if a[i] & P:
                                a[s.o_tmp + frame(a[i])] += ONE
    for gfn in range(s.frames):
        if a[s.o_tmp + gfn] != a[s.o_share + gfn]:
            return _says(19, U(gfn))
    return ZERO


@jit
def _tlbs(s, cpus, a):
    """Every live TLB entry is what the guest's tables say, and lets no store through that must be seen."""
    for v in range(s.vcpus):
        c = cpus[v]
        for w in range(U(1536)):
            if c.t2t[w] >> TLB_GEN_SHIFT == s.tlb_gen[v]:
                bad = _tlb_entry(s, c, a, c.t2t[w] & VPN_MASK, c.t2v[w])
                if bad != ZERO:
                    return bad
        for w in range(U(64)):
            if c.t1t[w] >> TLB_GEN_SHIFT == s.tlb_gen[v]:
                bad = _tlb_entry(s, c, a, c.t1t[w] & VPN_MASK, c.t1v[w])
                if bad != ZERO:
                    return bad
    return ZERO


@jit
def _tlb_entry(s, c, a, vpn, val):
    gfn = val >> TLB_GFN_SHIFT
    if read_path(c, a, s.o_tables, s.cr3[c.id], vpn << PAGE_BITS) != ZERO or frame(c.w_ent[0]) != gfn:
        return _says(15, vpn)
    have = rights(c)
    if (val & TLB_U and (have & US) == ZERO) or ((val & TLB_NX) == ZERO and have & NX):
        return _says(15, vpn)
    if val & TLB_W:
        if (have & RW) == ZERO or (c.w_ent[0] & D) == ZERO:
            return _says(16, vpn)
        if s.road == SHADOW and is_page_table(s, a, gfn):
            return _says(16, vpn)
        if s.log_dirty != ZERO and not logdirty.is_dirty(s, a, gfn):
            return _says(16, vpn)
    return ZERO


@jit
def _pool_lists(s, a):
    """[18] free list against page types, accounting; [22] pinned pages are roots."""
    n, page = ZERO, s.free_head
    while page != NONE and n <= s.pool_cap:
        if a[s.o_ptype + page] != SH_FREE:
            return _says(1, page)
        n += ONE
        page = a[s.o_pnext + page]
    free, p2m, live = ZERO, ZERO, ZERO
    for page in range(s.pool_cap):
        kind = a[s.o_ptype + page]
        if kind == SH_FREE:
            free += ONE
        elif kind == SH_P2M:
            p2m += ONE
        elif kind != SH_OUT:
            live += ONE
    if n != free or n != s.free_pages:
        return _says(1, n)
    if free + live != s.total_pages or p2m != s.p2m_pages:
        return _says(2, live)
    n, page = ZERO, s.pin_head
    while page != NONE and n <= s.pool_cap:
        if a[s.o_ptype + page] != SH_L4 or a[s.o_ppin + page] == ZERO:
            return _says(6, page)
        n += ONE
        page = a[s.o_pnext + page]
    for page in range(s.pool_cap):
        if a[s.o_ppin + page] != ZERO and a[s.o_ptype + page] == SH_L4:
            n -= ONE
    return ZERO if n == ZERO else _says(6, n)


@jit
def _hash(s, a):
    """[21] right bucket, no duplicates, flag set exactly when there is an entry."""
    found = ZERO
    for b in range(HASH_BUCKETS):
        page = a[s.o_hash + b]
        while page != NONE:
            key, kind = a[s.o_pkey + page], a[s.o_ptype + page]
            if bucket(key, kind) != b or not has_shadow(s, a, gfn_of(s, a, key), kind):
                return _says(3, page)
            other = a[s.o_phash + page]
            while other != NONE:
                if a[s.o_pkey + other] == key and a[s.o_ptype + other] == kind:
                    return _says(3, other)
                other = a[s.o_phash + other]
            found += ONE
            page = a[s.o_phash + page]
    for gfn in range(s.frames):
        flags = a[s.o_info + gfn] >> SHADOW_FLAG_SHIFT
        while flags != ZERO:
            found -= flags & ONE
            flags >>= ONE
    return ZERO if found == ZERO else _says(4, found)


@jit
def _is_shadow(kind):
    return kind >= SH_L1 and kind <= SH_L4


@jit
def _references(s, a):
    """[20] refcount == parent entries + loaded slots + pinned, never 0; an up-pointer names an entry that points here."""
    _clear_tmp(s, a, s.pool_cap)
    for page in range(s.pool_cap):
        kind = a[s.o_ptype + page]
        if not _is_shadow(kind) or kind == SH_L1:
            continue
        for i in range(ENTRIES):
            e = a[entry_at(s, page, i)]
            if e & P:
                a[s.o_tmp + frame(e)] += ONE
    for v in range(s.vcpus):
        if s.root[v] != NONE:
            a[s.o_tmp + s.root[v]] += ONE
    for page in range(s.pool_cap):
        if not _is_shadow(a[s.o_ptype + page]):
            continue
        n = a[s.o_pref + page]
        if n == ZERO or n != a[s.o_tmp + page] + a[s.o_ppin + page]:
            return _says(5, U(page))
        up = a[s.o_pup + page]
        if up != NONE and frame(a[up]) != page:
            return _says(5, U(page))
    return ZERO


@jit
def _entries(s, a):
    """[1 2 3 4 6 8 9] every present shadow entry against the guest's entry."""
    for page in range(s.pool_cap):
        kind = a[s.o_ptype + page]
        if not _is_shadow(kind):
            continue
        table = s.o_tables + (gfn_of(s, a, a[s.o_pkey + page]) << ENTRY_BITS)
        for i in range(ENTRIES):
            e = a[entry_at(s, page, i)]
            if (e & P) == ZERO:
                continue
            g = a[table + i]
            if (g & P) == ZERO or (g & A) == ZERO:
                return _says(7, U(page))
            if (e & ~g & RW) != ZERO or ((e ^ g) & (US | NX)) != ZERO:
                return _says(8, U(page))
            target = a[s.o_p2m + frame(g)]
            if kind == SH_L1:
                if e & RW and (g & D) == ZERO:
                    return _says(8, U(page))
                if frame(e) != target:
                    return _says(9, U(page))
            else:
                child = frame(e)
                if a[s.o_pkey + child] != target or a[s.o_ptype + child] != TYPE_OF_LEVEL[SH_LEVEL[kind] - ONE]:
                    return _says(9, U(page))
                if (e & A) == ZERO or (e & D) == ZERO:
                    return _says(9, U(page))
    return ZERO


@jit
def _typecounts(s, a):
    """[11 12 29] typecount == writable mappings; 0 for a page table; with log-dirty on a writable frame is dirty."""
    _clear_tmp(s, a, s.frames)
    for page in range(s.pool_cap):
        if a[s.o_ptype + page] == SH_L1:
            for i in range(ENTRIES):
                e = a[entry_at(s, page, i)]
                if e & P and e & RW:
                    a[s.o_tmp + gfn_of(s, a, frame(e))] += ONE
    for gfn in range(s.frames):
        n = a[s.o_tmp + gfn]
        if n != a[s.o_info + gfn] & TYPECOUNT:
            return _says(10, U(gfn))
        if n != ZERO and is_page_table(s, a, gfn):
            return _says(11, U(gfn))
        if n != ZERO and s.log_dirty != ZERO and not logdirty.is_dirty(s, a, gfn):
            return _says(12, U(gfn))
    return ZERO


@jit
def _ept(s, a):
    """[HAP 14 15 23] each frame's leaf: right mfn, logdirty never writable, effectively ram_rw only with its bit set."""
    for gfn in range(s.frames):
        page, level, recalc = s.hap_root, U(4), ZERO
        while True:
            e = a[entry_at(s, page, p2m_index(U(gfn), level))]
            if poisoned(e):
                recalc |= e & EPT_RECALC
            if level == ONE or (e & EPT_SP) != ZERO or (e & EPT_RWX) == ZERO:
                break
            page = frame(e)
            level -= ONE
        inside = U(gfn) & U(511) if level == U(2) else ZERO
        if (e & EPT_RWX) == ZERO or frame(e) + inside != a[s.o_p2m + gfn]:
            return _says(17, U(gfn))
        logged = (e & EPT_TYPE_MASK) >> EPT_TYPE_SHIFT == P2M_RAM_LOGDIRTY
        if logged and (e & EPT_W) != ZERO:
            return _says(18, U(gfn))
        if s.log_dirty != ZERO:
            now = recalculated(s, e | recalc)
            if (now & EPT_W) != ZERO and not logdirty.is_dirty(s, a, U(gfn)):
                return _says(12, U(gfn))
    return ZERO


@jit
def _bitmap(s, a):
    """[30] Every frame stored to since the last CLEAN has its bit. [32] dirty_count == popcount.

    Like Xen neither ENABLE nor OFF zeroes the count: what the last period left stays in it until the first CLEAN.
    """
    n = ZERO
    for gfn in range(s.frames):
        dirty = logdirty.is_dirty(s, a, U(gfn))
        if dirty:
            n += ONE
        elif a[s.o_ver + gfn] != a[s.o_cver + gfn]:
            return _says(14, U(gfn))
    left = s.offs != ZERO and s.last_tick[EV_CLEAN] < s.last_tick[EV_ENABLE]
    return ZERO if n == s.dirty_count or (left and n < s.dirty_count) else _says(13, n)


