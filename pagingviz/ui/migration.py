"""The page Live migration around its boards: what can be chosen in the heading; rounds, convergence and time line below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from pagingviz.experiments.migrations import with_migration
from pagingviz.migration import Migration
from pagingviz.migration.state import ABORTED, BROKEN, DONE, LOST, WAITING
from pagingviz.reading import rounds as numbers
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.table import FIELD
from pagingviz.story import rounds as story
from pagingviz.story.counting import counted
from pagingviz.story.migration import duration, given_up
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import session

EXAMPLE = "moving"  # the scenario of the library that a visitor without a migration is offered
PACES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
LINKS = (12, 125, 312, 1250, 3125, 12_500)  # MB/s: 100 Mb/s, 1, 2.5, 10, 25, 100 Gb/s
CURVES = {
    "shadows": (("exits_page_fault",), ("free_pages", "total_pages")),
    "ept": (("ept_misconfig", "ept_violation"), ("dirty_count",)),
    "npt": (("npf_recalc", "npf_write"), ("dirty_count",)),
}  # of simulation.HISTORY, one chart each


def choices() -> None:
    """In the heading: kind, policy, guest's speed and link; without a migration, over the boards, two ways to get one."""
    visit = session.current()
    if visit.view.present:
        return
    scenario, mark = visit.scenario, visit.revision
    if scenario.migrate == "no":
        _nothing_moved(visit)
        return
    kinds = FIELD["migrate"]
    choice(visit, "migrate", kinds.choices, kinds.word, 134, mark, lambda kind: begin(visit, kind))
    choice(visit, "policy", FIELD["policy"].choices, lambda name: f"stop: {name}", 130, mark)
    choice(visit, "pace", PACES, lambda n: f"{counted(n, 'tick')} a page", 140, mark)
    choice(visit, "bandwidth", LINKS, lambda n: f"{n:,} MB/s", 122, mark)


def _nothing_moved(visit: session.Visit) -> None:
    """In the middle of the boards, while they are empty: what the page is for, and the two ways to fill it."""
    hypervisor = road_of(visit.scenario).hypervisor
    with st.container(key="nothing-moved"):
        st.markdown("Nothing is being moved: here a guest is copied to another host while it runs, and then goes on there.")
        with st.container(horizontal=True, horizontal_alignment="center"):
            st.button(
                f"Watch gzip move: scenario {EXAMPLE}",
                type="primary",
                key="watch",
                width="content",
                on_click=lambda: visit.choose(EXAMPLE, play=True),
            )
            st.button(
                "Migrate this guest",
                key="migrate-this",
                width="content",
                disabled=not hypervisor,
                help="Pre-copy from this tick on" if hypervisor else "No hypervisor, no migration",
                on_click=lambda: begin(visit, "precopy"),
            )


def choice(
    visit: session.Visit,
    name: str,
    options: Sequence[Any],
    word: Callable[[Any], str],
    width: int,
    mark: int,
    put: Callable[[Any], None] | None = None,
) -> None:
    """A field of the scenario as a list; a value of its own that is not in the list is added."""
    value = getattr(visit.scenario, name)
    options = sorted({*options, value}) if isinstance(value, int) else list(options)
    key = f"choose-{name}-{mark}"

    def change() -> None:
        chosen = st.session_state[key]
        if put is None:
            visit.put(name, value, chosen)
        elif chosen != value:  # see Visit.put
            put(chosen)

    st.selectbox(
        name,
        options,
        options.index(value),
        key=key,
        width=width,
        label_visibility="collapsed",
        format_func=word,
        on_change=change,
    )


def begin(visit: session.Visit, kind: str) -> None:
    """Another kind of migration. Where there was none it begins at this tick, and nobody else reads the bitmap."""
    if visit.scenario.migrate != "no" or kind == "no":
        visit.change(migrate=kind)
    elif visit.player is not None:
        alone = with_migration(visit.scenario.replace(do=visit.player.sim.script()))
        visit.change(migrate=kind, clean_every=alone.clean_every, do=alone.do, migrate_at=visit.player.tick)


# ---- below the boards


def details(sim: Simulation, theme: str) -> None:
    """Outcome, rounds, convergence, time line and what the tables of the hypervisor go through."""
    mig = sim.migration
    if mig is None:
        return
    if mig.state.phase == WAITING:
        st.markdown("No page has been sent yet.")
        return
    from pagingviz.ui import figures  # not before somebody looks: plotly takes a second
    from pagingviz.ui import figures_migration as charts

    config = figures.config
    _outcome(sim)
    st.plotly_chart(
        charts.time_line(numbers.stretches(sim), numbers.now(sim) - mig.state.began, theme),
        theme=None,
        key="time-line",
        config=config("time-line"),
    )
    if mig.state.rounds:
        _charts(mig, theme)
        st.subheader("Rounds")
        st.dataframe(story.rows(mig), hide_index=True, key="rounds", height="content" if len(mig.state.rounds) < 12 else 420)
    if mig.state.downtime:
        st.subheader("What the pause was made of")
        narrow = {name: st.column_config.Column(width="small") for name in ("part", "µs", "%")}
        st.dataframe(story.pause(mig), hide_index=True, key="pause", height="content", column_config=narrow)
    st.subheader("What it costs the guest")
    st.markdown(_storm(sim))
    marks = numbers.starts(mig)
    ticks, series = sim.course()
    for k, names in enumerate(CURVES[sim.scenario.hap if road_of(sim.scenario).nested else "shadows"]):
        figure = charts.course(ticks, series, names, sim.tick, marks, theme)
        st.plotly_chart(figure, theme=None, key=f"history-{k}", config=config(names[0]))


