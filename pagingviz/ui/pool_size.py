"""Below the map of the shadow pool: its size as a knob, what it costs, and the recorded thrash grid beside the model's."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pagingviz.evidence.xen import library, thrash
from pagingviz.experiments import pool_size as pool_sizes
from pagingviz.reading import shadows
from pagingviz.scenario.fields import POOL_LOW
from pagingviz.scenario.roads import road_of
from pagingviz.story.counting import counted
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import session
from pagingviz.ui.jobs import finished, job

_GRID = "grid"


def pool_size() -> None:
    """The whole section. Draws nothing until there is a machine."""
    visit = session.current()
    if visit.player is None or visit.view.present:
        return
    with st.container(key="pool-size"):
        st.subheader("How large must the pool be?")
        if not road_of(visit.scenario).always_shadows:
            st.markdown("The curve is of the shadow road, where shadows are always in use: choose road=shadow in the sidebar.")
        else:
            _knob(visit, visit.player.sim)
            _curve(visit, visit.player.sim)
        _grid()


def _knob(visit: session.Visit, sim: Simulation) -> None:
    """The size at this tick: a command in the journal, so that going back undoes it."""
    now = shadows.pool_size(sim.machine)
    key = f"pool-knob-{visit.revision}"
    high = visit.scenario.pool_cap
    shown = min(max(now, POOL_LOW), high)

    def put() -> None:
        if st.session_state[key] != shown:  # see Visit.put
            visit.command(f"pool:{st.session_state[key]}")

    st.slider("Pool pages, from this tick on (shadow_set_allocation)", POOL_LOW, high, shown, key=key, on_change=put)


def _curve(visit: session.Visit, sim: Simulation) -> None:
    """Faults against pool size of this very work, run from its start."""
    scenario = visit.scenario.replace(do=sim.script())
    key = ("curve", scenario.to_json(), tuple(sorted(visit.files)))
    work = job(key, "faults against pool size", lambda progress: pool_sizes.curve(scenario, dict(visit.files), progress))
    if not finished(work, f"This work is run for {pool_sizes.TICKS:,} ticks with pools of several sizes …", "curve"):
        return
    from pagingviz.ui import figures

    points = work.result
    st.markdown(_in_words(points, scenario.pool))
    theme = session.theme(visit)
    st.plotly_chart(
        figures.pool_curve(points, pool_sizes.cliff(points), scenario.pool, pool_sizes.TICKS, theme),
        theme=None,
        key="pool-curve",
        config=figures.config("pool-size"),
    )


def _in_words(points: Sequence[pool_sizes.Point], pool: int) -> str:
    """What the curve says, with its numbers."""
    fall = pool_sizes.cliff(points)
    dead = [point.pool for point in points if point.crashed]
    text = f"The first {pool_sizes.TICKS:,} ticks of this work, run once for each of {len(points)} sizes. "
    if fall:
        a, b = fall
        text += (
            f"**The cliff:** with {a.pool} pages {counted(a.faults, 'shadow fault')} and {counted(a.recycled, 'recycling')}, "
            f"with {b.pool} pages {b.faults:,} and {b.recycled:,}. Below it one unpinned root takes nearly everything "
            "with it, and the next switch builds it all again."
        )
    else:
        text += "No cliff: every one of these sizes holds what the work needs, or none does."
    here = next((point for point in points if point.pool == pool), None)
    if here:
        text += f" This machine has {pool} pages: {counted(here.faults, 'fault')}."
    return text + (f" With {dead[0]} pages the domain dies for want of one." if dead else "")


def _grid() -> None:
    """The recorded grid beside the model's."""
    st.subheader("The thrash cliff on a real Xen")
    recorded = thrash.read_grid(library.text("thrash.csv"))
    work = job(_GRID, "thrash grid", lambda progress: thrash.grid(recorded))
    if not finished(work, "The model goes through the 35 recorded settings …", "grid"):
        return
    model = work.result
    same = sum(r == m for r, m in zip(recorded, model, strict=True))
    st.markdown(
        "A guest of 32 MiB reads through T page tables in turn, twice; shadow faults of these 2·T reads for each pool size. "
        f"Each cell: **recorded on Xen 4.17.5** | model. All six counts are equal in **{same} of {len(recorded)}** cells. "
        "The settings were tried in this order on one guest, so a cell may still pay for the one before it. "
        "An asked pool of 150 becomes Xen's floor of 161."
    )
    st.table(_pivot(recorded, model))
    with st.expander("All six counts of every setting"):
        rows = [
            {"pool": r.pool, "T": r.tables} | {name: _beside(r.counts[name], m.counts[name]) for name in r.counts}
            for r, m in zip(recorded, model, strict=True)
        ]
        st.dataframe(rows, hide_index=True, height=420, key="grid-all")


def _pivot(recorded: list[thrash.Cell], model: list[thrash.Cell]) -> list[dict[str, str]]:
    """One row a pool size, one column a number of tables."""
    rows: dict[int, dict[str, str]] = {}
    for r, m in zip(recorded, model, strict=True):
        row = rows.setdefault(r.pool, {"pool pages": f"{r.pool:,}"})
        row[f"T = {r.tables}"] = _beside(r.counts["shadow_fault"], m.counts["shadow_fault"])
    heads = next(iter(rows.values()))
    return [{head: row.get(head, "not run") for head in heads} for row in rows.values()]


def _beside(recorded: int, model: int) -> str:
    return f"{recorded:,} | {model:,} {'✓' if recorded == model else '≠'}"
