"""The guest's kernel: a small real one. Processes, demand paging, fork with copy-on-write, exit, context switch.

All its stores to page tables are guest stores through the direct map and take the same road as any other access. Its own
bookkeeping (free stacks, reference counts of frames) and its reads of tables cost no access. Frames below `zone` may hold
tables; a freed table frame is soon handed out again, also as data, as in a real kernel. The three kinds of guest differ in the
tree alone: four levels and the upper half for the kernel; PAE's four top entries, of which the kernel has the last; or two
levels, with the kernel's quarter copied into every root. A process runs on one vCPU, but others may have its root loaded:
what must be forgotten is forgotten there too, in the order of their numbers.
"""

from pagingviz.core.access import DONE, far_access, invlpg, load_cr3, store
from pagingviz.core.events import emit
from pagingviz.core.far import far
from pagingviz.core.jit import jit
from pagingviz.core.walk import frame, get_entry, index, put_entry
from pagingviz.layout import (
    A, COW, CR_NXE, D, ENTRIES, EV_COW_BREAK, EV_EXIT, EV_FORK, EV_FRAME_ALLOC, EV_FRAME_FREE, EV_GUEST_PF, FAULT, NONE, NX,
    ONE, P, PAGE_BITS, PF_P, PF_W, READ, RW, THREE, TWO, US, U, WRITE, ZERO, ZONE_SLACK,
)  # fmt: skip

_HASH = U(0x9E3779B97F4A7C15)
_USER_TABLE = P | RW | US
_TOP_USER = (ZERO, ZERO, U(768), U(3), U(256))  # by levels: entries of a root that are the process's own
_TOP_FIRST_KERNEL = U(768)  # of a 32-bit guest's root
BUG = U(2)


@jit
def read(s, a, tab, i):
    """Entry `i` of a guest table, as the kernel sees its own memory."""
    return get_entry(s, a, s.guest_levels, tab, i)


@jit
def entries(s):
    """Entries of a table: 512, or 1024 of four bytes."""
    return ENTRIES + ENTRIES if s.guest_levels == TWO else ENTRIES


@jit
def alloc_table(s, c, a):
    """A frame that may hold a table, from the table stack."""
    if s.ttop == ZERO:
        s.crashed = BUG
        return ZERO
    s.ttop -= ONE
    if s.recycled > ZERO:
        s.recycled -= ONE
    gfn = a[s.o_tstack + s.ttop]
    s.frames_allocated += ONE
    emit(s, a, EV_FRAME_ALLOC, c.id, ZERO, gfn, NONE, ZERO, ONE)
    return gfn


@jit
def alloc_data(s, c, a):
    """A frame for data: a recently freed table frame while at most ZONE_SLACK of those serve as data, else the data stack."""
    if s.recycled > ZERO and s.tdata < ZONE_SLACK:
        s.recycled -= ONE
        s.tdata += ONE
        s.ttop -= ONE
        gfn = a[s.o_tstack + s.ttop]
    elif s.dtop > ZERO:
        s.dtop -= ONE
        gfn = a[s.o_dstack + s.dtop]
    else:
        s.crashed = BUG
        return ZERO
    a[s.o_share + gfn] = ONE
    s.frames_allocated += ONE
    emit(s, a, EV_FRAME_ALLOC, c.id, ZERO, gfn, NONE, ZERO, ZERO)
    return gfn


@jit
def free_frame(s, c, a, gfn, data):
    """Give back a frame that held a table or (data=1) data; the last freed is the first to be used again."""
    if gfn < s.zone:
        s.tdata -= data
        a[s.o_tstack + s.ttop] = gfn
        s.ttop += ONE
        s.recycled += ONE
    else:
        a[s.o_dstack + s.dtop] = gfn
        s.dtop += ONE
    s.frames_freed += ONE
    emit(s, a, EV_FRAME_FREE, c.id, ZERO, gfn, NONE, ZERO, ZERO)


@jit
def clear_frame(s, c, a, gfn):
    """clear_page through the direct map. A frame that may hold a table is cleared entry by entry, each store its own version.

    While it still is a shadowed table each store is emulated, until early unshadow gives write access back; the rest needs no
    further translation and is done in one run.
    """
    if gfn >= s.zone:
        far_access(s, c, a, s.direct_map + (gfn << PAGE_BITS), WRITE, ZERO, ZERO, ZERO)
        return
    n = entries(s)
    for i in range(n):
        if store(s, c, a, gfn, U(i), ZERO) == DONE:
            for k in range(U(i), n):
                put_entry(s, a, s.guest_levels, gfn, U(k), ZERO)
            a[s.o_ver + gfn] += (n - ONE - U(i)) * (TWO if s.guest_levels == THREE else ONE)  # PAE: two stores an entry
            return


