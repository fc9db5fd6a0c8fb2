"""What the player sends to a board: what a page wants to see, the header of a message, and the words of each board."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pagingviz.boards import portray
from pagingviz.boards.payload import encode
from pagingviz.boards.plans import SIZE
from pagingviz.scenario.fields import MAX_TICK
from pagingviz.timeline import warm

MOST_FRAMES = 60  # frames of one batch
MOST_FPS = 60  # frames a second: a screen shows no more
KINDS = [list(pair) for pair in portray.EVENT_KINDS]


@dataclass(frozen=True)
class Look:
    """What a page wants to see. boards: ids of portray.BOARDS; title: the page's; theme: light or dark."""

    title: str
    boards: tuple[str, ...]
    theme: str = "light"
    present: bool = False
    compact: bool = False  # beside something else: without the status line and what paces a run
    bits: str = "round"  # portray.BITS: what the dirty bitmap tells
    query: Callable[[], str] = str  # the address of what is on the screen, as Streamlit would encode it; "": nobody follows it
    portrait: object = portray  # what draws the boards: ui/translation.py has another one
    changes: bool = True  # outline what differs from the moment before
    mark: Callable[[], str] = str  # what of the picture is not the machine's: it changes Player.now, for the follower


def header(look: Look, seq: int, **more) -> dict:
    """The part of a message's header that does not depend on a machine, and whatever else is given."""
    common = {
        "v": 1,
        "seq": seq,
        "state": "ready",
        "progress": 1,
        "message": "",
        "title": look.title,
        "machine": "",
        "theme": look.theme,
        "present": look.present,
        "compact": look.compact,
        "playing": False,
        "fps": 30,
        "per_frame": 1,
        "furthest": 0,
        "marks": [],
        "kinds": KINDS,
        "kind": KINDS[0][0],
        "micro": None,
        "frames": [],
        "inspect": None,
        "lit": {},
        "now": "",
        "query": "",
        "limits": {"tick": MAX_TICK, "frames": MOST_FRAMES, "fps": MOST_FPS},
    }
    return common | more


def board_record(plan, caption="", alt="") -> dict:
    """One entry of the header's "boards". A legend's entry without a fill code has null there."""
    legend = [[letter, None if code == SIZE else code, text] for letter, code, text in plan.legend]
    return {
        "id": plan.id,
        "title": plan.title,
        "unit": plan.unit,
        "caption": caption or plan.unit,
        "alt": alt,
        "w": plan.width,
        "h": plan.height,
        "labels": [list(x) for x in plan.labels],
        "heads": list(plan.heads),
        "legend": legend,
        "column": plan.place[0] if plan.place else None,
        "flag_words": list(plan.marks),
    }


class _NoWork:
    """Stands in for the work while kernels compile: the guest map then shows the kernel's own entries only."""

    processes, zone, p2m_pages, shown, hap_pool = (), 8, 0, None, 0

    def __init__(self, scenario):
        self.levels = scenario.guest_levels


def compiling(scenario, look: Look, share: float, seq: int) -> bytes:
    """The message while kernels compile: frames, titles and legends of the maps, and how far the compiler is."""
    plans = [look.portrait.plan(scenario, _NoWork(scenario), name, bits=look.bits) for name in look.boards]
    return encode(
        header(
            look, seq, state="compiling", progress=share, message=warm.COMPILING, boards=[board_record(plan) for plan in plans]
        ),
        [],
    )


def plain(value):
    """Numbers of numpy as numbers of JSON, all the way down."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
