"""The launcher: `streamlit run app.py`. Warms the kernels, serves the board's scripts, opens the shell.

The main script lives in pagingviz/ui/, not here: beside the folder pages/ Streamlit would give the first visitor of a
fresh server its legacy navigation.
"""

import contextlib
import gc
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pandas  # noqa: F401 - Streamlit and plotly load it late, each in a thread of its own, and trip over it half loaded
import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import pagingviz
from pagingviz.ui.streamlit_version import warn_if_untested

PACKAGE = Path(pagingviz.__file__).resolve().parent  # an installed wheel holds this file inside the package (ui/site.py)
THEMES = {"theme=light": "embed_options=light_theme", "theme=dark": "embed_options=dark_theme"}


class ThemeParameter:
    """Redirect a page opened with `theme=light|dark` to the same address plus Streamlit's own option for it.

    Streamlit has no `theme` parameter. Every other parameter is kept as written; an `embed_options` theme that says
    otherwise gives way.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. The answer's Location is relative, so it works under any host name and base path."""
        if scope["type"] == "http" and scope["method"] == "GET":
            parts = [part for part in scope["query_string"].decode("latin-1").split("&") if part]
            wanted = next((THEMES[part] for part in parts if part in THEMES), None)
            if wanted and wanted not in parts:
                kept = [part for part in parts if part not in THEMES.values()]
                redirect = RedirectResponse("?" + "&".join([*kept, wanted]), headers={"Cache-Control": "no-store"})
                return await redirect(scope, receive, send)
        return await self.app(scope, receive, send)


class BoardAtOnce:
    """Tell the browser with every page which scripts its board will need: they come beside Streamlit's own, not after them.

    Header Link, rel=modulepreload (HTML standard, "Link type modulepreload"); relative to the page, like Streamlit's own files.
    """

    def __init__(self, app: ASGIApp) -> None:
        scripts = sorted(path.name for path in (PACKAGE / "boards" / "static").glob("*.js"))
        links = [f"<./board/{name}>; rel=modulepreload" for name in scripts]
        self.app, self.links = app, ", ".join([*links, "<./board/board.css>; rel=preload; as=fetch; crossorigin"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: add the header to every answer that is a page."""

        async def send_with_links(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers["Link"] = self.links
            await send(message)

        await self.app(scope, receive, send_with_links)


class Revalidated(StaticFiles):
    """Static files that a browser asks about each time (304 when unchanged): an upgrade never meets an old script."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: add the header to whatever StaticFiles answers."""

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Cache-Control"] = "no-cache"
            await send(message)

        await super().__call__(scope, receive, send_with_header)


def warm_up() -> None:
    """Compile or load every kernel, then take all objects of the imports out of the garbage collector's way."""
    try:
        from pagingviz.timeline import warm

        warm.apart()
    except Exception:  # the page compiles what it needs itself, and shows the error if that fails too
        logging.getLogger("pagingviz").exception("warm-up failed")
    gc.collect()
    gc.freeze()


@contextlib.asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Start the warm-up beside the server: the first page is drawn while kernels compile."""
    warn_if_untested()
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    yield


app = st.App(
    PACKAGE / "ui" / "main.py",
    lifespan=lifespan,
    routes=[Mount("/board", Revalidated(directory=PACKAGE / "boards" / "static"))],
    middleware=[Middleware(ThemeParameter), Middleware(BoardAtOnce)],
)
