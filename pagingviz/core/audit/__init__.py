"""The invariants of a quiet machine, checked on the arrays. In brackets: the manual's rules S, and H where written.

`audit` returns 0, or code | where << 8 for the first broken rule; RULES gives the words. It changes nothing but the region tmp
and the scratch of the walker. Source of the shadow rules: Xen mm/shadow/multi.c (sh_audit_*), common.c (sh_hash_audit_bucket),
oos.c (sh_oos_audit), and what follows from the order of their steps.
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

RULES = (
    "",
    "the free list does not hold exactly the free pages",
    "free pages, shadows, monitor tables and snapshots do not add up to total_pages",
    "a shadow is missing from its hash chain, or stands in a wrong one",
    "a frame's shadow flag and the hash disagree",
    "a reference count is not parents + loaded slots + pin",
    "a pinned page may not be pinned, or the pinned list is broken",
    "a shadow entry is present although the guest's entry is not",
    "a shadow entry gives other rights than the guest's entry",
    "a shadow entry points to the wrong frame or shadow",
    "a frame's writable typecount is not the number of its writable shadow mappings",
    "a shadowed page table is mapped writable",
    "log-dirty is on and a frame is mapped writable with its bit clear",
    "dirty_count is not the number of bits set",
    "a frame was stored to since the last CLEAN and its bit is clear: a lost write",
    "the TLB holds a translation that the guest's tables do not give",
    "the TLB lets a store through that must be trapped",
    "an EPT leaf maps the wrong machine frame",
    "an EPT leaf of type ram_logdirty is writable",
    "a page's share count is not the number of page-table entries that map it",
    "a shadow entry is present although the guest's entry has not been accessed",
    "a leaf of the shadow is writable while the guest's D bit is clear",
    "a shadow entry has the superpage bit or the global bit",
    "an entry in the shadow of a superpage has flags that no superpage can give",
    "a shadow entry above level 1 has its A or D bit clear",
    "a guest entry is not present and its shadow entry is not empty",
    "an out-of-sync frame is not one L1 with one shadow in one place of one vCPU's table",
    "an out-of-sync frame has a writable mapping that is not remembered",
    "a frame is out of sync although that is switched off",
    "an entry in the shadow of an out-of-sync table is not what the snapshot gives",
    "a shadow does not have the pages that its type costs",
    "a vCPU's slot does not hold the live shadow of what its CR3 names",
    "a PV guest's frame has a type count that is not the number of its uses",
    "a PV guest's frame is used as something else than its type says",
)


@entry
def audit(r, cpus, a):
    """Check every rule that applies to the road. Returns 0 or code | where << 8 (where: a page, a frame or a vpn)."""
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
