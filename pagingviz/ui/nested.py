"""Below the maps of EPT and NPT: exits by cause, what ENABLE and CLEAN wrote, pages of the pool by level."""

from __future__ import annotations

import streamlit as st

from pagingviz.boards import portray


def exits_and_pages(sim, _theme: str) -> None:
    """The tables of the present state, each with its heading and note. Draws nothing on a road without nested tables."""
    for heading, rows, note in portray.below_maps(sim):
        st.markdown(f"**{heading}**")
        st.table(rows)
        st.caption(note)
