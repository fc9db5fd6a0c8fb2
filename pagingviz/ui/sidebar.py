"""The sidebar: which scenario, its fields, commands to the machine, an own program, and the link to this very view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from pagingviz.manual.glossary import tooltip
from pagingviz.scenario import beside
from pagingviz.scenario.fields import POOL_LOW, Field
from pagingviz.scenario.scenario import Scenario, shipped_traces
from pagingviz.scenario.table import MIGRATION, PAGING, WORK, of_section
from pagingviz.story.kinds import COMMANDS
from pagingviz.ui import notes, way
from pagingviz.ui.session import Visit

SIDE = "side-by-side"  # path of the page that shows machines side by side


def draw(visit: Visit, pages: Mapping[str, Any], here: str) -> None:
    """Everything below the page list. Widgets are named by the visit's revision, so that they always show its machine.

    pages: Streamlit's page by path; here: the path of the open one. Of a page that shows another machine than the visitor's own
    the sidebar says so; what concerns a migration alone is shown on its page, in whose heading its kind is chosen.
    """
    if here in notes.APART:
        st.caption(f"Your own machine waits where it was. This page shows {notes.APART[here]}.")
    scenario = (visit.wanted or (visit.scenario,))[0]
    mark = visit.revision
    way.here(visit, scenario)
    if here != SIDE:
        _compare(visit, scenario, pages[SIDE])
    with notes.opened():
        notes.draw(visit, pages, here)
    moving = here in ("live-migration", SIDE) and scenario.migrate != "no"
    for section in (WORK, PAGING, MIGRATION) if moving else (WORK, PAGING):
        with st.expander(section):
            for field in of_section(section):
                _field(visit, field, getattr(scenario, field.name), f"{field.name}-{mark}")
            if section == WORK:
                _upload(visit)
    with st.expander("Commands at this tick", expanded=True):
        _commands(visit, mark)


def _compare(visit: Visit, scenario: Scenario, page: Any) -> None:
    """The way to this machine beside others: those that the view has, else one on another road."""
    view = visit.present_view()
    text = view.beside or beside.other_road(scenario)
    others = ", ".join(beside.names(scenario, text)[1:])
    st.page_link(page, label=f"Compare with {others}", icon=":material/compare:", query_params=visit.address())


def _field(visit: Visit, field: Field, value: Any, key: str) -> None:
    """One field of the scenario as the widget that suits it."""

    def put() -> None:
        chosen = st.session_state[key]
        if field.bits:
            chosen = sum(1 << list(field.bits).index(name) for name in chosen)
        visit.put(field.name, value, ",".join(chosen) if field.kind == "traces" else chosen)

    if field.bits:
        _switches(field, value, key, put)
    elif field.kind == "choice":
        st.segmented_control(
            field.label,
            field.choices,
            default=value,
            required=True,
            format_func=field.word,
            key=key,
            help=field.help,
            on_change=put,
        )
    elif field.kind == "int" and field.high <= 2**53:
        st.number_input(field.label, field.low, field.high, value, key=key, help=field.help, on_change=put)
    elif field.kind == "traces":
        chosen = [item for item in value.split(",") if item]
        options = dict.fromkeys([*shipped_traces(), *visit.files, *chosen])
        st.multiselect(field.label, list(options), chosen, format_func=_short, key=key, help=field.help, on_change=put)
    else:
        st.text_input(field.label, str(value), key=key, help=field.help, on_change=put)


def _switches(field: Field, value: int, key: str, put: Callable[[], None]) -> None:
    """A number whose bits are switches, by their names."""
    on = [name for bit, name in enumerate(field.bits) if value >> bit & 1]
    about = f"{field.what}:\n\n" + "\n".join(f"- **{name}**: {about}" for name, about in field.bits.items())
    st.pills(field.label, tuple(field.bits), selection_mode="multi", default=on, key=key, on_change=put, help=about)


def _short(trace: str) -> str:
    """A sha256 would fill three lines."""
    return f"file {trace[:8]}…" if len(trace) == 64 else trace


def _upload(visit: Visit) -> None:
    """A recorded program of one's own. Each file is taken once: a rerun still holds it."""
    key = f"upload-{len(visit.files)}"

    def take() -> None:
        file = st.session_state[key]
        if file is not None:
            visit.upload(file.getvalue(), file.name)

    about = (
        "A trace in the format of the shipped ones, or the text that valgrind's tool lackey prints with --trace-mem=yes; it "
        "stays on this server only while you visit."
    )
    st.file_uploader("Your own program (.npz, or lackey's text)", key=key, on_change=take, help=about)
    for sentence in visit.player.sim.work.notices if visit.player else ():
        st.caption(sentence)


def _commands(visit: Visit, mark: int) -> None:
    """Buttons that act at the tick on the screen and enter the journal."""
    left, right = st.columns(2, gap="small")
    for i, (name, label, word) in enumerate(COMMANDS):
        with (left, right)[i % 2]:
            st.button(label, key=f"do-{name}", help=tooltip(word), width="stretch", on_click=visit.command, args=(name,))
    with left:
        pages = st.number_input(
            "pool pages",
            POOL_LOW,
            visit.scenario.pool_cap,
            visit.scenario.pool,
            key=f"pool-n-{mark}",
            label_visibility="collapsed",
        )
    with right:
        st.button(
            "set pool",
            key="do-pool",
            help=tooltip("set pool"),
            width="stretch",
            on_click=lambda: visit.command(f"pool:{pages}"),
        )
    with left:
        gfn = st.number_input(
            "frame that a device writes", 0, visit.scenario.frames - 1, 0, key=f"dm-n-{mark}", label_visibility="collapsed"
        )
    with right:
        st.button(
            "device",
            key="do-dm",
            help=tooltip("device"),
            width="stretch",
            on_click=lambda: visit.command(f"dm:{gfn}"),
        )


def share(visit: Visit, params: dict[str, str], readable: str) -> None:
    """The link to this very view, and the same view in another dress."""
    other = "light" if params.get("theme") == "dark" else "dark"
    st.caption(
        f"This view as a link: [{other} theme](?{_with(readable, params, theme=other)}) · "
        f"[presenter](?{_with(readable, params, present='1')})"
    )
    st.code(f"{st.context.url.split('?')[0]}?{readable}" if st.context.url else f"?{readable}", language=None, wrap_lines=True)


def _with(readable: str, params: dict[str, str], **more: str) -> str:
    others = [part for part in readable.split("&") if part.partition("=")[0] not in more]
    return "&".join([*others, *(f"{key}={value}" for key, value in more.items())])
