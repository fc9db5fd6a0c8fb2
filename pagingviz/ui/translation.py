"""The page Translation: one address down all roads, side by side; then what the TLB holds, and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from urllib.parse import urlencode

import streamlit as st

from pagingviz.arch import costs, x86
from pagingviz.arch import events as ev
from pagingviz.boards import translate_words as words
from pagingviz.boards.guest_tables import first_address
from pagingviz.boards.registry import REGISTRY, make_plan
from pagingviz.boards.scene import Walks
from pagingviz.boards.translation import ROADS
from pagingviz.boards.translation_scene import TranslationScene
from pagingviz.manual.left_out import left_out
from pagingviz.player.message import Display
from pagingviz.player.twins import Roads
from pagingviz.reading.caches import average, filled, tlb_entry
from pagingviz.reading.translate import KINDS, Walk, translate
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.table import FIELD
from pagingviz.story.sentences import process_name, sentence
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import address, session
from pagingviz.ui.board import asked, board
from pagingviz.ui.costs import cost_editor
from pagingviz.ui.follow import follow, painted
from pagingviz.ui.page import come_or_say, manual_link, share

WALKS, TABLES = VIEWS = ("All roads", "Guest's tables")
LAST = "the tick's last access"
_BOARD, _CHOOSE = "board-translation", "board-translation-choose"
MOST_PAGES = 400  # in the list of pages; any other address is written


class Resolver:
    """Makes the scenes of the page: the address of a view, resolved down all roads."""

    def __init__(self, view: address.View, roads: Roads | None):
        self.view, self.roads = view, roads
        self.late = True  # a road's machine has not reached the visitor's tick
        self._walks: Walks | None = None
        self._moment: tuple | None = None

    def walks(self, sim: Simulation) -> Walks:
        """The walks of the present moment; the other roads' machines are brought a little nearer to it."""
        moment = sim.tick, sim.opened
        if self._walks is None or self._moment != moment:
            assert self.roads is not None
            self._moment = moment
            self.late = not self.roads.follow()
            access = target(sim, self.view)
            machines = {board: self.roads.machine(board) for board in ROADS}
            found = {board: m if isinstance(m, str) else translate(m, *access) for board, m in machines.items()}
            every = Walks(found, 0, self.roads.own, self.late)
            ref = self.view.ref
            self._walks = dataclasses.replace(every, made=every.total if ref is None else min(ref, every.total))
        return self._walks

    def scene(self, sim: Simulation) -> TranslationScene:
        """The present moment of `sim`."""
        return TranslationScene(sim, self.walks(sim))


def target(sim: Simulation, view: address.View) -> tuple[int, int, int, int]:
    """(vcpu, gva, kind, user) to resolve: of the view, else of the tick's last access, else a page of the program."""
    events = sim.events()
    seen = events[events["kind"] == ev.ACCESS]
    vcpu = int(seen[-1]["vcpu"]) if seen.size else max(sim.tick - 1, 0) % sim.scenario.vcpus
    gva, kind = view.gva, int(x86.READ)
    if gva is None and seen.size:
        gva, kind = int(seen[-1]["gva"]), int(seen[-1]["detail"]) & 3
    elif gva is None:
        pages = sim.work.processes[int(sim.machine.sys[0].cur[vcpu])].pages
        gva = int(pages[0]) << 12 if pages.size else sim.scenario.direct_map_base
    if view.access:
        kind = KINDS.index(view.access)
    return vcpu, gva, kind, int(gva < sim.scenario.direct_map_base)


# ---- the page


def translation_page(title: str, worth_knowing: tuple[str, ...]) -> None:
    """The whole page."""
    visit = session.current()
    with st.container(key="heading", horizontal=True, vertical_alignment="center"):
        st.title(title)
        _choose_address(visit)
        st.segmented_control(
            "Show", VIEWS, default=WALKS, required=True, key="walk-view", width="content", label_visibility="collapsed"
        )
    with st.container():
        _live(title)
    with st.container():
        _slow(worth_knowing)


