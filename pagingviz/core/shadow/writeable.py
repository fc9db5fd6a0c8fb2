"""From a frame back to the entries that lead to it: taking write access away from a page table, and taking its shadows away.

Xen has no list of the mappings of a frame. The typecount of the frame is the number of its writable mappings, and three
searches find where they are.

Source: Xen mm/shadow/common.c (sh_remove_write_access, sh_remove_shadows), multi.c (sh_guess_wrmap,
sh_rm_write_access_from_l1).
"""

from pagingviz.arch import events as ev
from pagingviz.arch import linux, x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.entries import nth_page, set_upper, strip
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.shadow.shadows import has_shadow, has_up, hash_lookup, is_page_table, is_shadowed, pinnable, unpin
from pagingviz.core.walk.page_walk import frame
from pagingviz.core.walk.tlb import flush_all

_FOUR, _INDEX = U(4), U(511)
_WANTED = x86.FRAME_MASK | x86.P | x86.RW
_VA64 = U((1 << 48) - 1)
_LOWMEM = U(0x38000)  # frames of Linux' lowmem on 32-bit: 896 MiB
_LOWMEM_BASE = U(linux.LOWMEM_BASE)
_DIRECT_MAPS = (U(linux.DIRECT_MAPS["linux"]), U(0xFFFF810000000000), U(0x0000010000000000), U(0xFFFFFE0000000000))
_ORDER = (3, 1, 6, 4, 12, 11, 9, 7)  # types in the order in which sh_remove_shadows takes them


@jit
def typecount(s, a, gfn):
    """Number of writable shadow mappings of a guest frame (in Xen type_info & PGT_count_mask)."""
    return a[s.o_info + gfn] & xen.TYPECOUNT


# ---- the shadow as the running vCPU sees it


@jit
def shadow_entry(s, c, a, gva):
    """Arena index of the level-1 shadow entry for `gva` below the loaded root, or NONE when an entry above it is missing."""
    if c.levels == _FOUR:
        page = s.root[c.id * _FOUR]
        if page == NONE:
            return NONE
        for shift in (U(39), U(30)):
            entry = a[entry_at(s, page, (gva >> shift) & _INDEX)]
            if (entry & x86.P) == ZERO:
                return NONE
            page = frame(entry)
    else:
        page = loaded_l2(s, c, a, gva)
        if page == NONE:
            return NONE
    entry = a[entry_at(s, page, (gva >> U(21)) & _INDEX)]
    if (entry & x86.P) == ZERO:
        return NONE
    return entry_at(s, frame(entry), (gva >> x86.PAGE_BITS) & _INDEX)


@jit
def loaded_l2(s, c, a, gva):
    """Page with the level-2 shadow entry for `gva` of a guest with two or three levels, or NONE.

    It is one of the four roots of a PAE guest, or one of the four pages of a 32-bit guest's root.
    """
    slot = (gva >> U(30)) & THREE
    if c.levels == THREE:
        return s.root[c.id * _FOUR + slot]
    page = s.root[c.id * _FOUR]
    return page if page == NONE else nth_page(s, a, page, slot)


# ---- removing write access


@jit
def _guess(s, c, a, gva, mfn):
    """Take write access away from the entry for `gva` in the loaded shadow, if it maps `mfn` writable. True if it did.

    Source: multi.c: sh_guess_wrmap.
    """
    at = shadow_entry(s, c, a, gva)
    if at == NONE:
        return False
    entry = a[at]
    if (entry & x86.P) == ZERO or (entry & x86.RW) == ZERO or frame(entry) != mfn:
        return False
    strip(s, c, a, at)
    s.tflags[c.id] |= xen.SF_GUESS_FOUND
    return True


