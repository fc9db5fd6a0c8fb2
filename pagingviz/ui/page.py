"""What a page with maps is made of, from top to bottom: title and switch, the live board, and the slow parts below it.

Two fragments. `_live` runs again for every ask of the board and does nothing else, so that a step is painted at once. `_slow`
(what is said, charts, tables, digest, link) runs when the follower in it says that the board has come to rest.

Each stands in a slot, a container of the page's own run. A fragment's run that starts before the server has sent off the
page's run takes that fragment's part out of it; the browser then removes what is missing, and moves up what follows. In a slot
nothing follows, and the fragment's own run puts its part back.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import streamlit as st

from pagingviz.boards import portray
from pagingviz.manual.left_out import left_out
from pagingviz.player.message import Look
from pagingviz.ui import address, session, sidebar
from pagingviz.ui.board import asked, board
from pagingviz.ui.follow import come_into_view, follow

LIVE, HEATMAP, TABLE = VIEWS = ("Live map", "Plotly heatmap", "Table")
ROWS = 20_000  # of a table that travels to the browser


def machine_page(title: str) -> None:
    """The home page: all four maps, nothing below them."""
    with st.container(key="hidden-title"):
        st.title(title)
    with st.container():
        _live(title, portray.BOARDS, "machine")
    with st.container():
        _slow(portray.BOARDS, None, ())


def map_page(
    boards: tuple[str, ...],
    title: str,
    worth_knowing: tuple[str, ...],
    curves: tuple[str, ...],
    below: Callable[[], None] | None = None,
    switch: Callable[[], None] | None = None,
    details: Callable[..., None] | None = None,
    portrait: object = portray,
    changes=True,
) -> None:
    """The page of one map, or of a few that belong together; the first one names the page.

    `curves`: names of simulation.HISTORY for its chart, none: no chart; `below` draws what stands under everything;
    `switch()` draws in the heading; `details(sim, theme)` draws what follows the machine, after the chart; `portrait` and
    `changes`: see Look.
    """
    with st.container(key="heading", horizontal=True, vertical_alignment="center"):
        st.title(title)
        if switch:
            switch()
        st.segmented_control(
            "The same grid as", VIEWS, default=LIVE, required=True, key="view", width="content", label_visibility="collapsed"
        )
    with st.container():
        _live(title, boards, boards[0], portrait, changes)
    with st.container():
        _slow(boards, worth_knowing, curves, details=details, portrait=portrait)
    if below:
        below()


def machine_in_words() -> None:
    """For a page without maps: the visitor's machine is still there, and its link. No board asks here: a timer does."""
    visit = session.current()
    arrived = visit.player is not None and not visit.player.proceed()
    if not arrived:
        st.fragment(_arrive, run_every=0.5)()
    if visit.error:
        st.error(visit.error)
    _slow(portray.BOARDS, None, (), alone=True)


def _arrive() -> None:
    """Wait for the compiler, then walk to the wanted tick."""
    visit = session.current()
    visit.build()
    if visit.player and not visit.player.proceed():
        st.rerun()


def _look(visit: session.Visit, title: str, boards: tuple[str, ...], portrait: object, changes: bool) -> Look:
    return Look(
        title,
        boards,
        session.theme(visit),
        visit.view.present,
        bits=visit.view.bits,
        portrait=portrait,
        changes=changes,
        query=lambda: urlencode(visit.address()),
    )


def come_or_say(visit: session.Visit, waiting: bool) -> None:
    """Make the machine that a page is `waiting` for, and draw anew with it; one sentence when something was refused."""
    if waiting:
        visit.build()
        if visit.player:
            st.rerun()
    if visit.error:
        st.error(visit.error)


@st.fragment
def _live(title: str, boards: tuple[str, ...], name: str, portrait: object = portray, changes=True) -> None:
    """The board, and what comes with it."""
    visit = session.current()
    waiting = visit.player is None
    key = f"board-{name}"
    payload = visit.answer(asked(key), _look(visit, title, boards, portrait, changes))
    come_or_say(visit, waiting)
    board(payload, key)


@st.fragment
def _slow(
    boards: tuple[str, ...],
    worth_knowing: tuple[str, ...] | None,
    curves: tuple[str, ...],
    alone=False,
    details: Callable[..., None] | None = None,
    portrait: object = portray,
) -> None:
    """Everything that may be a moment behind the board. `alone`: there is no board to follow."""
    visit = session.current()
    if not alone:
        with st.container(key="follower"):
            follow(visit.player.now if visit.player and not visit.player.job else "")
    with st.sidebar:
        params = visit.address()
        sidebar.share(visit, params, address.text(params))
    if visit.player is None or visit.player.job:
        return
    sim, theme = visit.player.sim, session.theme(visit)
    plans = visit.player.plans(Look("", boards, bits=visit.view.bits, portrait=portrait))
    _said(sim, plans, portrait)
    if worth_knowing is None:
        return
    with st.container(key="slow"):
        for plan in plans:
            _same_grid(sim, plan, theme, portrait)
        come_into_view(st.session_state.get("view", LIVE), LIVE)
        if curves:
            _history(sim, curves, theme)
        if details:
            details(sim, theme)
        st.markdown("\n".join(f"- {sentence}" for sentence in worth_knowing))
        st.caption("The model leaves out here: " + "; ".join(item.what for item in left_out(boards[0])) + ".")
        for plan in plans:
            st.caption(portrait.alt(sim, plan))
        st.caption(f"State digest {sim.machine.digest()} at tick {sim.tick}.")
        manual_link(visit)


def manual_link(visit: session.Visit) -> None:
    """At the foot of a page: where its words are explained. The link carries the visitor's machine along."""
    query = address.text({**visit.address(), "part": "glossary"})
    st.caption(f"What the words mean, and where the rules come from: [Manual](manual?{query}).")


def _said(sim, plans, portrait) -> None:
    """What the page shows, in words: for screen readers, and where a test finds it."""
    with st.container(key="said"):
        st.markdown(portrait.sentence(sim)[0])
        for plan in plans:
            st.caption(portrait.alt(sim, plan))
        st.text(f"digest {sim.machine.digest()} tick {sim.tick}")


def _same_grid(sim, plan, theme: str, portrait) -> None:
    """The paused, zoomable heatmap, or the table, of what one live map shows."""
    shown = st.session_state.get("view", LIVE)
    if shown == HEATMAP:
        from pagingviz.ui import figures

        figure = figures.heatmap(portrait.cells(sim, plan), plan, theme, portrait.caption(sim, plan))
        name = f"{plan.id}-tick-{sim.tick}"
        st.plotly_chart(figure, theme=None, key=f"heatmap-{plan.id}", config=figures.config(name))
    elif shown == TABLE:
        rows = portrait.table(sim, plan)
        st.markdown(f"**{plan.title}** · {plan.unit}")
        st.dataframe(rows[:ROWS], height=420, key=f"table-{plan.id}")
        if len(rows) > ROWS:
            st.caption(f"The first {ROWS:,} of {len(rows):,} rows.")


def _history(sim, curves: tuple[str, ...], theme: str) -> None:
    from pagingviz.ui import figures

    sc = sim.scenario
    other = {"ept": "npf_", "npt": "ept_"}[sc.hap], "" if sc.pml else "pml_"  # exits that this machine does not have
    curves = tuple(name for name in curves if not name.startswith(tuple(filter(None, other))))
    st.plotly_chart(
        figures.history(*sim.history(), curves, sim.tick, theme), theme=None, key="history", config=figures.config("history")
    )