def _choose_address(visit: session.Visit) -> None:
    """The address and the kind of access. A page is chosen from a list, any address is written."""
    view, mark = visit.view, f"{visit.revision}-{visit.view.gva}-{visit.view.access}"

    def listed() -> None:
        chosen = st.session_state[f"page-{mark}"]
        if at is None or chosen != options[at]:  # see Visit.put
            put(None if chosen == LAST else chosen)

    def written() -> None:
        text = st.session_state[f"gva-{mark}"].strip()
        if text == shown:
            return
        try:
            put(address.parse_gva(text, visit.scenario.guest) if text else None)
        except ScenarioError as error:
            visit.refuse(error)

    def put(gva: int | None) -> None:
        visit.error = ""
        visit.view = dataclasses.replace(visit.view, gva=gva, ref=None)

    def kind() -> None:
        chosen = st.session_state[f"access-{mark}"] or ""
        if chosen != view.access:
            visit.view = dataclasses.replace(visit.view, access=chosen, ref=None)

    names = _pages(visit)
    options = [LAST, *names]
    at = options.index(view.gva) if view.gva in names else None if view.gva is not None else 0
    shown = f"{view.gva:#x}" if view.gva is not None else ""
    st.selectbox(
        "Page",
        options,
        at,
        key=f"page-{mark}",
        width=226,
        label_visibility="collapsed",
        on_change=listed,
        placeholder="a written address",
        format_func=lambda gva: names.get(gva, gva),
    )
    st.text_input(
        FIELD["gva"].label,
        shown,
        key=f"gva-{mark}",
        width=160,
        label_visibility="collapsed",
        on_change=written,
        placeholder="gva, hexadecimal",
    )
    st.segmented_control(
        FIELD["access"].label,
        address.ACCESSES,
        default=view.access or None,
        key=f"access-{mark}",
        on_change=kind,
        width="content",
        label_visibility="collapsed",
    )


def _pages(visit: session.Visit) -> dict[int, str]:
    """{gva: words} of the programs' pages, by program and use, and of the kernel's direct map."""
    if visit.player is None:
        return {}
    sim = visit.player.sim
    out: dict[int, str] = {}
    each = MOST_PAGES // max(len(sim.work.processes), 1)
    for slot, program in enumerate(sim.work.processes):
        for page, w, x in list(zip(program.pages, program.writable, program.executable, strict=True))[:each]:
            use = "data" if w else "code" if x else "constants"
            out.setdefault(int(page) << 12, f"{process_name(sim, slot)} {use} {int(page) << 12:#x}")
    base = sim.scenario.direct_map_base
    return out | {base: f"kernel direct map {base:#x}"}


def resolver_of(visit: session.Visit) -> Resolver:
    """The resolver of this visitor's roads; the twins are made when there is a machine, and anew when it is another one."""
    player = visit.player
    if player is None:
        visit.roads = None
    elif visit.roads is None or visit.roads.sim is not player.sim:
        visit.roads = Roads(player.sim)
    return Resolver(visit.view, visit.roads)


def _mark(visit: session.Visit, resolver: Resolver) -> str:
    """What the boards show beside the machine: the follower (ui/follow.py) compares it."""
    return f" {visit.view.gva} {visit.view.access} {visit.view.ref} {resolver.late}"


@st.fragment
def _live(title: str) -> None:
    """The boards of all roads; or the guest's tables, where a click chooses the address."""
    visit = session.current()
    if st.session_state.pop("walk-chosen", False):
        st.rerun()
    waiting = visit.player is None
    choosing = st.session_state.get("walk-view", WALKS) == TABLES
    key = _CHOOSE if choosing else _BOARD
    theme, present, query = session.theme(visit), visit.view.present, lambda: urlencode(visit.address())
    if choosing:
        st.caption("Click an entry: the first address that it covers is resolved down all roads.")
        display = Display(title, ("guest-tables",), theme, present, query=query)
        payload = visit.answer(asked(key), display)
    else:
        visit.step_walk(asked(key))
        resolver = resolver_of(visit)
        display = Display(
            title,
            tuple(ROADS),
            theme,
            present,
            query=query,
            scene=resolver.scene,
            changes=False,
            mark=lambda: _mark(visit, resolver),
        )
        payload = visit.answer(asked(key), display)
    come_or_say(visit, waiting)
    board(payload, key, on_ask=lambda: _clicked(visit))


def _clicked(visit: session.Visit) -> None:
    """A click on an entry of the guest's tables chooses the first address that the entry covers."""
    ask = asked(_CHOOSE)
    if not ask or ask.get("cmd") != "inspect" or ask.get("hover") or visit.player is None:
        return
    sim = visit.player.sim
    gva = first_address(sim.machine, make_plan("guest-tables", sim.scenario, sim.work), ask.get("cell"))
    if gva is not None:
        visit.view = dataclasses.replace(visit.view, gva=gva, ref=None)
        st.session_state["walk-view"] = WALKS
        st.session_state["walk-chosen"] = True


@st.fragment
def _slow(worth_knowing: tuple[str, ...]) -> None:
    """What may be a moment behind the boards: words, what the TLBs hold, the cost."""
    visit = session.current()
    player = visit.player if visit.player and not visit.player.job else None
    if player:
        sim, resolver = player.sim, resolver_of(visit)
        scene = resolver.scene(sim)
        walks = resolver.walks(sim).by_board
    with st.container(key="follower"):
        follow(player.now + _mark(visit, resolver) if player else "")
    share(visit, painted())
    if not player or not painted():
        return
    with st.container(key="read-aloud"):
        st.markdown(sentence(sim)[0])
        st.markdown(scene.sentence()[0])
        for name in ROADS:
            st.caption(REGISTRY[name].alt(scene, make_plan(name, sim.scenario, sim.work)))
        st.text(f"digest {sim.machine.digest()} tick {sim.tick}")
    if visit.view.present:
        return
    with st.container(key="slow"):
        st.subheader("What the TLB then holds")
        st.table([_held(name, walk) for name, walk in walks.items()])
        _caches(walks)
        st.subheader("What it costs")
        _cost(visit, walks)
        st.markdown("\n".join(f"- {sentence}" for sentence in worth_knowing))
        st.caption("The model leaves out here: " + "; ".join(item.what for item in left_out("translation")) + ".")
        manual_link(visit)


