"""A raw guest: its tables are given entry by entry, and a program of single operations runs on them (work/raw_guest.py).

Row n of the program is tick n + 1. It has three words in the region `prog`: code | vcpu << 8 | user << 16 | size << 24 with a
code of operation.RAW_*, an address in bytes, and a value.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import operation, x86, xen
from pagingviz.arch.splitmix import GOLDEN
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.access import access_by_address, invlpg, load_cr3
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.pv.roots import flush_local, pin, unpin
from pagingviz.core.pv.updates import mmu_update, update_va_mapping
from pagingviz.core.shadow.emulate import hypervisor_write, pagetable_dying
from pagingviz.core.shadow.toplevel import update_modes
from pagingviz.core.walk.pdptes import load_pdptes
from pagingviz.core.walk.tlb import flush

_BYTE, _INDEX = U(255), U(511)


@by_address
def raw_operation(s, cpus, a, row):
    """Carry out row `row` of the program; after the last row nothing is done.

    A row that the emulator has carried out already, together with an earlier store, has no effect (s.skip_rows of them follow).
    """
    if row >= s.rows:
        return
    if s.skip_rows != ZERO:
        s.skip_rows -= ONE
        return
    s.row = row
    first = s.o_prog + row * THREE
    head, va, value = a[first], a[first + ONE], a[first + TWO]
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
        if s.pv != ZERO:  # Xen writes through the loaded tables, and its faults are handled like the guest's
            access_by_address(s, c, a, va, x86.WRITE, ZERO, ZERO, ZERO)
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
    """Carry out a row that only a PV guest can have.

    The size of a RAW_UPDATE_VA is 1 when it asks for an INVLPG too (UVMF_INVLPG).
    """
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
    """Fetch, load, store data or store to a table. A fault that the guest would handle is reported, and the access given up."""
    kind = x86.FETCH if code == operation.RAW_FETCH else (x86.READ if code == operation.RAW_READ else x86.WRITE)
    if kind == x86.FETCH:
        s.fetches += ONE
    elif kind == x86.READ:
        s.reads += ONE
    else:
        s.writes += ONE
    emit(s, a, ev.ACCESS, c.id, va, NONE, NONE, ZERO, kind)
    result = access_by_address(s, c, a, va, kind, user, size if code == operation.RAW_STORE else ZERO, value)
    if result & x86.FAULT:
        s.guest_faults += ONE
        s.fault_hash = (s.fault_hash ^ (va | (result & U(0xFFF)))) * GOLDEN + ONE
        emit(s, a, ev.GUEST_PF, c.id, va, NONE, NONE, ZERO, result & ~x86.FAULT)
    elif result & x86.GP:
        emit(s, a, ev.GP, c.id, va, NONE, NONE, ZERO, ZERO)


@jit
def _set_cr(s, cpus, a, value):
    """Change CR0, CR4 and EFER at once, on every vCPU: `value` are the bits x86.CR_* of the domain.

    Xen changes the paging mode only for PG, PGE, PSE and SMEP (hvm.c: hvm_set_cr0, hvm_set_cr4). The same bits make a processor
    in PAE mode load its PDPTEs again (SDM vol. 3, 4.4.1). Any other bit costs a TLB flush.
    """
    changed = s.cr ^ value
    renewed = changed & (x86.CR_PG | x86.CR_PGE | x86.CR_PSE | x86.CR_SMEP)
    if renewed and s.guest_levels == THREE and value & x86.CR_PG:
        for vcpu in range(s.vcpus):
            if not load_pdptes(s, cpus[vcpu], a, s.cr3[vcpu]):
                emit(s, a, ev.GP, cpus[vcpu].id, ZERO, s.cr3[vcpu], NONE, ZERO, ZERO)
                return
    s.cr = value
    for vcpu in range(s.vcpus):
        c = cpus[vcpu]
        if s.road == xen.SHADOW and renewed:
            update_modes(s, c, a)
        else:
            if changed & x86.CR_PG:
                c.levels = s.guest_levels if value & x86.CR_PG else TWO
            flush(s, U(vcpu))
