"""Sentences: what just happened, in plain words and with the function behind the rule, told from the event record."""

import numpy as np

from pagingviz import layout as L

# Kinds that "next event" offers, with the words of its menu.
EVENT_KINDS = (
    ("GUEST_PF", "guest page fault"), ("SHADOW_FAULT", "shadow page-fault exit"), ("FIXUP", "shadow entry fixed up"),
    ("EMULATE", "emulated table store"), ("EARLY_UNSHADOW", "early unshadow"), ("PROMOTE", "shadow made"),
    ("DEMOTE", "shadow destroyed"), ("PREALLOC_UNPIN", "pool recycled: unpin"), ("PREALLOC_UNHOOK", "pool recycled: unhook"),
    ("WRMAP_BF", "brute-force search"), ("EPT_VIOLATION", "EPT violation"), ("EPT_MISCONFIG", "EPT misconfiguration"),
    ("EPT_SPLIT", "superpage split"), ("MARK_DIRTY", "dirty bit set"), ("CLEAN", "CLEAN"), ("CR3_LOAD", "CR3 load"),
    ("FORK", "fork"), ("EXIT", "exit"), ("COW_BREAK", "copy on write"),
)  # fmt: skip

_ACCESS = ("fetch from", "read of", "store to")
_HOW = {1: "a guess at the direct map", 2: "the L1 shadow of the last hit", 3: "a search of all L1 shadows"}


def _gva(x):
    return f"{int(x):#x}"


def frame_text(x):
    return f"{int(x):#x}" if x != L.NONE else "none"


def _first(events, *kinds):
    """The first event of any of the kinds, in the order asked for, or None."""
    for kind in kinds:
        found = events[events["kind"] == L.EV[kind]]
        if found.size:
            return found[0]
    return None


def _count(events, kind):
    return int(np.count_nonzero(events["kind"] == L.EV[kind]))


def process_name(sim, slot):
    """Name of a process slot."""
    names = [p.name for p in sim.work.processes]
    return names[slot] if 0 <= slot < len(names) else f"process {slot}"


# ---- the sentence


def sentence(sim):
    """(what happened in this tick, where the rule comes from): plain words from the event record."""
    if sim.crashed:
        return ("The domain has crashed: no page could be had for a shadow.", "shadow/common.c: shadow_prealloc")
    if sim.opened:
        return _one_event(sim)
    events = sim.events()
    if not events.size:
        return (sim.scenario.sentence, "") if sim.tick == 0 else ("The guest is idle.", "HLT")
    for tell in (_tell_command, _tell_recycling, _tell_process, _tell_fault, _tell_exit):
        told = tell(sim, events)
        if told:
            return told
    return _tell_access(sim, events)


def _tell_command(sim, events):
    """Operations of the hypervisor outrank whatever the guest did in the same tick."""
    e = _first(events, "CLEAN", "ENABLE", "OFF", "SET_ALLOCATION", "BLOW", "PEEK", "TLB_FLUSH", "IGNORED")
    if e is None:
        return None
    kind, n, hap = L.EVENTS[int(e["kind"])], int(e["detail"]), sim.scenario.road == "hap"
    freed = _first(events, "BLOW")
    freed = int(freed["detail"]) if freed is not None else 0
    if kind == "CLEAN":
        how = "the EPT root is poisoned again" if hap else f"all shadows are blown away ({freed} pages freed)"
        return f"CLEAN: {n} dirty bits are read and cleared, and {how}.", "paging.c: paging_log_dirty_op"
    if kind == "ENABLE":
        how = (
            f"{n} root entry of EPT is poisoned, whatever the size of RAM"
            if hap
            else "all shadows are blown away and CR3 is reloaded"
        )
        return f"Log-dirty on: {how}; nothing can be written unseen.", "paging.c: paging_log_dirty_enable"
    if kind == "OFF":
        return "Log-dirty off: the bitmap's tree goes back to the pool.", "paging.c: paging_log_dirty_disable"
    if kind == "PEEK":
        return f"PEEK: the {n} dirty bits are read; nothing changes.", "paging.c: paging_log_dirty_op"
    if kind == "BLOW":
        return (
            f"All shadows are blown away: {freed} pages freed; loaded roots stay, empty and unpinned.",
            "common.c: shadow_blow_tables",
        )
    if kind == "SET_ALLOCATION":
        return f"The shadow pool is set to {n} pages.", "common.c: shadow_set_allocation"
    if kind == "TLB_FLUSH":
        return "The TLB is flushed.", "flush.c: guest_flush_tlb_mask"
    return f"{L.COMMANDS[n]} is refused here and changes nothing.", "-EINVAL"


