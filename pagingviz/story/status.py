"""The status line: where the machine stands, in a few words and numbers."""

from pagingviz.reading import shadows
from pagingviz.scenario.roads import road_of
from pagingviz.timeline.simulation import Simulation


def status(sim: Simulation) -> list[tuple[str, str]]:
    """[(label, value)], all text."""
    s, sc = sim.machine.sys[0], sim.scenario
    out = [
        ("road", f"hap ({sc.hap.upper()})" if road_of(sc).nested else sc.road),
        ("log-dirty", f"on, round {int(s.dirty_round)}" if s.log_dirty else "off"),
        ("tick", f"{sim.tick:,}"),
        ("seed", str(sc.seed)),
    ]
    if road_of(sc).paravirtual:
        updates = int(s.num_page_updates + s.calls_to_update_va + s.ptwr_emulations)
        out.append(("table updates", f"{updates:,}"))
    if shadows.in_use(sim.machine):
        out.append(("exits", f"#PF {int(s.exits_page_fault):,} · CR3 {int(s.exits_cr3):,} · INVLPG {int(s.exits_invlpg):,}"))
        pool = shadows.pool_size(sim.machine)
        out.append(("pool", f"{pool - int(s.free_pages)} of {pool}"))
    elif road_of(sc).nested:
        exits = [("misconfig", s.ept_misconfig), ("violation", s.ept_violation)]
        exits = [("NPF, pending", s.npf_recalc), ("NPF, write", s.npf_write)] if s.npt else exits
        exits += [("log full", s.pml_full)] if s.pml else []
        out.append(("exits", " · ".join(f"{name} {int(n):,}" for name, n in exits)))
        if s.pml:
            out.append(("PML", " · ".join(f"{len(log)} of 512" for log in sim.machine.pml())))
    else:
        out.append(("guest #PF", f"{int(s.guest_faults):,}"))
    if road_of(sc).hypervisor:
        out.append(("dirty", f"{int(s.dirty_count):,}" if s.log_dirty else "-"))
    rule = "" if sim.opened else sim.audit()
    out.append(("rules", rule or "hold ✓"))
    return out
