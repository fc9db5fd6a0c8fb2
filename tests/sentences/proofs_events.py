"""What makes the words of each kind of event true: what is compared, and the comparison with the event's own fields."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.state import PV_COUNTERS
from pagingviz.arch.words import NONE
from pagingviz.reading import shadows
from tests.sentences.proofs_commands import no_smaller


def moved(*counters):
    """As many events of the kind as these counters have moved together."""
    return lambda m, e: sum(m.d(name) for name in counters) == int(np.count_nonzero(m.events["kind"] == e["kind"]))


def at_least(*counters):
    """These counters have moved together by at least as many as there are events of the kind."""
    return lambda m, e: sum(m.d(name) for name in counters) >= int(np.count_nonzero(m.events["kind"] == e["kind"]))


def oos(m, e):
    """The table is out of sync, unless it came back in the same tick."""
    return bool(m.info(e["gfn"]) & xen.OOS) or m.n("RESYNC_FULL", "DEMOTE", "BLOW") > 0


def stored(m, e):
    """The entry has the value, unless it was stored to again in the tick."""
    words = m.m.view("tables").reshape(-1, 512)[int(e["gfn"])]
    value = (
        int(words[int(e["level"])]) if m.s.guest_levels > 2 else int(words[int(e["level"]) >> 1]) >> 32 * (int(e["level"]) & 1)
    )
    same = [row for row in m.of("PTE_STORE") if (row["gfn"], row["level"]) == (e["gfn"], e["level"])]
    adjusted = x86.G | x86.US if m.road().paravirtual else 0  # Xen sets them in what it stores for a PV guest
    keep = ~int(x86.A | x86.D | adjusted)
    return value & keep & 0xFFFFFFFF == int(same[-1]["detail"]) & keep & 0xFFFFFFFF


def pool_page(m, e):
    """The page is what the tick's last event about it says: head of a shadow of that type, or of none any more.

    A page that was freed may have been taken again: as a further page of a shadow, or for the bitmap's tree.
    """
    page, kinds = int(e["mfn"]), m.m.view("ptype")
    of_page = m.events[(m.events["mfn"] == e["mfn"]) & np.isin(m.events["kind"], (ev.PROMOTE, ev.DEMOTE))]
    if of_page[-1]["kind"] == ev.PROMOTE:
        return int(kinds[page]) == int(of_page[-1]["detail"])
    head = int(shadows.head_pages(m.m, page + 1)[page])
    taken = head != page and head in m.of("PROMOTE")["mfn"] or page in m.of("TREE_ALLOC")["mfn"]
    return bool(taken) or int(kinds[page]) in (xen.SH_FREE, xen.SH_OUT)


def sized(m, e):
    """The pool has the size that was asked for last in the tick. Or one that the rules of its road force upon it."""
    asked, size = int(m.of("SET_ALLOCATION")[-1]["detail"]), shadows.pool_size(m.m)
    if size > asked:
        return m.s.free_pages == 0 if m.road().nested else no_smaller(m)
    return size == asked or size == m.s.pool_cap


def loaded(m, e):
    """The root of the event is the vCPU's, unless another one was loaded in the tick."""
    later = [row for row in m.of("CR3_LOAD") if row["vcpu"] == e["vcpu"]]
    roots = {int(m.s[name][int(e["vcpu"])]) for name in ("cr3", "kroot", "uroot")}
    return int(later[-1]["gfn"]) in roots


def in_slot(m, e):
    """The slot of the vCPU's log has the frame, unless the log was emptied and has new entries."""
    page = int(m.s.pml_page[int(e["vcpu"])])
    entry = int(m.m.view("pool").reshape(-1, 512)[page][int(e["detail"])])
    return entry >> 12 == int(e["gfn"]) or m.n("PML_FULL", "PML_FLUSH") > 0


