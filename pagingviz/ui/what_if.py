"""The page What if: one rule is broken on purpose; the true machine and the broken one stand side by side where it shows."""

from __future__ import annotations

import dataclasses

import streamlit as st

from pagingviz.experiments.broken_rules import BROKEN_RULES, NAMES
from pagingviz.experiments.what_if import Film
from pagingviz.experiments.what_if import film as film_of
from pagingviz.player.film import FilmPlayer
from pagingviz.player.message import Display
from pagingviz.scenario.table import FIELD
from pagingviz.ui import session
from pagingviz.ui.board import asked, board
from pagingviz.ui.jobs import finished, job
from pagingviz.ui.page import machine_in_words

_BOARD, _PLAYER = "board-what-if", "what-if-player"


def what_if_page(title: str) -> None:
    """The whole page."""
    visit = session.current()
    view = visit.present_view()
    name = view.rule or NAMES[0]
    with st.container(key="heading", horizontal=True, vertical_alignment="center"):
        st.title(title)
        st.selectbox(
            FIELD["rule"].label,
            NAMES,
            NAMES.index(name),
            key=f"rule-{name}",
            format_func=lambda rule: BROKEN_RULES[rule].title,
            label_visibility="collapsed",
            width=330,
            on_change=lambda: _choose(visit, name, st.session_state[f"rule-{name}"]),
        )
        if view.broken:
            st.button("Mend it", key="mend-it", on_click=_show, args=(visit, name, False))
        else:
            st.button("Break it", key="break-it", type="primary", on_click=_show, args=(visit, name, True))
    machine_in_words()
    if not (view.present and view.broken):
        _rule(name)
    if not view.broken:
        st.caption(
            "Break it, and the same guest runs on two machines: on one all rules hold, on the other this one is broken. You "
            "are shown the first tick at which somebody sees something wrong."
        )
        return
    work = job(("broken rule", name), f"broken rule {name}", lambda progress: film_of(name, progress))
    if finished(work, "Both machines run until somebody notices …", "what-if"):
        if not view.present:
            _noticed(work.result)
        _maps(title, work.result)


def _choose(visit: session.Visit, shown: str, chosen: str) -> None:
    """Another rule than the one that is shown, which is whole as yet."""
    if chosen != shown:  # see Visit.put
        visit.error = ""
        _show(visit, chosen, False)


def _show(visit: session.Visit, name: str, broken: bool) -> None:
    """The page of a rule, broken or whole."""
    visit.show(dataclasses.replace(visit.present_view(), rule=name, broken=broken))


def _rule(name: str) -> None:
    """What the rule is, and what is done instead."""
    rule = BROKEN_RULES[name]
    with st.container(key="what-if-rule"):
        st.markdown(f"**The rule:** {rule.rule} `{rule.source}`  \n**Broken:** {rule.instead}")


def _noticed(film: Film) -> None:
    """Who notices what, and what the rule would have done."""
    wrong = film.wrong
    with st.container(key="what-if-noticed"):
        st.markdown(
            f"**First wrong at tick {wrong.tick:,}, seen {wrong.who}:** {wrong.text}  \n"
            f"**With the rule:** {BROKEN_RULES[film.rule].saves}"
        )


def _player(film: Film) -> FilmPlayer:
    """This visitor's own player of the film."""
    player = st.session_state.get(_PLAYER)
    if player is None or player.film is not film:
        player = st.session_state[_PLAYER] = FilmPlayer(film)
    return player


@st.fragment
def _maps(title: str, film: Film) -> None:
    """Both machines, stepped together."""
    visit = session.current()
    display = Display(title, (), session.theme(visit), visit.view.present, compact=True)
    board(_player(film).answer(asked(_BOARD), display), _BOARD)
