"""The dirty bitmap's page: what its cells tell, its tree, PEEK beside CLEAN, and the processor's logs."""

from __future__ import annotations

import dataclasses

import streamlit as st

from pagingviz.arch.sizes import memory
from pagingviz.reading import shadows
from pagingviz.reading.dirty_tree import TreePage, dirty_tree
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.table import FIELD
from pagingviz.story.counting import counted
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import session

MOST_LEAVES = 256  # in the figure; the table holds more
MOST_ROWS = 10_000
NEWEST = 16  # addresses of a log that are written out


def bits_switch() -> None:
    """What the cells tell: a part of the address."""
    visit, field = session.current(), FIELD["bits"]
    shown = visit.view.bits
    key = f"bits-{shown}"

    def put() -> None:
        if st.session_state[key] != shown:  # see Visit.put
            visit.view = dataclasses.replace(visit.view, bits=st.session_state[key])

    st.segmented_control(
        field.label,
        field.choices,
        default=shown,
        required=True,
        key=key,
        width="content",
        format_func=field.word,
        on_change=put,
        label_visibility="collapsed",
    )


def details(sim: Simulation, theme: str) -> None:
    """What follows the machine: PEEK and CLEAN, the logs, the tree."""
    road = road_of(sim.scenario)
    if not road.hypervisor:
        return
    _peek_and_clean(sim)
    if road.nested and sim.scenario.pml:
        _logs(sim)
    _tree(sim, theme)


def peek_and_clean(sim: Simulation) -> list[tuple[str, str, str]]:
    """[(what, of PEEK, of CLEAN)]: what each of the two operations would do at this tick."""
    s = sim.machine.sys[0]
    fails = bool(s.failed_allocs)
    bits = sim.machine.dirty_bits()
    bits[sim.machine.logged_frames()] = True  # logs are flushed first
    report = counted(int(bits.sum()), "frame") if s.log_dirty else "no frame: log-dirty is off, and there is no bitmap"
    after = f"all 0, round {int(s.dirty_round) + 1} begins" if s.log_dirty else "there are none"
    if fails:
        report, after = "fails (-ENOMEM): for some bit no page could be had", "stay"
    return [
        ("done so far", f"{int(s.peeks):,}", f"{int(s.cleans):,}"),
        ("would report now", report, report),
        ("the bits afterwards", "stay" if s.log_dirty else "there are none", after),
        ("write access afterwards", "stays", "stays" if fails else _write_access(sim)),
        ("pages of the tree", "stay", "stay: only OFF frees them"),
    ]


def _write_access(sim: Simulation) -> str:
    """What a CLEAN does to write access, whether log-dirty is on or not."""
    if road_of(sim.scenario).nested:
        seen = "is seen" if sim.machine.sys[0].log_dirty else "exits once, and marks nothing"
        return f"the root of the nested tables is poisoned: each frame's next store {seen}"
    if not shadows.in_use(sim.machine):
        return "stays: there are no shadows"
    if sim.scenario.clean == "revoke":
        return "taken from every writable frame, found by searching all shadows"
    return "all shadows are thrown away"


def _peek_and_clean(sim: Simulation) -> None:
    """The two operations side by side."""
    st.subheader("PEEK and CLEAN")
    st.table([{"": what, "PEEK": peek, "CLEAN": clean} for what, peek, clean in peek_and_clean(sim)])
    if road_of(sim.scenario).shadows:
        st.markdown(
            "**Why all shadows, and not only what leads to the dirty frames?** A shadow goes from an address to a frame, and "
            "nobody keeps a list of the way back: to take write access from single frames is a search. Both are counted below: "
            "[The road not taken](#the-road-not-taken)."
        )


def _logs(sim: Simulation) -> None:
    """The page-modification log of each vCPU, newest first."""
    st.subheader("Page-modification logs")
    rows = []
    for v, log in enumerate(sim.machine.pml()):
        newest = [f"{gfn:#x}" for gfn in reversed(log[-NEWEST:])]
        more = f" and {len(log) - NEWEST} older" if len(log) > NEWEST else ""
        index = int(sim.machine.sys[0].pml_index[v])
        shown = f"{index}" if index < 512 else "below 0: full"  # it has wrapped
        rows.append(
            {
                "vCPU": v,
                "PML index": shown,
                "logged": len(log),
                "gfn, newest first": ", ".join(newest) + more if log else "nothing",
            }
        )
    st.table(rows)
    st.caption(
        "The index counts down from 511. A full log exits before the store that found it full; PEEK and CLEAN flush "
        "all logs first, and only then are the bits set. OFF flushes them as well, and sets no bit any more."
    )


def _tree(sim: Simulation, theme: str) -> None:
    """The pages of the radix tree, as a figure and as rows."""
    st.subheader("The tree behind the bitmap")
    pages = dirty_tree(sim.machine)
    if not pages:
        st.markdown(
            "No page yet: the first dirty frame makes four at once, from the root to a leaf, taken out of the "
            "pool. What has no leaf is clean."
        )
        return
    from pagingviz.ui import figures

    leaves = [page for page in pages if page.level == 1]
    each = counted(len(leaves), "leaf", "leaves")
    st.markdown(
        f"{counted(len(pages), 'page')} of the pool, of them for 128 MiB each {each}. The tree grows where a "
        "frame is first dirtied; CLEAN empties the leaves and keeps the pages, OFF gives them all back."
    )
    shown = pages[: len(pages) - len(leaves)] + leaves[:MOST_LEAVES]
    st.plotly_chart(figures.dirty_tree(shown, theme), theme=None, key="dirty-tree", config=figures.config("dirty-tree"))
    if len(leaves) > MOST_LEAVES:
        st.caption(f"The first {MOST_LEAVES} of {len(leaves):,} leaves; all are in the table.")
    rows = [
        {
            "level": page.name,
            "pool page": f"{page.page:#x}",
            "covers from gfn": f"{page.first:#x}",
            "covers": memory(page.frames),
            "in use": uses(page),
        }
        for page in pages[:MOST_ROWS]
    ]
    with st.expander(f"The tree as a table: {counted(len(pages), 'page')}"):
        st.dataframe(rows, hide_index=True, key="dirty-tree-table")


def uses(page: TreePage) -> str:
    """What a page of the tree holds, in words."""
    if page.level == 1:
        return f"{counted(page.used, 'bit')} set"
    return f"{page.used} of 512 entries"