PROOFS = {  # kind: (what is compared, comparison of the moment and the event)
    "ACCESS": ("`fetches`, `reads`, `writes`", moved("fetches", "reads", "writes")),
    "TLB_MISS": ("`tlb_miss`", moved("tlb_miss")),
    "GUEST_WALK": ("`guest_walk`", at_least("guest_walk")),
    "AD_UPDATE": ("`ad_updates`", moved("ad_updates")),
    "PREFETCH": (
        "`prefetched`, the sum of what the events say",
        lambda m, e: int(m.of("PREFETCH")["detail"].sum()) == m.d("prefetched"),
    ),
    "GUEST_PF": ("`guest_faults`", moved("guest_faults")),
    "PTE_STORE": ("`pte_stores`, and the entry's value now", lambda m, e: moved("pte_stores")(m, e) and stored(m, e)),
    "CR3_LOAD": (
        "`cr3_loads`, and the root of the vCPU, unless it has loaded another since",
        lambda m, e: moved("cr3_loads")(m, e) and loaded(m, e),
    ),
    "INVLPG": ("`invlpg`", moved("invlpg")),
    "FORK": ("`forks`", moved("forks")),
    "EXIT": ("`exits`", moved("exits")),
    "FRAME_ALLOC": ("`frames_allocated`", moved("frames_allocated")),
    "FRAME_FREE": ("`frames_freed`", moved("frames_freed")),
    "COW_BREAK": ("`cow_breaks`", moved("cow_breaks")),
    "SHADOW_FAULT": (
        "`shadow_fault` and `exits_page_fault`",
        lambda m, e: moved("shadow_fault")(m, e) and moved("exits_page_fault")(m, e),
    ),
    "FIXUP": ("`shadow_fault_fixed`", moved("shadow_fault_fixed")),
    "NOT_SHADOW": (
        "`shadow_fault_bail_real_fault` and `shadow_fault_bail_bad_gfn`",
        moved("shadow_fault_bail_real_fault", "shadow_fault_bail_bad_gfn"),
    ),
    "EMULATE": (
        "`shadow_fault_emulate_write`, `_wp` and `_fast_emulate`",
        at_least("shadow_fault_emulate_write", "shadow_fault_emulate_wp", "shadow_fault_fast_emulate"),
    ),
    "EMULATE_UNSHADOW_USER": (
        "`shadow_fault_emulate_failed`, and that the frame has no shadow",
        lambda m, e: not m.info(e["gfn"]) & xen.SHADOW_FLAGS,
    ),
    "EMULATE_UNSHADOW_EVTINJ": ("that the frame has no shadow", lambda m, e: not m.info(e["gfn"]) & xen.SHADOW_FLAGS),
    "EMULATE_UNSHADOW_UNHANDLED": (
        "`shadow_fault_emulate_failed`, and that the frame has no shadow",
        lambda m, e: not m.info(e["gfn"]) & xen.SHADOW_FLAGS,
    ),
    "EARLY_UNSHADOW": ("`shadow_early_unshadow`", moved("shadow_early_unshadow")),
    "UNSHADOW": ("`shadow_unshadow`", at_least("shadow_unshadow")),
    "PROMOTE": (
        "`shadow_hash_inserts`, and the page's type, unless the shadow was destroyed later in the tick",
        lambda m, e: moved("shadow_hash_inserts")(m, e) and pool_page(m, e),
    ),
    "DEMOTE": (
        "`shadow_hash_deletes`, and the page is free or has left the pool, unless it was taken again in the tick",
        lambda m, e: moved("shadow_hash_deletes")(m, e) and pool_page(m, e),
    ),
    "WRMAP": (
        "the frame is not mapped writable, unless it became so again",
        lambda m, e: (
            m.road().paravirtual
            or int(shadows.frame_rights(m.m)[int(e["gfn"])]) != shadows.WRITABLE
            or m.n("FIXUP", "UNSHADOW", "EARLY_UNSHADOW", "DEMOTE") > 0
        ),
    ),
    "WRMAP_BF": ("`shadow_writeable_bf`", at_least("shadow_writeable_bf")),
    "PREALLOC_UNPIN": ("`shadow_prealloc_1`", lambda m, e: m.d("shadow_prealloc_1") + m.d("shadow_prealloc_2") >= 1),
    "PREALLOC_UNHOOK": ("`unhooks`", moved("unhooks")),
    "VALIDATE": (
        "a calls counter of validation",
        lambda m, e: sum(m.d(f"shadow_validate_gl{n}e_calls") for n in (1, 2, 3, 4)) >= 1,
    ),
    "DOMF_DYING": ("the domain's state is `crashed`", lambda m, e: m.s.crashed in (1, xen.NOT_SHATTERED)),
    "UNSYNC": ("`shadow_unsync`, and the table's mark", lambda m, e: moved("shadow_unsync")(m, e) and oos(m, e)),
    "RESYNC_FULL": ("`shadow_resync`", moved("shadow_resync")),
    "RESYNC_ONLY": ("the table is still out of sync", lambda m, e: bool(m.info(e["gfn"]) & xen.OOS)),
    "GP": ("no access was made through the TLB", lambda m, e: m.d("guest_faults") == 0),
    "MMU_UPDATE": ("`num_page_updates` and `calls_to_update_va`", at_least("num_page_updates", "calls_to_update_va")),
    "PTWR": ("`ptwr_emulations`", moved("ptwr_emulations")),
    "PIN": (
        "the mark of a pin, as the event says",
        lambda m, e: bool(m.info(e["gfn"]) & xen.PGT_PINNED) == bool(e["detail"]) or m.d("exits") > 0,
    ),
    "REFUSED": ("`refused`", moved("refused")),
    "GRANT_UNMAP": ("the mark of the grant is gone", lambda m, e: not m.info(e["gfn"]) & xen.GRANTED),
    "EPT_MISCONFIG": ("`ept_misconfig`", moved("ept_misconfig")),
    "EPT_VIOLATION": (
        "`ept_violation`, and of a store the frame's bit while log-dirty is on",
        lambda m, e: (
            moved("ept_violation")(m, e)
            and (
                bool(e["level"] & x86.EPT_X) or m.bit(e["gfn"]) == bool(m.s.log_dirty) or m.s.failed_allocs > 0 or m.n("CLEAN")
            )
        ),
    ),
    "NPF_RECALC": ("`npf_recalc`", moved("npf_recalc")),
    "HVM_NPF": (
        "`npf_write`, and the frame's bit",
        lambda m, e: moved("npf_write")(m, e) and (m.bit(e["gfn"]) or m.s.failed_allocs > 0 or m.n("CLEAN", "OFF")),
    ),
    "P2M_SPLIT": (
        "`p2m_split`, and that the leaf of the frame is smaller",
        lambda m, e: m.d("p2m_split") == m.n("P2M_SPLIT", "P2M_SHATTER") and m.leaf(e["gfn"]).level < int(e["level"]),
    ),
    "P2M_SHATTER": (
        "`p2m_shatter`, and that the frame has a leaf of 4 KiB that may be executed",
        lambda m, e: moved("p2m_shatter")(m, e) and (step := m.leaf(e["gfn"])).level == 1 and bool(step.entry & x86.EPT_X),
    ),
    "PML_LOG": (
        "`pml_logged`, and the address in that slot of the log",
        lambda m, e: moved("pml_logged")(m, e) and in_slot(m, e),
    ),
    "INVEPT": (
        "`invept`, and that no translation of before counts any more",
        lambda m, e: moved("invept")(m, e) and m.d("flush_epoch") >= 1,
    ),
    "PML_FULL": ("`pml_full`, 512 at a time", lambda m, e: moved("pml_full")(m, e) and e["detail"] == 512),
    "PML_FLUSH": (
        "what waited in the logs, and that nothing does",
        lambda m, e: int(m.of("PML_FLUSH")["detail"].sum()) == m.waiting() + m.d("pml_logged") - 512 * m.d("pml_full"),
    ),
    "MARK_DIRTY": ("`pages_marked`", moved("pages_marked")),
    "TREE_ALLOC": ("the tree has a root", lambda m, e: m.s.tree_root != NONE),
    "ENABLE": ("`enables`, and that log-dirty is on", lambda m, e: moved("enables")(m, e) and m.s.log_dirty == 1),
    "PEEK": ("`peeks`", moved("peeks")),
    "CLEAN": ("`cleans`, and that no bit is left", lambda m, e: moved("cleans")(m, e) and m.s.dirty_count == 0),
    "OFF": ("`offs`, and that log-dirty is off", lambda m, e: moved("offs")(m, e) and m.s.log_dirty == 0),
    "BLOW": ("`blows`", moved("blows")),
    "SET_ALLOCATION": (
        "the size of the pool: what was asked for, or the least that Xen keeps, or what is in use, or all that there is",
        sized,
    ),
    "TLB_FLUSH": ("`tlb_flush`", at_least("tlb_flush")),
    "IGNORED": ("`ignored`", moved("ignored")),
    "NO_MEMORY": ("`no_memory`", moved("no_memory")),
    "REVOKE": ("no frame is mapped writable", lambda m, e: not (shadows.frame_rights(m.m) == shadows.WRITABLE).any()),
    "MODIFIED_MEMORY": ("`device_writes`", lambda m, e: int(m.of("MODIFIED_MEMORY")["detail"].sum()) == m.d("device_writes")),
    "ROUND": (
        "the number and the pages of the migration's last round",
        lambda m, e: any(r.number == int(e["level"]) and r.planned == int(e["detail"]) for r in m.sim.migration.state.rounds),
    ),
    "SUSPEND": ("the migration says that the guest stands", lambda m, e: m.sim.migration.paused or m.n("RESUME") > 0),
    "RESUME": ("the migration says that the guest goes on", lambda m, e: not m.sim.migration.paused),
}

