"""The table of costs as the viewer may edit it: what is written there becomes the scenario's."""

from __future__ import annotations

import streamlit as st

from pagingviz.arch import costs
from pagingviz.scenario.cost_fields import MOST_CYCLES, name_of
from pagingviz.ui import session


def cost_editor(visit: session.Visit) -> None:
    """Every row of arch/costs.py with the scenario's number for it, and its source."""
    table, key = visit.scenario.costs, f"cost-editor-{visit.revision}"
    number = st.column_config.NumberColumn(min_value=0, max_value=MOST_CYCLES, step=1, required=True)
    rows = [{"key": cost.key, "what": cost.what, "cycles": table[cost.key], "source": cost.source} for cost in costs.COSTS]
    st.data_editor(
        rows,
        hide_index=True,
        key=key,
        on_change=lambda: _put(visit, key),
        disabled=("what", "source"),
        height=422,
        column_config={"key": None, "cycles": number},
    )
    st.caption(
        "Double-click a number to change it: it becomes part of the scenario, and of the address (`cost_exit=2000`). Where "
        "the source says so, it is a guess. Cycles decide how far a guest gets while it is migrated, and nothing else."
    )


def _put(visit: session.Visit, key: str) -> None:
    """What the viewer has written into the table becomes the scenario's."""
    rows = st.session_state[key]["edited_rows"]
    visit.change(**{name_of(costs.COSTS[int(k)].key): int(row["cycles"] or 0) for k, row in rows.items() if "cycles" in row})
