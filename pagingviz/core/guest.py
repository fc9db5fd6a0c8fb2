"""The guest's kernel: processes, demand paging, fork with copy-on-write, exit, context switch.

Every store of the kernel to a page table is an access through its direct map, like any other access of the guest. Its lists of
free frames, its reference counts and its reads of tables cost no access. Frames below s.zone may hold tables. A freed frame is
the next to be used, also for data, as in a real kernel.

Guests differ in their trees only. With four levels the kernel has the upper half of the root. A PAE root has four entries, and
the kernel has the last. With two levels the kernel has the last quarter of the root, which is copied into every root.

A process runs on one vCPU, but others may have its root loaded. What that vCPU's TLB must forget, theirs forget too.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.arch.splitmix import GOLDEN
from pagingviz.arch.state import ZONE_SLACK
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core.access import DONE, access_by_address, invlpg, load_cr3, store
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.frames import word_of
from pagingviz.core.pv.roots import enter, flush_local, load_roots, pin, protect, unpin, unprotect
from pagingviz.core.walk.page_walk import get_entry, guest_frame, index, put_entry

_USER_TABLE = x86.P | x86.RW | x86.US
_TOP_USER = (ZERO, ZERO, U(768), U(3), U(256))  # by levels: entries of a root that are the process's own
_TOP_FIRST_KERNEL = U(768)  # of a 32-bit guest's root
BUG = U(2)


@jit
def read(s, a, tab, i):
    """Entry `i` of the guest table in frame `tab`, as the kernel reads its own memory."""
    return get_entry(s, a, s.guest_levels, tab, i)


@jit
def at_frame(s, a, gfn):
    """The part of an entry that leads to guest frame `gfn`. A PV guest writes machine frames into its tables."""
    return (a[s.o_p2m + gfn] if s.pv != ZERO else gfn) << x86.PAGE_BITS


@jit
def runs_on(s, vcpu):
    """Frame of the root of the process that a vCPU runs; for a PV guest the kernel's root, even while it is in user mode."""
    return s.kroot[vcpu] if s.pv != ZERO else s.cr3[vcpu]


@jit
def entries(s):
    """How many entries a table has: 512, or 1024 of four bytes."""
    return x86.ENTRIES + x86.ENTRIES if s.guest_levels == TWO else x86.ENTRIES


@jit
def alloc_table(s, c, a):
    """Take a frame that may hold a table from the stack of those. Returns its gfn."""
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
    """Take a frame for data. Returns its gfn.

    While at most ZONE_SLACK frames that may hold tables hold data, a recently freed one of those is taken, else one from the
    data stack.
    """
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
    a[s.o_share + word_of(s, gfn)] = ONE
    s.frames_allocated += ONE
    emit(s, a, ev.FRAME_ALLOC, c.id, ZERO, gfn, NONE, ZERO, ZERO)
    return gfn


@by_address
def free_frame(s, c, a, gfn, data):
    """Give back a frame that held a table, or data (`data` 1). The last one freed is the first to be used again."""
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


@by_address
def clear_frame(s, c, a, gfn):
    """Fill a frame with zeros through the direct map. A frame that may hold a table is cleared entry by entry, each a store.

    While it still is a shadowed table, each store is emulated, until early unshadow makes it writable. The first store that
    goes through directly shows that the translation is there, and then the rest is cleared at once.
    """
    if gfn >= s.zone:
        access_by_address(s, c, a, s.direct_map + (gfn << x86.PAGE_BITS), x86.WRITE, ZERO, ZERO, ZERO)
        return
    count = entries(s)
    for i in range(count):
        if store(s, c, a, gfn, U(i), ZERO) == DONE:
            for k in range(U(i), count):
                put_entry(s, a, s.guest_levels, gfn, U(k), ZERO)
            a[s.o_ver + gfn] += (count - ONE - U(i)) * (TWO if s.guest_levels == THREE else ONE)  # PAE: two stores for an entry
            return


@jit
def new_root(s, c, a):
    """Make a root that has the kernel's part only. Returns its frame."""
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
    """Make the root of process `proc`. Returns its frame.

    A PV guest's process has a root for the kernel and one for user mode; both are validated and pinned before they are used.
    """
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
    """Store `value` in entry `i` of a root. What belongs to the process stands in both roots of a PV guest."""
    store(s, c, a, root, i, value)
    if s.pv != ZERO:
        for proc in range(s.processes):
            if a[s.o_roots + proc] == root:
                store(s, c, a, a[s.o_uroots + proc], i, value)


