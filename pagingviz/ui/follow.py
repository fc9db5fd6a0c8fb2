"""The follower: a component without a picture that lives beside the board and acts when the board has come to rest.

It puts the present view into the address line (without an entry in the browser's history) and, a little later, asks for the
slow parts of the page: charts, tables, the digest. While the machine runs that is at most once a second.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

REST_MS = 350  # without news after which a paused board counts as at rest
RUN_MS = 1000  # between two refreshes while running

_JS = """
const pages = new WeakMap();
export default function ({ parentElement, data, setTriggerValue }) {
  const page = pages.get(parentElement) ?? {};
  pages.set(parentElement, page);
  if (!data || data.now === page.now) return;
  page.now = data.now;
  if (page.timer && data.running) return;
  clearTimeout(page.timer);
  page.timer = setTimeout(function rest() {
    page.timer = null;
    const held = (window.pagingvizLeaving ?? 0) - performance.now(); // another page is on its way: board/static/leaving.js
    if (held > 0) {
      page.timer = setTimeout(rest, held);
      return;
    }
    if (!data.running) {
      const kept = new URLSearchParams(location.search), wanted = new URLSearchParams(data.query);
      for (const key of ["embed", "embed_options"]) for (const value of kept.getAll(key)) wanted.append(key, value);
      const query = wanted.size ? "?" + wanted : "";
      if (query !== location.search) history.replaceState(history.state, "", location.pathname + query + location.hash);
    }
    setTriggerValue("rest", data.now);
  }, data.wait);
}
"""
_SCROLL = """
let shown;
export default function ({ data }) {
  if (!data || data.view === shown) return;
  const first = shown === undefined;
  shown = data.view;
  const place = shown === data.top ? ".st-key-heading" : ".st-key-slow";
  if (!first || shown !== data.top) document.querySelector(place)?.scrollIntoView({ block: "start" });
}
"""
_component = st.components.v2.component("pagingviz.follower", html="<i hidden></i>", js=_JS)
_scroller = st.components.v2.component("pagingviz.scroller", html="<i hidden></i>", js=_SCROLL)


def follow(query: str, now: str, running: bool, on_rest: Callable[[], None], key: str) -> None:
    """Place the follower. `query`: the address as Streamlit would encode it; `now`: changes whenever the picture does."""
    data = {"query": query, "now": now, "running": running, "wait": RUN_MS if running else REST_MS}
    _component(key=key, data=data, height="content", on_rest_change=on_rest)


def come_into_view(view: str, top: str) -> None:
    """Scroll to the slow parts of the page when `view` has just been chosen, or back up to the board for `top`."""
    with st.container(key="scroller"):
        _scroller(key="scroll", data={"view": view, "top": top}, height="content")
