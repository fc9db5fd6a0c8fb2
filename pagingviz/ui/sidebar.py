"""The sidebar: which scenario, its fields, commands to the machine, an own program, and the link to this very view."""

from __future__ import annotations

import streamlit as st

from pagingviz.fields import POOL_LOW
from pagingviz.scenario import FIELDS, load, names, shipped_traces
from pagingviz.ui.session import Visit

COMMANDS = (
    ("enable", "enable", "Log-dirty on: XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY"),
    ("clean", "CLEAN", "Read and clear the dirty bits: XEN_DOMCTL_SHADOW_OP_CLEAN"),
    ("peek", "PEEK", "Read the dirty bits: XEN_DOMCTL_SHADOW_OP_PEEK"),
    ("blow", "blow", "Throw all shadows away: shadow_blow_tables"),
    ("off", "off", "Log-dirty off: XEN_DOMCTL_SHADOW_OP_OFF"),
    ("flush", "flush", "Flush the TLBs of all vCPUs"),
)
SHOWN = ("road", "frames", "pool", "superpages", "trace", "work", "quantum", "seed", "write")  # the others: by URL
LABELS = {"frames": "guest frames", "pool": "shadow pool pages", "superpages": "2 MiB superpages", "trace": "recorded programs",
          "work": "generators", "write": "writes of generators (%)"}  # fmt: skip


def draw(visit: Visit) -> None:
    """Everything below the page list. Widgets are named by the visit's revision, so that they always show its machine."""
    scenario = (visit.wanted or (visit.scenario,))[0]
    mark = visit.revision
    known = scenario.name if scenario.name in names() else names()[0]
    st.selectbox("Scenario", names(), names().index(known), key=f"scenario-{mark}", help=load(known).sentence,
                 on_change=lambda: visit.choose(st.session_state[f"scenario-{mark}"]))  # fmt: skip
    with st.expander("Notes"):
        st.markdown(f"{scenario.sentence}\n\n{scenario.notes}")
    with st.expander("Machine and work"):
        for name in SHOWN:
            _field(visit, name, getattr(scenario, name), f"{name}-{mark}")
        _upload(visit)
    with st.expander("Commands at this tick", expanded=True):
        _commands(visit, mark)


def _field(visit: Visit, name: str, value, key: str) -> None:
    """One field of the scenario as the widget that suits it."""
    field = next(field for field in FIELDS if field.name == name)
    label, about = LABELS.get(name, name), field.help

    def put() -> None:
        chosen = st.session_state[key]
        visit.change(**{name: ",".join(chosen) if field.kind == "traces" else chosen})

    common = {"key": key, "help": about, "on_change": put}
    if field.kind == "choice":
        st.segmented_control(label, field.choices, default=value, required=True, **common)
    elif field.kind == "int" and field.high <= 2**53:
        st.number_input(label, field.low, field.high, value, **common)
    elif field.kind == "traces":
        chosen = [item for item in value.split(",") if item]
        options = dict.fromkeys([*shipped_traces(), *visit.files, *chosen])
        st.multiselect(label, list(options), chosen, format_func=_short, **common)
    else:
        st.text_input(label, str(value), **common)


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

    about = "A trace in the format of the shipped ones; it stays on this server only while you visit."
    st.file_uploader("Your own program (.npz)", key=key, on_change=take, help=about)


def _commands(visit: Visit, mark: int) -> None:
    """Buttons that act at the tick on the screen and enter the journal."""
    left, right = st.columns(2, gap="small")
    for i, (name, label, about) in enumerate(COMMANDS):
        with (left, right)[i % 2]:
            st.button(label, key=f"do-{name}", help=about, width="stretch", on_click=visit.command, args=(name,))
    with left:
        pages = st.number_input("pool pages", POOL_LOW, visit.scenario.pool_cap, visit.scenario.pool, key=f"pool-n-{mark}",
                                label_visibility="collapsed")  # fmt: skip
    with right:
        st.button("set pool", key="do-pool", help="shadow_set_allocation", width="stretch",
                  on_click=lambda: visit.command(f"pool:{pages}"))  # fmt: skip


def share(visit: Visit, params: dict[str, str], readable: str) -> None:
    """The link to this very view, and the same view in another dress."""
    other = "light" if params.get("theme") == "dark" else "dark"
    st.caption(f"This view as a link: [{other} theme](?{_with(readable, params, theme=other)}) · "
               f"[presenter](?{_with(readable, params, present='1')})")  # fmt: skip
    st.code(f"{st.context.url.split('?')[0]}?{readable}" if st.context.url else f"?{readable}", language=None, wrap_lines=True)


def _with(readable: str, params: dict[str, str], **more: str) -> str:
    kept = [part for part in readable.split("&") if part.partition("=")[0] not in more]
    return "&".join([*kept, *(f"{key}={value}" for key, value in more.items())])