def _outcome(sim: Simulation) -> None:
    """How it ended, loudly; else the rule that will end it."""
    mig = sim.migration
    assert mig
    state = mig.state
    if state.phase == DONE and state.equal and state.checkpoints:
        st.success(
            f"**The backup equals the primary as of checkpoint {state.checkpoints}.** {state.why} In all checkpoints "
            f"together the guest stood still for {duration(state.downtime)}."
        )
    elif state.phase == DONE and state.equal:
        times, took = state.bytes / (mig.frames * 4096), duration(state.ended - state.began)
        st.success(
            f"**The destination equals the source**, page by page: {counted(len(state.times), 'frame')} compared. The guest "
            f"stood still for {duration(state.downtime)}; {state.bytes / 1e6:,.2f} MB crossed the wire, {times:.2f} "
            f"times its memory, in {took}."
        )
    elif state.phase == DONE:
        st.error("**The destination's memory DIFFERS from the source's.**")
    elif state.phase == ABORTED:
        st.warning(f"{state.why} {given_up(sim)}")
    elif state.phase in (BROKEN, LOST):
        st.warning(state.why)


def _charts(mig: Migration, theme: str) -> None:
    """Four charts in two rows, and what they say."""
    from pagingviz.ui import figures_migration as charts
    from pagingviz.ui.figures import config

    rounds = mig.state.rounds
    left, right = st.columns(2)
    with left:
        st.plotly_chart(charts.rounds_bars(rounds, theme), theme=None, key="rounds-bars", config=config("rounds"))
    with right:
        figure = charts.exits_bars(rounds, [numbers.exits(mig, r) for r in rounds], theme)
        st.plotly_chart(figure, theme=None, key="exits-bars", config=config("exits-by-round"))
    paces = numbers.paces(mig)
    if paces:
        left, right = st.columns(2)
        with left:
            figure = charts.rates(paces, mig.link.whole, theme)
            st.plotly_chart(figure, theme=None, key="rates", config=config("dirty-rate"))
        with right:
            pause = mig.state.downtime if mig.scenario.migrate != "remus" else 0  # there it is that of all checkpoints
            figure = charts.downtimes(paces, numbers.fixed(mig), pause, theme)
            st.plotly_chart(figure, theme=None, key="downtimes", config=config("downtime"))
    st.markdown("\n".join(f"- {text}" for text in story.convergence(mig)))


def _storm(sim: Simulation) -> str:
    """What each round's CLEAN did to the guest on this road, with its numbers; where none was needed, what it waited."""
    mig = sim.migration
    assert mig
    waited = [
        f"round {r.number}: {counted(r.faults, 'page')} fetched on demand, {duration(r.stall)} waited for them"
        for r in mig.state.rounds
        if r.kind == "pushed"
    ]
    if all(r.kind != "live" for r in mig.state.rounds):
        return "Nobody tracks what it writes. " + ("; ".join(waited).capitalize() + "." if waited else "It stands still.")
    causes_of = [(r.number, story.causes(numbers.exits(mig, r))) for r in mig.state.rounds[-6:] if r.kind == "live"]
    each = "; ".join(f"round {n}: {causes or 'none'}" for n, causes in causes_of)
    road = road_of(sim.scenario)
    if road.nested:
        how = (
            "ENABLE and each CLEAN write the **root** of the nested tables alone (one entry for 512 GiB). The poison sinks "
            "as the guest walks: a misconfiguration for each table of leaves (NPT: a recalculation for each leaf), then "
        )
        how += (
            "the processor logs the first store to each frame (PML), and one exit empties 512 entries of the log; a superpage "
            "still costs an exit at its first store, which splits it."
            if sim.scenario.pml
            else "one exit for the first store to each frame."
        )
    elif sim.scenario.clean == "revoke":
        how = (
            "Each CLEAN **searches all shadows** for every frame that may be written, while the guest is paused, and takes "
            "write access away (clean=revoke): the shadows stay, and the next store to a frame exits."
        )
    else:
        who = "Shadow paging begins with ENABLE. Each CLEAN **throws" if road.paravirtual else "ENABLE and each CLEAN **throw"
        how = who + (
            " all shadows away**: the pool falls empty, and the guest faults back in what it still uses. The shorter the "
            "round, the more of it is refaulting."
        )
    return f"{how} Exits: {'; '.join([each, *waited])}."
