"""Below the maps of EPT and NPT: exits by cause, what ENABLE and CLEAN wrote, pages of the pool by level."""

from __future__ import annotations

import streamlit as st

from pagingviz.story import nested_tables
from pagingviz.timeline.simulation import Simulation


def exits_and_pages(sim: Simulation, _theme: str) -> None:
    """The tables of the present state, each with its heading and note. Draws nothing on a road without nested tables."""
    for heading, rows, note in nested_tables.exits_and_pages(sim):
        st.markdown(f"**{heading}**")
        st.table(rows)
        st.caption(note)
