"""The one home of colours and letters, for the live board and for Plotly alike.

A cell of a board is a 16-bit word: fill code (bits 0-6), letter index into LETTERS (bits 7-12), and three flags (bits
13-15). Categories use the Okabe-Ito set (Okabe & Ito 2008, safe for every common colour blindness), the age ramp uses
cividis (Nunez, Anderton & Renslow 2018). Contrast is the WCAG 2 ratio of relative luminances, 1 to 21.

The scripts in the browser have no copy of any of this: every message brings them `cell_codes()` and `Palette.wire()`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# --- the cell word ---
FILL_MASK = 0x7F
LETTER_SHIFT = 7
LETTER_MASK = 0x3F
PINNED = 1 << 13  # drawn with a thick edge
CROSSED = 1 << 14  # drawn with a cross: a shadow in this page was destroyed in this tick
CHANGED = 1 << 15  # drawn with an outline: changed in this tick

# What each letter stands for, on whatever board it is. Lower case of W, R and S: the guest's A bit is clear.
MEANINGS = {
    " ": "nothing to say",
    ".": "not present, free, clean, never, nobody",
    "R": "read-only",
    "W": "writable; of a migration: sent, or equal to the source's",
    "S": "superpage",
    "G": "leaf of 1 GiB",
    "w": "W with A clear",
    "r": "R with A clear",
    "s": "S with A clear",
    "D": "dirty, or old",
    "d": "dirty in the round before, or waits",
    "T": "table",
    "O": "out of sync",
    "?": "pending, or left for later",
    "1": "level 1; how often: least; of a migration: sent once",
    "2": "level 2; how often; of a migration: sent twice",
    "3": "level 3; how often; of a migration: sent three times",
    "4": "level 4; how often: most; of a migration: sent four times or more",
    "m": "monitor",
    "f": "fl1: splinters of a superpage",
    "+": "further page of a shadow",
    "p": "p2m",
    "K": "snapshot: a copy that is kept of a table out of sync",
    "B": "the bitmap's own tree",
    "L": "the processor's log (PML)",
    "F": "fault: a reserved bit; of a migration: fetched",
    "H": "sent in the pause, while the guest is suspended",
    "g": "the guest's store",
    "A": "A/D bits set by a walk",
    "e": "emulated store",
    "X": "the hypervisor (Xen)",
    "v": "device model",
}
LETTERS = "".join(MEANINGS)  # the letter index of the cell word is the position in this text

ABSENT, FREE, READ_ONLY, WRITABLE, DIRTY, DIRTY_BEFORE, TABLE, OUT_OF_SYNC, SUPERPAGE, PENDING = range(10)
BLANK = 10  # padding: not drawn at all
CACHED = 11  # a reference that a cache answers
OUTSIDE = 12  # written from outside the guest
NEUTRAL = 13  # in legends only: the letter says it, whatever colour the cell has
AGE_YOUNGEST, AGE_OLDEST = 16, 31  # pages in use: one code for each step of age
FILL_CODES = (*range(14), *range(AGE_YOUNGEST, AGE_OLDEST + 1))

# What is written about a cell where no legend says it.
ABSENT_WORDS, IN_USE_WORDS, CROSSED_WORDS = "not in this machine", "in use", "shadow destroyed in this tick"


def cell_codes() -> dict:
    """How a script reads a cell word: masks, flags, special fill codes, letters and words. Plain data for JSON."""
    return {
        "fill_mask": FILL_MASK,
        "letter_shift": LETTER_SHIFT,
        "letter_mask": LETTER_MASK,
        "letters": LETTERS,
        "pinned": PINNED,
        "crossed": CROSSED,
        "changed": CHANGED,
        "absent": ABSENT,
        "free": FREE,
        "blank": BLANK,
        "age_youngest": AGE_YOUNGEST,
        "words": {"absent": ABSENT_WORDS, "in_use": IN_USE_WORDS, "crossed": CROSSED_WORDS},
    }


# --- the colours ---
EDGE_CONTRAST = 3.0  # every filled cell has an edge of at least this ratio against the ground beside it

_STATES = {
    READ_ONLY: "#56b4e9",
    WRITABLE: "#0072b2",
    DIRTY: "#d55e00",
    DIRTY_BEFORE: "#f5b78c",
    TABLE: "#cc79a7",
    OUT_OF_SYNC: "#e69f00",
    SUPERPAGE: "#009e73",
    PENDING: "#f0e442",
    CACHED: "#a8a8a0",
    OUTSIDE: "#000000",
}
# Colours of the kinds of events on the scrubber, in the order of the kinds; they begin again after the last one.
EVENT_MARKS = tuple(_STATES[code] for code in (WRITABLE, DIRTY, SUPERPAGE, TABLE, OUT_OF_SYNC, READ_ONLY))
# Ten points of cividis from dark to bright; what lies between is mixed linearly (error below 2 levels of 255).
_CIVIDIS = "#00224e #123570 #3b496c #575d6d #707173 #8a8678 #a59c74 #c3b369 #e1cc55 #fee838".split()


def rgb(colour: str) -> tuple[int, int, int]:
    """(r, g, b), each 0-255, of "#rrggbb"."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mix(a: str, b: str, share: float) -> str:
    """The colour `share` (0 to 1) of the way from a to b, mixed per sRGB channel."""
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in zip(rgb(a), rgb(b), strict=True))


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2, "relative luminance")."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast ratio of two colours, 1 to 21."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def ink_on(fill: str) -> str:
    """Black or white, whichever contrasts more with `fill`."""
    return "#000000" if contrast(fill, "#000000") >= contrast(fill, "#ffffff") else "#ffffff"


