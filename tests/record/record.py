"""The record of what must not change: the machine's state by named values, what is on the pages, what an address opens.

cases.py says of which machines and pages, tests/data/record holds the values, test_record.py compares.
The values were taken at one commit and stay; the functions in the first half of this file say where to find them now, and
change with the code. Hashes of numbers stand in machines.npz, all that is text stands readable in the other files.

    python -m tests.record --make     takes all values anew: only where a change of them is wanted, and says so
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np

from pagingviz.arch import costs
from pagingviz.arch.state import ARENA, CPU_SCRATCH, SCRATCH
from pagingviz.boards.board import Options
from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.boards.palette import FILL_MASK, LETTER_MASK, LETTER_SHIFT
from pagingviz.boards.payload import decode
from pagingviz.boards.registry import HOME, MIGRATION, REGISTRY, ROADS, card, make_plan
from pagingviz.boards.scene import Scene
from pagingviz.evidence.xen import moments
from pagingviz.experiments import migrations
from pagingviz.player.crowd import Crowd
from pagingviz.player.message import Display
from pagingviz.player.player import Player
from pagingviz.player.twins import Roads
from pagingviz.reading import rounds
from pagingviz.reading.caches import average, filled
from pagingviz.reading.dirty_tree import dirty_tree
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import load, names
from pagingviz.story.nested_tables import exits_and_pages
from pagingviz.story.rounds import convergence, rows
from pagingviz.timeline import checkpoints
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import address as url
from pagingviz.ui import migration as migration_page
from pagingviz.ui import real_xen
from pagingviz.ui import translation as translation_page
from tests.record import cases
from tests.record.compare import ADDRESSES, DATA, MACHINES, PAGES, TEXTS

MACHINE = (*HOME, "nested-tables")  # boards whose cells are recorded with the cards of all of them
BOARDS = {  # address of a page: title, boards, its scenes (None: the page's own), whether changes are outlined
    "/": ("The machine", HOME, Scene, True),
    "/guest-page-tables": ("Guest page tables", ("guest-tables",), Scene, True),
    "/shadow-pool": ("Shadow pool", ("shadow-pool",), Scene, True),
    "/ept-npt": ("EPT / NPT", ("ept-npt", "nested-tables"), Scene, True),
    "/dirty-bitmap": ("Dirty bitmap", ("dirty-bitmap",), Scene, True),
    "/translation": ("Translation", ROADS, None, False),
    "/live-migration": ("Live migration", MIGRATION, MigrationScene, False),
    "/real-xen": ("Real Xen", HOME, Scene, True),
}
MOST_CELLS = 6  # of a board whose cards are recorded
LONGEST = 1500  # letters of a value that is recorded as it is; of a longer one its length and hash


# ---- hashes


def number_hash(value) -> int:
    """Nonzero 32-bit hash of an array of whole numbers of any width and byte order: of its shape and its values."""
    array = np.ascontiguousarray(value)
    h = hashlib.blake2b(repr(array.shape).encode(), digest_size=4)
    h.update(array.astype("<i8" if array.dtype.kind == "i" else "<u8", copy=False).tobytes())
    return int.from_bytes(h.digest(), "little") or 1


def text_hash(text: str) -> str:
    """Hex hash of a text."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def plain(value):
    """A value as JSON gives it back: numbers of numpy as numbers, tuples as lists, keys as text."""
    return json.loads(json.dumps(value, default=lambda x: x.item() if hasattr(x, "item") else list(x)))


def brief(value):
    """A value as it is, or the length and the hash of its JSON where that is long."""
    text = json.dumps(plain(value), ensure_ascii=False)
    return plain(value) if len(text) <= LONGEST else {"letters": len(text), "hash": text_hash(text)}


# ---- where the values of a machine are


