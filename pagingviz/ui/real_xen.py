"""The page Real Xen: a recording's rows on one side, the model's on the other, and the maps of the model at the chosen row."""

from __future__ import annotations

import dataclasses

import streamlit as st

from pagingviz.boards.registry import HOME
from pagingviz.evidence.xen import library, saves
from pagingviz.evidence.xen.moments import Film, Moment
from pagingviz.evidence.xen.moments import film as film_of
from pagingviz.evidence.xen.recording import Recording
from pagingviz.player.message import Display
from pagingviz.player.player import Player
from pagingviz.scenario.table import FIELD
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import session
from pagingviz.ui.board import asked, board
from pagingviz.ui.jobs import OnProgress, finished, job
from pagingviz.ui.page import machine_in_words
from pagingviz.ui.rows import chosen_row, rows

SIDES, MAPS, COUNTS, DIFFERS, LOOPS = VIEWS = ("Row by row", "Maps", "Counts", "What differs", "Pre-copy")
_TABLE, _BOARD = "xen-rows", "board-real-xen"


def real_xen_page(title: str) -> None:
    """The whole page."""
    visit = session.current()
    recording = library.recording(visit.view.recording or library.NAMES[0])
    with st.container(key="heading", horizontal=True, vertical_alignment="center"):
        st.title(title)
        st.selectbox(
            FIELD["recording"].label,
            library.NAMES,
            library.NAMES.index(recording.name),
            key=f"recording-{recording.name}",
            format_func=lambda name: library.recording(name).title,
            label_visibility="collapsed",
            width=270,
            on_change=lambda: _choose(visit, st.session_state[f"recording-{recording.name}"]),
        )
        st.segmented_control(
            "Show", VIEWS, default=SIDES, required=True, key="xen-view", width="content", label_visibility="collapsed"
        )
    machine_in_words()
    name = recording.name
    making = job(("film", name), f"recording {name}", lambda progress: film_of(name, progress))
    if finished(making, "The model goes through the same script, along every way that the recording leaves open …", "film"):
        _shown(visit, making.result, recording)
    elif not making.error:
        st.caption(recording.family.short)


def _choose(visit: session.Visit, name: str) -> None:
    """Another recording, from its beginning."""
    visit.error = ""
    if name != (visit.view.recording or library.NAMES[0]):  # see Visit.put
        visit.view = dataclasses.replace(visit.view, recording=name, row=None)


def _shown(visit: session.Visit, film: Film, recording: Recording) -> None:
    """The page once the film is there."""
    moment = _moment(visit, film)
    with st.container(key="xen-summary"):
        st.markdown(_summary(film))
        st.caption(f"{recording.family.short} {recording.about}")
    with st.container(key="xen-read-aloud"):
        st.markdown(f"Row {moment.number} of {len(film.moments) - 1}: {_sides(moment)}")
    view = st.session_state.get("xen-view", SIDES)
    if view == SIDES:
        left, right = st.columns([0.4, 0.6], gap="small")
        with left:
            _table(visit, film, moment)
        with right:
            _maps(film, moment, True)
        return
    if view == MAPS:
        st.markdown(f"**Row {moment.number}**, {_sides(moment)}.".replace("..", "."))
        _maps(film, moment, False)
        return
    with st.container(key="slow"):
        if view == LOOPS:
            _loops()
        else:
            (_counts if view == COUNTS else _differs)(film, recording)


def _moment(visit: session.Visit, film: Film) -> Moment:
    """The chosen row; for a row that the recording does not have, one sentence and its first row."""
    row = visit.view.row or 0
    if row >= len(film.moments):
        st.error(f"The recording {film.name} has rows 0 to {len(film.moments) - 1}, so there is no row {row}.")
        row = 0
    return film.moments[row]


def _summary(film: Film) -> str:
    """What was compared and how much agrees, in one line."""
    report = film.report
    equal = sum(recorded == model for recorded, model in report.counters.values())
    parts = []
    if report.percent is not None:
        right = sum(pair.equal for row in report.rows for pair in row.pairs)
        parts.append(f"**{right} of {report.events}** trace events equal ({report.plain_percent:g} % with nothing searched)")
    if report.readings:
        wrong = {text.partition(":")[0] for text in report.differences if text.startswith("line ")}
        parts.append(f"**{report.readings - len(wrong)} of {report.readings}** bitmaps and counts equal")
    if report.counters:
        parts.append(f"**{equal} of {len(report.counters)}** performance counters equal")
    return " · ".join([*parts, f"**{len(report.differences)}** differences"])


def _sides(moment: Moment) -> str:
    if moment.equal is None:
        return moment.recorded
    return f"Xen {moment.recorded}; the model {moment.model}; {'equal' if moment.equal else 'differs'}"


def _table(visit: session.Visit, film: Film, moment: Moment) -> None:
    marks = {None: "", True: "equal", False: "differs"}
    data = [(m.number, m.line, m.step, m.recorded, marks[m.equal], m.model) for m in film.moments]

    def choose() -> None:
        row = chosen_row(_TABLE)
        if row is not None:
            visit.view = dataclasses.replace(visit.view, recording=film.name, row=row)

    rows(film.name, ("Xen, recorded", "", "the model"), data, moment.number, session.theme(visit), _TABLE, choose)


