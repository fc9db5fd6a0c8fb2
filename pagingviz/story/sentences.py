"""Sentences: what just happened, in plain words and with the function behind the rule, read from the event record."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.core.guest import BUG
from pagingviz.migration.state import EVENTS
from pagingviz.reading import recycled
from pagingviz.scenario.roads import road_of
from pagingviz.story import commands, hypercalls, migration, nested_exits
from pagingviz.story.counting import counted, form, listed
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


def sentence(sim: Simulation, sought: str = "") -> Sentence:
    """(what happened in this tick, where the rule comes from): plain words from the event record.

    sought: the kind of event that was looked for and found in this tick; what is told then begins with it.
    """
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
        return begin_with(sim, events, sought, after_commands(sim, events, found), EVENTS)
    if not events.size:
        return (sim.scenario.sentence, "") if sim.tick == 0 else ("The guest is idle.", "HLT")
    found, kinds = _of_tick(sim, events)
    return begin_with(sim, events, sought, found, kinds)


def after_commands(sim: Simulation, events: np.ndarray, found: Sentence) -> Sentence:
    """What is said about a migration, after what was asked for in this tick. events: of the tick, EVENT_DTYPE[n]."""
    asked = commands.given(sim, events)
    return (f"{asked[0]} {found[0]}", found[1]) if asked else found


def begin_with(sim: Simulation, events: np.ndarray, sought: str, found: Sentence, kinds: tuple[str, ...]) -> Sentence:
    """The sentence `found`, which tells of the first there is of `kinds`, after one about the event that was looked for.

    events: of the tick, EVENT_DTYPE[n]; sought: as for `sentence`.
    """
    e = first_of(events, sought) if sought else None
    if e is None or sought in kinds and (kinds in (commands.KINDS, EVENTS) or first_of(events, *kinds)["kind"] == e["kind"]):
        return found
    own = _OWN[sought](sim, events) if sought in _OWN else None
    text, source = own or (_capital(f"{event_text(e)}."), f"event {sought}")
    n = count_of(events, sought)
    more = f" It is the first of {n:,} such events in this tick." if n > 1 else ""
    return f"{text}{more} In the same tick: {found[0]}", source


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _of_tick(sim: Simulation, events: np.ndarray) -> tuple[Sentence, tuple[str, ...]]:
    """(the sentence that matters most in a tick, the kinds of events of which it tells the first there is)."""
    for kinds, tell in _TELLERS:
        found = tell(sim, events)
        if found:
            return found, kinds
    return _tell_access(sim, events), ("CR3_LOAD",)


def _tell_recycling(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """Every shadow that lost its pin, and every root that was unhooked, because the pool had too few free pages."""
    if first_of(events, *recycled.KINDS) is None:
        return None
    first, *more = recycled.recyclings(sim.machine, events)
    needs = f"needs {counted(first.wanted, 'page')} to be free and has {first.free:,}"
    needs = needs if first.wanted else f"must give pages back and has {first.free:,} free"
    how = []
    if first.unpinned:
        how.append(f"it unpins what was pinned longest ago, {listed([_named(*shadow) for shadow in first.unpinned])}")
    if first.unhooked:
        roots = listed([f"gfn {frame_text(gfn)}" for gfn, _ in first.unhooked])
        how.append(f"with nothing pinned it unhooks the loaded {form(len(first.unhooked), 'root')} {roots}")
    again = [_named(*shadow) for recycling in more for shadow in recycling.unpinned + recycling.unhooked]
    if again:
        how.append(f"later in this tick it needs room again, and {listed(again)} must go")
    died = sum(recycling.died for recycling in (first, *more))
    text = f"The pool {needs}: {'; '.join(how)}. With that {counted(died, 'shadow')} {form(died, 'dies', 'die')}."
    return text, "common.c: _shadow_prealloc"


def _named(gfn: int, level: int) -> str:
    """A shadow that was pinned: a root, which has level 4 or 2, or an L3 shadow."""
    return f"the L3 shadow of gfn {frame_text(gfn)}" if level == 3 else f"the root gfn {frame_text(gfn)}"


def _tell_fork(sim: Simulation, events: np.ndarray) -> Sentence | None:
    if first_of(events, "FORK") is None:
        return None
    stores = counted(count_of(events, "PTE_STORE"), "table store")
    text = f"fork: the child gets its own tables by {stores}; writable pages become copy-on-write."
    return text, "guest kernel: copy_page_range"


def _tell_end(sim: Simulation, events: np.ndarray) -> Sentence | None:
    e = first_of(events, "EXIT")
    if e is None:
        return None
    early = count_of(events, "EARLY_UNSHADOW")
    tables = counted(early, "of its tables is", "of its tables are")
    tail = f"; {tables} unshadowed at the second zero store" if early else ""
    text = f"{process_name(sim, int(e['detail']))} exits: its entries are zeroed and its frames freed{tail}."
    return text, "guest kernel: zap_pte_range"


def _tell_copy(sim: Simulation, events: np.ndarray) -> Sentence | None:
    e = first_of(events, "COW_BREAK")
    if e is None:
        return None
    copied = int(e["detail"]) != int(e["gfn"])
    how = f"gets its own copy, gfn {frame_text(e['detail'])}" if copied else "is the last user and may write again"
    return f"Store to a copy-on-write page: the process {how}.", "guest kernel: do_wp_page"


def _tell_gp(sim: Simulation, events: np.ndarray) -> Sentence | None:
    e = first_of(events, "GP")
    if e is None:
        return None
    if e["gva"]:
        return f"#GP(0): {_gva(e['gva'])} is no canonical address.", "SDM 3.3.7.1: canonical addressing"
    text = f"#GP(0): an entry of the PAE table at gfn {frame_text(e['gfn'])} has a reserved bit set; CR3 keeps its value."
    return text, "SDM 4.4.1: PDPTE registers"


def _tell_fault(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """A page fault of the guest's own."""
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
        text += f" and makes {counted(made, 'page table')} for it"
    emulated = count_of(events, "EMULATE")
    if emulated:
        text += f"; on the way {counted(emulated, 'table store is', 'table stores are')} emulated"
    stale = first_of(events, "UNSYNC")
    if stale is not None:
        text += f"; its L1 table gfn {frame_text(stale['gfn'])} goes out of sync"
    shadowed = road_of(sim.scenario).always_shadows
    return text + ".", "shadow/multi.c: sh_page_fault" if shadowed else "SDM 4.7: page-fault exceptions"


