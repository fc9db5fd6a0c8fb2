"""Sentences: what just happened, in plain words and with the function behind the rule, read from the event record."""

from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.core.guest import BUG
from pagingviz.reading import shadows
from pagingviz.scenario.roads import road_of
from pagingviz.story import hypercalls, migration, nested_exits
from pagingviz.story.events import TYPES, Sentence, count_of, event_text, first_of, frame_text, path_flags
from pagingviz.timeline.simulation import Simulation

_ACCESS = ("fetch from", "read of", "store to")
_HOW = {1: "a guess at the direct map", 2: "the L1 shadow of the last hit", 3: "a search of all L1 shadows"}


def _gva(x: Any) -> str:
    return f"{int(x):#x}"


def process_name(sim: Simulation, slot: int) -> str:
    """Name of a process slot."""
    names = [p.name for p in sim.work.processes]
    if not names:
        return "guest"
    return names[slot] if 0 <= slot < len(names) else f"process {slot}"


def running(sim: Simulation, vcpu: int) -> str:
    """Name of the process on a vCPU; idle if it has none."""
    if sim.work.processes and not sim.work.busy(int(vcpu)):
        return "idle"
    return process_name(sim, int(sim.machine.sys[0].cur[int(vcpu)]))


def who_runs(sim: Simulation, vcpu: int) -> str:
    """As `running`, with the vCPU where there are more than one."""
    who = running(sim, vcpu)
    return f"{who} on vCPU {int(vcpu)}" if sim.scenario.vcpus > 1 else who


# ---- the sentence


def sentence(sim: Simulation) -> tuple[str, str]:
    """(what happened in this tick, where the rule comes from): plain words from the event record."""
    if sim.crashed in nested_exits.ENDS and not count_of(sim.events(), "NO_MEMORY"):
        return nested_exits.ENDS[sim.crashed]
    if sim.crashed == BUG:
        text = "The guest's kernel has stopped: it is out of frames, or a page fault makes no sense to it."
        return text, ""
    if sim.crashed and sim.crashed != xen.HUNG:
        return ("The domain has crashed: no page could be had for a shadow.", "shadow/common.c: shadow_prealloc")
    if sim.opened:
        return _one_event(sim)
    events = sim.events()
    found = migration.turn(sim, events)
    if found:
        return found
    if not events.size:
        return (sim.scenario.sentence, "") if sim.tick == 0 else ("The guest is idle.", "HLT")
    for tell in (_tell_command, _tell_recycling, _tell_process, nested_exits.shatter, _tell_fault, _tell_exit):
        found = tell(sim, events)
        if found:
            return found
    return _tell_access(sim, events)


