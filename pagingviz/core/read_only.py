"""Facts read out of the guest's memory and the nested tables, where numpy would need many small steps. No state changes."""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.build.jit import entry, jit
from pagingviz.core.nested import npt
from pagingviz.core.nested.p2m import poisoned
from pagingviz.core.shadow.pool import entry_at
from pagingviz.core.walk.page_walk import frame, get_entry, guest_frame

_FOUR, _PENDING = U(4), U(6)


@entry
def mark_tables(r, a):
    """Set a[o_tmp + gfn] to 1 for every frame that holds a page table of the guest now, 0 for all others (zone frames only)."""
    s = r[0]
    for i in range(s.o_tmp, s.o_tmp + s.zone):
        a[i] = ZERO
    for proc in range(s.processes):
        root = a[s.o_roots + proc]
        if root != NONE:
            _mark_below(s, a, root, s.guest_levels)
        if a[s.o_uroots + proc] != NONE:
            a[s.o_tmp + a[s.o_uroots + proc]] = ONE
    if s.rows != ZERO:  # a raw guest's roots are what its program loads
        for vcpu in range(s.vcpus):
            _mark_below(s, a, s.cr3[vcpu], s.guest_levels)


@jit
def _table(s, a, word, level):
    """Frame of the table that an entry of `level` leads to; NONE for a leaf, a hole, or a frame beyond the zone."""
    if (word & x86.P) == ZERO or (word & x86.PSE and level <= THREE):
        return NONE
    gfn = guest_frame(s, a, word)
    return gfn if gfn < s.zone else NONE


@jit
def _mark_below(s, a, root, levels):
    """Mark a root and, level by level, the tables its entries lead to; what is marked already is not entered again."""
    if root >= s.zone:
        return
    a[s.o_tmp + root] = ONE
    if levels == TWO:
        _mark_l1s(s, a, root, levels)
        return
    if levels == THREE:
        _mark_l2s(s, a, root, _FOUR, _FOUR)
        return
    for i in range(x86.ENTRIES):
        l3 = _table(s, a, get_entry(s, a, levels, root, U(i)), _FOUR)
        if l3 != NONE and a[s.o_tmp + l3] == ZERO:
            _mark_l2s(s, a, l3, x86.ENTRIES, THREE)


@jit
def _mark_l2s(s, a, table, entries, level):
    """Mark an L3 table (PAE: the four entries of a root) and all below it."""
    a[s.o_tmp + table] = ONE
    for i in range(entries):
        l2 = _table(s, a, get_entry(s, a, _FOUR, table, U(i)), level)
        if l2 != NONE and a[s.o_tmp + l2] == ZERO:
            _mark_l1s(s, a, l2, _FOUR)


@jit
def _mark_l1s(s, a, l2, levels):
    """Mark an L2 table and its L1 tables."""
    a[s.o_tmp + l2] = ONE
    for i in range(x86.ENTRIES * (TWO if levels == TWO else ONE)):
        l1 = _table(s, a, get_entry(s, a, levels, l2, U(i)), TWO)
        if l1 != NONE:
            a[s.o_tmp + l1] = ONE


@entry
def nested_cells(r, cpus, a, shift, cells):
    """a[o_tmp + n] = the worst state of any of the 2**shift frames of cell n, n < cells, from the nested tables (HAP road).

    State: level of the leaf - 1, plus 3 for ram_logdirty; 6: a change is pending on the path. Nothing below a pending entry or
    a leaf is looked at, so the cost follows from the tables that there are, not from RAM. Depth first, with the tables on the
    way in c.w_tab and the next entry of each in c.w_ent.
    """
    s, c = r[0], cpus[0]
    for i in range(s.o_tmp, s.o_tmp + cells):
        a[i] = ZERO
    if s.hap_root == NONE:
        return
    level, gfn = _FOUR, ZERO
    c.w_tab[3], c.w_ent[3] = s.hap_root, ZERO
    while True:
        if c.w_ent[level - ONE] == x86.ENTRIES:
            if level == _FOUR:
                return
            level += ONE
            gfn &= ~((ONE << (x86.ENTRY_BITS * level)) - ONE)
            continue
        i = c.w_ent[level - ONE]
        c.w_ent[level - ONE] = i + ONE
        word = a[entry_at(s, c.w_tab[level - ONE], i)]
        present, waits = word & x86.EPT_RWX, poisoned(word)
        if s.npt != ZERO:
            present, waits = word & x86.P, npt.pending(word)
        if present == ZERO:
            continue
        bits = x86.ENTRY_BITS * (level - ONE)
        if waits or level == ONE or word & x86.EPT_SP:
            logged = npt.kind_of(word) == xen.P2M_RAM_LOGDIRTY
            state = _PENDING if waits else level - ONE + (THREE if logged else ZERO)
            first = s.o_tmp + ((gfn + (i << bits)) >> shift)
            last = first if bits <= shift else first + (ONE << (bits - shift)) - ONE
            if last >= s.o_tmp + cells:  # a table's entry reaches beyond the end of memory
                last = s.o_tmp + cells - ONE
            for at in range(first, last + ONE):
                if a[at] < state:
                    a[at] = state
            continue
        gfn += i << bits
        level -= ONE
        c.w_tab[level - ONE], c.w_ent[level - ONE] = frame(word), ZERO