@by_address
def switch_to(s, c, a, proc):
    """Switch to process `proc`, whose root is made when it runs for the first time."""
    enter(s, c, a, ZERO)
    if a[s.o_roots + proc] == NONE:
        new_roots(s, c, a, proc)
    s.cur[c.id] = proc
    s.context_switches += ONE
    if s.pv != ZERO:
        load_roots(s, c, a, a[s.o_roots + proc], a[s.o_uroots + proc])
    else:
        load_cr3(s, c, a, a[s.o_roots + proc])


@by_address
def make_path(s, cpus, c, a, root, gva):
    """Frame of the level-1 table for `gva` below the root in frame `root`.

    Tables that are missing are made, from the root down.
    """
    table, level = root, s.guest_levels
    while level > ONE:
        i = index(s.guest_levels, gva, level)
        entry = read(s, a, table, i)
        if (entry & x86.P) == ZERO:
            new = alloc_table(s, c, a)
            clear_frame(s, c, a, new)
            if s.pv != ZERO:
                protect(s, c, a, new)
            top = level == THREE and s.guest_levels == THREE
            entry = at_frame(s, a, new) | (x86.P if top else _USER_TABLE)
            if level == s.guest_levels:
                _set_top(s, c, a, table, i, entry)
            else:
                store(s, c, a, table, i, entry)
            if top:
                _reload(s, cpus, a, root)  # the processor has the four entries of the root in registers
        table = guest_frame(s, a, entry)
        level -= ONE
    return table


@jit
def _reload(s, cpus, a, root):
    """Load CR3 with the same root again (a PV guest: flush) on every vCPU that runs on `root`."""
    for vcpu in range(s.vcpus):
        if runs_on(s, vcpu) == root:
            if s.pv != ZERO:
                flush_local(s, cpus[vcpu])
            else:
                load_cr3(s, cpus[vcpu], a, root)


@by_address
def handle_fault(s, cpus, c, a, gva, err, vma_w, vma_x):
    """The kernel's handler of page faults: memory for a hole, a copy for copy-on-write; any other fault is a crash.

    `err`: x86.FAULT | the error code; `vma_w`, `vma_x`: whether the process may write and execute there (0: not).
    """
    enter(s, c, a, ZERO)
    s.guest_faults += ONE
    s.fault_hash = (s.fault_hash ^ (gva | (err & U(0xFFF)))) * GOLDEN + ONE
    emit(s, a, ev.GUEST_PF, c.id, gva, NONE, NONE, ZERO, err & ~x86.FAULT)
    root = a[s.o_roots + s.cur[c.id]]
    table = make_path(s, cpus, c, a, root, gva)
    i = index(s.guest_levels, gva, ONE)
    if (err & x86.PF_P) == ZERO:
        gfn = alloc_data(s, c, a)
        clear_frame(s, c, a, gfn)
        entry = at_frame(s, a, gfn) | x86.P | x86.US
        if vma_w != ZERO:
            entry |= x86.RW
        if vma_x == ZERO and s.guest_levels != TWO and s.cr & x86.CR_NXE:
            entry |= x86.NX
        store(s, c, a, table, i, entry)
        return
    old = read(s, a, table, i)
    if (err & x86.PF_W) == ZERO or (old & x86.COW) == ZERO:
        s.crashed = BUG
        return
    gfn = guest_frame(s, a, old)
    s.cow_breaks += ONE
    if a[s.o_share + word_of(s, gfn)] > ONE:
        new = alloc_data(s, c, a)
        access_by_address(s, c, a, s.direct_map + (gfn << x86.PAGE_BITS), x86.READ, ZERO, ZERO, ZERO)
        clear_frame(s, c, a, new)
        emit(s, a, ev.COW_BREAK, c.id, gva, gfn, NONE, ZERO, new)
        store(s, c, a, table, i, at_frame(s, a, new) | x86.P | x86.RW | x86.US | (old & x86.NX))
        a[s.o_share + word_of(s, gfn)] -= ONE
    else:
        emit(s, a, ev.COW_BREAK, c.id, gva, gfn, NONE, ZERO, gfn)
        store(s, c, a, table, i, (old & ~(x86.COW | x86.A | x86.D)) | x86.RW)
    for vcpu in range(s.vcpus):
        if runs_on(s, vcpu) == root:
            invlpg(s, cpus[vcpu], a, gva)


