"""The boards of the page Translation: one a road, a cell a reference. A walk in one dimension is a row, in two a grid."""

from functools import lru_cache

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE
from pagingviz.boards import translate_words as words
from pagingviz.boards.cells import HATCHED, word
from pagingviz.boards.palette import ABSENT, CACHED, CHANGED, FREE, PENDING, PINNED, READ_ONLY, SUPERPAGE, TABLE, WRITABLE
from pagingviz.boards.plans import Plan
from pagingviz.machine.guest_tables import guest_entries, is_big, targets
from pagingviz.story.sentences import process_name

ROADS = {  # board: (fields of the scenario, title)
    "translation-bare": ({"road": "bare"}, "bare"),
    "translation-pv": ({"road": "pv"}, "PV"),
    "translation-shadow": ({"road": "shadow"}, "shadow"),
    "translation-ept": ({"road": "hap", "hap": "ept"}, "HAP with EPT"),
    "translation-npt": ({"road": "hap", "hap": "npt"}, "HAP with NPT"),
}
_STACK = {
    "translation-bare": (0, 0),
    "translation-pv": (0, 1),
    "translation-shadow": (0, 2),
    "translation-ept": (1, 0),
    "translation-npt": (2, 0),
}  # column and row of the page
_LEGEND = (
    ("T", TABLE, "leads to a table"),
    ("W", WRITABLE, "leaf, writable"),
    ("R", READ_ONLY, "leaf, read-only"),
    ("S", SUPERPAGE, "superpage"),
    (".", FREE, "absent, or to come"),
    (" ", CACHED, "cached"),
    (" ", ABSENT, "no reference"),
)
_NESTED = (*_LEGEND[:4], ("?", PENDING, "change pending"), *_LEGEND[4:])


def levels(scenario):
    """Levels of the guest that are read from memory, from the top: PAE's top is four registers."""
    return (4, 3, 2, 1) if scenario.guest_levels == 4 else (2, 1)


def plan(scenario, board):
    """The plan of a road's board."""
    return _plan(levels(scenario), board)


@lru_cache(maxsize=32)
def _plan(guest, board):
    fields, title = ROADS[board]
    two = fields["road"] == "hap"
    heads = (*(f"L{level}" for level in guest), "data")
    name = fields.get("hap", "").upper()
    labels = (*((4 - level, f"{name} L{level}") for level in (4, 3, 2, 1)), (4, "guest")) if two else ()
    unit = "down: the nested tables, across: the guest's" if two else "one read a level"
    height = 5 if two else 1
    return Plan(
        board,
        title,
        unit,
        len(heads),
        height,
        labels,
        _NESTED if two else _LEGEND,
        fields["road"],
        1,
        np.full(height * len(heads), -1),
        heads=heads,
        place=_STACK[board],
        marks=("the walk ends here", "the present reference"),
    )


def place(plan, ref):
    """Flat cell of a reference."""
    column = plan.width - 1 if not ref.column else plan.heads.index(f"L{ref.column}")
    row = 0 if plan.height == 1 else 4 if ref.dimension == "guest" else 4 - ref.level
    return row * plan.width + column


def _word(walk, ref):
    """Letter and fill of the entry that a reference reads."""
    if words.pending(walk, ref):
        fill, letter = PENDING, "?"
    elif ref.leads == "hole":
        fill, letter = FREE, "."
    elif ref.leads == "bad":
        fill, letter = PENDING, "F"
    elif ref.leads == "table":
        fill, letter = TABLE, "T"
    else:
        fill = (SUPERPAGE if ref.level > 1 else WRITABLE) if words.writable(walk, ref) else READ_ONLY
        letter = "S" if ref.level > 1 else "W" if fill == WRITABLE else "R"
    return word(CACHED if ref.served else fill, letter)


def cells(plan, walk, made):
    """The grid of a walk of which `made` references are made: uint16 (height, width). `walk`: a text where there is none."""
    out = np.full(plan.width * plan.height, HATCHED)
    if isinstance(walk, str):
        return out.reshape(plan.height, plan.width)
    for ref in walk.references:
        cell = place(plan, ref)
        if ref.number > made:
            out[cell] = word(FREE, " ")
            continue
        ends = PINNED if ref.number == walk.end.at and walk.end.kind != "frame" else 0
        out[cell] = _word(walk, ref) | ends | (CHANGED if ref.number == made else 0)
    if walk.end.kind == "frame":
        done = made >= len(walk.references)
        free = walk.rights & int(x86.TLB_W | x86.TLB_KW)
        out[-1] = (word(WRITABLE, "W") if free else word(READ_ONLY, "R")) if done else word(FREE, " ")
    return out.reshape(plan.height, plan.width)