def age_colour(share: float) -> str:
    """cividis at `share`: 0 = darkest (oldest), 1 = brightest (youngest)."""
    at = min(max(share, 0.0), 1.0) * (len(_CIVIDIS) - 1)
    low = min(int(at), len(_CIVIDIS) - 2)
    return mix(_CIVIDIS[low], _CIVIDIS[low + 1], at - low)


@dataclass(frozen=True)
class Swatch:
    """How one fill code is drawn: three "#rrggbb" colours."""

    fill: str
    edge: str
    ink: str


@dataclass(frozen=True)
class Palette:
    """All colours of one theme, "#rrggbb". `swatches` has an entry for every code of FILL_CODES."""

    theme: str
    ground: str  # between and around the cells, and of every panel
    page: str  # behind the panels
    soft: str  # of a panel inside a panel
    line: str  # around panels and controls
    hatch: str  # the lines of a cell that is not in this machine, and the grid of a chart
    text: str  # words, thick edges, outlines
    muted: str  # second lines, axes
    accent: str  # what is selected, links, the main button
    signal: str  # a warning
    good: str  # the opposite of a warning
    differs: str  # words about something that is not as expected
    lines: tuple[str, str, str]  # the curves of a chart
    swatches: dict[int, Swatch]

    def fill(self, code: int) -> str:
        """The fill colour of a fill code; KeyError for a code that is not one."""
        return self.swatches[code].fill

    def variables(self) -> dict[str, str]:
        """The colours of everything around the cells: name of the variable of the style sheets, without "--" -> colour."""
        return {
            "panel": self.ground,
            "page": self.page,
            "soft": self.soft,
            "line": self.line,
            "text": self.text,
            "muted": self.muted,
            "accent": self.accent,
            "on-accent": ink_on(self.accent),
            "signal": self.signal,
            "good": self.good,
            "differs": self.differs,
        }

    def css(self) -> str:
        """`variables` as declarations of a style sheet."""
        return " ".join(f"--{name}: {colour};" for name, colour in self.variables().items())

    def wire(self) -> dict:
        """The palette as the board receives it. Plain data for JSON.

        fill, edge, ink: a colour for each code 0..AGE_OLDEST, "" where there is no such code; ground, text, hatch: one
        colour; event_marks: a list; variables: as above.
        """
        rows = [self.swatches.get(code) for code in range(AGE_OLDEST + 1)]
        part = {name: [getattr(row, name) if row else "" for row in rows] for name in ("fill", "edge", "ink")}
        single = {name: getattr(self, name) for name in ("ground", "text", "hatch")}
        return part | single | {"event_marks": list(EVENT_MARKS), "variables": self.variables()}


def _edge(fill: str, grounds: tuple[str, ...], towards: str) -> str:
    """`fill`, mixed with just so much black or white as EDGE_CONTRAST against every ground needs."""
    for step in range(101):
        edge = mix(fill, towards, step / 100)
        if min(contrast(edge, ground) for ground in grounds) >= EDGE_CONTRAST:
            return edge
    raise ValueError(f"no edge of {EDGE_CONTRAST}:1 exists for {fill} on {grounds}")


def _palette(theme: str, free: str, edges: str, **colours: Any) -> Palette:
    """A theme of these `colours` (fields of Palette). `free`: an empty cell; `edges`: black or white, mixed into edges."""
    ground, text = colours["ground"], colours["text"]
    fills = dict(_STATES)
    for code in range(AGE_YOUNGEST, AGE_OLDEST + 1):
        fills[code] = age_colour((AGE_OLDEST - code) / (AGE_OLDEST - AGE_YOUNGEST))
    swatches = {code: Swatch(fill, _edge(fill, (ground, free), edges), ink_on(fill)) for code, fill in fills.items()}
    swatches[ABSENT] = Swatch(ground, colours["hatch"], text)
    swatches[FREE] = Swatch(free, free, ink_on(free))  # an empty cell is ground, not a filled cell
    swatches[BLANK] = Swatch(ground, ground, text)
    swatches[NEUTRAL] = Swatch(ground, text, ink_on(ground))
    return Palette(theme=theme, swatches=swatches, **colours)


PALETTES = {
    "light": _palette(
        "light",
        free="#ebebe4",
        edges="#000000",
        ground="#ffffff",
        page="#ffffff",
        soft="#f1f1ec",
        line="#d9d9d2",
        hatch="#c9c9c0",
        text="#1a1c23",
        muted="#5c5f69",
        accent="#0072b2",
        signal="#d55e00",
        good="#007a59",
        differs="#b34700",
        lines=("#0072b2", "#d55e00", "#009e73"),
    ),
    "dark": _palette(
        "dark",
        free="#2c313a",
        edges="#ffffff",
        ground="#1a1d24",
        page="#0e1117",
        soft="#262a33",
        line="#363b46",
        hatch="#3d434e",
        text="#f4f4ef",
        muted="#a9adb8",
        accent="#56b4e9",
        signal="#f5a26a",
        good="#3ecf9f",
        differs="#f5a26a",
        lines=("#56b4e9", "#e69f00", "#2bc59b"),
    ),
}
