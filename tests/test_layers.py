"""The rules of the house that a program can check: who may import whom, thin pages, short files, a tidy top level."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pagingviz"

# From the bottom up. A module imports from its own floor and the floors below it, never from above.
FLOORS = (
    {"arch"},
    {"core", "manual"},
    {"scenario"},
    {"work"},
    {"machine"},
    {"migration"},
    {"timeline"},
    {"reading"},
    {"story"},
    {"boards"},
    {"evidence", "experiments"},
    {"player"},
    {"ui"},
    {"cli"},
    {"__main__"},
    {"pages"},
    {"app"},
)
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}
MAY_SHOW = {"streamlit": {"ui", "pages", "app"}, "plotly": {"ui", "pages"}}
TOP_LEVEL = {
    ".ci",
    ".gitignore",
    ".streamlit",
    "LICENSE",
    "Makefile",
    "README.md",
    "app.py",
    "pages",
    "pagingviz",
    "pyproject.toml",
    "requirements.txt",
    "tests",
}
LONGEST_FILE = 400
LONGEST_PAGE = 60


def room(path: Path) -> str:
    """The part of the house a file belongs to: app, pages, or the name directly under pagingviz."""
    parts = path.relative_to(ROOT).parts
    return Path(parts[1] if parts[0] == "pagingviz" else parts[0]).stem


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, also inside functions; relative ones made absolute."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            names |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return names


def rooms_used(path: Path) -> set[str]:
    """The rooms of pagingviz that a file imports from."""
    parts = [name.split(".") for name in imports(path)]
    return {p[1] for p in parts if p[0] == "pagingviz" and len(p) > 1 and p[1] in FLOOR}


SOURCES = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py")), *sorted(PACKAGE.rglob("*.py"))]
ROOMS = [path for path in SOURCES if path != PACKAGE / "__init__.py"]


def named(path: Path) -> str:
    """How a file is called in a test's name."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", ROOMS, ids=named)
def test_arrows_only_point_down(path):
    assert room(path) in FLOOR, f"{named(path)} has no floor yet: give it one in {Path(__file__).name}"
    above = {other for other in rooms_used(path) if FLOOR[other] > FLOOR[room(path)]}
    assert not above, f"{named(path)} imports from above: {sorted(above)}"


@pytest.mark.parametrize("path", ROOMS, ids=named)
def test_only_the_rooms_with_a_window_know_streamlit_and_plotly(path):
    shown = {name.split(".")[0] for name in imports(path)} & MAY_SHOW.keys()
    wrong = {library for library in shown if room(path) not in MAY_SHOW[library]}
    assert not wrong, f"{named(path)} imports {sorted(wrong)}"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_file_is_short(path):
    lines = len(path.read_text().splitlines())
    assert lines < LONGEST_FILE, f"{lines} lines: one idea a file, split it"
    if room(path) == "pages":
        assert lines <= LONGEST_PAGE, f"{lines} lines: a page only chooses, portrays and places"


def test_no_road_knows_of_another():
    """Which road is taken is decided in access.py, for commands in control.py; pool.py keeps the pages of either."""
    reading = {
        path.relative_to(PACKAGE / "core").as_posix()
        for path in (PACKAGE / "core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        and any(isinstance(side, ast.Attribute) and side.attr == "road" for side in (node.left, *node.comparators))
    }
    assert reading.isdisjoint(
        {
            "walk/page_walk.py",
            "walk/tlb.py",
            "shadow/faults.py",
            "nested/p2m.py",
            "guest.py",
            "logdirty.py",
            "events.py",
        }
    )


def test_the_top_level_is_tidy():
    listing = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout: only committed files are judged")
    found = {line.split("/")[0] for line in listing.stdout.splitlines()}
    assert found <= TOP_LEVEL, f"not a room of this house: {sorted(found - TOP_LEVEL)}"


def test_the_rules_can_fail(tmp_path, monkeypatch):
    """A kernel that imports the simulation and streamlit is caught, also through relative imports inside a function."""
    bad = tmp_path / "pagingviz/core/bad.py"
    bad.parent.mkdir(parents=True)
    bad.write_text("def kernel():\n    from ..timeline.simulation import Simulation\n    import streamlit as st\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    with pytest.raises(AssertionError, match="from above: .'timeline'."):
        test_arrows_only_point_down(bad)
    with pytest.raises(AssertionError, match="streamlit"):
        test_only_the_rooms_with_a_window_know_streamlit_and_plotly(bad)
