"""Pages without a browser: the shell's main script run by Streamlit's AppTest, and what it shows of the machine.

A long way to a tick is walked in slices of wall-clock time (player/player.py: SLICE), so that on a busy machine one run of the
page does not always bring the picture. Whatever opens another page, machine or tick is therefore followed by `settled`.
"""

import re
import time

from streamlit.testing.v1 import AppTest

from tests.support.waiting import PATIENCE, until
from tests.ui.serving import ROOT

MAIN = str(ROOT / "pagingviz/ui/main.py")


def visit(page="machine", **params):
    """The app as a visitor has it after opening `page` with these URL keys, once the machine is where it was wanted."""
    app = AppTest.from_file(MAIN, default_timeout=PATIENCE)
    for key, value in params.items():
        app.query_params[key] = value
    settled(app.run())
    if page != "machine":
        settled(app.switch_page(f"../../pages/{page}.py").run())
    return app


def settled(app):
    """The app, drawn anew until its machine has arrived: the page then says the machine's digest and shows what hangs on it.

    No board paints here, which is what the parts below it wait for: it is said in the follower's place (ui/follow.py).
    """
    assert not app.exception, app.exception
    assert wait_for(app, lambda: app.exception or digests(app)), "the machine did not arrive"
    assert not app.exception, app.exception
    return app


def wait_for(app, there):
    """Draw the page anew until `there()`, as its progress does in a browser. False when it takes too long."""

    def again():
        time.sleep(0.1)
        app.session_state["painted"] = True
        app.run()

    return until(there, again)


def finished(app):
    """The app, drawn anew until no long work is on its way any more (ui/jobs.py draws a bar of progress until then)."""
    assert wait_for(app, lambda: not app.get("progress")), "the work did not end"
    return settled(app)


def digests(app):
    """What the page says of its machine's digest: one text, none while the machine is on its way."""
    return [text.value for text in app.text if text.value.startswith("digest")]


def machine(app):
    """(digest, tick) of the machine on the screen."""
    (text,) = digests(app)
    found = re.fullmatch(r"digest (\w+) tick (\d+)", text)
    return found[1], int(found[2])
