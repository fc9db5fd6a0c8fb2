"""The page Side by side: one map of each machine in a row, one player for all, and below them the ledger of what each cost."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from urllib.parse import urlencode

import streamlit as st

from pagingviz.boards.scene import Scene
from pagingviz.experiments import balance
from pagingviz.player.message import Display
from pagingviz.player.shown import Shown
from pagingviz.player.side import Beside
from pagingviz.scenario import beside
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.roads import ROADS
from pagingviz.scenario.scenario import Scenario
from pagingviz.scenario.table import FIELD, View
from pagingviz.story.sentences import sentence
from pagingviz.ui import session
from pagingviz.ui.board import asked, board
from pagingviz.ui.costs import cost_editor
from pagingviz.ui.follow import follow, painted
from pagingviz.ui.page import come_or_say, manual_link, share

CYCLES, COUNTS = UNITS = ("cycles", "counts")
FORMS = {  # what a viewer chooses from: {title: the fields of a machine}
    title: {"road": road.name, **{name: str(value) for name, value in fields.items()}}
    for road in ROADS.values()
    for title, fields in road.forms
}


def side_by_side_page(title: str, worth_knowing: tuple[str, ...]) -> None:
    """The whole page."""
    visit = session.current()
    with st.container(key="heading", horizontal=True, vertical_alignment="center"):
        st.title(title)
        _choose_board(visit)
        _choose_machines(visit)
    with st.container():
        _live(title)
    with st.container():
        _slow(worth_knowing)


# ---- what is compared


def text_of(scenario: Scenario, view: View) -> str:
    """The machines beside one of `scenario`, as scenario/beside.py writes them: those of the view, else one on another road."""
    return view.beside or beside.other_road(scenario)


def beside_of(visit: session.Visit) -> Beside | None:
    """The machines beside the visitor's; made anew when that is another one, or when others are wanted."""
    player = visit.player
    if player is None:
        visit.beside = None
        return None
    text = text_of(player.sim.scenario, visit.view)
    if visit.beside is None or visit.beside.sim is not player.sim or visit.beside.text != text:
        visit.beside = Beside(player.sim, text)
    return visit.beside


def _choose_board(visit: session.Visit) -> None:
    """Which of the four maps is shown of each machine."""
    field, key = FIELD["board"], f"board-{visit.revision}-{visit.view.board}"

    def put() -> None:
        visit.show(dataclasses.replace(visit.present_view(), board=st.session_state[key]))

    st.segmented_control(
        field.label,
        field.choices,
        default=visit.present_view().board,
        required=True,
        format_func=field.word,
        key=key,
        on_change=put,
        width="content",
        label_visibility="collapsed",
    )


def _choose_machines(visit: session.Visit) -> None:
    """Roads to choose from, and a text in which any fields of the other machines are written."""
    scenario, view = visit.present()[0], visit.present_view()
    text = text_of(scenario, view)
    pills, field = f"roads-{visit.revision}-{text}", f"beside-{visit.revision}-{text}"

    forms, machines = possible(scenario), beside.scenarios(scenario, text)
    others = [title for title in forms if forms[title] != scenario]

    def put(wanted: str) -> None:
        visit.error = ""
        try:
            beside.scenarios(scenario, wanted)
            visit.show(dataclasses.replace(visit.present_view(), beside=wanted))
        except ScenarioError as error:
            visit.refuse(error)

    with st.popover(f"Beside: {' · '.join(beside.names(scenario, text)[1:])}", width="content", key="machines"):
        st.pills(
            "Roads beside this one",
            others,
            selection_mode="multi",
            default=[title for title in others if forms[title] in machines],
            key=pills,
            on_change=lambda: put(with_roads(scenario, text, st.session_state[pills])),
        )
        st.text_input(
            "Fields in which each machine differs",
            text,
            key=field,
            on_change=lambda: put(st.session_state[field].strip()),
            help="A comma between fields, a semicolon between machines, up to three machines: `road:hap,pml:0;pool:32`.",
        )


def possible(scenario: Scenario) -> dict[str, Scenario]:
    """The scenario on every road that it can have, by title of FORMS."""
    out = {}
    for title, fields in FORMS.items():
        with contextlib.suppress(ScenarioError):
            out[title] = scenario.replace(**fields)
    return out