MARKED_BY = {  # who set a bit: (what is compared, comparison)
    "a store of the guest": (
        "an exit of the tick that is for a store, or a shadow entry that was filled in",
        lambda m, e: m.d("writes") + m.d("pte_stores") + m.d("frames_allocated") + m.n("COW_BREAK", "FORK", "EXIT") >= 1,
    ),
    "accessed/dirty bits of the table in it": (
        "the frame holds a table of the guest, or was freed in the tick",
        lambda m, e: e["gfn"] in m.m.live_tables() or e["gfn"] in m.of("FRAME_FREE")["gfn"],
    ),
    "an emulated store": ("an emulated store in the tick", lambda m, e: m.n("EMULATE") >= 1),
    "the hypervisor's own write": (
        "a hypercall, a store that was emulated, or the end of a grant in the tick, or no store of the guest in it at all",
        lambda m, e: m.d("writes") == 0 or m.n("GRANT_UNMAP") + sum(m.d(name) for name in PV_COUNTERS) > 0,
    ),
    "the processor's log": ("a log was emptied in the tick", lambda m, e: m.n("PML_FULL", "PML_FLUSH") >= 1),
    "the device model": ("`device_writes`", lambda m, e: m.d("device_writes") >= 1),
}
NO_EVENT = {  # kinds of which no event is shown: why
    "NONE": "the value of no event",
    "REFERENCE": "an event of walks on a copy: the page Translation draws them, and tests/reading/test_translate.py holds them",
}
