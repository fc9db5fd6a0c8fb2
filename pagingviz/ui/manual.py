"""The page Manual: one chapter at a time. Its texts need no machine, so it can be read while kernels compile."""

from __future__ import annotations

import dataclasses

import streamlit as st

from pagingviz.arch.cores import CORES
from pagingviz.manual import chapters
from pagingviz.scenario import as_core
from pagingviz.scenario.table import FIELD, FIELDS
from pagingviz.ui import address, session
from pagingviz.ui.page import machine_in_words

WIDTH = 720  # pixels of a picture


def manual_page(title: str) -> None:
    """The whole page: the list of chapters, and the chosen one."""
    visit = session.current()
    part = visit.present_view().part
    key, field = f"part-{part}", FIELD["part"]

    def put() -> None:
        visit.show(dataclasses.replace(visit.present_view(), part=st.session_state[key]))

    with st.container(key="manual"):
        st.title(title)
        st.segmented_control(
            field.label,
            field.choices,
            default=part,
            required=True,
            key=key,
            format_func=field.word,
            on_change=put,
            label_visibility="collapsed",
        )
        st.header(field.word(part), anchor=part)
        for kind, content in chapters.parts(part, lambda other: address.text({**visit.address(), "part": other})):
            if kind == "picture":
                st.html(chapters.picture(content, WIDTH))
            else:
                st.markdown(content)
        if part == "command-line":
            _fields()
    machine_in_words()


def cores() -> list[dict[str, str]]:
    """The table of cores (arch/cores.py), a row each: what the fields that follow the core are on it, and how its TLB is."""
    rows = []
    for name, core in CORES.items():
        own = as_core.of_core(name)
        row = {"core": name, **{field: str(own[field]) for field in as_core.FOLLOWING}}
        row["1 GiB pages"] = "yes" if core.gib_pages else "no"
        row["TLB, sets x ways"] = "{} x {}, {} x {}".format(*core.tlb)
        row["its entries are tagged with"] = core.tag
        rows.append(row)
    return rows


def _fields() -> None:
    """The table of all fields of a scenario, from the one place where they are declared."""
    st.subheader("All scenario fields")
    rows = []
    for field in FIELDS:
        row = field.describe()
        allowed = " to ".join(map(str, row.get("bounds", ()))) or ", ".join(map(str, row.get("choices", ())))
        default = f"{field.default}, else by {field.follows}" if field.follows else str(field.default)
        rows.append({"name": field.name, "default": default, "allowed": allowed, "what it does": field.help})
    st.table(rows)
    st.subheader("Cores")
    st.table(cores())