def machine_values(machine) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array of whole numbers) of all state: sys.REGISTER, cpu.FIELD of all vCPUs, mem.REGION, guest.FACT."""
    for name in machine.sys.dtype.names:
        if name not in SCRATCH and not name.startswith("o_"):
            value = machine.sys[0][name]
            yield f"sys.{name}", value[:64] if name == "last_tick" else value  # there were so many kinds of events
    for name in machine.cpu.dtype.names:
        if name not in CPU_SCRATCH:
            yield f"cpu.{name}", machine.cpu[name]
    for name in ARENA:
        if name not in ("ring", "tmp"):  # not state
            region = machine.view(name)
            yield f"mem.{name}", region[: int(machine.sys[0].pool_used) * 512] if name == "pool" else region
    for fact, values in machine.guest_digests().items():
        for name, value in values.items():
            yield f"guest.{fact}.{name}", np.array([int(value, 16) & (1 << 64) - 1 if isinstance(value, str) else value], "u8")


def migration_values(migration) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of what has arrived, and of the state of a migration that counts frames or times."""
    for name in ("versions", "tables", "p2m", "m2p"):
        if hasattr(migration.destination, name):
            yield f"destination.{name}", getattr(migration.destination, name)
    for field in dataclasses.fields(migration.state):
        value = getattr(migration.state, field.name)
        if isinstance(value, (bool, int, np.integer, np.ndarray)):
            yield f"migration.{field.name}", np.asarray(value)


def migration_text(sim) -> dict:
    """How a migration went, in the words of `python -m pagingviz migrate --json`."""
    return plain(migrations.report(sim))


# ---- machines


def machine_cases() -> dict[str, tuple]:
    """{name of the machine: (scenario, fields)}: every shipped scenario down every road, then other settings."""
    found = {f"{name} {road}": (name, fields) for name in names() for road, fields in cases.ROADS.items()}
    return found | {f"{name} {fields}": (name, fields) for name, fields in cases.SETTINGS}


def migration_cases() -> dict[str, tuple]:
    """{name of the migration: (scenario, fields)}: every shipped scenario down its own road, then every kind."""
    found = {f"move {name}": (name, {}) for name in names()}
    return found | {f"move {name} {fields}": (name, fields) for name, fields in cases.MIGRATIONS}


def ticks(scenario) -> tuple[int, ...]:
    """The ticks at which a machine is read: before its start, at it, and after its commands."""
    start = scenario.start or 3000
    last = max([start + 4000, *(command.tick + 100 for command in scenario.commands)])
    return start // 2, start, max(start, min(last, cases.LATEST))


def read_machine(name: str, fields: dict) -> tuple[dict, dict]:
    """({(tick, name of a value): hash}, {}) of a machine, or ({}, {"refused": sentence}) where there is none."""
    try:
        sim = Simulation(load(name).replace(**fields))
    except ScenarioError as error:
        return {}, {"refused": str(error)}
    out = {}
    for tick in ticks(sim.scenario):
        sim.run(tick - sim.tick)
        out |= {(f"@{tick}", value): number_hash(array) for value, array in machine_values(sim.machine)}
    return out, {}


def read_migration(name: str, fields: dict) -> tuple[dict, dict]:
    """As read_machine, at the end of a migration or at MOST_TICKS, with its report."""
    sim = Simulation(migrations.with_migration(load(name).replace(**fields)))
    while not migrations.over(sim) and sim.tick < cases.MOST_TICKS:
        sim.run(2000)
    found = [*machine_values(sim.machine), *migration_values(sim.migration)]
    return {("@end", value): number_hash(array) for value, array in found}, migration_text(sim)


def read_recording(name: str) -> tuple[dict, dict]:
    """As read_machine, of the model's machine at rows of a recording of Real Xen, and at the recording's end."""
    film, out = film_of(name), {}
    sim = Simulation(film.scenario, work=film.work())
    rows = dict(cases.RAW)[name]
    for row, tick in [*((row, film.moments[row].tick) for row in rows), ("end", len(film.program))]:
        sim.seek(tick)
        out |= {(f"@row {row}", value): number_hash(array) for value, array in machine_values(sim.machine)}
    return out, {}


film_of = cache(moments.film)


def readers() -> dict[str, tuple]:
    """{name of the machine: (function, its arguments)} of all that machines.npz holds."""
    out = {case: (read_machine, args) for case, args in machine_cases().items()}
    out |= {case: (read_migration, args) for case, args in migration_cases().items()}
    return out | {f"recording {name}": (read_recording, (name,)) for name, _ in cases.RAW}


# ---- pages


