"""The live board: one component of Streamlit's v2 kind a page, whose canvases are never replaced.

Python sends one message of bytes (payload.py) and gets asks back; everything that moves or reacts to keys happens in
static/*.js, which the launcher serves at /board/. An ask is a dict: "seq" (to be echoed in the answer's header), "cmd"
(poll, step, micro, run, stop, seek, next, prev, home, end, inspect, cancel, kind, speed, ref), "tick" (the last painted one,
from which to act), "from" (the newest tick that has reached the browser, where a run goes on), "n", "kind", "frames",
"per_frame", "fps", "play", and "board"/"cell" (the cell under inspection, or null).
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
    """What the board named `key` asks in this run, before it is placed: its answer goes into this run's payload."""
    state = st.session_state.get(key)
    return state.get("ask") if state else None


def board(payload: bytes, key: str, on_ask: Callable[[], None] = lambda: None) -> dict | None:
    """Place the board, or give the one already there its next message. Returns the ask of this run, or None.

    `on_ask` runs before the script when there is an ask (there `asked(key)` has it).
    """
    return _component(key=key, data=payload, height="content", on_ask_change=on_ask).ask
