"""Whether events of a kind can still come: what a search for the next one need not look through."""

from pagingviz.migration.state import EVENTS
from pagingviz.scenario.roads import road_of
from pagingviz.timeline.simulation import Simulation

_SHADOWS = frozenset(
    "SHADOW_FAULT FIXUP EMULATE EARLY_UNSHADOW PROMOTE DEMOTE PREALLOC_UNPIN PREALLOC_UNHOOK WRMAP_BF UNSYNC RESYNC_FULL "
    "RESYNC_ONLY EMULATE_UNSHADOW_USER EMULATE_UNSHADOW_EVTINJ EMULATE_UNSHADOW_UNHANDLED".split()
)
_NESTED = ("EPT_VIOLATION", "EPT_MISCONFIG", "HVM_NPF", "NPF_RECALC", "P2M_SPLIT", "P2M_SHATTER")
_OTHER_HAP = {"ept": ("HVM_NPF", "NPF_RECALC"), "npt": ("EPT_VIOLATION", "EPT_MISCONFIG", "P2M_SHATTER")}


def none_to_come(sim: Simulation, kind: str) -> str:
    """Why no event of `kind` can come after the present tick, as the end of a sentence; "" when one may."""
    road = road_of(sim.scenario)
    if kind in EVENTS:
        if not sim.migration:
            return "there is no migration"
        return "the migration is over" if sim.migration.over else ""
    if kind in _NESTED and (not road.nested or kind in _OTHER_HAP[sim.scenario.hap]):
        return "this road has none"
    if kind in _SHADOWS and not road.shadows:
        return "this road has no shadows"
    if any(command.tick > sim.tick for command in sim.journal) or (sim.migration and not sim.migration.over):
        return ""
    if sim.crashed:
        return "the guest has stopped"
    on = bool(sim.machine.sys[0].log_dirty)
    if kind == "CLEAN" and not (on and sim.scenario.clean_every):
        return "no command is left, and none is given by itself"
    if on:
        return ""
    if kind == "MARK_DIRTY":
        return "log-dirty is off, and no command is left"
    return (
        "there are no shadows while log-dirty is off, and no command is left" if kind in _SHADOWS and road.paravirtual else ""
    )