def _tell_recycling(sim, events):
    e = _first(events, "PREALLOC_UNHOOK", "PREALLOC_UNPIN")
    if e is None:
        return None
    unhook = e["kind"] == L.EV["PREALLOC_UNHOOK"]
    freed = _count(events, "DEMOTE")
    what = (
        f"the loaded root gfn {frame_text(e['gfn'])} is unhooked"
        if unhook
        else f"root gfn {frame_text(e['gfn'])}, loaded longest ago, is unpinned"
    )
    return f"The pool is too full: {what}; {freed} shadows die.", "common.c: _shadow_prealloc"


def _tell_process(sim, events):
    e = _first(events, "FORK")
    if e is not None:
        stores = _count(events, "PTE_STORE")
        return (
            f"fork: the child gets its own tables by {stores} table stores; writable pages become copy-on-write.",
            "guest kernel: copy_page_range",
        )
    e = _first(events, "EXIT")
    if e is not None:
        early = _count(events, "EARLY_UNSHADOW")
        tail = f"; {early} of its tables are unshadowed at their second zero store" if early else ""
        return (
            f"{process_name(sim, int(e['detail']))} exits: its entries are zeroed and its frames freed{tail}.",
            "guest kernel: zap_pte_range",
        )
    e = _first(events, "COW_BREAK")
    if e is not None:
        copied = int(e["detail"]) != int(e["gfn"])
        how = f"gets its own copy, gfn {frame_text(e['detail'])}" if copied else "is the last user and may write again"
        return f"Store to a copy-on-write page: the process {how}.", "guest kernel: do_wp_page"
    return None


def _tell_fault(sim, events):
    e = _first(events, "GUEST_PF")
    if e is None:
        return None
    who = process_name(sim, int(sim.machine.sys[0].cur))
    frame = events[(events["kind"] == L.EV["FRAME_ALLOC"]) & (events["detail"] == 0)]
    made = int(np.count_nonzero((events["kind"] == L.EV["FRAME_ALLOC"]) & (events["detail"] == 1)))
    text = (
        f"{who} touches page {_gva(e['gva'])} for the first time: #PF, its kernel maps gfn {frame_text(frame[0]['gfn'])}"
        if frame.size
        else f"{who}: #PF at {_gva(e['gva'])}"
    )
    if made:
        text += f" and makes {made} page table{'s' if made > 1 else ''}"
    emulated = _count(events, "EMULATE")
    if emulated:
        text += f"; {emulated} table store{'s are' if emulated > 1 else ' is'} emulated"
    source = {"shadow": "shadow/multi.c: sh_page_fault", "hap": "SDM 4.7: page-fault exceptions"}
    return text + ".", source.get(sim.scenario.road, "SDM 4.7: page-fault exceptions")


def _tell_exit(sim, events):
    """The exits that the hypervisor handles behind the guest's back."""
    access = _first(events, "ACCESS")
    what = f"{_ACCESS[int(access['detail']) & 3].capitalize()} {_gva(access['gva'])}" if access is not None else "The access"
    e = _first(events, "EMULATE")
    if e is not None:
        return (
            f"The guest's store to its page table gfn {frame_text(e['gfn'])} is trapped and emulated.",
            "shadow/hvm.c: hvm_emulate_write",
        )
    e = _first(events, "FIXUP")
    if e is not None:
        made = _count(events, "PROMOTE")
        dirty = _first(events, "MARK_DIRTY")
        tail = f"; {made} shadow table{'s' if made > 1 else ''} made first" if made else ""
        if dirty is not None and dirty["gfn"] == e["gfn"]:
            tail += "; its dirty bit is set"
        right = "writable" if int(e["detail"]) & 2 else "read-only"
        return (
            f"{what} exits: the shadow entry of gfn {frame_text(e['gfn'])} is filled in, {right}{tail}.",
            "shadow/multi.c: sh_page_fault",
        )
    e = _first(events, "EPT_VIOLATION")
    if e is not None:
        split = "; the 2 MiB leaf is split" if _count(events, "EPT_SPLIT") else ""
        n = _count(events, "EPT_VIOLATION")
        more = f" (and {n - 1} page-table frame{'s' if n > 2 else ''} for the A/D bits)" if n > 1 else ""
        return (
            f"{what} hits a read-only EPT leaf: exit, bit {int(e['gfn'])} is set, the leaf is writable again{split}{more}.",
            "hvm.c: hvm_hap_nested_page_fault",
        )
    e = _first(events, "EPT_MISCONFIG")
    if e is not None:
        return (
            f"{what} meets a poisoned EPT entry: the mark is pushed down, {int(e['detail'])} entries recomputed.",
            "p2m-ept.c: resolve_misconfig",
        )
    e = _first(events, "WRMAP")
    if e is not None:
        return (
            f"Table gfn {frame_text(e['gfn'])} loses its writable mapping, found by {_HOW[int(e['detail'])]}.",
            "common.c: sh_remove_write_access",
        )
    return None


