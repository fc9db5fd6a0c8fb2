"""Many small machines one after the other: each stores its few page-table entries, does one access, and reports the result.

This compares the walk with recorded results of other machines (evidence/mmu/check.py). The record given must have road BARE, no
frames, and space in the region `sparse` for the entries of one row. Tables below its zone are stored where a guest's are.
"""

from pagingviz.arch import x86
from pagingviz.arch.words import ONE, THREE, TWO, ZERO, U
from pagingviz.core.access import access, load_cr3
from pagingviz.core.build.jit import entry, jit
from pagingviz.core.nested.walk import attempt
from pagingviz.core.walk import tlb
from pagingviz.core.walk.page_walk import canonical, get_entry, put_entry

OK, PAGE_FAULT, GP_ACCESS, GP_CR3 = ZERO, ONE, TWO, THREE  # kinds of result, as the files of cases number them
_SEVEN, _OFFSET = U(7), U(0xFFF)
_SHIFT_A, _SHIFT_EPT_A, _AD, _OTHER = U(5), U(8), U(3), U(4)


@jit
def _put(s, a, levels, pa, value):
    """Store a table entry at physical address `pa` (bytes).

    A word outside the zone is first entered into the region `sparse`.
    """
    table, i = pa >> x86.PAGE_BITS, (pa & _OFFSET) >> (TWO if levels == TWO else THREE)
    if table >= s.zone:
        at, known = pa & ~_SEVEN, False
        for k in range(s.n_sparse):
            known = known or a[s.o_sparse + TWO * U(k)] == at
        if not known:
            pair = s.o_sparse + TWO * s.n_sparse
            a[pair], a[pair + ONE] = at, ZERO
            s.n_sparse += ONE
    put_entry(s, a, levels, table, i, value)


@jit
def _get(s, a, levels, pa):
    """The table entry at physical address `pa` (bytes)."""
    return get_entry(s, a, levels, pa >> x86.PAGE_BITS, (pa & _OFFSET) >> (TWO if levels == TWO else THREE))


@entry
def score(r, cpus, a, root, rows, pa, value, came, newly):
    """For each row: store the entries, load CR3 with frame `root`, empty the TLB, do one access.

    rows uint64[n, 5]: address, kind, user, x86.CR_* bits, number of entries. pa, value uint64[n, k]: physical addresses of the
    entries in bytes, and their words. Filled are came uint64[n, 5] with the kind of result (OK, PAGE_FAULT ...), the error code
    of a page fault, the physical address that was reached, 0 and 0; and newly uint64[n, k] with what has changed in each entry:
    bit 0 for A, bit 1 for D, bit 2 for anything else.
    """
    s, c = r[0], cpus[0]
    for j in range(rows.shape[0]):
        gva, kind, user, entries = rows[j, 0], rows[j, 1], rows[j, 2], rows[j, 4]
        s.cr = rows[j, 3] | x86.CR_PG
        s.n_sparse = ZERO
        for k in range(entries):
            _put(s, a, c.levels, pa[j, k], value[j, k])
        tlb.flush(s, c.id)
        if load_cr3(s, c, a, root) == x86.GP:
            came[j, 0] = GP_CR3
        else:
            result = access(s, c, a, gva, kind, user, ZERO, ZERO)
            if result == x86.GP:
                came[j, 0] = GP_ACCESS
            elif result & x86.FAULT:
                came[j, 0], came[j, 1] = PAGE_FAULT, result & ~x86.FAULT
            else:
                came[j, 0], came[j, 2] = OK, (c.w_leaf << x86.PAGE_BITS) | (gva & _OFFSET)
        for k in range(entries):
            changed = value[j, k] ^ _get(s, a, c.levels, pa[j, k])
            newly[j, k] = (changed >> _SHIFT_A) & _AD
            if changed & ~(_AD << _SHIFT_A):
                newly[j, k] |= _OTHER
        for k in range(entries):
            _put(s, a, c.levels, pa[j, k], ZERO)


@entry
def score_nested(r, cpus, a, rows, pa, value, base, came, newly):
    """The same in two dimensions. Guest tables and nested tables lie in one host memory, and nothing is cached.

    rows uint64[n, 7]: as for `score`, then how many of the entries are the guest's, then bits: bit 0 is EPTP.AD, bit 2 is set
    when the host's EFER.NXE is clear. base uint64[m, 2]: physical address and word of the entries that every row has. pa, value
    uint64[n, k] as above. Filled are came uint64[n, 5] with the kind of result (x86.X_* for an exit), the error code of a page
    fault, the physical address that was reached, the exit qualification or EXITINFO1, and the guest-physical address of the
    exit; and newly uint64[n, k] as above.
    """
    s, c = r[0], cpus[0]
    for j in range(rows.shape[0]):
        gva, entries, own = rows[j, 0], rows[j, 4], rows[j, 5]
        s.cr = rows[j, 3] | x86.CR_PG
        s.ept_ad, s.host_nxe = rows[j, 6] & ONE, ((rows[j, 6] >> TWO) & ONE) ^ ONE
        for k in range(base.shape[0]):
            a[s.o_tables + (base[k, 0] >> THREE)] = base[k, 1]
        for k in range(entries):
            a[s.o_tables + (pa[j, k] >> THREE)] = value[j, k]
        result = attempt(s, c, a, gva, rows[j, 1], rows[j, 2]) if canonical(gva) else x86.GP
        if result == x86.GP:
            came[j, 0] = GP_ACCESS
        elif result == x86.VM_EXIT:
            came[j, 0], came[j, 3], came[j, 4] = c.x_kind, c.x_info, c.x_gpa
        elif result & x86.FAULT:
            came[j, 0], came[j, 1] = PAGE_FAULT, result & ~x86.FAULT
        else:
            came[j, 0], came[j, 2] = OK, (c.n_frame << x86.PAGE_BITS) | (gva & _OFFSET)
        for k in range(entries):
            changed = value[j, k] ^ a[s.o_tables + (pa[j, k] >> THREE)]
            shift = _SHIFT_A if s.npt != ZERO or k < own else _SHIFT_EPT_A
            newly[j, k] = (changed >> shift) & _AD
            if changed & ~(_AD << shift):
                newly[j, k] |= _OTHER
        for k in range(entries):
            a[s.o_tables + (pa[j, k] >> THREE)] = ZERO
