"""What one visitor has: a machine, the view of it, uploaded files. Kept when something new turns out to be bad.

The machine is built once its kernels are compiled; until then the visit only knows what is wanted, and plays what is recorded
of it. One sentence in `error` tells the last thing that did not work.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Mapping
from typing import Any

import streamlit as st

from pagingviz.player.asks import number
from pagingviz.player.early.player import EarlyPlayer
from pagingviz.player.message import Display, compiling
from pagingviz.player.player import Player
from pagingviz.player.side import Beside
from pagingviz.player.twins import Roads
from pagingviz.scenario.fields import MAX_COMMANDS, ScenarioError
from pagingviz.scenario.scenario import HOME, Scenario, load
from pagingviz.scenario.table import FIELD, View
from pagingviz.timeline import warm
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import address
from pagingviz.work.tracefile import fingerprint, open_trace

MOST_FILES = 8  # uploaded programs one visitor may keep


@st.cache_resource(show_spinner=False)
def _warm_up() -> threading.Thread:
    """The thread that compiles for all visitors; the launcher has usually started the same work before."""

    def work() -> None:
        try:
            warm.warm()
            from pagingviz.ui import figures  # noqa: F401 - plotly takes a second to import
        except Exception:
            logging.getLogger("pagingviz").exception("warm-up failed")

    thread = threading.Thread(target=work, name="warm-up of the shell", daemon=True)
    thread.start()
    return thread


def compiled() -> bool:
    """True when a machine can be built at once. After a failed warm-up too: the page then shows the error itself."""
    return warm.progress() >= 1 or not _warm_up().is_alive()


class Visit:
    """One visitor. `wanted` is what shall be on the screen, `player` plays what is there (None before the first machine)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.player: Player | None = None
        self.early: EarlyPlayer | None = None  # plays what is recorded until `player` stands where it does
        self.wanted: tuple[Scenario, View] | None = None
        self.lost: tuple[Scenario, View] | None = None  # waits for a file
        self.scenario, self.view = load(HOME), View()
        self.error = ""
        self.seq = 0  # of the last ask, over all players
        self.revision = 0  # changes with every machine and every refused change: names the sidebar's fields
        self.roads: Roads | None = None  # the same guest down the other roads, while the page Translation is open
        self.beside: Beside | None = None  # the machines beside this one, while the page Side by side is open
        self._written: set[frozenset] = set()

    # ---- the address

    def arrive(self, params: Mapping[str, str]) -> None:
        """Follow the address of the page unless it is one that this visit has written itself."""
        if self.player is None and self.wanted is None and self.revision == 0:
            self._first(params)
        elif params and frozenset(params.items()) not in self._written:
            self._follow(params)
        self.build()

    def _first(self, params: Mapping[str, str]) -> None:
        self.wanted = (self.scenario, self.view)
        self.revision = 1
        if params:
            self._follow(params)

    def _follow(self, params: Mapping[str, str]) -> None:
        self._written.add(frozenset(params.items()))
        try:
            self.open(*address.read(params))
        except ScenarioError as error:
            self.refuse(error)

    def address(self) -> dict[str, str]:
        """The keys of the URL of what is on the screen."""
        params = address.write(*self.present())
        self._written.add(frozenset(params.items()))
        return params

    def present(self) -> tuple[Scenario, View]:
        """What is on the screen, or what will be there first."""
        player = self.player
        if player is None:
            scenario, view = self.wanted or (self.scenario, self.view)
            if self.early:
                view = dataclasses.replace(view, tick=self.early.tick, play=self.early.playing)
            return scenario, view
        view = dataclasses.replace(self.view, tick=player.tick, play=player.playing)
        return self.scenario.replace(do=player.sim.script()), view

    def present_view(self) -> View:
        """The view that is on the screen, or will be when the first machine is there."""
        return self.wanted[1] if self.wanted else self.view

    def show(self, view: View) -> None:
        """Another view of the same machine, at once, also while the first one is waited for."""
        self.view = view
        if self.wanted:
            self.wanted = self.wanted[0], view

    # ---- the machine

    def open(self, scenario: Scenario, view: View) -> None:
        """Want another scenario or view; a running machine of the very same scenario is kept and only moved."""
        self.wanted, self.error = (scenario, address.fitting(scenario, view)), ""
        self.early = None
        self.build()

    def build(self) -> None:
        """Make the wanted machine if that is possible now. When it is bad, the sentence is kept and the old machine too."""
        if self.wanted is None:
            return
        scenario, view = self.wanted
        if not compiled():
            return self._meanwhile(scenario, view)
        self.wanted = None
        try:
            was = player = self.player
            if player is None or scenario != self.scenario.replace(do=player.sim.script()):
                name = self.early.machine if self.early else f"{self.revision + 1}"
                player = Player(Simulation(scenario, self.files), name)
                player.seq = self.seq
                if was and (was.sim.migration is None) == (player.sim.migration is None):  # the visitor's own choice
                    player.fps, player.per_frame = was.fps, was.per_frame
                self.scenario, self.player = scenario, player
        except ScenarioError as error:
            self.lost = (scenario, view)
            if self.player is None:
                self.wanted = (load(HOME), View(theme=view.theme, present=view.present))
                self.build()
            return self.refuse(error)
        except MemoryError:
            return self.refuse("This machine is too large for the memory of the server.")
        self.view = view
        self.revision += 1
        player.go(scenario.start if view.tick is None else view.tick)
        player.playing = view.play

    def _meanwhile(self, scenario: Scenario, view: View) -> None:
        """While kernels compile: play what is recorded of the wanted scenario."""
        if self.player is None and self.early is None:
            self.revision += 1
            self.early = EarlyPlayer(scenario, scenario.start if view.tick is None else view.tick, f"{self.revision}")
            self.early.playing = view.play

    def change(self, **fields: Any) -> None:
        """Other values of some fields, at the present tick; work that is the same goes on from there.

        Values that the machine has already are no change.
        """
        try:
            present, view = self.present()
            scenario = present.replace(**fields)
            if scenario != present:
                self.open(scenario, dataclasses.replace(view, play=False))
        except ScenarioError as error:
            self.refuse(error)

    def put(self, name: str, shown: Any, chosen: Any) -> None:
        """The widget of a field, which was drawn with the value `shown`, says `chosen`.

        Streamlit calls the callback of a widget also when it has forgotten the widget, after a run that was cut short, and
        hears its value anew. Nobody has chosen anything then, and the widget may be of the machine before this one.
        """
        if str(chosen) != str(shown):
            self.change(**{name: chosen})

    def choose(self, name: str, play: bool = False) -> None:
        """A scenario of the library, at its own start; nothing when it is the one on the screen (see `put`)."""
        if name != self.present()[0].name:
            self.open(load(name), dataclasses.replace(self.view, tick=None, play=play, gva=None, access="", ref=None))

    def again(self) -> None:
        """The scenario on the screen anew, as the library has it, at its own start."""
        name = self.present()[0].name
        self.open(load(name), dataclasses.replace(self.present_view(), tick=None, play=False))

    def go(self, tick: int) -> None:
        """The same machine at another tick, also while the first one is waited for."""
        scenario, view = self.present()
        self.open(scenario, dataclasses.replace(view, tick=tick, play=False))

    def look_for(self, kind: str) -> None:
        """To the next event of a kind, as the key N goes."""
        if self.player:
            self.player.look_for(kind)

    def command(self, text: str) -> None:
        """A command at the present tick."""
        if not self.player:
            return self.refuse(f"A command needs the machine. {warm.sentence()}")
        try:
            if len(self.player.sim.journal) >= MAX_COMMANDS:
                raise ScenarioError(f"The journal is full: a machine keeps at most {MAX_COMMANDS} commands.")
            self.player.command(text)
        except ScenarioError as error:
            return self.refuse(error)
        self.error = ""
        self.revision += 1
        self.player.machine = str(self.revision)

    def upload(self, data: bytes, name: str) -> None:
        """A recorded program from a file: run it, or continue with the link that asked for it."""
        try:
            key = fingerprint(data)
            open_trace(data, name)
            if key not in self.files and len(self.files) >= MOST_FILES:
                raise ScenarioError(f"At most {MOST_FILES} files can be kept: reload the page to start anew.")
            self.files[key] = data
        except ScenarioError as error:
            return self.refuse(error)
        if self.lost and key in self.lost[0].traces:
            self.open(*self.lost)
        else:
            self.change(trace=key, order="")

    def refuse(self, error: object) -> None:
        """Keep one sentence; the fields of the sidebar go back to what the machine has."""
        self.error = str(error)
        self.revision += 1

    # ---- answers for the board

    def step_walk(self, ask: dict | None) -> None:
        """Take over which reference of the page Translation is wanted: absolute, so that an ask sent twice does no harm."""
        if isinstance(ask, dict) and ask.get("cmd") == "ref":
            n = ask.get("n")
            self.view = dataclasses.replace(self.view, ref=None if n is None else number(n, 0, FIELD["ref"].high, 0))

    def answer(self, ask: dict | None, display: Display) -> bytes:
        """The message for the board of this visitor's page."""
        ask = ask if isinstance(ask, dict) else None
        if ask:
            seq = number(ask.get("seq"), 0, 2**53, self.seq)
            if seq == self.seq and ask.get("cmd") != "run":
                ask = ask | {"cmd": "poll"}  # asked once more because the answer was lost; a run says where it goes on
            self.seq = seq
            if ask.get("cmd") == "ref":
                ask = ask | {"cmd": "inspect"}  # the machine stays where it is
        if self.early:
            if self.player is None or not self.early.hand_over(self.player):
                return self.early.answer(ask, display)
            ask, self.early = self.early.waits or ask, None
        if self.player is None:
            return compiling((self.wanted or (self.scenario,))[0], display, warm.progress(), self.seq)
        return self.player.answer(ask, display)


def current() -> Visit:
    """The visit of this browser tab."""
    if "visit" not in st.session_state:
        st.session_state.visit = Visit()
    return st.session_state.visit


def theme(visit: Visit) -> str:
    """The theme of the address, else of the browser."""
    return visit.view.theme or st.context.theme.type or "light"
