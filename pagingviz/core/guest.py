"""The guest's kernel: a small real one. Processes, demand paging, fork with copy-on-write, exit, context switch.

All its stores to page tables are guest stores through the direct map and take the same road as any other access. Its own
bookkeeping (free stacks, reference counts of frames) and its reads of tables cost no access. Frames below `zone` may hold
tables; a freed table frame is soon handed out again, also as data, as in a real kernel.
"""

from pagingviz.core.access import DONE, access, invlpg, load_cr3, store
from pagingviz.core.events import emit
from pagingviz.core.jit import jit
from pagingviz.core.walk import frame, index
from pagingviz.layout import (
    A, COW, D, ENTRIES, ENTRY_BITS, EV_COW_BREAK, EV_EXIT, EV_FORK, EV_FRAME_ALLOC, EV_FRAME_FREE, EV_GUEST_PF, FAULT, NONE, NX,
    ONE, P, PAGE_BITS, PF_P, PF_W, READ, RW, US, U, WRITE, ZERO, ZONE_SLACK,
)  # fmt: skip

_HASH = U(0x9E3779B97F4A7C15)
_USER_TABLE = P | RW | US
_L4_USER = U(256)  # entries 0..255 of an L4 table are the process's own half
BUG = U(2)


@jit
def read(s, a, tab, i):
    """Entry `i` of a guest table, as the kernel sees its own memory."""
    return a[s.o_tables + (tab << ENTRY_BITS) + i]


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
    """clear_page through the direct map. A frame that may hold a table is cleared in 512 stores, each its own version.

    While it still is a shadowed table each store is emulated, until early unshadow gives write access back; the rest needs no
    further translation and is done in one run.
    """
    if gfn >= s.zone:
        access(s, c, a, s.direct_map + (gfn << PAGE_BITS), WRITE, ZERO, ZERO, ZERO)
        return
    for i in range(ENTRIES):
        if store(s, c, a, gfn, i, ZERO) == DONE:
            o = s.o_tables + (gfn << ENTRY_BITS)
            for k in range(o + i, o + ENTRIES):
                a[k] = ZERO
            a[s.o_ver + gfn] += ENTRIES - ONE - U(i)
            return


@jit
def new_root(s, c, a):
    """A new L4 table holding only the kernel's entry."""
    root = alloc_table(s, c, a)
    clear_frame(s, c, a, root)
    store(s, c, a, root, s.kslot, (s.kl3 << PAGE_BITS) | P | RW | A)
    return root


@jit
def switch_to(s, c, a, proc):
    """Context switch; a process that has never run gets its root table first."""
    if a[s.o_roots + proc] == NONE:
        a[s.o_roots + proc] = new_root(s, c, a)
    s.cur = proc
    s.context_switches += ONE
    load_cr3(s, c, a, a[s.o_roots + proc])


@jit
def make_path(s, c, a, root, gva):
    """The L1 table of `gva` below `root`; missing tables are allocated, cleared and linked from the top down."""
    tab = root
    for level in (U(4), U(3), U(2)):
        i = index(gva, level)
        e = read(s, a, tab, i)
        if (e & P) == ZERO:
            new = alloc_table(s, c, a)
            clear_frame(s, c, a, new)
            e = (new << PAGE_BITS) | _USER_TABLE
            store(s, c, a, tab, i, e)
        tab = frame(e)
    return tab


@jit
def handle_fault(s, c, a, gva, err, vma_w, vma_x):
    """The kernel's page-fault handler: demand allocation for a hole, copy or reuse for a copy-on-write page. Else a bug."""
    s.guest_faults += ONE
    s.fault_hash = (s.fault_hash ^ (gva | (err & U(0xFFF)))) * _HASH + ONE
    emit(s, a, EV_GUEST_PF, c.id, gva, NONE, NONE, ZERO, err & ~FAULT)
    root = a[s.o_roots + s.cur]
    tab = make_path(s, c, a, root, gva)
    i = index(gva, ONE)
    if (err & PF_P) == ZERO:
        gfn = alloc_data(s, c, a)
        clear_frame(s, c, a, gfn)
        e = (gfn << PAGE_BITS) | P | US
        if vma_w != ZERO:
            e |= RW
        if vma_x == ZERO:
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
        access(s, c, a, s.direct_map + (gfn << PAGE_BITS), READ, ZERO, ZERO, ZERO)
        clear_frame(s, c, a, new)
        emit(s, a, EV_COW_BREAK, c.id, gva, gfn, NONE, ZERO, new)
        store(s, c, a, tab, i, (new << PAGE_BITS) | P | RW | US | (old & NX))
        a[s.o_share + gfn] -= ONE
    else:
        emit(s, a, EV_COW_BREAK, c.id, gva, gfn, NONE, ZERO, gfn)
        store(s, c, a, tab, i, (old & ~(COW | A | D)) | RW)
    invlpg(s, c, a, gva)


