"""Validation: what has been written to a shadowed page table is propagated into its shadows at once.

Source: Xen mm/shadow/common.c (sh_validate_guest_entry), multi.c (validate_gl1e, validate_gl2e, validate_gl3e, validate_gl4e).
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, THREE, TWO, ZERO, U
from pagingviz.core import logdirty
from pagingviz.core.build.by_address import by_address
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit
from pagingviz.core.shadow.entries import entry_for, set_l1, set_upper
from pagingviz.core.shadow.links import link
from pagingviz.core.shadow.oos import note_snapshot, resync_all
from pagingviz.core.shadow.propagate import propagate_l1, propagate_upper, uses_superpages
from pagingviz.core.shadow.shadows import find, has_shadow, hash_lookup
from pagingviz.core.walk.page_walk import frame, get_entry, guest_frame, reserved

_FOUR, _EIGHT = U(4), U(8)
_LEVELS = (1, 2, 3, 4)


@jit
def _validate_upper(s, c, a, at, gent, level, levels):
    """Propagate an entry of level 2 to 4 with the shadow that its child already has, if any. Returns xen.SET_* bits.

    An entry that leads to no frame of the guest is an error. Source: multi.c: validate_gl2e, validate_gl3e, validate_gl4e.
    """
    child, result = NONE, ZERO
    big = level == TWO and gent & x86.PSE != ZERO
    # A 32-bit guest without CR4.PSE: the processor ignores the bit, guest_l2e_rsvd_bits does not.
    odd = big and not uses_superpages(s, c)
    if gent & x86.P and not odd and reserved(s, gent, level, levels) == ZERO:
        if big:
            child = hash_lookup(s, a, frame(gent), xen.FL1_OF[levels])
        elif guest_frame(s, a, gent) >= s.frames:
            result = xen.SET_ERROR
        else:
            child = find(s, a, a[s.o_p2m + guest_frame(s, a, gent)], xen.TYPE_OF_LEVEL[levels, level - ONE])
            if level > TWO and child != NONE:
                resync_all(s, c, a, False, True, True)
    new = propagate_upper(s, c, gent, child, level)
    if level == TWO:
        return result | link(s, c, a, at, new)
    return result | set_upper(s, c, a, at, new)


@by_address
def validate(s, c, a, gva, gfn, offset, size, cause):
    """Mark a table dirty that has been written, and propagate the written entries into every shadow it has, level 1 first.

    `offset`, `size`: the bytes written, within frame `gfn`; `cause`: who has written them (xen.MK_*); `gva` is only reported.
    It never makes a shadow. Returns xen.SET_* bits. Source: common.c: sh_validate_guest_entry.
    """
    logdirty.mark(s, c, a, gfn, cause)
    result = ZERO
    for levels in (TWO, THREE, _FOUR):
        width = _FOUR if levels == TWO else _EIGHT
        for level in _LEVELS:
            kind = xen.TYPE_OF_LEVEL[levels, level]
            if kind == ZERO or not has_shadow(s, a, gfn, kind):
                continue
            page = find(s, a, a[s.o_p2m + gfn], kind)
            for i in range(offset // width, (offset + size + width - ONE) // width):
                result |= _validate_one(s, c, a, gva, gfn, page, U(i), kind)
    s.tflags[c.id] |= result << xen.SF_SET_CHANGED_SHIFT
    return result


@jit
def _validate_one(s, c, a, gva, gfn, page, i, kind):
    """Propagate guest entry `i` of frame `gfn` into one of its shadows: `page`, of type `kind`. Returns xen.SET_* bits."""
    level, levels = xen.SH_LEVEL[kind], xen.SH_GUEST_LEVELS[kind]
    at = entry_for(s, a, page, i)
    gent = get_entry(s, a, levels, gfn, i)
    if level == ONE:
        s.shadow_validate_gl1e_calls += ONE
        usable = gent & x86.P != ZERO and reserved(s, gent, ONE, levels) == ZERO
        result = set_l1(s, c, a, at, propagate_l1(s, c, a, gent, False) if usable else ZERO)
        note_snapshot(s, a, gfn, i, levels == TWO, gent)
    else:
        if level == TWO:
            s.shadow_validate_gl2e_calls += ONE
        elif level == THREE:
            s.shadow_validate_gl3e_calls += ONE
        else:
            s.shadow_validate_gl4e_calls += ONE
        result = _validate_upper(s, c, a, at, gent, level, levels)
    emit(s, a, ev.VALIDATE, c.id, gva, gfn, page, level, a[at])
    return result
