"""The guest's kernel: a small real one. Processes, demand paging, fork with copy-on-write, exit, context switch.

All its stores to page tables are guest stores through the direct map and take the same road as any other access. Its own
bookkeeping (free stacks, reference counts of frames) and its reads of tables cost no access. Frames below `zone` may hold
tables; a freed table frame is soon handed out again, also as data, as in a real kernel. The three kinds of guest differ in the
tree alone: four levels and the upper half for the kernel; PAE's four top entries, of which the kernel has the last; or two
levels, with the kernel's quarter copied into every root. A process runs on one vCPU, but others may have its root loaded:
what must be forgotten is forgotten there too, in the order of their numbers.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.arch.state import ZONE_SLACK
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.access import DONE, far_access, invlpg, load_cr3, store
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.frames import place
from pagingviz.core.pv.roots import enter, flush_local, load_roots, pin, protect, unpin, unprotect
from pagingviz.core.walk.page_walk import get_entry, guest_frame, index, put_entry

_HASH = U(0x9E3779B97F4A7C15)
_USER_TABLE = x86.P | x86.RW | x86.US
_TOP_USER = (ZERO, ZERO, U(768), U(3), U(256))  # by levels: entries of a root that are the process's own
_TOP_FIRST_KERNEL = U(768)  # of a 32-bit guest's root
BUG = U(2)


@jit
def read(s, a, tab, i):
    """Entry `i` of a guest table, as the kernel sees its own memory."""
    return get_entry(s, a, s.guest_levels, tab, i)


@jit
def at_frame(s, a, gfn):
    """The part of an entry that names a frame: a PV guest writes machine frames into its tables."""
    return (a[s.o_p2m + gfn] if s.pv != ZERO else gfn) << x86.PAGE_BITS


@jit
def runs_on(s, v):
    """Root of the process that vCPU `v` runs, whichever of its two roots a PV guest has loaded."""
    return s.kroot[v] if s.pv != ZERO else s.cr3[v]


@jit
def entries(s):
    """Entries of a table: 512, or 1024 of four bytes."""
    return x86.ENTRIES + x86.ENTRIES if s.guest_levels == TWO else x86.ENTRIES


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
    emit(s, a, ev.FRAME_ALLOC, c.id, ZERO, gfn, NONE, ZERO, ONE)
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
    a[s.o_share + place(s, gfn)] = ONE
    s.frames_allocated += ONE
    emit(s, a, ev.FRAME_ALLOC, c.id, ZERO, gfn, NONE, ZERO, ZERO)
    return gfn


@far
def free_frame(s, c, a, gfn, data):
    """Give back a frame that held a table or (data=1) data; the last freed is the first to be used again."""
    if s.pv != ZERO and data == ZERO:
        unprotect(s, c, a, gfn)
    if gfn < s.zone:
        s.tdata -= data
        a[s.o_tstack + s.ttop] = gfn
        s.ttop += ONE
        s.recycled += ONE
    else:
        a[s.o_dstack + s.dtop] = gfn
        s.dtop += ONE
    s.frames_freed += ONE
    emit(s, a, ev.FRAME_FREE, c.id, ZERO, gfn, NONE, ZERO, ZERO)


@far
def clear_frame(s, c, a, gfn):
    """clear_page through the direct map. A frame that may hold a table is cleared entry by entry, each store its own version.

    While it still is a shadowed table each store is emulated, until early unshadow gives write access back; the rest needs no
    further translation and is done in one run.
    """
    if gfn >= s.zone:
        far_access(s, c, a, s.direct_map + (gfn << x86.PAGE_BITS), x86.WRITE, ZERO, ZERO, ZERO)
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
        store(s, c, a, root, s.kslot, (s.kl3 << x86.PAGE_BITS) | x86.P)
    else:
        for k in range(s.kslots):
            store(s, c, a, root, s.kslot + U(k), at_frame(s, a, s.kl3 + U(k)) | x86.P | x86.RW | x86.A)
    return root


@jit
def new_roots(s, c, a, proc):
    """The root of process `proc`; a PV guest's kernel and user mode have one each, both validated and pinned before use."""
    root = new_root(s, c, a)
    a[s.o_roots + proc] = root
    if s.pv != ZERO:
        user = alloc_table(s, c, a)
        clear_frame(s, c, a, user)
        a[s.o_uroots + proc] = user
        for top in (root, user):
            protect(s, c, a, top)
            pin(s, c, a, top, s.guest_levels)
    return root