def with_roads(scenario: Scenario, text: str, titles: Sequence[str]) -> str:
    """The text with these roads, and with those of its machines that are none of FORMS."""
    forms = possible(scenario)
    pairs = zip(beside.parse(text), beside.scenarios(scenario, text), strict=True)
    kept = [(fields, one) for fields, one in pairs if one not in forms.values() or one in [forms[title] for title in titles]]
    new = [FORMS[title] for title in titles if forms[title] not in [one for _, one in kept]]
    return beside.written([*(fields for fields, _ in kept), *new])


# ---- the maps


def _mark(visit: session.Visit) -> str:
    """What the maps show beside the visitor's machine: the follower (ui/follow.py) compares it."""
    return f" {visit.view.board} {visit.view.bits} {visit.beside.mark if visit.beside else ''}"


@st.fragment
def _live(title: str) -> None:
    """One map of each machine, and the player."""
    visit = session.current()
    waiting = visit.player is None
    found, key = beside_of(visit), "board-side-by-side"
    view = visit.present_view()
    display = Display(
        title,
        (view.board,),
        session.theme(visit),
        view.present,
        bits=view.bits,
        query=lambda: urlencode(visit.address()),
        scene=found.scene if found else Scene,
        mark=lambda: _mark(visit),
        beside=found,
    )
    payload = visit.answer(asked(key), display)
    come_or_say(visit, waiting)
    for why in found.refused() if found else ():
        st.error(why)
    board(payload, key)


# ---- what stands below them


@st.fragment
def _slow(worth_knowing: tuple[str, ...]) -> None:
    """What may be a moment behind the maps: words, digests, the ledger."""
    visit = session.current()
    player = visit.player if visit.player and not visit.player.job else None
    found = beside_of(visit) if player else None
    there = player is not None and found is not None and found.follow()
    with st.container(key="follower"):
        follow(player.now + _mark(visit) if player and there else "")
    share(visit, painted())
    if player is None or found is None or not there or not painted():
        return
    machines = found.machines()
    with st.container(key="read-aloud"):
        st.markdown(sentence(player.sim, player.sought)[0])
        own = [Shown(plan.id, plan, found.scene(player.sim)) for plan in player.plans((visit.view.board,), visit.view.bits)]
        for one in found.among(own, visit.view.bits):
            st.caption(one.alt())
        st.text(f"digest {player.sim.machine.digest()} tick {player.sim.tick}")
    if visit.view.present:
        return
    with st.container(key="slow"):
        st.subheader("In this tick")
        st.table(
            [
                {"machine": name, "what happens": sentence(sim)[0], "state digest": sim.machine.digest()}
                for _, name, sim in machines
            ]
        )
        _ledger(visit, found)
        st.markdown("\n".join(f"- {text}" for text in worth_knowing))
        manual_link(visit)


def _ledger(visit: session.Visit, found: Beside) -> None:
    """The table of what each machine has cost since tick 0, its differences as bars, and the prices."""
    from pagingviz.ui import figures, figures_side

    machines = found.machines()
    names = [name for _, name, _ in machines]
    rows = balance.ledger([sim for _, _, sim in machines])
    st.subheader("What it has cost since tick 0")
    unit = st.segmented_control(
        "Ledger in", UNITS, default=CYCLES, required=True, key="ledger-unit", label_visibility="collapsed"
    )
    st.table(table(rows, names, unit))
    if len(machines) > 1:
        figure = figures_side.differences(balance.differences(rows, unit == CYCLES), names, unit, session.theme(visit))
        st.plotly_chart(figure, theme=None, key="side-by-side-chart", config=figures.config("side-by-side"))
    st.subheader("The prices")
    cost_editor(visit)


def table(rows: Sequence[balance.Row], names: Sequence[str], unit: str) -> list[dict[str, str]]:
    """The rows of the ledger for a reader, in cycles or in counts."""
    out = []
    for row in rows:
        numbers = row.cycles if unit == CYCLES else row.counts
        if numbers is None or (unit == COUNTS and row.what == balance.TOTAL):
            continue
        cells = {name: f"{n:,}" for name, n in zip(names, numbers, strict=True)}
        about = (
            {"price of one": row.price, "source": row.source}
            if unit == CYCLES
            else {"counter": row.counter, "whose": row.whose}
        )
        out.append({"what": row.what, **cells, **about})
    return out
