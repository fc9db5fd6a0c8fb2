"""Many small machines in a row: each loads its few page-table entries, does one access, and says what came of it.

For holding the walk against recorded results of other machines (check.mmu). The record given must have road BARE, frames 0,
and room in the sparse region for the entries of one row; tables below its zone are held as a guest's are.
"""

from pagingviz.arch import x86
from pagingviz.arch.words import ONE, THREE, TWO, ZERO, U
from pagingviz.core.access import access, load_cr3
from pagingviz.core.build.jit import entry, jit
from pagingviz.core.nested.walk import attempt
from pagingviz.core.walk import tlb
from pagingviz.core.walk.page_walk import canonical, get_entry, put_entry

OK, PAGE_FAULT, GP_ACCESS, GP_CR3 = ZERO, ONE, TWO, THREE  # what came of it: the codes of the oracle's exp_kind
_SEVEN, _OFFSET = U(7), U(0xFFF)
_SHIFT_A, _SHIFT_EPT_A, _AD, _OTHER = U(5), U(8), U(3), U(4)


@jit
def _put(s, a, levels, pa, value):
    """Store an entry at physical address `pa`; a word outside the zone is first added to the sparse ones."""
    tab, i = pa >> x86.PAGE_BITS, (pa & _OFFSET) >> (TWO if levels == TWO else THREE)
    if tab >= s.zone:
        at, known = pa & ~_SEVEN, False
        for k in range(s.n_sparse):
            known = known or a[s.o_sparse + TWO * U(k)] == at
        if not known:
            o = s.o_sparse + TWO * s.n_sparse
            a[o], a[o + ONE] = at, ZERO
            s.n_sparse += ONE
    put_entry(s, a, levels, tab, i, value)


@jit
def _get(s, a, levels, pa):
    return get_entry(s, a, levels, pa >> x86.PAGE_BITS, (pa & _OFFSET) >> (TWO if levels == TWO else THREE))


@entry
def score(r, cpus, a, root, rows, pa, value, came, newly):
    """For each row: fresh tables, CR3 = frame `root`, an empty TLB, one access.

    rows u64[n, 5]: address, kind, CPL 3, CR bits, entries; pa, value u64[n, k]: where the entries are and what they hold.
    Fills came u64[n, 5]: what (OK ..), #PF error code, physical address, 0, 0; newly u64[n, k]: bit 0 A and bit 1 D newly
    set in each entry, bit 2 anything else changed.
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
            got = access(s, c, a, gva, kind, user, ZERO, ZERO)
            if got == x86.GP:
                came[j, 0] = GP_ACCESS
            elif got & x86.FAULT:
                came[j, 0], came[j, 1] = PAGE_FAULT, got & ~x86.FAULT
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
    """The same in two dimensions: guest tables and nested tables lie in one host memory, by frame, and nothing is cached.

    rows u64[n, 7]: as above, then how many entries are the guest's, and bits: 0 EPTP.AD, 2 the host's EFER.NXE is 0; base
    u64[m, 2]: address and value of entries that are there in every row. Fills came u64[n, 5]: what came of it (layout.X_*
    for an exit), #PF error code, physical address, exit qualification or EXITINFO1, guest-physical address.
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
        got = attempt(s, c, a, gva, rows[j, 1], rows[j, 2]) if canonical(gva) else x86.GP
        if got == x86.GP:
            came[j, 0] = GP_ACCESS
        elif got == x86.VM_EXIT:
            came[j, 0], came[j, 3], came[j, 4] = c.x_kind, c.x_info, c.x_gpa
        elif got & x86.FAULT:
            came[j, 0], came[j, 1] = PAGE_FAULT, got & ~x86.FAULT
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
