"""What a page with maps is made of, from top to bottom: title and switch, the live board, and the slow parts below it.

Two fragments. `_live` runs again for every ask of the board and does nothing else, so that a step is painted at once. `_slow`
(words, charts, tables, digest, link) runs when the follower in it says that the board has come to rest. Before the board's
first picture it holds nothing but the follower, and what stands below it is not there at all: see ui/follow.py.

Each stands in a slot, a container of the page's own run. A fragment's run that starts before the server has sent off the
page's run takes that fragment's part out of it; the browser then removes what is missing, and moves up what follows. In a slot
nothing follows, and the fragment's own run puts its part back.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import streamlit as st

from pagingviz.boards.board import Plan
from pagingviz.boards.registry import HOME, REGISTRY
from pagingviz.boards.scene import Scene
from pagingviz.manual.left_out import left_out
from pagingviz.player.message import Display
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import address, session, sidebar
from pagingviz.ui.board import asked, board
from pagingviz.ui.follow import all_anew, come_into_view, follow, painted
from pagingviz.ui.greeting import greeting

LIVE, HEATMAP, TABLE = VIEWS = ("Live map", "Plotly heatmap", "Table")
ROWS = 20_000  # of a table that travels to the browser


def machine_page(title: str) -> None:
    """The home page: all four maps, nothing below them."""
    with st.container(key="hidden-title"):
        st.title(title)
    with st.container():
        _live(title, HOME, "machine")
    with st.container():
        _slow(HOME, None, ())


def map_page(
    boards: tuple[str, ...],
    title: str,
    worth_knowing: tuple[str, ...],
    curves: tuple[str, ...],
    below: Callable[[], None] | None = None,
    switch: Callable[[], None] | None = None,
    details: Callable[..., None] | None = None,
    scene: Callable[[Simulation], Scene] = Scene,
    changes: bool = True,
) -> None:
    """The page of one map, or of a few that belong together; the first one names the page.

    `curves`: names of simulation.HISTORY for its chart, none: no chart; `below` draws what stands under everything;
    `switch()` draws in the heading; `details(sim, theme)` draws what follows the machine, after the chart; `scene` and
    `changes`: see player.message.Display.
    """
    with st.container(key="heading", horizontal=True, vertical_alignment="center"):
        st.title(title)
        if switch:
            switch()
        st.segmented_control(
            "The same grid as", VIEWS, default=LIVE, required=True, key="view", width="content", label_visibility="collapsed"
        )
    with st.container():
        _live(title, boards, boards[0], scene, changes)
    with st.container():
        _slow(boards, worth_knowing, curves, details=details, make_scene=scene, more=below is not None)
    if below and painted():
        below()


def machine_in_words() -> None:
    """For a page without maps: the visitor's machine is still there, and its link. No board asks here: a timer does."""
    visit = session.current()
    arrived = visit.player is not None and not visit.player.proceed()
    if not arrived:
        st.fragment(_arrive, run_every=0.5)()
    if visit.error:
        st.error(visit.error)
    _slow(HOME, None, (), alone=True)


def _arrive() -> None:
    """Wait for the compiler, then walk to the wanted tick."""
    visit = session.current()
    visit.build()
    if visit.player and not visit.player.proceed():
        st.rerun()


def come_or_say(visit: session.Visit, waiting: bool) -> None:
    """Make the machine that a page is `waiting` for, and draw anew with it; one sentence when something was refused."""
    if waiting:
        visit.build()
        if visit.player:
            st.rerun()
    if visit.error:
        st.error(visit.error)


@st.fragment
def _live(
    title: str, boards: tuple[str, ...], name: str, scene: Callable[[Simulation], Scene] = Scene, changes: bool = True
) -> None:
    """The board, and what comes with it."""
    visit = session.current()
    waiting = visit.player is None
    key = f"board-{name}"
    view, theme = visit.view, session.theme(visit)
    display = Display(
        title,
        boards,
        theme,
        view.present,
        bits=view.bits,
        query=lambda: urlencode(visit.address()),
        scene=scene,
        changes=changes,
        greeting=lambda: greeting(visit) if boards == HOME else None,
    )
    payload = visit.answer(asked(key), display)
    come_or_say(visit, waiting)
    board(payload, key)