@by_address
def fork(s, cpus, c, a, parent):
    """Make process parent + 1 with tables of its own. Pages that may be written become copy-on-write in both processes.

    The parent's TLB entries are flushed at the end.
    """
    child = parent + ONE
    if a[s.o_roots + child] != NONE:
        return
    enter(s, c, a, ZERO)
    s.forks += ONE
    top = a[s.o_roots + parent]
    root = new_roots(s, c, a, child)
    emit(s, a, ev.FORK, c.id, ZERO, root, NONE, ZERO, child)
    for i in range(_TOP_USER[s.guest_levels]):
        entry = read(s, a, top, U(i))
        if (entry & x86.P) == ZERO:
            continue
        if s.guest_levels == TWO:
            _copy_l1(s, cpus, c, a, root, guest_frame(s, a, entry), U(i) << U(22))
        elif s.guest_levels == THREE:
            _copy_l2(s, cpus, c, a, root, guest_frame(s, a, entry), U(i) << U(30))
        else:
            for i3 in range(x86.ENTRIES):
                entry3 = read(s, a, guest_frame(s, a, entry), U(i3))
                if entry3 & x86.P:
                    _copy_l2(s, cpus, c, a, root, guest_frame(s, a, entry3), (U(i) << U(39)) | (U(i3) << U(30)))
    _reload(s, cpus, a, top)


@jit
def _copy_l2(s, cpus, c, a, root, table, gva):
    """Copy what the level-2 table `table` of the parent, which is for addresses from `gva` on, maps (Linux: copy_pmd_range)."""
    for i in range(x86.ENTRIES):
        entry = read(s, a, table, U(i))
        if entry & x86.P:
            _copy_l1(s, cpus, c, a, root, guest_frame(s, a, entry), gva | (U(i) << U(21)))


@jit
def _copy_l1(s, cpus, c, a, root, table, gva):
    """Copy what the level-1 table `table` of the parent, which is for addresses from `gva` on, maps (Linux: copy_pte_range)."""
    for number in range(entries(s)):
        i = U(number)
        entry = read(s, a, table, i)
        if (entry & x86.P) == ZERO:
            continue
        mine = make_path(s, cpus, c, a, root, gva)
        if entry & x86.RW:
            entry = (read(s, a, table, i) & ~x86.RW) | x86.COW
            store(s, c, a, table, i, entry)
        store(s, c, a, mine, i, entry & ~(x86.A | x86.D))
        a[s.o_share + word_of(s, guest_frame(s, a, entry))] += ONE


@by_address
def exit_process(s, c, a, child):
    """End process `child`: set its entries to 0 in ascending order, free each table after what it maps, and the root last.

    A frame that another process uses too is not freed.
    """
    top = a[s.o_roots + child]
    if top == NONE:
        return
    enter(s, c, a, ZERO)
    if s.cur[c.id] == child:
        switch_to(s, c, a, child - ONE)
    s.exits += ONE
    for number in range(_TOP_USER[s.guest_levels]):
        i = U(number)
        entry = read(s, a, top, i)
        if (entry & x86.P) == ZERO:
            continue
        if s.guest_levels == TWO:
            _zap_l1(s, c, a, guest_frame(s, a, entry))
        elif s.guest_levels == THREE:
            _zap_l2(s, c, a, guest_frame(s, a, entry))
        else:
            for k in range(x86.ENTRIES):
                l2 = read(s, a, guest_frame(s, a, entry), U(k))
                if l2 & x86.P:
                    _zap_l2(s, c, a, guest_frame(s, a, l2))
                    store(s, c, a, guest_frame(s, a, entry), U(k), ZERO)
                    free_frame(s, c, a, guest_frame(s, a, l2), ZERO)
        _set_top(s, c, a, top, i, ZERO)
        free_frame(s, c, a, guest_frame(s, a, entry), ZERO)
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
    """Clear and free what a level-2 table maps, and the tables below it (Linux: zap_pmd_range, free_pmd_range)."""
    for i in range(x86.ENTRIES):
        entry = read(s, a, table, U(i))
        if entry & x86.P:
            _zap_l1(s, c, a, guest_frame(s, a, entry))
            store(s, c, a, table, U(i), ZERO)
            free_frame(s, c, a, guest_frame(s, a, entry), ZERO)


@jit
def _zap_l1(s, c, a, table):
    """Clear what a level-1 table maps, and free the frames that nobody else uses (Linux: zap_pte_range)."""
    for number in range(entries(s)):
        i = U(number)
        entry = read(s, a, table, i)
        if (entry & x86.P) == ZERO:
            continue
        store(s, c, a, table, i, ZERO)
        gfn = guest_frame(s, a, entry)
        a[s.o_share + word_of(s, gfn)] -= ONE
        if a[s.o_share + word_of(s, gfn)] == ZERO:
            free_frame(s, c, a, gfn, ONE)
