"""What greets on a first visit: the question, what each map is, what to press. The home page's board shows it.

It travels with the header of the board's message (player.message.Display.greeting) and stands above the maps, in
boards/static/greeting.js. Whether a visitor has seen it knows her browser alone; here is decided only whether the address asks
for something else than the app's own beginning. A guided watch or a course would stand in the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pagingviz.scenario.road import Road
from pagingviz.scenario.roads import road_of
from pagingviz.ui.session import Visit

QUESTION = (
    "Somebody new to Xen asked on its mailing list: how do shadow page tables work while a guest is migrated live, and why "
    "does reading the dirty bitmap destroy them all?"
)
HERE = "This is a guest and its hypervisor, one memory access a tick."
BARE = "This is a guest without a hypervisor, one memory access a tick."
KEYS = (
    ("Space", "runs and pauses"),
    ("→", "one tick on"),
    ("←", "one tick back, exactly"),
    ("click", "what a cell is, and why"),
    ("?", "this text again"),
)
DRESS = {"theme"}  # keys of an address that ask for nothing but another look
_ANEW = "greets"  # in the state of the session: its first address asked for nothing


def arrive(params: Mapping[str, str]) -> None:
    """Note at a session's first run whether its address asks for anything: a scenario, a tick, the presenter's dress."""
    if _ANEW not in st.session_state:
        st.session_state[_ANEW] = not set(params) - DRESS


def greeting(visit: Visit) -> dict[str, Any]:
    """Plain data for the header: first (whether to greet a newcomer unasked), question, here, keys, maps by their ids."""
    first = bool(st.session_state.get(_ANEW)) and not visit.view.present
    here = " ".join(filter(None, (machine(visit), soon(visit))))
    return {"first": first, "question": QUESTION, "here": here, "keys": [list(key) for key in KEYS], "maps": maps(visit)}


def machine(visit: Visit) -> str:
    """What runs here, in a sentence."""
    return HERE if road_of(visit.present()[0]).hypervisor else BARE


def soon(visit: Visit) -> str:
    """The sentence that says when the dirty bitmap is read next, and what to watch then; "" when no clock reads it."""
    scenario, view = visit.present()
    road = road_of(scenario)
    every, tick = scenario.clean_every, scenario.start if view.tick is None else view.tick
    if not every or not road.hypervisor:
        return ""
    left = every - tick % every
    switches = [do.name for do in scenario.commands if do.name in ("enable", "off") and do.tick <= tick + left]
    if switches[-1:] != ["enable"]:
        return ""
    when = "At the next tick" if left == 1 else f"In {left:,} ticks"
    watch = "the shadow pool" if road.shadows and scenario.clean == "blow" else "the map of the guest's frames"
    return f"{when} its dirty bitmap is read and cleared (CLEAN): watch {watch}."


def maps(visit: Visit) -> dict[str, str]:
    """What each map of the home page is, in a sentence or two, on this visitor's road."""
    road = road_of(visit.present()[0])
    return {
        "guest-tables": _tables(road),
        "shadow-pool": _pool(road),
        "ept-npt": _frames(road),
        "dirty-bitmap": _bits(road),
    }


def _tables(road: Road) -> str:
    what = "What the guest believes: its own page tables"
    if not road.hypervisor:
        what = "What the processor walks: the guest's own page tables"
    if road.paravirtual:
        what = "The guest's own page tables, which hold the true frames of the machine"
    return f"{what}, by program and level. A letter is an entry in use."


def _pool(road: Road) -> str:
    if road.nested:
        return "The pages in which Xen keeps the tables of EPT or NPT, and the dirty bitmap."
    if not road.shadows:
        return "Empty: without a hypervisor the processor walks the guest's own tables."
    what = "Xen's shadows of the guest's tables, in the few pages of a pool"
    if road.paravirtual:
        return f"What the processor walks instead while a dirty bitmap is kept: {what}. Otherwise it is empty."
    return f"What the processor walks instead: {what}. When too few are free, the oldest go."


def _frames(road: Road) -> str:
    if road.nested:
        return "Every frame of the guest's memory, in order, and what EPT or NPT let the guest do there."
    if not road.shadows:
        return "Every frame of the guest's memory would stand here, if there were a hypervisor that maps it."
    if road.paravirtual:
        return (
            "Every frame of the guest's memory, in order: a page table, or one that may be written, never both. While a dirty "
            "bitmap is kept, whether its shadows let the guest write or only read it."
        )
    return "Every frame of the guest's memory, in order, and whether its shadows let the guest write or only read it."


def _bits(road: Road) -> str:
    if not road.hypervisor:
        return "Empty: without a hypervisor nobody notes which frames are written."
    return "One bit for each of these frames: written since the bitmap was last cleared. A migration sends just these again."