def open_address(address: str, opened: int) -> tuple[str, Player, Display, dict]:
    """(path, player at the moment that the address names, its Display, words beside the boards)."""
    path, _, query = address.partition("?")
    scenario, view = url.read(dict(parse_qsl(query, keep_blank_values=True)))
    title, boards, scene, changes = BOARDS[path]
    beside = {}
    if path == "/real-xen":
        film = film_of(view.recording)
        sim = Simulation(film.scenario, work=film.work())
        moment = film.moments[view.row]
        sim.seek(moment.tick)
        beside = {"summary": real_xen._summary(film), "sides": real_xen._sides(moment), "rows": len(film.moments)}
    else:
        sim = Simulation(scenario)
        sim.seek(scenario.start if view.tick is None else view.tick)
    if opened:
        sim.seek(sim.tick + 1)
        sim.micro(opened)
    if path == "/translation":
        roads = Roads(sim)
        while not roads.follow(1.0):
            pass
        scene = translation_page.Resolver(view, roads).scene
    display = Display(title, boards, present=view.present, bits=view.bits, scene=scene, changes=changes)
    return path, Player(sim, crowd=Crowd()), display, beside


@contextlib.contextmanager
def without_checkpoints() -> Iterator[None]:
    """Machines go back by way of tick 0: how far back their events are known then does not depend on how fast they ran."""
    spacing, checkpoints.SPACING = checkpoints.SPACING, math.inf
    try:
        yield
    finally:
        checkpoints.SPACING = spacing


@without_checkpoints()
def read_page(address: str, opened: int, chosen: dict | None = None) -> dict:
    """All parts of a page by name. chosen: {board: [cells whose cards are read]}, None: chosen here."""
    path, player, display, beside = open_address(address, opened)
    header, frames = decode(player.answer({"seq": 1, "cmd": "poll", "tick": player.sim.tick}, display))
    frame = header["frames"][-1]
    page = {
        "title": header["title"],
        "sentence": frame["sentence"],
        "source": frame["source"],
        "status": frame["status"],
        "tick": frame["tick"],
        "opened": header["micro"],
        "marks": header["marks"],
        "present": header["present"],
        "more": {key: brief(value) for key, value in frame["more"].items() if key != "late"},
        "beside": beside,
        "history": {name: number_hash(curve) for name, curve in player.sim.history()[1].items()},
    }
    boards, scene, plans = {}, display.scene(player.sim), player.plans(display.boards, display.bits)
    for board, caption, grid, plan in zip(header["boards"], frame["captions"], frames[-1], plans, strict=True):
        cells = chosen[board["id"]] if chosen else choose(scene, plans, plan, grid)
        before = header["boards"][: header["boards"].index(board)]
        row = [other["column"] for other in before].count(board["column"])
        boards[board["id"]] = read_board(scene, plans, board, plan, grid, cells) | {
            "caption": caption,
            "of the page": [] if board["column"] is None else [board["column"], row],
        }
    return {"page": page, "boards": boards, "below": below(path, scene)}


def choose(scene: Scene, plans: list, plan, grid: np.ndarray) -> list[int]:
    """Cells of a grid, of as many kinds as possible: the first one of a fill and letter each, where it has a card."""
    flat = grid.reshape(-1) & (FILL_MASK | LETTER_MASK << LETTER_SHIFT)
    first = []
    for cell in np.unique(flat, return_index=True)[1].tolist():
        # No card can be made of the shadow of the table that CR0.PG=0 stands for, which a recorded guest has.
        with contextlib.suppress(IndexError):
            first += [cell] if read_card(scene, plans, plan, cell) else []
    return [first[k] for k in np.unique(np.linspace(0, len(first) - 1, MOST_CELLS).astype(int))] if first else []


def read_card(scene: Scene, plans: list, plan, cell: int) -> dict:
    """The card of a cell with the cells that light up with it: on all boards of the machine, or on those of the page."""
    if plan.id in MACHINE:
        sim, given = scene.sim, {plan.id: plan for plan in plans}
        options = Options(bits=plan.bits or "round")
        plans = [given.get(board) or make_plan(board, sim.scenario, sim.work, options) for board in MACHINE]
    found = card(scene, plans, plan, cell)
    return plain(found.wire()) if found else {}