def _tell_access(sim, events):
    cr3 = _first(events, "CR3_LOAD")
    access = _first(events, "ACCESS")
    who = process_name(sim, int(sim.machine.sys[0].cur))
    if cr3 is not None:
        how = "an exit: its root is pinned at the head of the list" if sim.scenario.road == "shadow" else "no exit"
        source = "shadow/multi.c: sh_update_cr3" if sim.scenario.road == "shadow" else "SDM 4.10.4"
        return f"The guest switches to {who}: CR3 = gfn {frame_text(cr3['gfn'])}, {how}.", source
    if access is None:
        return "The guest does nothing visible.", ""
    how = "the hardware walks the tables" if _first(events, "TLB_MISS") is not None else "the TLB knows it"
    return f"{who}: {_ACCESS[int(access['detail']) & 3]} {_gva(access['gva'])}; {how}, no exit.", "SDM 4.10: TLB"


_TOLD = {
    "ACCESS": "the guest's access",
    "TLB_MISS": "the TLB has no translation for it",
    "GUEST_WALK": "the hypervisor walks the guest's tables",
    "AD_UPDATE": "accessed/dirty bits are set in table gfn {gfn}, level {level}",
    "PREFETCH": "{detail} neighbouring entries are shadowed ahead",
    "GUEST_PF": "page fault delivered to the guest, error code {detail:#x}",
    "PTE_STORE": "the kernel stores entry {level} of table gfn {gfn}",
    "CR3_LOAD": "CR3 = gfn {gfn}",
    "INVLPG": "INVLPG",
    "FORK": "fork",
    "EXIT": "exit",
    "FRAME_ALLOC": "the guest kernel takes frame gfn {gfn}",
    "FRAME_FREE": "the guest kernel frees frame gfn {gfn}",
    "COW_BREAK": "copy-on-write page gfn {gfn} is given its own copy",
    "SHADOW_FAULT": "page fault exits to the hypervisor",
    "FIXUP": "shadow entry written for gfn {gfn}",
    "NOT_SHADOW": "a real guest fault: not the shadow's business",
    "EMULATE": "store to table gfn {gfn}, entry {level}, emulated",
    "EMULATE_UNSHADOW_USER": "a user store to table gfn {gfn}: it is no table any more",
    "EARLY_UNSHADOW": "second zero store in a row: table gfn {gfn} is unshadowed early",
    "UNSHADOW": "all shadows of gfn {gfn} are removed",
    "PROMOTE": "guest table gfn {gfn} gets a level-{level} shadow, page {mfn}",
    "DEMOTE": "the level-{level} shadow of gfn {gfn}, page {mfn}, is destroyed",
    "WRMAP": "write access to table gfn {gfn} is removed",
    "WRMAP_BF": "all L1 shadows are searched for writers of gfn {gfn}",
    "PREALLOC_UNPIN": "root gfn {gfn} is unpinned to free pages",
    "PREALLOC_UNHOOK": "loaded root gfn {gfn} is unhooked to free pages",
    "VALIDATE": "the shadow of table gfn {gfn} follows the store",
    "DOMF_DYING": "the domain crashes",
    "EPT_MISCONFIG": "EPT misconfiguration at gfn {gfn}: {detail} entries recomputed",
    "EPT_VIOLATION": "EPT violation: store to gfn {gfn}",
    "EPT_SPLIT": "the 2 MiB leaf at gfn {gfn} is split",
    "MARK_DIRTY": "the dirty bit of gfn {gfn} is set",
    "TREE_ALLOC": "the bitmap's tree grows by a level-{level} page",
    "ENABLE": "log-dirty on",
    "PEEK": "PEEK",
    "CLEAN": "CLEAN",
    "OFF": "log-dirty off",
    "BLOW": "shadow_blow_tables",
    "SET_ALLOCATION": "the pool is set to {detail} pages",
    "TLB_FLUSH": "TLB flush",
    "IGNORED": "refused: nothing changes",
}


def event_text(e):
    """One event in words."""
    kind = L.EVENTS[int(e["kind"])]
    return _TOLD[kind].format(
        gfn=frame_text(e["gfn"]), mfn=frame_text(e["mfn"]), level=int(e["level"]), detail=int(e["detail"])
    )


def _one_event(sim):
    """The sentence of an open tick: its k-th event."""
    k, n = sim.opened
    events = sim.events()
    e = events[min(k, events.size) - 1]
    at = f" at {_gva(e['gva'])}" if e["gva"] else ""
    return f"Event {k} of {n}: {event_text(e)}{at}.", f"event {L.EVENTS[int(e['kind'])]}"
