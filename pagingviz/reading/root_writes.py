"""How many entries of the nested root log-dirty's commands have written, read from the record of events."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch.words import U
from pagingviz.reading import nested
from pagingviz.timeline.simulation import Simulation

_POISONS = tuple(ev.CODES[name] for name in ("ENABLE", "CLEAN", "OFF"))
_PASSES = ev.CODES["EPT_MISCONFIG"], ev.CODES["NPF_RECALC"]


def root_writes(sim: Simulation) -> dict[str, tuple[int, int | None]]:
    """{"ENABLE": (tick of the last one, root entries it wrote, None where the record does not go back so long), "CLEAN": ..}.

    A command that was never given is not in it. Only for the HAP road.
    """
    m, out = sim.machine, {}
    events, complete = sim.past_events()
    entries = m.view("pool").reshape(-1, 512)[int(m.sys[0].hap_root)]
    used = np.flatnonzero(nested.present(m, entries)).tolist()
    for name in ("ENABLE", "CLEAN"):
        tick = int(m.sys[0].last_tick[int(ev.CODES[name])])
        if not tick and not np.any(events["kind"] == ev.CODES[name]):
            continue
        at = np.flatnonzero((events["kind"] == ev.CODES[name]) & (events["tick"] == tick))
        if not at.size:  # the first ENABLE of all finds no mark, whenever it was
            out[name] = tick, len(used) if name == "ENABLE" and (m.sys[0].enables, m.sys[0].offs) == (1, 0) else None
        elif name == "ENABLE":
            out[name] = tick, int(events[at[-1]]["detail"])
        else:
            written = [_written(events[: at[-1] + 1], entry, complete, bool(m.sys[0].npt)) for entry in used]
            out[name] = tick, None if None in written else sum(map(bool, written))
    return out


def _written(events: np.ndarray, entry: int, complete: bool, npt: bool) -> bool | None:
    """Whether the CLEAN that ends these events wrote entry number `entry` of the root; None when the record cannot say."""
    before = events[:-1]
    passed = np.isin(before["kind"], _PASSES) & (before["gfn"] >> U(27) == entry)
    if not complete and not np.any(passed | np.isin(before["kind"], _POISONS)):
        return None
    writes = nested.writes(events, 4, entry << 27, 1, npt)
    return bool(writes) and writes[-1] == events[-1]
