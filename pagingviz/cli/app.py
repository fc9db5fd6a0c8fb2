"""`pagingviz app`: the app in the browser, from a checkout or from an installed wheel."""

from __future__ import annotations

import argparse
import os
import runpy
import socket
import sys
from typing import Any

from pagingviz.scenario.fields import ScenarioError, integer, quote
from pagingviz.ui.site import site

HERE = "127.0.0.1"  # what .streamlit/config.toml says
HIGHEST_PORT = 65535


def add(commands: Any) -> None:
    """Add the command to argparse's list of commands."""
    parser = commands.add_parser("app", help="start the app and print its address; Ctrl-C ends it")
    parser.set_defaults(command=command)
    parser.add_argument("--address", metavar="A", help="listen on this address (127.0.0.1; 0.0.0.0 for a class)")
    parser.add_argument("--port", metavar="P", help="listen on this port (8501)")


def command(options: argparse.Namespace) -> int:
    """Become `streamlit run app.py`, with the settings of .streamlit/ beside app.py, until Ctrl-C; returns 0.

    Streamlit reads its settings from the working directory, too, but those beside app.py win.
    """
    arguments = ["streamlit", "run", str(site() / "app.py")]
    port = 0
    if options.port is not None:
        port = integer("--port", options.port, 1, HIGHEST_PORT)
        arguments += ["--server.port", str(port)]
    if options.address:
        arguments += [f"--server.address={options.address}"]
    _try(options.address or HERE, port)
    sys.argv = arguments
    runpy.run_module("streamlit", run_name="__main__")
    return 0


def _try(address: str, port: int) -> None:
    """Listen for a moment (port 0: any that is free), so that what is wrong is one sentence here and no traceback later."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            if os.name == "posix":  # elsewhere this would mean to share the port with another program
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a usable name"
        at = quote(address, 80) + (f", port {port}" if port else "")
        raise ScenarioError(f"The app cannot listen at {at}: {reason}.") from None