@jit
def _guesses(s, c, a, gfn, mfn, level, va):
    """Try the addresses at which Windows, Linux, Solaris and FreeBSD map their page tables. True when no mapping is left.

    `gfn`, `mfn`: the table; `level` and `va`: of which level it is, and an address that it translates. Source: common.c:
    sh_remove_write_access.
    """
    if c.levels == _FOUR:
        low = va & _VA64
        if level >= ONE and level <= THREE:
            base = (U(0xFFFFF68000000000), U(0xFFFFF6FB40000000), U(0xFFFFF6FB7DA00000))[int(level) - 1]
            if _guess(s, c, a, base + (low >> (U(9) * level)), mfn):
                s.shadow_writeable_h_3 += ONE
            if typecount(s, a, gfn) == ZERO:
                return True
        for base in _DIRECT_MAPS:
            if _guess(s, c, a, base + (gfn << x86.PAGE_BITS), mfn):
                s.shadow_writeable_h_4 += ONE
            if typecount(s, a, gfn) == ZERO:
                return True
        if level >= ONE and level <= THREE:
            base = (U(0xFFFF800000000000), U(0xFFFF804000000000), U(0xFFFF804020000000))[int(level) - 1]
            if _guess(s, c, a, base + (low >> (U(9) * level)), mfn):
                s.shadow_writeable_h_6 += ONE
            if typecount(s, a, gfn) == ZERO:
                return True
        if _guess(s, c, a, U(0xFFFFFF0000000000) + (gfn << x86.PAGE_BITS), mfn):
            s.shadow_writeable_h_6 += ONE
        return typecount(s, a, gfn) == ZERO
    linear, shift = U(0xC0000000), U(10)
    bsd = U(0xBFC00000)
    if c.levels == THREE:
        linear, shift, bsd = (U(0xC0000000), U(9), U(0xBF800000)) if level == ONE else (U(0xC0600000), U(18), U(0xBFDFC000))
    tables = level == ONE or (level == TWO and c.levels == THREE)
    if tables:
        if _guess(s, c, a, linear + (va >> shift), mfn):
            if c.levels == THREE:
                s.shadow_writeable_h_2 += ONE
            else:
                s.shadow_writeable_h_1 += ONE
        if typecount(s, a, gfn) == ZERO:
            return True
    if gfn < _LOWMEM:
        if _guess(s, c, a, _LOWMEM_BASE + (gfn << x86.PAGE_BITS), mfn):
            s.shadow_writeable_h_4 += ONE
        if typecount(s, a, gfn) == ZERO:
            return True
    if tables:
        if _guess(s, c, a, bsd + (va >> shift), mfn):
            s.shadow_writeable_h_6 += ONE
    return typecount(s, a, gfn) == ZERO


@jit
def _maps_writable(s, a, page, mfn):
    """Whether any entry of page `page` maps `mfn` writable.

    The loop has no branch, so that the processor compares more than one entry at a time.
    """
    wanted, hits, first = mfn << x86.PAGE_BITS | x86.P | x86.RW, ZERO, entry_at(s, page, ZERO)
    for i in range(first, first + x86.ENTRIES):
        hits += ONE if a[i] & _WANTED == wanted else ZERO
    return hits != ZERO


@jit
def _strip_all(s, c, a, head, mfn, gfn):
    """Strip every entry of the level-1 shadow `head` that maps machine frame `mfn`, which is guest frame `gfn`.

    True as soon as the typecount of the frame is 0. A PV guest's typecounts do not count shadow entries, so its search never
    ends early. Source: multi.c: sh_rm_write_access_from_l1.
    """
    s.shadows_searched += ONE
    page = head
    while page != NONE:
        if not _maps_writable(s, a, page, mfn):
            s.entries_searched += x86.ENTRIES
            page = a[s.o_pmore + page]
            continue
        first = entry_at(s, page, ZERO)
        for i in range(first, first + x86.ENTRIES):
            s.entries_searched += ONE
            entry = a[i]
            if entry & x86.P and entry & x86.RW and frame(entry) == mfn:
                strip(s, c, a, i)
                s.entries_stripped += ONE
                if s.foreign == ZERO and s.shopt & xen.SHOPT_WRITABLE_HEURISTIC:
                    s.last_wr[c.id] = head
                if typecount(s, a, gfn) == ZERO and s.pv == ZERO:
                    return True
        page = a[s.o_pmore + page]
    return False


@by_address
def _brute_force(s, c, a, mfn, gfn):
    """Search every level-1 shadow, in the order of the hash, until no writable mapping of the frame is left.

    Source: common.c: hash_foreach (master).
    """
    for b in range(xen.HASH_BUCKETS):
        page = a[s.o_hash + b]
        while page != NONE:
            if xen.SH_LEVEL[a[s.o_ptype + page]] == ONE and _strip_all(s, c, a, page, mfn, gfn):
                return
            page = a[s.o_phash + page]


@by_address
def remove_write_access(s, c, a, gfn, level, va):
    """Take away every writable mapping of a guest frame that is to be shadowed. True if there was any.

    `level` (4 to 1) and `va` are where the frame was found to be a table; level 0 means that it is to come back into sync.
    Three searches follow each other until the typecount is 0: the addresses at which known systems map their tables (counters
    h_1 to h_4 and h_6), the level-1 shadow in which the last search succeeded (h_5), every level-1 shadow in the hash (bf,
    bf_1). Source: common.c: sh_remove_write_access.
    """
    info = a[s.o_info + gfn]
    if (is_page_table(s, a, gfn) and (info & xen.OOS_MAY_WRITE) == ZERO) or info & xen.TYPECOUNT == ZERO:
        return False
    s.tflags[c.id] |= xen.SF_WRMAP
    s.shadow_writeable += ONE
    mfn = a[s.o_p2m + gfn]
    how = ONE
    if s.shopt & xen.SHOPT_WRITABLE_HEURISTIC and s.foreign == ZERO:
        if _guesses(s, c, a, gfn, mfn, level, va):
            s.tflags[c.id] |= xen.SF_GUESS_FOUND
            emit(s, a, ev.WRMAP, c.id, ZERO, gfn, mfn, level, how)
            return True
        last = s.last_wr[c.id]
        if last != NONE:
            how = TWO
            before = typecount(s, a, gfn)
            _strip_all(s, c, a, last, mfn, gfn)
            if typecount(s, a, gfn) != before:
                s.shadow_writeable_h_5 += ONE
    if typecount(s, a, gfn) != ZERO:
        how = THREE
        emit(s, a, ev.WRMAP_BF, c.id, ZERO, gfn, mfn, level, typecount(s, a, gfn))
        if level == ZERO:
            s.shadow_writeable_bf_1 += ONE
        else:
            s.shadow_writeable_bf += ONE
        _brute_force(s, c, a, mfn, gfn)
    emit(s, a, ev.WRMAP, c.id, ZERO, gfn, mfn, level, how)
    return True


