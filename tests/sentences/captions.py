"""Captions of boards and the status line, as they are shown at moments of a few machines, each held against the machine."""

import functools
from collections import Counter

from pagingviz.arch import x86
from pagingviz.boards import registry, translate_words, translation
from pagingviz.boards.board import Options
from pagingviz.boards.dirty_bitmap import BITS
from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.boards.scene import Scene, Walks
from pagingviz.reading.translate import translate
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.sentences import scenes
from tests.sentences.evidence import Found
from tests.sentences.moments import moment
from tests.sentences.numbers import wrong_number
from tests.sentences.proofs_captions import CAPTIONS
from tests.sentences.proofs_captions_migration import MIGRATION_CAPTIONS
from tests.sentences.proofs_captions_translation import TRANSLATION_CAPTIONS
from tests.sentences.templates import pattern

MOST = 12  # times that one caption is checked in one scene
ROWS = CAPTIONS | MIGRATION_CAPTIONS | TRANSLATION_CAPTIONS
WALKED = (0, 2, 4, 5, 7)  # moments of a machine at which addresses are resolved, counted from 0
MACHINE, STATUS = (*registry.HOME, "nested-tables"), "status"
SHOWN_ON = {  # file: the boards whose captions its words stand in; the rest: the board that has the file's name
    "pagingviz/boards/pool_words.py": ("shadow-pool",),
    "pagingviz/boards/in_words.py": MACHINE,
    "pagingviz/boards/frame_map.py": ("ept-npt", "dirty-bitmap"),
    "pagingviz/boards/migration_map.py": registry.MIGRATION,
    "pagingviz/boards/migration_scene.py": (STATUS,),
    "pagingviz/story/status.py": (STATUS,),
    "pagingviz/boards/translate_words.py": registry.ROADS,
    "pagingviz/boards/translation.py": registry.ROADS,
}
HAP = scenes.HAP
AT = {  # name: (scenario, fields, ticks)
    "blackboard": ("blackboard", {}, (0, 1, 250, 300, 301, 399, 400, 420, 900, 1300, 2799, 2800, 2801, 3000, 3400)),
    "switched off": ("blackboard", {"do": "enable@300,off@650"}, (299, 300, 500, 650, 651)),
    "forks": ("forks", {}, (500, 900, 1500, 2500, 4000)),
    "thrash": ("thrash", {}, (100, 300, 600, 1000, 2500, 4000)),
    "a small pool": ("blow", {"pool": 20, "do": ""}, (0, 300, 700, 1500)),
    "two vCPUs": ("blackboard", {"vcpus": 2}, (1, 400, 1000)),
    "32 bits": ("expensive", {}, (0, 300, 600)),
    "PV": ("borrowed", {}, (0, 400, 2999, 3000, 3100, 9000, 9001, 9100)),
    "no hypervisor": ("blackboard", {"road": "bare", "do": "", "clean_every": 0}, (0, 40)),
    "EPT": ("rounds", HAP, (0, 3999, 4000, 4400, 5000, 5001, 9000, 9100, 10100)),
    "PML": ("rounds", HAP | {"pml": 1}, (0, 4000, 4400, 5000, 5001, 9100, 10100)),
    "NPT": ("rounds", {"hap": "npt"}, (0, 4000, 4400, 5001, 9100, 10100)),
    "superpages, EPT": ("lab", HAP, (0, 20000, 20200)),
    "superpages, NPT": ("lab", {"hap": "npt"}, (0, 20000, 20200)),
    "superpages that are not executable": ("lab", HAP | {"exec_sp": 0}, (0, 40, 20200)),
    "1 TiB": ("cloud-1t", {}, (3999, 4010)),
}
BY_HAND = ("a superpage", "a HAP pool too small")  # scenes of scenes.py
MOVES = {  # name: (fields of the scenario `moving`, every so many of its moments at which the migration acts)
    "moving, shadow": ({}, 30),
    "moving, stopped": ({"migrate": "stop"}, 40),
    "moving, post-copy": ({"migrate": "postcopy", "prefetch": 3}, 40),
    "moving, Remus": ({"migrate": "remus", "road": "pv", "epochs": 3}, 30),
    "moving, given up": ({"fail": "link:200"}, 40),
    "moving, link back": ({"migrate": "postcopy", "fail": "link:100", "recover": 9}, 40),
    "moving, host lost": ({"migrate": "postcopy", "fail": "host:100"}, 40),
    "moving, no hypervisor": ({"road": "bare"}, 1),
}


