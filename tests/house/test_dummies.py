"""A new field is one row of the table, a new road one file and a line of the registry, an event one line: tried in a copy.

What is put into the copy stands here as it would stand in a change. Then a process of its own, with plain kernels, uses it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.plain


@pytest.fixture
def copy(tmp_path):
    """The program in a folder of its own, without recordings."""
    ignored = shutil.ignore_patterns("__pycache__", "*.jsonl", "*.csv")
    for name in ("pagingviz", "pages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path


def insert(file: Path, text: str, before: str) -> None:
    """Put a text into a file, before another that stands in it once."""
    old = file.read_text()
    assert old.count(before) == 1
    file.write_text(old.replace(before, text + before))


def run(copy: Path, script: str) -> None:
    """Run a script on the copy; what it asserts must hold."""
    env = dict(os.environ, PYTHONPATH=str(copy), PAGINGVIZ_PLAIN="1")
    done = subprocess.run([sys.executable, "-c", script], cwd=copy, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- a field: one row of the table

ROW = '    dummy: int = declared("int", 7, "A number that nobody needs.", "a dummy", WORK, bounds=(1, 9), after="pool")\n'
VIEW_ROW = '    corner: str = declared("name", "", "which corner", choices=("left", "right"), what="The corner")\n'

USES_THE_FIELDS = """
from streamlit.testing.v1 import AppTest
import pagingviz
from pagingviz.cli.main import main
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import Scenario, from_json, from_toml, load
from pagingviz.ui import address, session

assert pagingviz.__file__.startswith(__import__("os").getcwd())

def refused(act):
    try:
        act()
    except ScenarioError as error:
        return str(error)
    raise AssertionError("not refused")

assert Scenario().dummy == 7 and Scenario(dummy="8").dummy == 8
changed = Scenario(dummy=9)
assert from_toml("dummy = 9") == from_toml(changed.to_toml()) == from_json(changed.to_json()) == changed
scenario, view = address.read({"dummy": "9", "corner": "left", "tick": "5"})
assert scenario.dummy == 9 and view.corner == "left"
assert address.write(scenario, view) == {"scenario": "blackboard", "dummy": "9", "corner": "left", "tick": "5"}
assert address.write(load("blackboard"), address.View()) == {"scenario": "blackboard"}
assert refused(lambda: Scenario(dummy=10)) == "dummy must be from 1 to 9, not '10'."
assert refused(lambda: address.read({"corner": "top"})) == "The corner 'top' is not known: use one of left, right."
assert main(["run", "blackboard", "--set", "dummy=0", "--ticks", "1"]) == 2
assert main(["run", "blackboard", "--set", "dummy=3", "--ticks", "1"]) == 0

session.compiled = lambda: False
app = AppTest.from_file("pagingviz/ui/main.py", default_timeout=60).run()
numbers = [number for number in app.sidebar.number_input]
at = [number.label for number in numbers].index("a dummy")
assert numbers[at - 1].label == "shadow pool pages" and numbers[at].help == "A number that nobody needs."
assert (numbers[at].min, numbers[at].max, numbers[at].value) == (1, 9, 7)
numbers[at].set_value(8).run()
assert app.query_params["dummy"] == "8" and not app.exception
"""


def test_a_new_field_is_one_row_of_the_table(copy):
    table = copy / "pagingviz/scenario/table.py"
    insert(table, ROW, "\n\n@dataclass(frozen=True)\nclass View:")
    insert(table, VIEW_ROW, '    theme: str = declared("name"')
    run(copy, USES_THE_FIELDS)


# ---- a road: one file, one line of the registry

ROAD = '''"""The road direct: as the bare one, under another name."""

from pagingviz.arch import xen
from pagingviz.scenario.road import Road

DIRECT = Road("direct", xen.BARE, (("direct", {}),))
'''

USES_THE_ROAD = """
from pagingviz.boards.registry import HOME
from pagingviz.boards.scene import Scene
from pagingviz.player.message import Display
from pagingviz.player.player import Player
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import Scenario, from_toml, load
from pagingviz.scenario.table import FIELD
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import address

assert FIELD["road"].choices == ("bare", "pv", "shadow", "hap", "direct")
fields = dict(trace="", work="uniform:24", frames=128)
new, bare = (load("blackboard").replace(road=road, **fields) for road in ("direct", "bare"))
assert from_toml(new.to_toml()) == new and address.read(address.write(new, address.View()))[0] == new
try:
    Scenario(road="shadow", direct_map_pages="huge")
except ScenarioError as error:
    assert "road=bare or hap or direct:" in str(error)
one, other = Simulation(new), Simulation(bare)
for sim in (one, other):
    sim.run(150)
    sim.step()
    sim.seek(120)
assert one.machine.digest() == other.machine.digest() and one.machine.counters()["walks"] > 24
assert one.audit() == ""
assert ("road", "direct") in Scene(one).status()
assert b"direct" in Player(one).answer({"seq": 1, "cmd": "step"}, Display("The machine", HOME))
"""


def test_a_new_road_is_one_file_and_one_line_of_the_registry(copy):
    (copy / "pagingviz/scenario/direct.py").write_text(ROAD)
    roads = copy / "pagingviz/scenario/roads.py"
    insert(roads, "from pagingviz.scenario.direct import DIRECT\n", "from pagingviz.scenario.road import Road\n")
    insert(roads, "    DIRECT,\n", ")\nROADS:")
    run(copy, USES_THE_ROAD)


# ---- a kind of event: one line of the kinds and one of the words; who writes it is a file of its own

KIND = "DUMMY = U(68)\n"
WORDS = '    "DUMMY": "a dummy happens to gfn {gfn}",\n'
KERNEL = '''"""A kernel that writes an event of the new kind."""

from pagingviz.arch import events as ev
from pagingviz.arch.words import NONE, ZERO, U
from pagingviz.core.build.jit import jit
from pagingviz.core.events import emit


@jit
def dummy(s, a):
    """Write the event, about frame 5."""
    emit(s, a, ev.DUMMY, ZERO, ZERO, U(5), NONE, ZERO, ZERO)
'''

USES_THE_KIND = """
from pagingviz.arch import events as ev
from pagingviz.core.dummy import dummy
from pagingviz.scenario.scenario import load
from pagingviz.story.events import event_text
from pagingviz.timeline.simulation import Simulation

assert ev.NAMES[-1] == "DUMMY" and len(set(ev.CODES.values())) == len(ev.NAMES)
sim = Simulation(load("blackboard"))
sim.step()
dummy(sim.machine.sys[0], sim.machine.mem)
assert event_text(sim.events()[-1]) == "a dummy happens to gfn 0x5"
kind = int(ev.DUMMY)
sim.machine.sys[0].stop_mask[kind // 64] = 1 << kind % 64
dummy(sim.machine.sys[0], sim.machine.mem)
assert sim.machine.sys[0].stop_hit == 1 and sim.machine.sys[0].last_tick[kind] == sim.tick
"""


def test_a_new_kind_of_event_is_one_line_of_the_kinds_and_one_of_the_words(copy):
    insert(copy / "pagingviz/arch/events.py", KIND, '\n_WORDS = ("ZERO"')
    insert(copy / "pagingviz/story/events.py", WORDS, "}\n\nMARKED_BY")
    (copy / "pagingviz/core/dummy.py").write_text(KERNEL)
    run(copy, USES_THE_KIND)
