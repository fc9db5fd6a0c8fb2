"""Below the page Live migration: the same guest, work and seed moved down every road, as one chart and one table."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pagingviz.experiments import migrations
from pagingviz.ui import session
from pagingviz.ui.jobs import Job, finished, job, known

MOST_TICKS = 30_000_000  # of a first round on which a viewer is made to wait
_SAID = """
One work, one seed, one link. What differs is how each road learns what was written. **Shadow paging** (PV borrows it for the
move) loses all shadows at every CLEAN, so the guest spends much of a round on faults; it does less work, and so dirties less.
**EPT** pays an exit for each page's first store in a round, **NPT** one more for each page touched at all, **PML** hardly any:
its guest runs on at full speed, writes most, and has most to send.
"""


def every_road() -> None:
    """The whole section. Draws nothing until there is a machine, nor for one that would take minutes."""
    visit = session.current()
    if visit.player is None or visit.view.present:
        return
    scenario = migrations.with_migration(visit.scenario.replace(do=visit.player.sim.script()))
    with st.container(key="every-road"):
        st.subheader("Side by side")
        if scenario.frames * scenario.pace > MOST_TICKS:
            st.markdown(f"This guest takes minutes: `python -m pagingviz migrate {scenario.name} --compare` does the same.")
            return
        key = ("roads", scenario.to_json(), tuple(sorted(visit.files)))
        files = dict(visit.files)

        def begin() -> Job[list[dict[str, Any]]]:
            return job(key, "every road", lambda progress: migrations.side_by_side(scenario, files, progress))

        def ask() -> None:
            begin()

        if not known(key):  # on demand: it slows the machine on the boards down for seconds
            st.button("Move this guest down every road", key="every-road-run", width="content", on_click=ask)
        elif finished(work := begin(), "The same guest is moved down every road …", "roads"):
            _show(work.result, session.theme(visit))


def _show(rows: list[dict[str, Any]], theme: str) -> None:
    from pagingviz.ui import figures, figures_migration

    st.markdown(_SAID)
    if any("error" not in row for row in rows):
        st.plotly_chart(
            figures_migration.every_road(rows, theme), theme=None, key="every-road-chart", config=figures.config("every-road")
        )
    st.table(migrations.table(rows))
