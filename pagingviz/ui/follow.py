"""The follower: a component without a picture that acts when the board has come to rest.

It hears from the board (window event pagingviz:now) what is on the screen, puts that into the address line (without an entry
in the browser's history) and, a little later, has the slow parts of the page drawn anew, to which it belongs: charts, tables,
the digest. While the machine runs that is at most once a second.

The first thing that it tells is that the board of the page has painted. Before that nothing below the board is sent: the
browser would have to take in Streamlit's charts and tables, some megabytes of scripts, and would paint the board after them.
"""

from __future__ import annotations

import streamlit as st

_JS = """
const REST_MS = 350, RUN_MS = 1000; // without news a paused board is at rest; between two refreshes while running
const FIRST_MS = 50; // from the board's first picture: it is on the screen
const pages = new WeakMap();
export default function ({ parentElement, data, setTriggerValue }) {
  const page = pages.get(parentElement) ?? {};
  page.shown = data?.shown;
  window.pagingvizAsks?.delete("follower"); // drawn anew: what it asked for is here
  page.tell = setTriggerValue;
  if (!page.hear) {
    pages.set(parentElement, page);
    page.rest = () => {
      page.timer = null;
      if (!parentElement.isConnected) return;
      const held = (window.pagingvizLeaving ?? 0) - performance.now(); // another page is on its way: board/static/leaving.js
      if (held > 0) {
        page.timer = setTimeout(page.rest, held);
        return;
      }
      const { query, now, running } = page.news;
      if (!running) {
        const kept = new URLSearchParams(location.search), wanted = new URLSearchParams(query);
        for (const key of ["embed", "embed_options"]) for (const value of kept.getAll(key)) wanted.append(key, value);
        const address = wanted.size ? "?" + wanted : "";
        if (address !== location.search) history.replaceState(history.state, "", location.pathname + address + location.hash);
      }
      if (now === page.shown) return;
      window.pagingvizAsks?.set("follower", performance.now()); // board/static/leaving.js
      page.tell("rest", now);
    };
    page.hear = ({ detail }) => {
      if (!parentElement.isConnected) return removeEventListener("pagingviz:now", page.hear);
      const news = detail.now !== page.news?.now || detail.running !== page.news.running;
      page.news = detail;
      if (!news || (page.timer && detail.running)) return;
      clearTimeout(page.timer);
      page.timer = setTimeout(page.rest, page.shown ? (detail.running ? RUN_MS : REST_MS) : FIRST_MS);
    };
    addEventListener("pagingviz:now", page.hear);
    if (window.pagingvizNow?.path === location.pathname) page.hear({ detail: window.pagingvizNow });
  }
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


def arrive(page: str) -> None:
    """Begin a run of the page with this path. On another page than before no board has painted yet."""
    if st.session_state.get("page") != page:
        st.session_state["page"], st.session_state["painted"] = page, False


def painted() -> bool:
    """Whether the board of this page has painted, so that what stands below it may come."""
    return bool(st.session_state.get("painted"))


def follow(shown: str) -> None:
    """Place the follower. `shown`: the `now` of the header (player.Player) that the parts around it were drawn for."""
    _component(key="follow", data={"shown": shown if painted() else ""}, height="content", on_rest_change=_rest)


def all_anew(more: bool) -> None:
    """Draw the whole page anew when its board has just painted and it has `more` to show than the parts that follow."""
    if st.session_state.pop("just painted", False) and more:
        st.rerun()


def _rest() -> None:
    """The follower has told that the board shows a picture and is at rest."""
    st.session_state["just painted"] = not painted()
    st.session_state["painted"] = True


def come_into_view(view: str, top: str) -> None:
    """Scroll to the slow parts of the page when `view` has just been chosen, or back up to the board for `top`."""
    with st.container(key="scroller"):
        _scroller(key="scroll", data={"view": view, "top": top}, height="content")