def access_text(access: np.void) -> str:
    """An event ACCESS in words: "store to 0x10000"."""
    return f"{_ACCESS[int(access['detail']) & 3]} {_gva(access['gva'])}"


def _what(events: np.ndarray) -> str:
    """The access of a tick in words, at the beginning of a sentence."""
    access = first_of(events, "ACCESS")
    return _capital(access_text(access)) if access is not None else "The access"


def _tell_fixup(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """A shadow entry that is filled in."""
    e = first_of(events, "FIXUP")
    if e is None:
        return None
    made = count_of(events, "PROMOTE")
    dirty = first_of(events, "MARK_DIRTY")
    tail = f"; {counted(made, 'shadow table')} made for it first" if made else ""
    splinters = [x for x in events[events["kind"] == ev.CODES["PROMOTE"]] if TYPES[int(x["detail"])].startswith("fl1")]
    if splinters:
        kind, gfn = TYPES[int(splinters[0]["detail"])], frame_text(splinters[0]["gfn"])
        tail += f", {form(made, '', 'one of them ')}{kind} for the superpage at gfn {gfn}"
    if dirty is not None and dirty["gfn"] == e["gfn"]:
        tail += "; its dirty bit is set"
    right = "writable" if int(e["detail"]) & 2 else "read-only"
    text = f"{_what(events)} exits: the shadow entry of gfn {frame_text(e['gfn'])} is filled in, {right}{tail}."
    return text, _with_path("shadow/multi.c: sh_page_fault", e)


def _tell_protection(sim: Simulation, events: np.ndarray) -> Sentence | None:
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


def _tell_unshadow(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """A store to a shadowed table that is not emulated: the shadows of the table go instead."""
    e = first_of(events, *_UNSHADOWED)
    if e is None:
        return None
    text = _UNSHADOWED[ev.NAMES[int(e["kind"])]].format(frame_text(e["gfn"]))
    return f"{text}: all its shadows are removed, the access is tried again.", _with_path("shadow/multi.c: sh_page_fault", e)


def _tell_unsync(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """An L1 table goes out of sync."""
    e, fix = first_of(events, "UNSYNC"), first_of(events, "FIXUP")
    if e is None:
        return None
    back = count_of(events, "RESYNC_FULL")
    tail = f"; {counted(back, 'other is', 'others are')} brought back to make room" if back else ""
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
        what = f"first {counted(back, 'table')} out of sync {form(back, 'is', 'are')} brought up to date"
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
    return f"{who}: {access_text(access)}; {how}, no exit.", "SDM 4.10: TLB"


def _tell_nested(sim: Simulation, events: np.ndarray) -> Sentence | None:
    return nested_exits.turn(sim, events, _what(events))


# In the order of what outranks what: operations of the hypervisor come before whatever the guest did in the same tick.
_TELLERS: tuple[tuple[tuple[str, ...], Callable[[Simulation, np.ndarray], Sentence | None]], ...] = (
    (commands.KINDS, commands.tell),
    (recycled.KINDS, _tell_recycling),
    (("FORK",), _tell_fork),
    (("EXIT",), _tell_end),
    (("COW_BREAK",), _tell_copy),
    (("P2M_SHATTER",), nested_exits.shatter),
    (("GP",), _tell_gp),
    (("GUEST_PF",), _tell_fault),
    (hypercalls.KINDS, hypercalls.tell),
    (tuple(_UNSHADOWED), _tell_unshadow),
    (("UNSYNC",), _tell_unsync),
    (("EMULATE",), _tell_emulation),
    (("FIXUP",), _tell_fixup),
    (nested_exits.KINDS, _tell_nested),
    (("WRMAP",), _tell_protection),
)
# Sentences that are true of their event whatever else the tick has; other kinds have the words of story/events.py.
_ALWAYS_TRUE = ("FORK", "EXIT", "COW_BREAK", "GUEST_PF")
_OWN = {kinds[0]: tell for kinds, tell in _TELLERS if kinds[0] in _ALWAYS_TRUE}
_OWN |= dict.fromkeys(recycled.KINDS, _tell_recycling)


def _one_event(sim: Simulation) -> Sentence:
    """The sentence of an open tick: its k-th event."""
    assert sim.opened
    k, n = sim.opened
    events = sim.events()
    e = events[min(k, events.size) - 1]
    at = f" at {_gva(e['gva'])}" if e["gva"] else ""
    return f"Event {k} of {n}: {event_text(e)}{at}.", f"event {ev.NAMES[int(e['kind'])]}"
