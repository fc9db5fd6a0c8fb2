"""The way of questions, each a scenario of the library: where the visitor stands on it, and all of them to choose from."""

from __future__ import annotations

import streamlit as st

from pagingviz.scenario.scenario import GROUPS, Scenario, load, names
from pagingviz.ui.session import Visit

_LEFT = ("start", "shadow")  # groups of the left column: half of the questions


def here(visit: Visit, scenario: Scenario) -> None:
    """A button with the present question, which opens the list of all."""
    if st.button(
        f"{scenario.number} {scenario.question}".strip() or scenario.name,
        key="questions",
        icon=":material/format_list_numbered:",
        help="All questions, in an order that teaches",
        width="stretch",
        wrap=True,
    ):
        _choose(visit, scenario.name)


@st.dialog("Questions", width="large")
def _choose(visit: Visit, present: str) -> None:
    """All questions under their headings; a press opens one at its own start."""
    left, right = st.columns(2, gap="medium")
    for k, (group, heading) in enumerate(GROUPS.items(), start=1):
        with left if group in _LEFT else right:
            st.markdown(f"**{k} {heading}**")
            for other in map(load, names()):
                if other.group == group:
                    _question(visit, other, other.name == present)


def _question(visit: Visit, scenario: Scenario, present: bool) -> None:
    """One question."""
    if st.button(
        f"{scenario.number} {scenario.question} :gray[{scenario.name}]",
        key=f"question-{scenario.name}",
        type="secondary" if present else "tertiary",
        width="stretch",
        wrap=True,
        on_click=visit.choose,
        args=(scenario.name,),
    ):
        st.rerun()  # which closes the list
