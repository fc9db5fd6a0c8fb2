"""Sentences about what the hypervisor is asked for: one for each command of a tick, in the order in which they were given."""

from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.reading import shadows
from pagingviz.reading.log_dirty import switches
from pagingviz.scenario.roads import road_of
from pagingviz.story import nested_exits
from pagingviz.story.counting import counted
from pagingviz.story.events import Sentence, first_of, frame_text
from pagingviz.timeline.simulation import Simulation

# The last event of a command; a BLOW is a command of its own unless an ENABLE or a CLEAN has made it.
KINDS = ("NO_MEMORY", "CLEAN", "ENABLE", "OFF", "SET_ALLOCATION", "BLOW", "PEEK", "MODIFIED_MEMORY", "TLB_FLUSH", "IGNORED")
_CODES = np.array([ev.CODES[kind] for kind in KINDS])
_OP, _CTL = "paging.c: paging_log_dirty_op", "paging.c: paging_domctl"


def tell(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """All commands of the tick, the newest first; None when it has none. events: EVENT_DTYPE[n] of the tick."""
    return _joined(_each(sim, events))


def given(sim: Simulation, events: np.ndarray) -> Sentence | None:
    """As `tell`, but only those of the journal, while a migration gives commands of its own after them.

    events: of the tick, EVENT_DTYPE[n].
    """
    n = sum(command.tick == sim.tick for command in sim.journal)
    return _joined(_each(sim, events)[:n]) if n else None


def _joined(told: list[Sentence]) -> Sentence | None:
    if len(told) < 2:
        return told[0] if told else None
    *before, (text, source) = told
    return f"{text} Before that, in the same tick: {' '.join(earlier for earlier, _ in before)}", source


def _each(sim: Simulation, events: np.ndarray) -> list[Sentence]:
    """A sentence for each command, in the order of events."""
    parts = split(sim, events)
    return [_tell(sim, part, parts[k + 1 :]) for k, part in enumerate(parts)]


def split(sim: Simulation, events: np.ndarray) -> list[np.ndarray]:
    """The events of a tick cut after each command: [EVENT_DTYPE[n]]; what comes after the last command is left out."""
    at = np.flatnonzero(np.isin(events["kind"], _CODES)).tolist()
    ends: list[int] = []
    for i in at:
        blown = ends and _is(events[ends[-1]], "BLOW") and _blows(sim, events[ends[-1] : i + 1])
        if blown:
            ends.pop()
        ends.append(i)
    starts = [0, *(end + 1 for end in ends)]
    return [events[start : end + 1] for start, end in zip(starts, ends, strict=False)]


def _blows(sim: Simulation, events: np.ndarray) -> bool:
    """Whether the BLOW that is the first of `events` is a part of the command that is the last of them."""
    if _is(events[-1], "ENABLE"):
        return road_of(sim.scenario).always_shadows
    return _is(events[-1], "CLEAN") and first_of(events, "REVOKE") is None


def _is(e: Any, kind: str) -> bool:
    return int(e["kind"]) == int(ev.CODES[kind])


def _log_dirty(sim: Simulation, later: list[np.ndarray]) -> bool:
    """Whether log-dirty was on at the end of a command. later: the commands after it."""
    found = [on for part in later for on in switches(part)]
    return not found[0] if found else bool(sim.machine.sys[0].log_dirty)


def _tell(sim: Simulation, events: np.ndarray, later: list[np.ndarray]) -> Sentence:
    """One command. events: its own, the last one names it; later: the commands after it in this tick."""
    e = events[-1]
    kind, n = ev.NAMES[int(e["kind"])], int(e["detail"])
    road = road_of(sim.scenario)
    hap = sim.scenario.hap.upper() if road.nested else ""
    if kind == "NO_MEMORY":
        what = xen.COMMANDS[n].upper()
        text = f"{what} fails (-ENOMEM): for some bit no page of the tree could be had, so it is lost, and Xen says so."
        return text, _OP
    if kind == "CLEAN":
        return _clean(events, e, hap)
    if kind in ("OFF", "PEEK") and e["level"]:
        left = f"; dirty_count, {n}, is left over" if n else ""
        return f"{kind} with log-dirty off: nothing changes{left}.", _CTL
    if kind in ("ENABLE", "OFF") and road.paravirtual:
        return _shadows_lent(sim, kind == "ENABLE", last=not later)
    if kind == "ENABLE":
        return _enable(sim, e, hap)
    if kind == "OFF":
        return "Log-dirty off: the bitmap's tree goes back to the pool.", "paging.c: paging_log_dirty_disable"
    if kind == "PEEK":
        bits = counted(n, "dirty bit is", "dirty bits are")
        return f"PEEK: {_logged(events)}{bits} read; none is cleared.", _OP
    if kind == "BLOW":
        pages = counted(n, "page")
        return (
            f"All shadows are blown away: {pages} freed; loaded roots stay, empty and unpinned.",
            "common.c: shadow_blow_tables",
        )
    if kind == "MODIFIED_MEMORY":
        return _device(sim, e, _log_dirty(sim, later))
    if kind == "SET_ALLOCATION":
        return _pool_set(sim, n, hap, last=not later)
    if kind == "TLB_FLUSH":
        return "The TLB is flushed.", "flushtlb.c: guest_flush_tlb_mask"
    why = ": log-dirty is on already" if n == xen.CMD_ENABLE and road.hypervisor else ""
    return f"{xen.COMMANDS[n].upper()} is refused here and changes nothing{why}.", "-EINVAL"


def _clean(events: np.ndarray, e: np.void, hap: str) -> Sentence:
    """The CLEAN `e`. hap: EPT, NPT or ""."""
    n, blow, search = int(e["detail"]), first_of(events, "BLOW"), first_of(events, "REVOKE")
    freed = counted(int(blow["detail"]) if blow is not None else 0, "page")
    how = f"the {hap} root is poisoned again" if hap else f"all shadows are blown away ({freed} freed)"
    if search is not None:
        taken = int(np.count_nonzero((events["kind"] == ev.CODES["WRMAP"]) & (events["level"] == 0)))
        frames, looked = (
            counted(taken, "writable frame is", "writable frames are"),
            counted(int(search["detail"]), "entry", "entries"),
        )
        how = f"in all L1 shadows {frames} searched for, {looked} looked at"
    if e["level"]:
        return nested_exits.clean_while_off(n, hap, how), _OP
    bits = counted(n, "dirty bit is", "dirty bits are")
    if search is not None:
        return f"CLEAN: {bits} read and cleared, and {how}.", "not in Xen, which blows: sh_clean_dirty_bitmap"
    return f"CLEAN: {_logged(events)}{bits} read and cleared, and {how}.", _OP


def _enable(sim: Simulation, e: np.void, hap: str) -> Sentence:
    """The ENABLE `e` of a guest that is not paravirtual. hap: EPT, NPT or ""."""
    n, how = int(e["detail"]), "all shadows are blown away and CR3 is reloaded"
    if hap:
        how = f"{n} root entry of {hap} is poisoned, whatever the size of RAM"
    if hap and n != 1:
        how = f"{n} root entries of {hap} are poisoned, one for each 512 GiB"
    log = nested_exits.log_at_enable(sim, bool(e["level"]))
    return f"Log-dirty on: {how}{log}; nothing can be written unseen.", "paging.c: paging_log_dirty_enable"


def _device(sim: Simulation, e: np.void, logged: bool) -> Sentence:
    """What a device has written. logged: log-dirty was on."""
    n, gfn = int(e["detail"]), frame_text(e["gfn"])
    seen = "no bitmap was kept then"
    if logged:
        seen = "its bit is set" if n == 1 else "their bits are set"
    if not road_of(sim.scenario).hypervisor:
        seen = "nobody keeps a bitmap"
    what = f"gfn {gfn}" if n == 1 else f"{n} frames from gfn {gfn} on"
    return f"A device has written {what}: {seen}.", "hvm/dm.c: modified_memory"


def _shadows_lent(sim: Simulation, on: bool, last: bool) -> Sentence:
    """Log-dirty of a PV guest: it has shadows only while it lasts. last: nothing was asked for after it in this tick."""
    if on:
        pages = f", with a pool of {counted(shadows.pool_size(sim.machine), 'page')}" if last else ""
        text = f"Log-dirty on: shadow paging begins{pages}; CR3 now points to a shadow of the root."
        return text, "shadow/common.c: shadow_one_bit_enable"
    left = int(sim.machine.sys[0].total_pages) if last else 0
    but = f" but for {counted(left, 'page')} of the bitmap's tree" if left else ""
    text = f"Log-dirty off: shadow paging ends, its pool goes back{but}, and CR3 points to the guest's own table again."
    return text, "shadow/common.c: shadow_one_bit_disable"


def _pool_set(sim: Simulation, n: int, hap: str, last: bool) -> Sentence:
    """The pool was asked to have n pages. hap: as above; last: nothing was asked for after it."""
    pool, source = ("HAP pool", "hap.c: hap_set_allocation") if hap else ("shadow pool", "common.c: shadow_set_allocation")
    wanted, pages = counted(n, "page"), shadows.pool_size(sim.machine)
    if not last:
        return f"The {pool} is asked for {wanted}.", source
    if pages == n:
        return f"The {pool} is set to {wanted}.", source
    why = "only free pages can be taken away" if hap else "it cannot have fewer"
    why = why if pages > n else "it is as large as it can be in this machine"
    return f"The {pool} is to have {wanted} and has {pages:,}: {why}.", source


def _logged(events: np.ndarray) -> str:
    """What is done first where processors log what is written: their logs are emptied into the bitmap."""
    logged = int(events["detail"][events["kind"] == ev.CODES["PML_FLUSH"]].sum())
    return f"first {counted(logged, 'logged page is', 'logged pages are')} marked in the bitmap, then " if logged else ""