@jit
def new_root(s, c, a):
    """A new root table holding only the kernel's part."""
    root = alloc_table(s, c, a)
    clear_frame(s, c, a, root)
    if s.guest_levels == TWO:
        for i in range(_TOP_FIRST_KERNEL, _TOP_FIRST_KERNEL + s.kslot):
            store(s, c, a, root, U(i), read(s, a, s.kl3, U(i)))
    elif s.guest_levels == THREE:
        store(s, c, a, root, s.kslot, (s.kl3 << PAGE_BITS) | P)
    else:
        store(s, c, a, root, s.kslot, (s.kl3 << PAGE_BITS) | P | RW | A)
    return root


@far
def switch_to(s, c, a, proc):
    """Context switch; a process that has never run gets its root table first."""
    if a[s.o_roots + proc] == NONE:
        a[s.o_roots + proc] = new_root(s, c, a)
    s.cur[c.id] = proc
    s.context_switches += ONE
    load_cr3(s, c, a, a[s.o_roots + proc])


@jit
def make_path(s, cpus, c, a, root, gva):
    """The L1 table of `gva` below `root`; missing tables are allocated, cleared and linked from the top down."""
    tab, level = root, s.guest_levels
    while level > ONE:
        i = index(s.guest_levels, gva, level)
        e = read(s, a, tab, i)
        if (e & P) == ZERO:
            new = alloc_table(s, c, a)
            clear_frame(s, c, a, new)
            top = level == THREE and s.guest_levels == THREE
            e = (new << PAGE_BITS) | (P if top else _USER_TABLE)
            store(s, c, a, tab, i, e)
            if top:
                _reload(s, cpus, a, root)  # the four top entries are in registers
        tab = frame(e)
        level -= ONE
    return tab


@jit
def _reload(s, cpus, a, root):
    """MOV CR3 with the same value on every vCPU that has `root` loaded."""
    for v in range(s.vcpus):
        if s.cr3[v] == root:
            load_cr3(s, cpus[v], a, root)


@far
def handle_fault(s, cpus, c, a, gva, err, vma_w, vma_x):
    """The kernel's page-fault handler: demand allocation for a hole, copy or reuse for a copy-on-write page. Else a bug."""
    s.guest_faults += ONE
    s.fault_hash = (s.fault_hash ^ (gva | (err & U(0xFFF)))) * _HASH + ONE
    emit(s, a, EV_GUEST_PF, c.id, gva, NONE, NONE, ZERO, err & ~FAULT)
    root = a[s.o_roots + s.cur[c.id]]
    tab = make_path(s, cpus, c, a, root, gva)
    i = index(s.guest_levels, gva, ONE)
    if (err & PF_P) == ZERO:
        gfn = alloc_data(s, c, a)
        clear_frame(s, c, a, gfn)
        e = (gfn << PAGE_BITS) | P | US
        if vma_w != ZERO:
            e |= RW
        if vma_x == ZERO and s.guest_levels != TWO and s.cr & CR_NXE:
            e |= NX
        store(s, c, a, tab, i, e)
        return
    old = read(s, a, tab, i)
    if (err & PF_W) == ZERO or (old & COW) == ZERO:
        s.crashed = BUG
        return
    gfn = frame(old)
    s.cow_breaks += ONE
    if a[s.o_share + gfn] > ONE:
        new = alloc_data(s, c, a)
        far_access(s, c, a, s.direct_map + (gfn << PAGE_BITS), READ, ZERO, ZERO, ZERO)
        clear_frame(s, c, a, new)
        emit(s, a, EV_COW_BREAK, c.id, gva, gfn, NONE, ZERO, new)
        store(s, c, a, tab, i, (new << PAGE_BITS) | P | RW | US | (old & NX))
        a[s.o_share + gfn] -= ONE
    else:
        emit(s, a, EV_COW_BREAK, c.id, gva, gfn, NONE, ZERO, gfn)
        store(s, c, a, tab, i, (old & ~(COW | A | D)) | RW)
    for v in range(s.vcpus):
        if s.cr3[v] == root:
            invlpg(s, cpus[v], a, gva)