@st.fragment
def _slow(
    boards: tuple[str, ...],
    worth_knowing: tuple[str, ...] | None,
    curves: tuple[str, ...],
    alone: bool = False,
    details: Callable[..., None] | None = None,
    make_scene: Callable[[Simulation], Scene] = Scene,
    more: bool = False,
) -> None:
    """Everything that may be a moment behind the board. `alone`: there is no board to follow; `more`: see follow.all_anew."""
    visit = session.current()
    if not alone:
        all_anew(more)
        with st.container(key="follower"):
            follow(visit.player.now if visit.player and not visit.player.job else "")
    share(visit, alone or painted())
    if visit.player is None or visit.player.job or not (alone or painted()):
        return
    sim, theme = visit.player.sim, session.theme(visit)
    plans, scene = visit.player.plans(boards, visit.view.bits), make_scene(sim)
    _in_words(scene, plans, visit.player.sought)
    if worth_knowing is None:
        return
    with st.container(key="slow"):
        for plan in plans:
            _same_grid(scene, plan, theme)
        come_into_view(st.session_state.get("view", LIVE), LIVE)
        if curves:
            _history(sim, curves, theme)
        if details:
            details(sim, theme)
        st.markdown("\n".join(f"- {sentence}" for sentence in worth_knowing))
        st.caption("The model leaves out here: " + "; ".join(item.what for item in left_out(boards[0])) + ".")
        for plan in plans:
            st.caption(REGISTRY[plan.id].alt(scene, plan))
        st.caption(f"State digest {sim.machine.digest()} at tick {sim.tick}.")
        manual_link(visit)


def share(visit: session.Visit, now: bool) -> None:
    """In the sidebar, the link to this view; before its time its place, for a fragment keeps what it takes in every run."""
    with st.sidebar, st.container():
        if now:
            params = visit.address()
            sidebar.share(visit, params, address.text(params))


def manual_link(visit: session.Visit) -> None:
    """At the foot of a page: where its words are explained. The link carries the visitor's machine along."""
    query = address.text({**visit.address(), "part": "glossary"})
    st.caption(f"What the words mean, and where the rules come from: [Manual](manual?{query}).")


def _in_words(scene: Scene, plans: list[Plan], sought: str) -> None:
    """What the page shows, in words: for screen readers, and where a test finds it. sought: see Player."""
    with st.container(key="read-aloud"):
        st.markdown(scene.sentence(sought)[0])
        for plan in plans:
            st.caption(REGISTRY[plan.id].alt(scene, plan))
        st.text(f"digest {scene.sim.machine.digest()} tick {scene.sim.tick}")


def _same_grid(scene: Scene, plan: Plan, theme: str) -> None:
    """The paused, zoomable heatmap, or the table, of what one live map shows."""
    shown, shows = st.session_state.get("view", LIVE), REGISTRY[plan.id]
    if shown == HEATMAP:
        from pagingviz.ui import figures

        figure = figures.heatmap(shows.cells(scene, plan), plan, theme, shows.caption(scene, plan))
        name = f"{plan.id}-tick-{scene.sim.tick}"
        st.plotly_chart(figure, theme=None, key=f"heatmap-{plan.id}", config=figures.config(name))
    elif shown == TABLE:
        rows = shows.table(scene, plan)
        st.markdown(f"**{plan.title}** · {plan.unit}")
        st.dataframe(rows[:ROWS], height=420, key=f"table-{plan.id}")
        if len(rows) > ROWS:
            st.caption(f"The first {ROWS:,} of {len(rows):,} rows.")


def _history(sim: Simulation, curves: tuple[str, ...], theme: str) -> None:
    from pagingviz.ui import figures

    sc = sim.scenario
    other = {"ept": "npf_", "npt": "ept_"}[sc.hap], "" if sc.pml else "pml_"  # exits that this machine does not have
    curves = tuple(name for name in curves if not name.startswith(tuple(filter(None, other))))
    st.plotly_chart(
        figures.history(*sim.history(), curves, sim.tick, theme), theme=None, key="history", config=figures.config("history")
    )