def _player(film: Film, moment: Moment) -> Player:
    """This visitor's own player of the film, at the chosen row whenever that has changed."""
    name, row, player = st.session_state.get("film", (None, None, None))
    if name != film.name:
        sim = Simulation(film.scenario, work=film.work())
        sim.run(len(film.program))  # the scrubber then spans the whole recording
        player, row = Player(sim, f"film {film.name}"), None
    if row != moment.number:
        player.cancel()
        player.playing = False
        player.go(moment.tick)
    st.session_state.film = (film.name, moment.number, player)
    return player


@st.fragment
def _maps(film: Film, moment: Moment, compact: bool) -> None:
    """All four maps of the model's machine; they can be stepped on from the row."""
    visit = session.current()
    player = _player(film, moment)
    display = Display("Real Xen", HOME, session.theme(visit), visit.view.present, compact)
    board(player.answer(asked(_BOARD), display), _BOARD)


def _counts(film: Film, recording: Recording) -> None:
    """Xen's performance counters beside the model's."""
    counters = film.report.counters
    if not counters:
        st.markdown("No performance counters were read in this recording.")
        return
    st.markdown(f"Xen's own performance counters of the guest's CPU ({recording.perf}), and the model's, for the whole script.")
    data = [
        {"counter": name, "Xen, recorded": r, "the model": m, "": "✓ equal" if r == m else "≠ differs"}
        for name, (r, m) in sorted(counters.items(), key=lambda item: (item[1] == (0, 0), item[0]))
    ]
    st.dataframe(data, height=480, hide_index=True, key="xen-counts")


def _differs(film: Film, recording: Recording) -> None:
    """What remains different, what was searched, and what the recordings are."""
    report = film.report
    if not report.differences:
        st.markdown("**Nothing.** Every bitmap, count, event and counter of this recording is as the model has it.")
    for text in report.differences:
        st.markdown(f"- {text}" + (f"  \n  *why:* {report.known[text]}" if text in report.known else ""))
    st.subheader("What was searched")
    st.markdown(f"When the recording began: *{report.played.start}*. In the guest, {report.played.where}.")
    places = [{"line": row.line, "operation": row.words, "found the guest": row.place} for row in report.rows if row.place]
    if places:
        st.dataframe(places, hide_index=True, height=min(320, 38 + 35 * len(places)), key="xen-places")
        st.caption(" ".join(report.sought))
    if report.plain_percent is not None:
        st.markdown(f"With nothing searched {report.plain_percent:g} % of the events are equal.")
    for note in report.notes:
        st.caption(note)
    st.subheader("What the recordings are, and are not")
    st.markdown(recording.family.what)
    st.caption(f"Files: {', '.join(recording.files)}. The same check without a screen: `python -m pagingviz check xen`.")


def _loops() -> None:
    """The recorded pre-copy loops beside the model's. They belong to no other recording."""
    work = job("loops", "pre-copy loops", _all_loops)
    if not finished(work, "The model is moved as the recorded guests were …", "loops"):
        return
    same = sum(beside.model[0] == beside.recorded[0] for beside in work.result.values())
    st.markdown(
        f"**Live migration of the recorded guest**, {len(work.result)} runs of their own. Frames of each round: **recorded on "
        f"Xen 4.17.5** | model. The model stops at the recorded iteration in **{same} of {len(work.result)}**. `w1024_1k`: the "
        "guest stores to 1,024 pages in turn, about 1,000 a second; `l8M`: the link is limited to 8 MB/s. Round 1 counts every "
        "entry of the guest's list of frames: of a PVH guest 1,044,480, though it has 8,208 pages. How far the guest gets in a "
        "round is set by one rate a run, so where it does not get to all of its pages, a count can only be near."
    )
    st.dataframe([_loop(name, beside) for name, beside in work.result.items()], hide_index=True, height=530, key="xen-loops")
    for name, beside in work.result.items():
        if beside.why:
            st.caption(f"{name}: {beside.why}")


def _all_loops(progress: OnProgress) -> dict[str, saves.Beside]:
    """Every run's two sides."""
    out: dict[str, saves.Beside] = {}
    for name in saves.NAMES:
        progress(len(out), len(saves.NAMES))
        out[name] = saves.side_by_side(name)
    return out


def _loop(name: str, beside: saves.Beside) -> dict[str, str]:
    """One row of the table."""
    row = {"run": name} | {f"round {k}": "" for k in range(1, 6)}
    for number, *counts in beside.rounds:
        recorded, model = ("none" if n is None else f"{n:,}" for n in counts)
        row[f"round {number}"] = f"{recorded} | {model} {'✓' if recorded == model else '≠'}"
    return row | {"Xen stopped at": ": ".join(map(str, beside.recorded)), "the model": ": ".join(map(str, beside.model))}