@far
def fork(s, cpus, c, a, parent):
    """fork: the child parent+1 gets its own tables; writable pages become read-only and copy-on-write in both; TLB flushed."""
    child = parent + ONE
    if a[s.o_roots + child] != NONE:
        return
    s.forks += ONE
    top = a[s.o_roots + parent]
    root = new_root(s, c, a)
    a[s.o_roots + child] = root
    emit(s, a, EV_FORK, c.id, ZERO, root, NONE, ZERO, child)
    for i in range(_TOP_USER[s.guest_levels]):
        e = read(s, a, top, U(i))
        if (e & P) == ZERO:
            continue
        if s.guest_levels == TWO:
            _copy_l1(s, cpus, c, a, root, frame(e), U(i) << U(22))
        elif s.guest_levels == THREE:
            _copy_l2(s, cpus, c, a, root, frame(e), U(i) << U(30))
        else:
            for i3 in range(ENTRIES):
                e3 = read(s, a, frame(e), U(i3))
                if e3 & P:
                    _copy_l2(s, cpus, c, a, root, frame(e3), (U(i) << U(39)) | (U(i3) << U(30)))
    _reload(s, cpus, a, top)


@jit
def _copy_l2(s, cpus, c, a, root, table, gva):
    """copy_pmd_range for one L2 table of the parent, mapped at `gva`."""
    for i in range(ENTRIES):
        e = read(s, a, table, U(i))
        if e & P:
            _copy_l1(s, cpus, c, a, root, frame(e), gva | (U(i) << U(21)))


@jit
def _copy_l1(s, cpus, c, a, root, table, gva):
    """copy_pte_range for one L1 table of the parent, mapped at `gva`."""
    for n in range(entries(s)):
        i = U(n)
        e = read(s, a, table, i)
        if (e & P) == ZERO:
            continue
        mine = make_path(s, cpus, c, a, root, gva)
        if e & RW:
            e = (read(s, a, table, i) & ~RW) | COW
            store(s, c, a, table, i, e)
        store(s, c, a, mine, i, e & ~(A | D))
        a[s.o_share + frame(e)] += ONE


@far
def exit_process(s, c, a, child):
    """exit: entries are zeroed in ascending order, frames without other users freed, tables freed bottom-up, the root last."""
    top = a[s.o_roots + child]
    if top == NONE:
        return
    if s.cur[c.id] == child:
        switch_to(s, c, a, child - ONE)
    s.exits += ONE
    for n in range(_TOP_USER[s.guest_levels]):
        i = U(n)
        e = read(s, a, top, i)
        if (e & P) == ZERO:
            continue
        if s.guest_levels == TWO:
            _zap_l1(s, c, a, frame(e))
        elif s.guest_levels == THREE:
            _zap_l2(s, c, a, frame(e))
        else:
            for k in range(ENTRIES):
                l2 = read(s, a, frame(e), U(k))
                if l2 & P:
                    _zap_l2(s, c, a, frame(l2))
                    store(s, c, a, frame(e), U(k), ZERO)
                    free_frame(s, c, a, frame(l2), ZERO)
        store(s, c, a, top, i, ZERO)
        free_frame(s, c, a, frame(e), ZERO)
    free_frame(s, c, a, top, ZERO)
    a[s.o_roots + child] = NONE
    emit(s, a, EV_EXIT, c.id, ZERO, top, NONE, ZERO, child)


@jit
def _zap_l2(s, c, a, table):
    """zap_pmd_range and free_pmd_range for one L2 table."""
    for n in range(ENTRIES):
        e = read(s, a, table, U(n))
        if e & P:
            _zap_l1(s, c, a, frame(e))
            store(s, c, a, table, U(n), ZERO)
            free_frame(s, c, a, frame(e), ZERO)


@jit
def _zap_l1(s, c, a, table):
    """zap_pte_range for one L1 table."""
    for n in range(entries(s)):
        i = U(n)
        e = read(s, a, table, i)
        if (e & P) == ZERO:
            continue
        store(s, c, a, table, i, ZERO)
        gfn = frame(e)
        a[s.o_share + gfn] -= ONE
        if a[s.o_share + gfn] == ZERO:
            free_frame(s, c, a, gfn, ONE)