def _held(name: str, walk: Walk | str) -> dict[str, str]:
    """One row of the table of TLBs."""
    row = {"road": ROADS[name][1]}
    if isinstance(walk, str):
        return row | {"after this walk": walk, "rights": "", "made of": "", "in its TLB at this tick": ""}
    entry = tlb_entry(walk.machine, walk.vcpu, walk.gva)
    now = f"level {entry.level}: gfn {entry.gfn:#x}, {words.rights(entry.rights)}" if entry else "no"
    if walk.end.kind != "frame":
        row |= {"after this walk": f"nothing: {words.ending(walk)}", "rights": "", "made of": ""}
        return row | {"in its TLB at this tick": now}
    made = {
        "hap": f"gva → gfn {walk.end.gfn:#x} by the guest's tables, → mfn by {words.nested_name(walk.machine)}",
        "bare": "the guest's tables alone: its frames are the machine's",
    }
    shadow = "the shadow alone: Xen had combined both beforehand"
    pv = "the guest's tables alone: they hold machine frames"
    how = shadow if walk.references[0].dimension == "shadow" else made.get(walk.machine.scenario.road, pv)
    return row | {
        "after this walk": words.product(walk),
        "rights": words.rights(walk.rights),
        "made of": how,
        "in its TLB at this tick": now,
    }


def _caches(walks: Mapping[str, Walk | str]) -> None:
    """How full each road's caches are at this tick, and what they have saved so far: a row a cache, a column a road."""
    rows: dict[str, dict] = {}
    for name, walk in walks.items():
        if isinstance(walk, str):
            continue
        mean, road = average(walk.machine), ROADS[name][1]
        for cache, (n, size) in filled(walk.machine, walk.vcpu).items():
            rows.setdefault(cache, {"entries in use": cache})[road] = f"{n} of {size}"
        rows.setdefault("mean", {"entries in use": "references a walk, so far"})[road] = (
            f"{mean:.2f}" if mean else "no walk yet"
        )
    roads = [ROADS[name][1] for name, walk in walks.items() if not isinstance(walk, str)]
    if rows:
        st.table(
            [
                {"entries in use": row["entries in use"], **{road: row.get(road, "none") for road in roads}}
                for row in sorted(rows.values(), key=lambda row: row is rows["mean"])
            ]
        )
        st.caption(
            "MOV CR3 empties the TLB and the paging-structure caches; INVLPG drops one page of the TLB and every "
            "paging-structure entry; both leave the nested ones. These go when the hypervisor flushes, on Intel by INVEPT, on "
            "AMD by giving the guest another ASID: at ENABLE, CLEAN and OFF, when a logged leaf has become writable, when a "
            "page-modification log was emptied, and after every NPF. Resolving an EPT misconfiguration flushes nothing."
        )


def _cost(visit: session.Visit, walks: Mapping[str, Walk | str]) -> None:
    """Cycles of each walk, from the scenario's table of single costs, which the viewer may edit."""
    table = visit.scenario.costs
    above = st.container()
    cost_editor(visit)
    with above:
        st.table(
            [{"road": ROADS[name][1], **_counted(walk, table)} for name, walk in walks.items() if not isinstance(walk, str)]
        )
        st.caption("Cycles of this one walk with the exit that it ends in, not of what the guest's kernel does at a #PF.")


def counts(walk: Walk) -> dict[str, int]:
    """How often each row of the table of costs (arch/costs.py) is paid by a walk."""
    out = {"reference": len(walk.references) - walk.cached, "cached": walk.cached}
    if walk.end.kind == "exit":
        stores = walk.end.name in ("EPT violation", "NPF") and not any(words.pending(walk, ref) for ref in walk.references)
        name = "shadow_fault" if walk.end.name == "shadow page fault" else "ept_violation" if stores else "exit"
        out[name] = 1
    if walk.end.name == "page-modification log full":
        out["pml_entry"] = int(x86.PML_ENTRIES)
    return out


def _counted(walk: Walk, table: dict[str, int]) -> dict:
    found = counts(walk)
    ends = walk.end.name if walk.end.kind != "frame" else ""
    return {"references": len(walk.references), "cached": walk.cached, "cycles": costs.cycles(found, table), "ends in": ends}