@jit
def _set_top(s, c, a, root, i, value):
    """Store an entry of a root; what is the process's own stands in both of a PV guest's roots."""
    store(s, c, a, root, i, value)
    if s.pv != ZERO:
        for proc in range(s.processes):
            if a[s.o_roots + proc] == root:
                store(s, c, a, a[s.o_uroots + proc], i, value)


@far
def switch_to(s, c, a, proc):
    """Context switch; a process that has never run gets its root table first."""
    enter(s, c, a, ZERO)
    if a[s.o_roots + proc] == NONE:
        new_roots(s, c, a, proc)
    s.cur[c.id] = proc
    s.context_switches += ONE
    if s.pv != ZERO:
        load_roots(s, c, a, a[s.o_roots + proc], a[s.o_uroots + proc])
    else:
        load_cr3(s, c, a, a[s.o_roots + proc])


@far
def make_path(s, cpus, c, a, root, gva):
    """The L1 table of `gva` below `root`; missing tables are allocated, cleared and linked from the top down."""
    tab, level = root, s.guest_levels
    while level > ONE:
        i = index(s.guest_levels, gva, level)
        e = read(s, a, tab, i)
        if (e & x86.P) == ZERO:
            new = alloc_table(s, c, a)
            clear_frame(s, c, a, new)
            if s.pv != ZERO:
                protect(s, c, a, new)
            top = level == THREE and s.guest_levels == THREE
            e = at_frame(s, a, new) | (x86.P if top else _USER_TABLE)
            if level == s.guest_levels:
                _set_top(s, c, a, tab, i, e)
            else:
                store(s, c, a, tab, i, e)
            if top:
                _reload(s, cpus, a, root)  # the four top entries are in registers
        tab = guest_frame(s, a, e)
        level -= ONE
    return tab


@jit
def _reload(s, cpus, a, root):
    """MOV CR3 with the same value (a PV guest: a flush) on every vCPU that has `root` loaded."""
    for v in range(s.vcpus):
        if runs_on(s, v) == root:
            if s.pv != ZERO:
                flush_local(s, cpus[v])
            else:
                load_cr3(s, cpus[v], a, root)


@far
def handle_fault(s, cpus, c, a, gva, err, vma_w, vma_x):
    """The kernel's page-fault handler: demand allocation for a hole, copy or reuse for a copy-on-write page. Else a bug."""
    enter(s, c, a, ZERO)
    s.guest_faults += ONE
    s.fault_hash = (s.fault_hash ^ (gva | (err & U(0xFFF)))) * _HASH + ONE
    emit(s, a, ev.GUEST_PF, c.id, gva, NONE, NONE, ZERO, err & ~x86.FAULT)
    root = a[s.o_roots + s.cur[c.id]]
    tab = make_path(s, cpus, c, a, root, gva)
    i = index(s.guest_levels, gva, ONE)
    if (err & x86.PF_P) == ZERO:
        gfn = alloc_data(s, c, a)
        clear_frame(s, c, a, gfn)
        e = at_frame(s, a, gfn) | x86.P | x86.US
        if vma_w != ZERO:
            e |= x86.RW
        if vma_x == ZERO and s.guest_levels != TWO and s.cr & x86.CR_NXE:
            e |= x86.NX
        store(s, c, a, tab, i, e)
        return
    old = read(s, a, tab, i)
    if (err & x86.PF_W) == ZERO or (old & x86.COW) == ZERO:
        s.crashed = BUG
        return
    gfn = guest_frame(s, a, old)
    s.cow_breaks += ONE
    if a[s.o_share + place(s, gfn)] > ONE:
        new = alloc_data(s, c, a)
        far_access(s, c, a, s.direct_map + (gfn << x86.PAGE_BITS), x86.READ, ZERO, ZERO, ZERO)
        clear_frame(s, c, a, new)
        emit(s, a, ev.COW_BREAK, c.id, gva, gfn, NONE, ZERO, new)
        store(s, c, a, tab, i, at_frame(s, a, new) | x86.P | x86.RW | x86.US | (old & x86.NX))
        a[s.o_share + place(s, gfn)] -= ONE
    else:
        emit(s, a, ev.COW_BREAK, c.id, gva, gfn, NONE, ZERO, gfn)
        store(s, c, a, tab, i, (old & ~(x86.COW | x86.A | x86.D)) | x86.RW)
    for v in range(s.vcpus):
        if runs_on(s, v) == root:
            invlpg(s, cpus[v], a, gva)