def numbers(plan, walk):
    """The number of the reference in each cell, 0 in the others: list of ints."""
    out = [0] * (plan.width * plan.height)
    for ref in () if isinstance(walk, str) else walk.references:
        out[place(plan, ref)] = ref.number
    return out


def caption(plan, walk, made):
    """What this road does at the present reference; a grid has room to say what comes of an exit."""
    if isinstance(walk, str):
        return walk
    if made >= len(walk.references):
        more = plan.height > 1 and walk.end.kind != "frame"
        return f"{words.ending(walk)}. {words.then(walk)[0]}" if more else words.ending(walk)
    if not made:
        return f"{len(walk.references)} references to come"
    return words.short(walk, walk.references[made - 1])


def alt(plan, walk, made):
    """Alternative text."""
    if isinstance(walk, str):
        return f"{plan.title}: {walk}"
    n = min(made, len(walk.references))
    return f"{plan.title}: {words.access(walk)}, {n} of {len(walk.references)} references made. {words.ending(walk)}."


def sentence(roads, made, own):
    """(sentence, source) about reference `made`: of the visitor's own road while it goes on, else of one that still does.

    roads: {board: Walk or text}; own: the board of the visitor's road.
    """
    walks = {board: walk for board, walk in roads.items() if not isinstance(walk, str)}
    if not walks:
        return "No road is there yet.", ""
    longest = max(len(walk.references) for walk in walks.values())
    if made >= longest:
        return _whole(walks, own)
    first = next(iter(walks.values()))
    if not made:
        return f"{words.access(first).capitalize()}: nothing is read yet; press ↓ for the first reference.", ""
    order = [own, "translation-ept", "translation-npt", *walks]
    board = next(board for board in order if board in walks and len(walks[board].references) >= made)
    walk = walks[board]
    text, source = words.reference(walk, walk.references[made - 1])
    ends = f" Here it ends: {walk.end.name}." if made == walk.end.at and walk.end.kind != "frame" else ""
    return f"{ROADS[board][1]}, reference {made} of {len(walk.references)}. {text}{ends}", source


def _whole(walks, own):
    """All walks are at their end: how many references each took, then what comes of the visitor's own."""
    counts = ", ".join(f"{ROADS[board][1]} {len(walk.references)}" for board, walk in walks.items())
    board = own if own in walks else next(iter(walks))
    text, source = words.then(walks[board])
    end = walks[board].end
    if end.kind != "frame":
        text = f"{words.ending(walks[board])}. {text}"
    return f"References: {counts}. {ROADS[board][1]}: {text}", source


# ---- the inspector


def inspect(sim, plan, walk, cell, roads):
    """The card of a cell: {title, chain, rows, why, lit}, or None. `roads` as in `sentence`, for the cells lit with it."""
    if isinstance(walk, str) or not 0 <= cell < plan.width * plan.height:
        return None
    ref = next((ref for ref in walk.references if place(plan, ref) == cell), None)
    if ref is None:
        return _data(plan, walk) if cell == plan.width * plan.height - 1 else None
    m = walk.machine
    rows = [
        ("entry's address", f"mpa {ref.address:#x}"),
        ("value", f"{ref.entry:#x}"),
        ("bits", words.bits(walk, ref)),
        ("covers", _covers(walk, ref)),
    ]
    if ref.dimension == "guest":
        rows.append(("also walked by", _sharers(sim, walk, ref)))
        if walk.register is not None:
            rows.append(("PDPTE register", f"{walk.register:#x}"))
    elif ref.dimension == "shadow":
        head = int(m.view("pkey")[ref.frame]) if m.view("ptype")[ref.frame] == xen.SH_MORE else ref.frame
        rows += [
            ("stands for", f"gfn {ref.gfn:#x}"),
            ("references to it", str(int(m.view("pref")[head]))),
            ("pinned", "yes" if m.view("ppin")[head] else "no"),
        ]
    else:
        rows += [("asked for", f"gfn {ref.gfn:#x}, {words.wanted(ref)}"), ("used by", "every address space of the guest")]
    again = [x.number for x in walk.references if x.address == ref.address and x.dimension == ref.dimension]
    if len(again) > 1:
        rows.append(("read at references", ", ".join(map(str, again))))
    chain = [f"gva {walk.gva:#x}", f"{words.table(walk, ref)}, entry {ref.index}", words.yields(walk, ref)]
    return {
        "title": f"{plan.title}: reference {ref.number}",
        "chain": chain,
        "rows": rows,
        "why": _why(walk, ref),
        "lit": _lit(roads, ref),
    }