def machines():
    """(name, moments) of every machine."""
    for name, (scenario, fields, ticks) in AT.items():
        yield name, _at(Simulation(load(scenario).replace(**fields)), ticks)
    for name in BY_HAND:
        yield name, scenes.run(name)
    for name, (fields, each) in MOVES.items():
        yield name, _moved(Simulation(load("moving").replace(**fields)), each)


def _moved(sim, each):
    """Moments of a migration: before it, some of those at which it acts, the first of each phase, and one further on."""
    sim.seek(590)
    yield moment(sim, lambda: sim.seek(591))
    acts, phases = 0, set()
    while sim.migration and sim.migration.state.next <= 10**9:
        to = sim.migration.state.next
        m = moment(sim, lambda to=to: sim.seek(to))
        acts += 1
        if acts % each == 0 or sim.migration.state.phase not in phases:
            phases.add(sim.migration.state.phase)
            yield m
    yield moment(sim, lambda: sim.seek(sim.tick + 1))


def _at(sim, ticks):
    for tick in ticks:
        yield moment(sim, lambda tick=tick: sim.seek(tick))


def shown(m):
    """(board or STATUS, its plan, text) of what the pages say about a moment beside the sentence."""
    scene, boards = (MigrationScene if m.sim.migration else Scene)(m.sim), (*MACHINE, *registry.MIGRATION)
    for board in boards:
        for bits in BITS if board == "dirty-bitmap" else ("round",):
            plan = registry.make_plan(board, m.sim.scenario, m.sim.work, Options(bits=bits))
            for text in (registry.REGISTRY[board].caption(scene, plan), plan.unit):
                yield board, plan, text
    for label, value in scene.status():
        yield STATUS, None, f"chip {label}: {value}"


def resolved(m):
    """(board, (walk, references made), text) of the machine's own board of Translation, for a few addresses.

    Texts are the caption, and what the page's sentence says about the present reference and about the end.
    """
    scenario = m.sim.scenario
    board = next(
        name
        for name, (fields, _) in translation.ROADS.items()
        if all(getattr(scenario, field) == value for field, value in fields.items())
    )
    plan, base = registry.make_plan(board, scenario, m.sim.work), scenario.direct_map_base
    pages = [int(page) << 12 for process in m.sim.work.processes for page in process.pages[:2]]
    tables = [base + (int(gfn) << 12) for gfn in m.m.live_tables()[-2:]]
    for gva in (*pages[:6], *tables, base, 0x1000, *((1 << 62,) if scenario.guest == "hvm64" else ())):
        for kind in (x86.FETCH, x86.READ, x86.WRITE):
            walk = translate(m.m, 0, gva, int(kind), int(gva < base))
            for made in range(len(walk.references) + 1):
                scene = Scene(m.sim, Walks({board: walk}, made, board))
                yield board, (walk, made), registry.REGISTRY[board].caption(scene, plan)
                if made:
                    yield board, (walk, made), translate_words.reference(walk, walk.references[made - 1])[0]
            yield board, (walk, made), translate_words.then(walk)[0]


class Captions:
    """What came of all captions: found, {(file, template): Found}; numbers, texts with a wrong singular or plural."""

    def __init__(self):
        self.found = {(file, row[0]): Found() for file, rows in ROWS.items() for row in rows}
        self.numbers = []
        self.rows = [(file, row[0], pattern(row[0]), row[2]) for file, rows in ROWS.items() for row in rows if callable(row[2])]
        for name, moments in machines():
            said = Counter()
            for number, m in enumerate(moments):
                for board, plan, text in shown(m):
                    self.hold(name, m, board, plan, text, said)
                for board, walked, text in resolved(m) if name in AT and number in WALKED else ():
                    self.hold(name, m, board, walked, text, said)

    def hold(self, name, m, board, plan, text, said):
        """Hold every template that is in a text against the moment."""
        if wrong_number(text):
            self.numbers.append((name, m.sim.tick, text))
        for file, template, expression, check in self.rows:
            own = file.rpartition("/")[2].removesuffix(".py").replace("_", "-")
            if board not in SHOWN_ON.get(file, (own,)) or said[template] >= MOST:
                continue
            if match := expression.search(text):
                said[template] += 1
                m.text, m.groups, m.event = text, match.groups(), plan
                self.found[file, template].take(name, m, check(m), text)


@functools.cache
def captions():
    """The captions of this session, made once."""
    return Captions()
