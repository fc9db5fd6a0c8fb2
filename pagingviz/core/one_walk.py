"""One walk by the processor, and no more: an access resolved on a copy of the machine, each entry that it reads an event.

It is put together from the walks that `access` makes; only where those would go on, after an exit, this ends.
"""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ZERO
from pagingviz.core.access import walk_both, walk_shadow, walk_tables
from pagingviz.core.build.jit import entry, jit
from pagingviz.core.frames import mfn_of
from pagingviz.core.pv.roots import root_of
from pagingviz.core.shadow.pool import shadowing
from pagingviz.core.shadow.shadows import find
from pagingviz.core.walk.caches import mark_served
from pagingviz.core.walk.page_walk import FOUR, canonical, frame, walk


@jit
def _enter(s, c, a, user):
    """A PV guest's CR3 is that of the mode of the access. Where its root has no shadow now, none is made."""
    root = root_of(s, c, user)
    if s.cr3[c.id] != root:
        s.cr3[c.id] = root
        s.root[c.id * FOUR] = find(s, a, a[s.o_p2m + root], xen.SH_L4)


@entry
def one_walk(r, cpus, a, vcpu, gva, kind, user):
    """The walk of an access of `kind` at byte address `gva` by CPL 3 (user=1) or 0, as if no TLB knew it, up to its first end.

    The state must be a copy: the walk sets A and D, fills logs, teaches caches. Returns ZERO with the frames in c.w_leaf and
    c.n_frame and the TLB's rights in c.tlb_rights; FAULT | #PF error code; GP; or VM_EXIT: with c.x_* under HAP, else with
    c.hw_err, and then c.w_err, c.w_leaf and c.w_size are what the guest's own tables say (Xen reads them next).
    """
    s, c = r[0], cpus[vcpu]
    s.verbose = ev.EVERY_REFERENCE
    s.table_plain = NONE  # no nested table is of the usual kind, which is read by a short cut
    first = s.ev_n
    if not canonical(gva):
        return x86.GP
    _enter(s, c, a, user)
    if shadowing(s):
        code = x86.VM_EXIT
        if walk_shadow(s, c, a, gva, kind, user):
            code, c.n_frame = ZERO, frame(a[c.w_tab[0]])
    elif s.road == xen.HAP:
        code = walk_both(s, c, a, gva, kind, user)
    else:
        code = walk_tables(s, c, a, gva, kind, user)
        c.n_frame = mfn_of(s, a, c.w_leaf) if c.w_leaf < s.frames else c.w_leaf
    mark_served(s, c, a, gva, first)
    if shadowing(s) and code != ZERO:
        c.w_err = walk(s, c, a, gva, kind, user)
    return code