def _tell_command(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """Operations of the hypervisor outrank whatever the guest did in the same tick."""
    e = first_of(events, "NO_MEMORY")
    if e is not None:
        what = {"peek": "PEEK", "clean": "CLEAN"}[xen.COMMANDS[int(e["detail"])]]
        text = f"{what} fails (-ENOMEM): for some bit no page of the tree could be had, so it is lost, and Xen says so."
        return text, "paging.c: paging_log_dirty_op"
    e = first_of(events, "CLEAN", "ENABLE", "OFF", "SET_ALLOCATION", "BLOW", "PEEK", "MODIFIED_MEMORY", "TLB_FLUSH", "IGNORED")
    if e is None:
        return None
    kind, n = ev.NAMES[int(e["kind"])], int(e["detail"])
    hap = sim.scenario.hap.upper() if road_of(sim.scenario).nested else ""
    freed = first_of(events, "BLOW")
    freed = int(freed["detail"]) if freed is not None else 0
    if kind == "CLEAN":
        return _tell_clean(events, e, hap, freed)
    if kind in ("OFF", "PEEK") and e["level"]:
        left = f"; dirty_count, {n}, is left over" if n else ""
        return f"{kind} with log-dirty off: nothing changes{left}.", "paging.c: paging_domctl"
    if kind in ("ENABLE", "OFF") and road_of(sim.scenario).paravirtual:
        return _shadows_lent(sim, kind == "ENABLE")
    if kind == "ENABLE":
        how = "all shadows are blown away and CR3 is reloaded"
        if hap:
            how = f"{n} root entry of {hap} is poisoned, whatever the size of RAM"
        if hap and n > 1:
            how = f"{n} root entries of {hap} are poisoned, one for each 512 GiB"
        log = nested_exits.log_at_enable(sim, bool(e["level"]))
        return f"Log-dirty on: {how}{log}; nothing can be written unseen.", "paging.c: paging_log_dirty_enable"
    if kind == "OFF":
        return "Log-dirty off: the bitmap's tree goes back to the pool.", "paging.c: paging_log_dirty_disable"
    if kind == "PEEK":
        return f"PEEK: {_logged(events)}{n} dirty bits are read; none is cleared.", "paging.c: paging_log_dirty_op"
    if kind == "BLOW":
        return (
            f"All shadows are blown away: {freed} pages freed; loaded roots stay, empty and unpinned.",
            "common.c: shadow_blow_tables",
        )
    if kind == "MODIFIED_MEMORY":
        m = sim.machine
        seen = "their bits are set" if m.sys[0].log_dirty else "no bitmap is kept now"
        if not road_of(sim.scenario).hypervisor:
            seen = "nobody keeps a bitmap"
        what = f"gfn {frame_text(e['gfn'])}" if n == 1 else f"{n} frames from gfn {frame_text(e['gfn'])} on"
        return f"A device has written {what}: {seen}.", "hvm/dm.c: modified_memory"
    if kind == "SET_ALLOCATION":
        return _pool_set(sim, n, hap)
    if kind == "TLB_FLUSH":
        return "The TLB is flushed.", "flushtlb.c: guest_flush_tlb_mask"
    return f"{xen.COMMANDS[n]} is refused here and changes nothing.", "-EINVAL"


def _tell_clean(events: np.ndarray, e: np.void, hap: str, freed: int) -> Sentence:
    """The CLEAN `e`. hap: EPT, NPT or ""; freed: pages that the blow has freed."""
    n = int(e["detail"])
    how = f"the {hap} root is poisoned again" if hap else f"all shadows are blown away ({freed} pages freed)"
    if e["level"]:
        return nested_exits.clean_while_off(n, hap, how), "paging.c: paging_log_dirty_op"
    search = first_of(events, "REVOKE")
    if search is not None:
        taken = int(np.count_nonzero((events["kind"] == ev.CODES["WRMAP"]) & (events["level"] == 0)))
        how = f"{taken} writable frames are searched for in all L1 shadows, {int(search['detail']):,} entries looked at"
        return f"CLEAN: {n} dirty bits are read and cleared, and {how}.", "not in Xen, which blows: sh_clean_dirty_bitmap"
    return f"CLEAN: {_logged(events)}{n} dirty bits are read and cleared, and {how}.", "paging.c: paging_log_dirty_op"


def _shadows_lent(sim: Simulation, on: bool) -> Sentence:
    """Log-dirty of a PV guest: it has shadows only while it lasts."""
    if on:
        pages = shadows.pool_size(sim.machine)
        text = f"Log-dirty on: shadow paging begins, with a pool of {pages} pages; CR3 now points to a shadow of the root."
        return text, "shadow/common.c: shadow_one_bit_enable"
    left = int(sim.machine.sys[0].total_pages)
    but = f" but for the {left} pages of the bitmap's tree" if left else ""
    text = f"Log-dirty off: shadow paging ends, its pool goes back{but}, and CR3 points to the guest's own table again."
    return text, "shadow/common.c: shadow_one_bit_disable"


def _pool_set(sim: Simulation, n: int, hap: str) -> Sentence:
    """The pool was asked to have n pages. hap: the name of the nested tables, "" on a road without them."""
    if not hap:
        return f"The shadow pool is set to {n} pages.", "common.c: shadow_set_allocation"
    pages = shadows.pool_size(sim.machine)
    why = "only free pages can be taken away" if pages > n else "it is as large as it can be in this machine"
    text = f"The HAP pool is to have {n} pages and has {pages}: {why}."
    return text if pages != n else f"The HAP pool is set to {n} pages.", "hap.c: hap_set_allocation"


def _logged(events: np.ndarray) -> str:
    """What is done first where processors log what is written: their logs are emptied into the bitmap."""
    logged = int(events["detail"][events["kind"] == ev.CODES["PML_FLUSH"]].sum())
    return f"{logged} logged pages are marked, then " if logged else ""


def _tell_recycling(sim: Simulation, events: np.ndarray) -> Sentence | None:
    e = first_of(events, "PREALLOC_UNHOOK", "PREALLOC_UNPIN")
    if e is None:
        return None
    unhook = e["kind"] == ev.CODES["PREALLOC_UNHOOK"]
    freed = count_of(events, "DEMOTE")
    what = (
        f"the loaded root gfn {frame_text(e['gfn'])} is unhooked"
        if unhook
        else f"root gfn {frame_text(e['gfn'])}, loaded longest ago, is unpinned"
    )
    return f"The pool is too full: {what}; {freed} shadows die.", "common.c: _shadow_prealloc"


def _tell_process(sim: Simulation, events: np.ndarray) -> Sentence | None:
    e = first_of(events, "FORK")
    if e is not None:
        stores = count_of(events, "PTE_STORE")
        return (
            f"fork: the child gets its own tables by {stores} table stores; writable pages become copy-on-write.",
            "guest kernel: copy_page_range",
        )
    e = first_of(events, "EXIT")
    if e is not None:
        early = count_of(events, "EARLY_UNSHADOW")
        tail = f"; {early} of its tables are unshadowed at their second zero store" if early else ""
        return (
            f"{process_name(sim, int(e['detail']))} exits: its entries are zeroed and its frames freed{tail}.",
            "guest kernel: zap_pte_range",
        )
    e = first_of(events, "COW_BREAK")
    if e is not None:
        copied = int(e["detail"]) != int(e["gfn"])
        how = f"gets its own copy, gfn {frame_text(e['detail'])}" if copied else "is the last user and may write again"
        return f"Store to a copy-on-write page: the process {how}.", "guest kernel: do_wp_page"
    return None


def _tell_fault(sim: Simulation, events: np.ndarray) -> Sentence | None:
    e = first_of(events, "GP")
    if e is not None:
        if e["gva"]:
            return f"#GP(0): {_gva(e['gva'])} is no canonical address.", "SDM 3.3.7.1: canonical addressing"
        text = f"#GP(0): an entry of the PAE table at gfn {frame_text(e['gfn'])} has a reserved bit set; CR3 keeps its value."
        return text, "SDM 4.4.1: PDPTE registers"
    e = first_of(events, "GUEST_PF")
    if e is None:
        return None
    who = who_runs(sim, e["vcpu"])
    frame = events[(events["kind"] == ev.CODES["FRAME_ALLOC"]) & (events["detail"] == 0)]
    made = int(np.count_nonzero((events["kind"] == ev.CODES["FRAME_ALLOC"]) & (events["detail"] == 1)))
    text = (
        f"{who} touches page {_gva(e['gva'])} for the first time: #PF, its kernel maps gfn {frame_text(frame[0]['gfn'])}"
        if frame.size
        else f"{who}: #PF at {_gva(e['gva'])}"
    )
    if made:
        text += f" and makes {made} page table{'s' if made > 1 else ''}"
    emulated = count_of(events, "EMULATE")
    if emulated:
        text += f"; {emulated} table store{'s are' if emulated > 1 else ' is'} emulated"
    stale = first_of(events, "UNSYNC")
    if stale is not None:
        text += f"; its L1 table gfn {frame_text(stale['gfn'])} goes out of sync"
    shadowed = road_of(sim.scenario).always_shadows
    return text + ".", "shadow/multi.c: sh_page_fault" if shadowed else "SDM 4.7: page-fault exceptions"


def _tell_exit(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """The exits that the hypervisor handles behind the guest's back."""
    access = first_of(events, "ACCESS")
    what = f"{_ACCESS[int(access['detail']) & 3].capitalize()} {_gva(access['gva'])}" if access is not None else "The access"
    found = hypercalls.tell(sim, events) or _tell_unshadow(events) or _tell_unsync(events) or _tell_emulation(sim, events)
    if found:
        return found
    return _tell_fixup(events, what) or nested_exits.turn(sim, events, what) or _tell_protection(events)


def _tell_fixup(events: np.ndarray, what: str) -> Sentence | None:
    """A shadow entry that is filled in. what: the access in words."""
    e = first_of(events, "FIXUP")
    if e is None:
        return None
    made = count_of(events, "PROMOTE")
    dirty = first_of(events, "MARK_DIRTY")
    tail = f"; {made} shadow table{'s' if made > 1 else ''} made first" if made else ""
    splinters = [x for x in events[events["kind"] == ev.CODES["PROMOTE"]] if TYPES[int(x["detail"])].startswith("fl1")]
    if splinters:
        kind, gfn = TYPES[int(splinters[0]["detail"])], frame_text(splinters[0]["gfn"])
        tail += f", one of them {kind} for the superpage at gfn {gfn}"
    if dirty is not None and dirty["gfn"] == e["gfn"]:
        tail += "; its dirty bit is set"
    right = "writable" if int(e["detail"]) & 2 else "read-only"
    text = f"{what} exits: the shadow entry of gfn {frame_text(e['gfn'])} is filled in, {right}{tail}."
    return text, _with_path("shadow/multi.c: sh_page_fault", e)


def _tell_protection(events: np.ndarray) -> Sentence | None:
    """A table whose writable mapping is taken away."""
    e = first_of(events, "WRMAP")
    if e is None:
        return None
    text = f"Table gfn {frame_text(e['gfn'])} loses its writable mapping, found by {_HOW[int(e['detail'])]}."
    return text, "common.c: sh_remove_write_access"


def _with_path(source: str, e: np.void) -> str:
    """The source line with the path flags that Xen's own trace event would carry."""
    return f"{source} · {path_flags(e)}" if path_flags(e) else source


_UNSHADOWED = {
    "EMULATE_UNSHADOW_USER": "A store in user mode hits table gfn {}: no kernel would allow that, so it is no table any more",
    "EMULATE_UNSHADOW_EVTINJ": "An event is being injected and its push hits table gfn {}: nothing there can be emulated",
    "EMULATE_UNSHADOW_UNHANDLED": "The emulator does not know the instruction that stores to table gfn {}",
}


def _tell_unshadow(events: np.ndarray) -> Sentence | None:
    """A store to a shadowed table that is not emulated: the shadows of the table go instead."""
    e = first_of(events, *_UNSHADOWED)
    if e is None:
        return None
    text = _UNSHADOWED[ev.NAMES[int(e["kind"])]].format(frame_text(e["gfn"]))
    return f"{text}: all its shadows are removed, the access is tried again.", _with_path("shadow/multi.c: sh_page_fault", e)


def _tell_unsync(events: np.ndarray) -> Sentence | None:
    """An L1 table goes out of sync."""
    e, fix = first_of(events, "UNSYNC"), first_of(events, "FIXUP")
    if e is None:
        return None
    back = count_of(events, "RESYNC_FULL")
    tail = f"; {back} other{'s are' if back > 1 else ' is'} brought back to make room" if back else ""
    text = f"Store to L1 table gfn {frame_text(e['gfn'])}: it goes out of sync, the guest may write to it until it loads CR3"
    return f"{text}{tail}.", _with_path("shadow/oos.c: sh_unsync (master)", fix if fix is not None else e)


def _tell_emulation(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """A store that the hypervisor carries out itself: slow, fast, or because CR0.WP is 0."""
    e = first_of(events, "EMULATE")
    if e is None:
        return None
    s = sim.machine.sys[0]
    early = first_of(events, "EARLY_UNSHADOW")
    tail = f"; the second zero in a row: gfn {frame_text(early['gfn'])} is unshadowed early" if early is not None else ""
    gfn = int(e["gfn"])
    if not s.cr & x86.CR_WP and first_of(events, "VALIDATE", "EARLY_UNSHADOW") is None:
        text = f"CR0.WP is 0: the kernel's store to the read-only page gfn {gfn:#x} is emulated, the mapping stays read-only."
        return text, _with_path("shadow/multi.c: sh_page_fault, shadow_fault_emulate_wp", e)
    if first_of(events, "SHADOW_FAULT") is not None and first_of(events, "GUEST_WALK") is None:
        text = f"Another store to table gfn {gfn:#x}, in the page of the last: emulated at once, without a guest walk{tail}."
        return text, _with_path("shadow/multi.c: sh_page_fault, SHOPT_FAST_EMULATION", e)
    text = f"The guest's store to its page table gfn {gfn:#x} is trapped and emulated{tail}."
    return text, _with_path("shadow/hvm.c: hvm_emulate_write", e)


def _tell_access(sim: Simulation, events: np.ndarray) -> Sentence:
    cr3 = first_of(events, "CR3_LOAD")
    access = first_of(events, "ACCESS")
    who = who_runs(sim, (access if access is not None else cr3 if cr3 is not None else {"vcpu": 0})["vcpu"])
    back = count_of(events, "RESYNC_FULL") + count_of(events, "RESYNC_ONLY")
    if back and cr3 is not None:
        what = f"{back} table{'s' if back > 1 else ''} out of sync {'are' if back > 1 else 'is'} brought up to date"
        return f"CR3 = gfn {frame_text(cr3['gfn'])}: {what}, then its root is loaded.", "shadow/oos.c: sh_resync_all (master)"
    if cr3 is not None and road_of(sim.scenario).paravirtual:
        return hypercalls.switch(sim, cr3, who)
    if cr3 is not None:
        how = "an exit: its root is pinned at the head of the list" if road_of(sim.scenario).always_shadows else "no exit"
        source = "shadow/multi.c: sh_update_cr3" if road_of(sim.scenario).always_shadows else "SDM 4.10.4"
        if not sim.work.processes:
            return f"The guest loads CR3 = gfn {frame_text(cr3['gfn'])}, {how}.", source
        return f"The guest switches to {who}: CR3 = gfn {frame_text(cr3['gfn'])}, {how}.", source
    if access is None:
        return f"In this tick: {event_text(events[0])}.", f"event {ev.NAMES[int(events[0]['kind'])]}"
    how = "the hardware walks the tables" if first_of(events, "TLB_MISS") is not None else "the TLB knows it"
    return f"{who}: {_ACCESS[int(access['detail']) & 3]} {_gva(access['gva'])}; {how}, no exit.", "SDM 4.10: TLB"


def _one_event(sim: Simulation) -> Sentence:
    """The sentence of an open tick: its k-th event."""
    assert sim.opened
    k, n = sim.opened
    events = sim.events()
    e = events[min(k, events.size) - 1]
    at = f" at {_gva(e['gva'])}" if e["gva"] else ""
    return f"Event {k} of {n}: {event_text(e)}{at}.", f"event {ev.NAMES[int(e['kind'])]}"