def read_board(scene: Scene, plans: list, board: dict, plan, grid: np.ndarray, cells: list[int]) -> dict:
    """The parts of one board: words, hash of the grid's cells, table of the same data, cards of some cells."""
    table = [] if plan.id in ROADS else plain(REGISTRY[plan.id].table(scene, plan))  # those of the roads came later
    cards = {}
    for cell in cells:
        cards[str(cell)] = {name: brief(value) for name, value in read_card(scene, plans, plan, cell).items()}
    return {
        **{name: board[name] for name in ("title", "unit", "labels", "heads", "alt", "w", "h")},
        "legend": [[letter, -2 if fill is None else fill, text] for letter, fill, text in board["legend"]],
        "marks": board["flag_words"],
        "grid": number_hash(grid),
        "cards": cards,
        "table": {"rows": len(table), "first": table[:2], "all": text_hash(json.dumps(table, ensure_ascii=False))},
    }


def below(path: str, scene: Scene) -> dict:
    """What stands below the boards of a page, as far as it is made of the present state."""
    sim = scene.sim
    if path == "/ept-npt":
        return {"tables": plain(exits_and_pages(sim))}
    if path == "/dirty-bitmap":
        tree = [dataclasses.asdict(page) | {"name": page.name} for page in dirty_tree(sim.machine)]
        return {"tree": brief(tree), "logs": brief(sim.machine.pml() if sim.scenario.pml else [])}
    if path == "/translation":
        walks, made = scene.walks.by_board, scene.walks.found
        counted = {board: translation_page._counted(walk, costs.DEFAULT) for board, walk in made.items()}
        caches = {board: [filled(walk.machine, walk.vcpu), f"{average(walk.machine)}"] for board, walk in made.items()}
        held = [translation_page._held(board, walk) for board, walk in walks.items()]
        return plain({"held": held, "counted": counted, "caches": caches})
    if path == "/live-migration" and sim.migration and sim.migration.state.rounds:
        mig = sim.migration
        return {
            "rounds": plain(rows(mig)),
            "convergence": plain(convergence(mig)),
            "stretches": brief(rounds.stretches(sim)),
            "marks": brief(rounds.starts(mig)),
            "storm": migration_page._storm(sim),
        }
    return {}


def page_name(address: str, opened: int) -> str:
    """A page's name in the record."""
    return f"{address} +{opened} events" if opened else address


# ---- addresses


def read_address(address: str) -> dict:
    """{"path", "scenario": fields, "view": fields} that an address opens, or the sentence that refuses it."""
    path, _, query = address.partition("?")
    try:
        scenario, view = url.read(dict(parse_qsl(query, keep_blank_values=True)))
    except ScenarioError as error:
        return {"path": path, "refused": str(error)}
    return plain({"path": path, "scenario": dataclasses.asdict(scenario), "view": dataclasses.asdict(view)})


# ---- the record: read, compare, make


def chosen_cells(page: dict) -> dict[str, list[int]]:
    """{board: cells} whose cards a recorded page has."""
    return {board: [int(cell) for cell in parts["cards"]] for board, parts in page["boards"].items()}


def make() -> None:
    """Take all values anew and write the files."""
    DATA.mkdir(parents=True, exist_ok=True)
    found = {case: read(*args) for case, (read, args) in readers().items()}
    rows = [(case, moment) for case, (values, _) in found.items() for moment in dict.fromkeys(m for m, _ in values)]
    values = list(dict.fromkeys(name for hashes, _ in found.values() for _, name in hashes))
    table = np.array([[found[case][0].get((moment, name), 0) for case, moment in rows] for name in values], np.uint32)
    np.savez_compressed(MACHINES, rows=[f"{case} {moment}" for case, moment in rows], values=values, hashes=table)
    write(TEXTS, {case: text for case, (_, text) in found.items() if text})
    write(PAGES, {page_name(*args): read_page(*args) for args in cases.ADDRESSES})
    write(ADDRESSES, {address: read_address(address) for address in cases.README})


def write(path: Path, what: dict) -> None:
    """JSON into a file: packed, without a time in it, where its name says so."""
    raw = re.sub(r"(?m)^ +", "", json.dumps(what, indent=1, ensure_ascii=False)).encode() + b"\n"
    path.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)


if __name__ == "__main__":
    if sys.argv[1:] != ["--make"]:
        sys.exit("python -m tests.record --make takes the record anew and forgets the old one; nothing else can be asked.")
    make()
