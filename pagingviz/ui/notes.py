"""The notes of a scenario beside the board, one at a time, and the steps in it as buttons that do what the text says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import Scenario
from pagingviz.story.steps import Note, Step, notes
from pagingviz.ui.session import Visit

APART = {"real-xen": "a recorded machine", "what-if": "two other machines"}  # by path: pages on which no step acts
_BOX = "what-to-try"
_OPEN = "notes-open"  # in the session's state: whether the notes are open
_READ = "note"  # in the session's state: (name of the scenario, which of its notes is read, counted from 0)


def opened() -> Any:
    """The expander of the notes: open at first, then as the visitor has left it, on every page."""

    def keep() -> None:
        st.session_state[_OPEN] = st.session_state[_BOX]

    return st.expander("What to try", expanded=st.session_state.get(_OPEN, True), key=_BOX, on_change=keep)


def draw(visit: Visit, pages: Mapping[str, Any], here: str) -> None:
    """The scenario's sentence, one note with its steps, and the way to the notes before and after it.

    pages: Streamlit's page by path; here: the path of the open one.
    """
    scenario = visit.present()[0]
    found = notes(scenario.notes)
    name, k = st.session_state.get(_READ, ("", 0))
    k = min(k, len(found) - 1) if name == scenario.name else 0
    if found:
        _turn(scenario.name, k, len(found))  # above the text, so that it stays where it is
    if k == 0:
        st.caption(scenario.sentence)
    if found:
        _note(visit, scenario, found[k], pages, here)
    st.button(
        "Begin again",
        key="begin-again",
        type="tertiary",
        icon=":material/restart_alt:",
        help="The scenario at its own start: its own fields, and none of the commands that were given",
        on_click=visit.again,
    )


def _note(visit: Visit, scenario: Scenario, note: Note, pages: Mapping[str, Any], here: str) -> None:
    """One note: its text, with the words of the steps in bold, and below it a button for each step."""
    st.markdown(note.text(lambda step: f"**{step.words}**"))
    for k, step in enumerate(note.steps):
        why = _impossible(visit, scenario, step, here)
        if step.kind == "page":
            st.page_link(pages[step.value], label=step.label, disabled=bool(why), help=why or None, width="stretch")
        else:
            st.button(
                step.label,
                key=f"step-{note.number}-{k}",
                disabled=bool(why),
                help=why or None,
                width="stretch",
                wrap=True,
                on_click=_take,
                args=(visit, step),
            )


def _turn(name: str, k: int, n: int) -> None:
    """To the note before and the one after."""

    def turn(label: str, to: int) -> None:
        st.button(
            label,
            key=f"turn-{label}",
            disabled=not 0 <= to < n,
            on_click=lambda: st.session_state.update({_READ: (name, to)}),
        )

    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        turn("Back", k - 1)
        st.markdown(f"{k + 1} of {n}", width="content")
        turn("Next", k + 1)


def _take(visit: Visit, step: Step) -> None:
    """Do what a step says."""
    if step.kind == "set":
        visit.change(**dict(step.keys))
    elif step.kind == "tick":
        visit.go(int(step.value))
    elif step.kind == "next":
        visit.look_for(step.value)
    else:
        visit.choose(step.value)


def _impossible(visit: Visit, scenario: Scenario, step: Step, here: str) -> str:
    """Why a step cannot be taken at present, in a sentence; "" when it can."""
    if step.kind == "page":
        return "This page is open." if step.value == here else ""
    if here in APART:
        return f"This page shows {APART[here]}, and not yours."
    if step.kind == "next" and visit.player is None:
        return "The machine is not there yet."
    if step.kind == "scenario" and step.value == scenario.name:
        return "This scenario is open."
    if step.kind == "set":
        try:
            if scenario.replace(**dict(step.keys)) == scenario:
                return "It is set so now."
        except ScenarioError as error:
            return str(error)
    return ""