@far
def fork(s, cpus, c, a, parent):
    """fork: the child parent+1 gets its own tables; writable pages become read-only and copy-on-write in both; TLB flushed."""
    child = parent + ONE
    if a[s.o_roots + child] != NONE:
        return
    enter(s, c, a, ZERO)
    s.forks += ONE
    top = a[s.o_roots + parent]
    root = new_roots(s, c, a, child)
    emit(s, a, ev.FORK, c.id, ZERO, root, NONE, ZERO, child)
    for i in range(_TOP_USER[s.guest_levels]):
        e = read(s, a, top, U(i))
        if (e & x86.P) == ZERO:
            continue
        if s.guest_levels == TWO:
            _copy_l1(s, cpus, c, a, root, guest_frame(s, a, e), U(i) << U(22))
        elif s.guest_levels == THREE:
            _copy_l2(s, cpus, c, a, root, guest_frame(s, a, e), U(i) << U(30))
        else:
            for i3 in range(x86.ENTRIES):
                e3 = read(s, a, guest_frame(s, a, e), U(i3))
                if e3 & x86.P:
                    _copy_l2(s, cpus, c, a, root, guest_frame(s, a, e3), (U(i) << U(39)) | (U(i3) << U(30)))
    _reload(s, cpus, a, top)


@jit
def _copy_l2(s, cpus, c, a, root, table, gva):
    """copy_pmd_range for one L2 table of the parent, mapped at `gva`."""
    for i in range(x86.ENTRIES):
        e = read(s, a, table, U(i))
        if e & x86.P:
            _copy_l1(s, cpus, c, a, root, guest_frame(s, a, e), gva | (U(i) << U(21)))


@jit
def _copy_l1(s, cpus, c, a, root, table, gva):
    """copy_pte_range for one L1 table of the parent, mapped at `gva`."""
    for n in range(entries(s)):
        i = U(n)
        e = read(s, a, table, i)
        if (e & x86.P) == ZERO:
            continue
        mine = make_path(s, cpus, c, a, root, gva)
        if e & x86.RW:
            e = (read(s, a, table, i) & ~x86.RW) | x86.COW
            store(s, c, a, table, i, e)
        store(s, c, a, mine, i, e & ~(x86.A | x86.D))
        a[s.o_share + place(s, guest_frame(s, a, e))] += ONE


@far
def exit_process(s, c, a, child):
    """exit: entries are zeroed in ascending order, frames without other users freed, tables freed bottom-up, the root last."""
    top = a[s.o_roots + child]
    if top == NONE:
        return
    enter(s, c, a, ZERO)
    if s.cur[c.id] == child:
        switch_to(s, c, a, child - ONE)
    s.exits += ONE
    for n in range(_TOP_USER[s.guest_levels]):
        i = U(n)
        e = read(s, a, top, i)
        if (e & x86.P) == ZERO:
            continue
        if s.guest_levels == TWO:
            _zap_l1(s, c, a, guest_frame(s, a, e))
        elif s.guest_levels == THREE:
            _zap_l2(s, c, a, guest_frame(s, a, e))
        else:
            for k in range(x86.ENTRIES):
                l2 = read(s, a, guest_frame(s, a, e), U(k))
                if l2 & x86.P:
                    _zap_l2(s, c, a, guest_frame(s, a, l2))
                    store(s, c, a, guest_frame(s, a, e), U(k), ZERO)
                    free_frame(s, c, a, guest_frame(s, a, l2), ZERO)
        _set_top(s, c, a, top, i, ZERO)
        free_frame(s, c, a, guest_frame(s, a, e), ZERO)
    if s.pv != ZERO:
        user = a[s.o_uroots + child]
        unpin(s, c, a, top)
        unpin(s, c, a, user)
        free_frame(s, c, a, user, ZERO)
        a[s.o_uroots + child] = NONE
    free_frame(s, c, a, top, ZERO)
    a[s.o_roots + child] = NONE
    emit(s, a, ev.EXIT, c.id, ZERO, top, NONE, ZERO, child)


@jit
def _zap_l2(s, c, a, table):
    """zap_pmd_range and free_pmd_range for one L2 table."""
    for n in range(x86.ENTRIES):
        e = read(s, a, table, U(n))
        if e & x86.P:
            _zap_l1(s, c, a, guest_frame(s, a, e))
            store(s, c, a, table, U(n), ZERO)
            free_frame(s, c, a, guest_frame(s, a, e), ZERO)


@jit
def _zap_l1(s, c, a, table):
    """zap_pte_range for one L1 table."""
    for n in range(entries(s)):
        i = U(n)
        e = read(s, a, table, i)
        if (e & x86.P) == ZERO:
            continue
        store(s, c, a, table, i, ZERO)
        gfn = guest_frame(s, a, e)
        a[s.o_share + place(s, gfn)] -= ONE
        if a[s.o_share + place(s, gfn)] == ZERO:
            free_frame(s, c, a, gfn, ONE)
