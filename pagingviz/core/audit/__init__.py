"""The audit: what must hold in a machine between two ticks, checked on its arrays. rules.py names each rule and its source.

An audit changes nothing but the region tmp and the scratch of the walker. Source of the shadow rules: Xen mm/shadow/multi.c
(sh_audit_*), shadow/common.c (sh_hash_audit_bucket), shadow/oos.c (sh_oos_audit, master), and what follows from the order in
which Xen does things.
"""

from pagingviz.arch import xen
from pagingviz.arch.words import ZERO
from pagingviz.core.audit.bits import bitmap
from pagingviz.core.audit.entries import entries, typecounts
from pagingviz.core.audit.guest import shares, tlbs
from pagingviz.core.audit.nested import leaves
from pagingviz.core.audit.pool import hashed, lists, references, slots
from pagingviz.core.audit.sync import out_of_sync
from pagingviz.core.audit.types import types
from pagingviz.core.build.jit import entry
from pagingviz.core.shadow.pool import shadowing


@entry
def audit(r, cpus, a):
    """Check every rule that applies to the road. Returns 0, or the first broken rule with where it is broken (rules.py)."""
    s = r[0]
    bad = shares(s, cpus, a)
    if bad == ZERO:
        bad = tlbs(s, cpus, a)
    if bad == ZERO and s.road != xen.BARE:
        bad = lists(s, a)
    if bad == ZERO and s.road == xen.PV:
        bad = types(s, a)
    if shadowing(s):
        if bad == ZERO:
            bad = hashed(s, a)
        if bad == ZERO:
            bad = slots(s, cpus, a)
        if bad == ZERO:
            bad = references(s, a)
        if bad == ZERO:
            bad = out_of_sync(s, a)
        if bad == ZERO:
            bad = entries(s, a)
        if bad == ZERO:
            bad = typecounts(s, a)
    elif bad == ZERO and s.road == xen.HAP:
        bad = leaves(s, a)
    if bad == ZERO and s.log_dirty != ZERO:
        bad = bitmap(s, a)
    return bad
