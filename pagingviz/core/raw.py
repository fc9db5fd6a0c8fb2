"""A raw guest: its tables are given entry by entry, and a program of single operations runs on them (rawguest.py).

Row n of the program is tick n+1: a[o_prog + 3 n] = code | vcpu << 8 | user << 16 | size << 24, then an address, then a value.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import operation, x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.access import far_access, invlpg, load_cr3
from pagingviz.core.build.far import far
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.pv.roots import flush_local, pin, unpin
from pagingviz.core.pv.updates import mmu_update, update_va_mapping
from pagingviz.core.shadow.emulate import hypervisor_write, pagetable_dying
from pagingviz.core.shadow.faults import update_modes
from pagingviz.core.walk.page_walk import load_pdptes
from pagingviz.core.walk.tlb import flush

_BYTE, _INDEX, _HASH = U(255), U(511), U(0x9E3779B97F4A7C15)


@far
def raw_operation(s, cpus, a, row):
    """Carry out one row. A row that the emulator has already done (s.skip_rows) passes without effect."""
    if row >= s.rows:
        return
    if s.skip_rows != ZERO:
        s.skip_rows -= ONE
        return
    s.row = row
    o = s.o_prog + row * THREE
    head, va, value = a[o], a[o + ONE], a[o + TWO]
    code = head & _BYTE
    c = cpus[(head >> U(8)) & _BYTE]
    user, size = (head >> U(16)) & ONE, (head >> U(24)) & _BYTE
    s.ops += ONE
    if code <= operation.RAW_STORE:
        _access(s, c, a, code, va, value, user, size)
    elif code == operation.RAW_CR3:
        if load_cr3(s, c, a, value) == x86.GP:
            emit(s, a, ev.GP, c.id, ZERO, value, NONE, ZERO, ZERO)
    elif code == operation.RAW_INVLPG:
        invlpg(s, c, a, va)
    elif code == operation.RAW_XEN_WRITE:
        if s.pv != ZERO:  # Xen writes through the tables that are loaded, and its faults are fixed up like the guest's
            far_access(s, c, a, va, x86.WRITE, ZERO, ZERO, ZERO)
        else:
            hypervisor_write(s, c, a, va)
    elif code == operation.RAW_EVENT:
        s.event[c.id] = value
    elif code == operation.RAW_DYING:
        if s.road == xen.SHADOW:
            pagetable_dying(s, c, a, value)
    elif code == operation.RAW_CR:
        _set_cr(s, cpus, a, value)
    elif code == operation.RAW_GRANT_WRITE:
        a[s.o_ver + value] += ONE
        a[s.o_info + value] |= xen.GRANTED
    elif code == operation.RAW_GRANT_UNMAP:
        a[s.o_info + value] &= ~xen.GRANTED
        logdirty.mark(s, c, a, value, xen.MK_XEN)
        emit(s, a, ev.GRANT_UNMAP, c.id, ZERO, value, NONE, ZERO, ZERO)
    elif s.pv != ZERO:
        _hypercall(s, c, a, code, va, value, size)


@jit
def _hypercall(s, c, a, code, va, value, size):
    """What only a PV guest may ask for. `size` of an UPDATE_VA: 1 asks for INVLPG too (UVMF_INVLPG)."""
    if code == operation.RAW_UPDATE_VA:
        if update_va_mapping(s, c, a, va, value) and size != ZERO:
            invlpg(s, c, a, va)
    elif code == operation.RAW_FLUSH:
        flush_local(s, c)
    elif code == operation.RAW_MMU_UPDATE:
        mmu_update(s, c, a, va >> x86.PAGE_BITS, (va >> THREE) & _INDEX, value)
    elif code == operation.RAW_PIN:
        pin(s, c, a, va >> x86.PAGE_BITS, value)
    elif code == operation.RAW_UNPIN:
        unpin(s, c, a, va >> x86.PAGE_BITS)


@jit
def _access(s, c, a, code, va, value, user, size):
    """A fetch, load, data store or table store; what the guest would have to handle is told and given up."""
    kind = x86.FETCH if code == operation.RAW_FETCH else (x86.READ if code == operation.RAW_READ else x86.WRITE)
    if kind == x86.FETCH:
        s.fetches += ONE
    elif kind == x86.READ:
        s.reads += ONE
    else:
        s.writes += ONE
    emit(s, a, ev.ACCESS, c.id, va, NONE, NONE, ZERO, kind)
    r = far_access(s, c, a, va, kind, user, size if code == operation.RAW_STORE else ZERO, value)
    if r & x86.FAULT:
        s.guest_faults += ONE
        s.fault_hash = (s.fault_hash ^ (va | (r & U(0xFFF)))) * _HASH + ONE
        emit(s, a, ev.GUEST_PF, c.id, va, NONE, NONE, ZERO, r & ~x86.FAULT)
    elif r & x86.GP:
        emit(s, a, ev.GP, c.id, va, NONE, NONE, ZERO, ZERO)


@jit
def _set_cr(s, cpus, a, value):
    """MOV CR0, CR4, EFER in one: the new layout.CR_* bits of the domain, on every vCPU.

    Xen changes the paging mode only for PG, PGE, PSE, SMEP (hvm_set_cr0, hvm_set_cr4); the same bits make a PAE CPU load its
    PDPTEs again (SDM vol. 3, 4.4.1). All else costs a flush.
    """
    changed = s.cr ^ value
    renewed = changed & (x86.CR_PG | x86.CR_PGE | x86.CR_PSE | x86.CR_SMEP)
    if renewed and s.guest_levels == THREE and value & x86.CR_PG:
        for v in range(s.vcpus):
            if not load_pdptes(s, cpus[v], a, s.cr3[v]):
                emit(s, a, ev.GP, cpus[v].id, ZERO, s.cr3[v], NONE, ZERO, ZERO)
                return
    s.cr = value
    for v in range(s.vcpus):
        c = cpus[v]
        if s.road == xen.SHADOW and renewed:
            update_modes(s, c, a)
        else:
            if changed & x86.CR_PG:
                c.levels = s.guest_levels if value & x86.CR_PG else TWO
            flush(s, U(v))
