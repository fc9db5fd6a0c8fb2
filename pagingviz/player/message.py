"""What the player sends to a board: what a page wants to see, the header of a message, and the words of each board."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pagingviz.boards.board import Options, Plan
from pagingviz.boards.payload import encode
from pagingviz.boards.registry import make_plan
from pagingviz.boards.scene import Scene
from pagingviz.boards.since import BOARDS as TELLS
from pagingviz.manual import glossary
from pagingviz.player.shown import Company
from pagingviz.scenario.fields import MAX_TICK
from pagingviz.scenario.scenario import Scenario
from pagingviz.story.kinds import EVENT_KINDS
from pagingviz.timeline import warm
from pagingviz.timeline.simulation import Simulation
from pagingviz.work.work import ANY_GIBS

MOST_FRAMES = 60  # frames of one batch
MOST_FPS = 60  # frames a second: a screen shows no more
KINDS = [list(pair) for pair in EVENT_KINDS]
CONTROLS = ("tick", "micro")  # words on the player's controls that the glossary has


@dataclass(frozen=True)
class Display:
    """What a page shows. title: the page's; boards: ids of boards.registry; theme: light or dark."""

    title: str
    boards: tuple[str, ...]
    theme: str = "light"
    present: bool = False
    compact: bool = False  # beside something else: without the status line and what paces a run
    bits: str = "round"  # one of boards.dirty_bitmap.BITS
    query: Callable[[], str] = str  # the address of what is on the screen, as Streamlit would encode it; "": nobody follows it
    scene: Callable[[Simulation], Scene] = Scene  # what the boards are drawn from, and the words beside them
    changes: bool = True  # outline what differs from the moment before
    greeting: Callable[[], dict[str, Any] | None] = lambda: None  # what greets a newcomer on this page: ui/greeting.py
    mark: Callable[[], str] = str  # what of the picture is not the machine's: it changes Player.now, for the follower
    beside: Company | None = None  # machines whose boards of the same kinds are shown beside the player's own


def header(display: Display, seq: int, **more: Any) -> dict[str, Any]:
    """The part of a message's header that does not depend on a machine, and whatever else is given."""
    common = {
        "v": 1,
        "seq": seq,
        "state": "ready",
        "progress": 1,
        "message": "",
        "title": display.title,
        "machine": "",
        "theme": display.theme,
        "present": display.present,
        "compact": display.compact,
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
        "about": {},  # what the glossary says, by label or word; while the machine runs: what was told when it stood still
        "marked": {},  # the words of the glossary in the texts that are shown, by text; none while the machine runs
        "now": "",
        "query": "",
        "aside": "",  # a word in the corner of the window: how far the engine is
        "again": 0,  # ms after which the board shall ask again although its picture is whole; 0: it need not
        "greeting": display.greeting(),
        "tells": list(TELLS),  # boards of whose cells it can be asked since when they are so, and what led to it
        "limits": {"tick": MAX_TICK, "frames": MOST_FRAMES, "fps": MOST_FPS},
    }
    return common | more


def about(boards: Sequence[Mapping[str, Any]], labels: Iterable[str] = ()) -> dict[str, list[tuple[str, str]]]:
    """What the glossary says of titles, legends and other labels: {text: [(word, its text)]}, shown beside the text.

    boards: as in the header.
    """
    texts = {text for board in boards for text in (board["title"], *(entry[2] for entry in board["legend"]))} | set(labels)
    texts |= {board["scale"]["name"] for board in boards if board["scale"]}
    # An entry of a legend may have several parts, and the same words may stand behind more than one of them.
    found = {text: dict.fromkeys(filter(None, map(glossary.line, text.split("; ")))) for text in sorted(texts)}
    return {text: list(lines) for text, lines in found.items() if lines}


def words(
    boards: Sequence[Mapping[str, Any]], record: Mapping[str, Any], card: Mapping[str, Any] | None, kind: str
) -> dict[str, Any]:
    """The header's "about" and "marked" for a picture that stands still.

    boards: as in the header; record: of the frame; card: of the cell under inspection; kind: of the event that is looked for.
    "marked" is {text: ((first character, character behind it, word), ...)}, as glossary.marks finds them; "about" has these
    words, too.
    """
    status = record["status"]
    said = [record["sentence"], *record["captions"], *(str(row[1]) for row in status)]
    labels = [*CONTROLS, dict(EVENT_KINDS)[kind], *(row[0] for row in status)]
    if card:
        said += [card["why"], *map(str, card["chain"])]
        labels += [name for name, _ in card["rows"]]
    marked = {text: found for text in said if (found := glossary.marks(text))}
    labels += [word for found in marked.values() for _, _, word in found]
    return {"about": about(boards, labels), "marked": marked}


def board_record(plan: Plan, alt: str = "") -> dict[str, Any]:
    """One entry of the header's "boards". A legend's entry without a fill code has null there.

    scale: null, or {"name": "age", "steps": [[fill code, text or ""], ...], "tail": text}, what the shades of a ramp mean.
    The caption is the one before the first frame: later each frame brings its own, since a message may be ahead of the screen.
    """
    return {
        "id": plan.id,
        "title": plan.title,
        "unit": plan.unit,
        "caption": plan.unit,
        "alt": alt,
        "w": plan.width,
        "h": plan.height,
        "labels": [list(x) for x in plan.labels],
        "heads": list(plan.heads),
        "legend": [list(x) for x in plan.legend],
        "scale": asdict(plan.scale) if plan.scale else None,
        "column": plan.column,
        "flag_words": list(plan.marks),
    }


class _NoWork:
    """Stands in for the work while kernels compile: the guest map then shows the kernel's own entries only."""

    processes, zone, p2m_pages, shown, hap_pool, need_frames = (), 8, 0, None, 0, 0
    small_chunks: tuple[int, ...] = ()
    huge_leaves = ANY_GIBS

    def __init__(self, scenario: Scenario):
        self.levels = scenario.guest_levels


def compiling(scenario: Scenario, display: Display, share: float, seq: int) -> bytes:
    """The message while kernels compile: frames, titles and legends of the maps, and the compiler's progress (0 to 1)."""
    plans = [make_plan(board, scenario, _NoWork(scenario), Options(bits=display.bits)) for board in display.boards]
    boards = [board_record(plan) for plan in plans]
    return encode(header(display, seq, state="compiling", progress=share, message=warm.sentence(), boards=boards), [])


def plain(value: Any) -> Any:
    """Numbers of numpy as numbers of JSON, all the way down."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
