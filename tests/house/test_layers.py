"""The rules of the house that a program can check and that import-linter (pyproject.toml) does not: thin pages, short files
and functions, a tidy top level, the rooms. And that those of import-linter are in force."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pagingviz"

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
LONGEST_FUNCTION = 60
LONGEST_PAGE = 60

PYTHON = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py")), *sorted(PACKAGE.rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SCRIPTS = sorted([*PACKAGE.rglob("*.js"), *PACKAGE.rglob("*.css")])


def named(path: Path) -> str:
    """How a file is called in a test's name."""
    return str(path.relative_to(ROOT))


def long_functions(path: Path) -> set[str]:
    """Functions of a file with more lines than LONGEST_FUNCTION, as `file: function`."""
    return {
        f"{named(path)}: {node.name}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > LONGEST_FUNCTION
    }


@pytest.mark.parametrize("path", [*PYTHON, *SCRIPTS, *TESTS], ids=named)
def test_a_file_is_short(path):
    lines = len(path.read_text().splitlines())
    assert lines < LONGEST_FILE, f"{lines} lines: one idea a file, split it"


@pytest.mark.parametrize("path", [path for path in PYTHON if path.parent == ROOT / "pages"], ids=named)
def test_a_page_is_thin(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST_PAGE, f"{lines} lines: a page only chooses pieces of ui/ and puts them in their order"


def test_a_function_is_short():
    assert [name for path in PYTHON for name in long_functions(path)] == []


def test_the_package_is_rooms_and_nothing_else():
    """A module stands in a room. Which rooms there are, and in which order, is written in pyproject.toml."""
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_no_test_imports_another():
    """What two of them need stands in a file of its own. Mutants are judged by the tests themselves, so mutants.py has them."""
    importing = {
        named(path)
        for path in TESTS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [*(getattr(node, "module", None) or "").split("."), *(alias.name for alias in node.names)]
        if name.startswith("test_")
    }
    assert importing == {"tests/core/mutants.py"}


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


def test_the_rules_can_fail(tmp_path):
    """A kernel that imports upwards, streamlit, plotly and numba is caught, also inside a function; so is a new room."""
    shutil.copytree(PACKAGE, tmp_path / "pagingviz", ignore=shutil.ignore_patterns("__pycache__", "*.jsonl", "*.csv"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "pagingviz/core/bad.py").write_text(
        "import numba\n\n\ndef kernel():\n    from ..timeline.simulation import Simulation\n    import streamlit, plotly.io\n"
    )
    (tmp_path / "pagingviz/garage").mkdir()
    (tmp_path / "pagingviz/garage/__init__.py").touch()
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ, COLUMNS="200")
    )
    assert done.returncode, done.stdout
    for found in (
        "pagingviz.core.bad -> pagingviz.timeline.simulation",
        "pagingviz.core.bad -> streamlit",
        "pagingviz.core.bad -> plotly",
        "pagingviz.core.bad -> numba",
        "pagingviz.garage",
    ):
        assert found in done.stdout, f"not found: {found}\n{done.stdout}"