def _lit(roads, ref):
    """The cells, on all boards, that read a guest table in the same guest frame, or the very same nested or shadow entry."""
    out = {}
    for board, walk in roads.items():
        if isinstance(walk, str):
            continue
        own = plan(walk.machine.scenario, board)
        guest = ref.dimension == "guest"
        out[board] = [
            place(own, x)
            for x in walk.references
            if x.dimension == ref.dimension
            and (x.gfn == ref.gfn and x.level == ref.level if guest else x.address == ref.address)
        ]
    return out


def _data(plan, walk):
    """The card of the data's cell."""
    if walk.end.kind != "frame":
        return None
    rows = [
        ("guest frame", f"gfn {walk.end.gfn:#x}"),
        ("machine frame", f"mfn {walk.end.frame:#x}"),
        ("the TLB holds", words.rights(walk.rights)),
    ]
    chain = [f"gva {walk.gva:#x}", f"mpa {walk.end.frame << 12 | walk.gva & 4095:#x}"]
    return {
        "title": f"{plan.title}: the data",
        "chain": chain,
        "rows": rows,
        "why": words.then(walk)[0],
        "lit": {plan.id: [plan.width * plan.height - 1]},
    }


def _covers(walk, ref):
    """What one entry at this place translates."""
    bits = 10 if ref.dimension == "guest" and walk.machine.sys[0].guest_levels == 2 else 9
    shift = bits * (ref.level - 1)
    page = ref.gfn if ref.dimension == "nested" else walk.gva >> 12 & int(x86.VPN_MASK)
    first, what = page >> shift << shift, "gfn" if ref.dimension == "nested" else "gva page"
    return f"{what} {first:#x} to {first + (1 << shift) - 1:#x}" if shift else f"{what} {first:#x}"


def _sharers(sim, walk, ref):
    """Processes whose own walk of this address reads the same table."""
    m, names = walk.machine, []
    bits, top = (10 if m.sys[0].guest_levels == 2 else 9), int(m.sys[0].guest_levels)
    for slot, root in enumerate(m.view("uroots" if m.sys[0].pv and walk.user else "roots")):
        tab, level = int(root), top
        while root != NONE and level > ref.level and 0 <= tab < m.sys[0].zone:
            mask = 3 if level == 3 == top else (1 << bits) - 1
            e = guest_entries(m, np.array([tab]), np.array([walk.gva >> 12 + bits * (level - 1) & mask]))
            if not e[0] & x86.P or is_big(level, e)[0]:
                break
            tab, level = int(targets(m, e)[0]), level - 1
        if root != NONE and level == ref.level and tab == ref.gfn:
            names.append(process_name(sim, slot))
    return ", ".join(names) or "no process"


def _why(walk, ref):
    """Why this reference is made, and what decides at it."""
    if ref.number == walk.end.at and walk.end.kind != "frame":
        return f"Here the walk ends: {words.ending(walk)}. {words.then(walk)[0]}"
    if ref.served:
        return "A cache holds this step, so the processor does not read memory for it."
    if ref.dimension == "nested":
        return (
            f"The guest's entries hold guest-physical addresses: before {words.wanted(ref)} can be read, its gfn must go "
            "through the nested tables."
        )
    if ref.dimension == "shadow":
        return "The shadow holds machine frames: no second translation is needed. That is what Xen made it for."
    if walk.machine.scenario.road == "hap":
        return "Only now, with its machine frame known, can the guest's own entry be read."
    return "The hardware reads the guest's entry itself: its frames are machine frames."