@jit
def fork(s, c, a, parent):
    """fork: the child parent+1 gets its own tables; writable pages become read-only and copy-on-write in both; TLB flushed."""
    child = parent + ONE
    if a[s.o_roots + child] != NONE:
        return
    s.forks += ONE
    top = a[s.o_roots + parent]
    root = new_root(s, c, a)
    a[s.o_roots + child] = root
    emit(s, a, EV_FORK, c.id, ZERO, root, NONE, ZERO, child)
    for i4 in range(_L4_USER):
        e4 = read(s, a, top, i4)
        if (e4 & P) == ZERO:
            continue
        for i3 in range(ENTRIES):
            e3 = read(s, a, frame(e4), i3)
            if (e3 & P) == ZERO:
                continue
            for i2 in range(ENTRIES):
                e2 = read(s, a, frame(e3), i2)
                if (e2 & P) == ZERO:
                    continue
                gva = (U(i4) << U(39)) | (U(i3) << U(30)) | (U(i2) << U(21))
                _copy_l1(s, c, a, root, frame(e2), gva)
    load_cr3(s, c, a, top)


@jit
def _copy_l1(s, c, a, root, table, gva):
    """copy_pte_range for one L1 table of the parent, mapped at `gva`."""
    for i in range(ENTRIES):
        e = read(s, a, table, i)
        if (e & P) == ZERO:
            continue
        mine = make_path(s, c, a, root, gva)
        if e & RW:
            e = (read(s, a, table, i) & ~RW) | COW
            store(s, c, a, table, i, e)
        store(s, c, a, mine, i, e & ~(A | D))
        a[s.o_share + frame(e)] += ONE


@jit
def exit_process(s, c, a, child):
    """exit: entries are zeroed in ascending order, frames without other users freed, tables freed bottom-up, the root last."""
    top = a[s.o_roots + child]
    if top == NONE:
        return
    if s.cur == child:
        switch_to(s, c, a, child - ONE)
    s.exits += ONE
    for i4 in range(_L4_USER):
        l3 = read(s, a, top, i4)
        if (l3 & P) == ZERO:
            continue
        for i3 in range(ENTRIES):
            l2 = read(s, a, frame(l3), i3)
            if (l2 & P) == ZERO:
                continue
            for i2 in range(ENTRIES):
                l1 = read(s, a, frame(l2), i2)
                if l1 & P:
                    _zap_l1(s, c, a, frame(l1))
                    store(s, c, a, frame(l2), i2, ZERO)
                    free_frame(s, c, a, frame(l1), ZERO)
            store(s, c, a, frame(l3), i3, ZERO)
            free_frame(s, c, a, frame(l2), ZERO)
        store(s, c, a, top, i4, ZERO)
        free_frame(s, c, a, frame(l3), ZERO)
    free_frame(s, c, a, top, ZERO)
    a[s.o_roots + child] = NONE
    emit(s, a, EV_EXIT, c.id, ZERO, top, NONE, ZERO, child)


@jit
def _zap_l1(s, c, a, table):
    """zap_pte_range for one L1 table."""
    for i in range(ENTRIES):
        e = read(s, a, table, i)
        if (e & P) == ZERO:
            continue
        store(s, c, a, table, i, ZERO)
        gfn = frame(e)
        a[s.o_share + gfn] -= ONE
        if a[s.o_share + gfn] == ZERO:
            free_frame(s, c, a, gfn, ONE)
