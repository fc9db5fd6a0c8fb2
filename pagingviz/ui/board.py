"""The live board: one component of Streamlit's v2 kind a page, whose canvases are never replaced.

Python sends one message of bytes (payload.py) and gets asks back. Animation, keys and the pointer are the business of
static/*.js, which the launcher serves at /board/ (static/board.js is the entry). An ask is a dict:

    seq       its number, to be repeated in the header of the answer
    cmd       poll, step, micro, run, stop, seek, next, prev, home, end, inspect, why, cancel, kind, speed or ref
    tick      the tick painted last, from which the command starts
    from      the newest tick that has reached the browser, from which a run goes on
    n         a number for the command: ticks, events, the tick of a seek, the reference of a walk
    kind      the kind of event that next and prev look for
    frames, per_frame, fps    for a run: frames wanted at once, ticks between two frames, frames a second
    play      whether the board is running
    board, cell               the cell under inspection, or null; it is the one that `why` asks about
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

# Only this travels with every message: the real code comes once, from the server's own address.
_JS = """
const code = import(new URL("board/board.js", document.baseURI).href);
export default function (component) {
  code.then(({ show }) => show(component));
  return () => code.then(({ leave }) => leave(component.parentElement));
}
"""
_HTML = '<div class="pagingviz"></div>'

_component = st.components.v2.component("pagingviz.ui.board", html=_HTML, js=_JS)


def asked(key: str) -> dict | None:
    """What the board named `key` asks in this run, before `board` is called: the answer goes into this run's payload."""
    state = st.session_state.get(key)
    return state.get("ask") if state else None


def board(payload: bytes, key: str, on_ask: Callable[[], None] = lambda: None) -> dict | None:
    """Draw the board, or give the one that stands already its next message. Returns the ask of this run, or None.

    `payload`: bytes of payload.encode. `on_ask` is called before the script runs when there is an ask; `asked(key)` has it.
    """
    return _component(key=key, data=payload, height="content", on_ask_change=on_ask).ask