# ---- what a CLEAN of Xen does not do


@jit
def revoke_all(s, c, a):
    """Take write access away from every frame that may be written, by a search of all level-1 shadows for each, and flush.

    No CLEAN of Xen does this: sh_clean_dirty_bitmap throws all shadows away instead. It is here to compare the costs. Before it
    no table may be out of sync. A PV guest's frame may be written while its type is PGT_writable_page.
    """
    before = s.entries_searched
    for gfn in range(s.frames):
        info = a[s.o_info + gfn]
        if info & xen.TYPECOUNT == ZERO or (s.pv != ZERO and (info & xen.PGT_TYPE) != xen.PGT_WRITABLE << xen.PGT_SHIFT):
            continue
        s.frames_revoked += ONE
        mfn = a[s.o_p2m + gfn]
        _brute_force(s, c, a, mfn, U(gfn))
        emit(s, a, ev.WRMAP, c.id, ZERO, U(gfn), mfn, ZERO, THREE)
    flush_all(s)
    emit(s, a, ev.REVOKE, ZERO, ZERO, NONE, NONE, ZERO, s.entries_searched - before)


# ---- removing shadows


@by_address
def remove_shadows(s, c, a, gfn, fast, must):
    """Unshadow a guest frame: shadows that can be pinned are unpinned, others cut from the entry noted in them. Always flushes.

    With `fast` 0 the entries of all possible parents are searched when references remain; with `must` 1 the domain crashes if
    even then a shadow is left. Source: common.c: sh_remove_shadows.
    """
    if not is_shadowed(s, a, gfn):
        return
    s.shadow_unshadow += ONE
    emit(s, a, ev.UNSHADOW, c.id, ZERO, gfn, a[s.o_p2m + gfn], ZERO, fast)
    for number in _ORDER:
        kind = U(number)
        if not has_shadow(s, a, gfn, kind):
            continue
        page = hash_lookup(s, a, a[s.o_p2m + gfn], kind)
        if pinnable(s, kind):
            unpin(s, c, a, page)
        elif has_up(s, kind) and a[s.o_pup + page] != NONE:
            if a[s.o_pref + page] == ONE:
                s.shadow_up_pointer += ONE
            else:
                s.shadow_unshadow_bf += ONE
            set_upper(s, c, a, a[s.o_pup + page], ZERO)
        if fast == ZERO and has_shadow(s, a, gfn, kind):
            _cut_from_parents(s, c, a, page, kind)
    if must != ZERO and is_shadowed(s, a, gfn):
        s.crashed = ONE
    flush_all(s)


@jit
def _parent_of(kind):
    """The type of the shadows whose entries lead to shadows of type `kind`; 0 for roots."""
    level = xen.SH_LEVEL[kind]
    if level == ONE:
        return xen.TYPE_OF_LEVEL[xen.SH_GUEST_LEVELS[kind], 2]
    if xen.SH_GUEST_LEVELS[kind] == _FOUR and level < _FOUR:
        return xen.TYPE_OF_LEVEL[4, level + ONE]
    return ZERO


@jit
def _cut_from_parents(s, c, a, child, kind):
    """Clear every entry that leads to the shadow `child`, of type `kind`, by a search of all shadows in the hash."""
    parent = _parent_of(kind)
    if parent == ZERO:
        return
    step = TWO if parent == xen.SH_L2_32 else ONE
    for b in range(xen.HASH_BUCKETS):
        head = a[s.o_hash + b]
        while head != NONE:
            after = a[s.o_phash + head]
            if a[s.o_ptype + head] == parent and _cut_from(s, c, a, head, child, step):
                return
            head = after


@jit
def _cut_from(s, c, a, head, child, step):
    """Clear the entries of the shadow `head` that lead to `child`. True when that was its last reference."""
    page = head
    while page != NONE:
        for i in range(ZERO, x86.ENTRIES, step):
            entry = a[entry_at(s, page, i)]
            if entry & x86.P and frame(entry) == child:
                last = a[s.o_pref + child] == ONE
                set_upper(s, c, a, entry_at(s, page, i), ZERO)
                if last:
                    return True
        page = a[s.o_pmore + page]
    return False
