"""The sidebar: which scenario, its fields, commands to the machine, an own program, and the link to this very view."""

from __future__ import annotations

import streamlit as st

from pagingviz.arch import xen
from pagingviz.manual.glossary import tooltip
from pagingviz.scenario.fields import POOL_LOW
from pagingviz.scenario.scenario import FIELDS, load, names, shipped_traces
from pagingviz.ui.session import Visit

COMMANDS = (  # command, label, word of the glossary
    ("enable", "enable", "ENABLE"),
    ("clean", "CLEAN", "CLEAN"),
    ("peek", "PEEK", "PEEK"),
    ("blow", "blow", "blow"),
    ("off", "off", "OFF"),
    ("flush", "flush", "flush"),
)
# The others: by URL.
SHOWN = ("road", "hap", "pml", "frames", "pool", "superpages", "trace", "work", "quantum", "seed", "write")
PAGING = ("guest", "direct_map_pages", "vcpus", "wp", "smep", "smap", "nx", "pse")
XEN = ("xen", "oos", "floor")
MOVING = (
    "migrate_at",
    "policy",
    "target",
    "rounds",
    "factor",
    "skip",
    "downtime",
    "pace",
    "bandwidth",
    "latency",
    "page_overhead",
    "tracking",
    "zeros",
    "xbzrle",
    "throttle",
    "prefetch",
    "epoch",
    "epochs",
    "fail",
)
# What each SHOPT bit does, in the order of xen.SHOPTS (Xen mm/shadow/private.h).
SHOPT_HELP = {
    "writable_heuristic": "guess where known systems map their page tables before searching everywhere (h_1 to h_6)",
    "early_unshadow": "two zero stores in a row mean that the table is being torn down",
    "fast_fault_path": "magic entries for holes and devices: without effect here, since all memory is RAM",
    "prefetch": "fill up to 31 neighbours with every entry",
    "linux_l3_toplevel": "pin L3 tables as if they were roots, for early 64-bit Linux",
    "skip_verify": "a store of one not-present entry over another needs no validation",
    "virtual_tlb": "remember guest walks for the emulator",
    "fast_emulation": "emulate the next store to the same page without a walk",
    "out_of_sync": "let L1 tables be written freely until the next flush",
}
LABELS = {
    "guest": "guest paging",
    "direct_map_pages": "kernel's direct map",
    "vcpus": "vCPUs",
    "wp": "CR0.WP",
    "smep": "CR4.SMEP",
    "smap": "CR4.SMAP",
    "nx": "EFER.NXE",
    "pse": "CR4.PSE",
    "xen": "version of Xen",
    "oos": "out-of-sync tables",
    "floor": "Xen's own minimum pool",
    "frames": "guest frames",
    "pool": "shadow pool pages",
    "superpages": "superpages (1: 2 MiB, 2: also 1 GiB)",
    "hap": "nested tables",
    "pml": "page-modification log (EPT)",
    "trace": "recorded programs",
    "work": "generators",
    "write": "writes of generators (%)",
    "migrate_at": "begins at tick",
    "policy": "when to stop",
    "target": "stop below pages",
    "rounds": "most rounds",
    "factor": "most times the guest",
    "skip": "skip what is dirty again",
    "downtime": "downtime allowed, µs",
    "pace": "guest: ticks a page on the wire",
    "bandwidth": "link, MB/s",
    "latency": "latency, µs",
    "page_overhead": "overhead of a page, ns",
    "tracking": "price of tracking",
    "zeros": "zero pages as a byte",
    "xbzrle": "XBZRLE cache, pages",
    "throttle": "auto-converge",
    "prefetch": "pages with a wanted one",
    "epoch": "Remus: ticks an epoch",
    "epochs": "Remus: epochs",
    "fail": "what goes wrong",
}


def draw(visit: Visit, elsewhere: bool = False, moving: bool = False) -> None:
    """Everything below the page list. Widgets are named by the visit's revision, so that they always show its machine.

    elsewhere: the page shows another machine than the visitor's own, and the sidebar says so. moving: with what concerns a
    migration alone; its kind is chosen in the heading of its page.
    """
    if elsewhere:
        st.caption("Your own machine waits where it was. This page shows the recorded one.")
    scenario = (visit.wanted or (visit.scenario,))[0]
    mark = visit.revision
    known = scenario.name if scenario.name in names() else names()[0]
    st.selectbox(
        "Scenario",
        names(),
        names().index(known),
        key=f"scenario-{mark}",
        help=load(known).sentence,
        on_change=lambda: visit.choose(st.session_state[f"scenario-{mark}"]),
    )
    with st.expander("Notes"):
        st.markdown(f"{scenario.sentence}\n\n{scenario.notes}")
    with st.expander("Machine and work"):
        for name in SHOWN:
            _field(visit, name, getattr(scenario, name), f"{name}-{mark}")
        _upload(visit)
    with st.expander("Paging and Xen"):
        for name in (*PAGING, *XEN):
            _field(visit, name, getattr(scenario, name), f"{name}-{mark}")
        _shopts(visit, scenario, mark)
    if moving and scenario.migrate != "no":
        with st.expander("Migration"):
            for name in MOVING:
                _field(visit, name, getattr(scenario, name), f"{name}-{mark}")
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
        words = {0: "off", 1: "on"} if field.choices == (0, 1) else {}
        st.segmented_control(
            label, field.choices, default=value, required=True, format_func=lambda x: words.get(x, str(x)), **common
        )
    elif field.kind == "int" and field.high <= 2**53:
        st.number_input(label, field.low, field.high, value, **common)
    elif field.kind == "traces":
        chosen = [item for item in value.split(",") if item]
        options = dict.fromkeys([*shipped_traces(), *visit.files, *chosen])
        st.multiselect(label, list(options), chosen, format_func=_short, **common)
    else:
        st.text_input(label, str(value), **common)


def _shopts(visit: Visit, scenario, mark: int) -> None:
    """Xen's SHOPT switches by name: one field of the scenario, nine bits."""
    key = f"shopt-{mark}"

    def put() -> None:
        visit.change(shopt=sum(1 << xen.SHOPTS.index(name) for name in st.session_state[key]))

    on = [name for bit, name in enumerate(xen.SHOPTS) if scenario.shopt >> bit & 1]
    about = "Optimisations of Xen's shadow code, SHOPT_* in shadow/private.h:\n\n" + "\n".join(
        f"- **{name}**: {SHOPT_HELP[name]}" for name in xen.SHOPTS
    )
    st.pills("shadow optimisations (shopt)", xen.SHOPTS, selection_mode="multi", default=on, key=key, on_change=put, help=about)


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
    kept = [part for part in readable.split("&") if part.partition("=")[0] not in more]
    return "&".join([*kept, *(f"{key}={value}" for key, value in more.items())])
