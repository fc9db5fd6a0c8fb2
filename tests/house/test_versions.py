"""What is reached through private doors of numba and Streamlit has bounds, and an untried version is named."""

import re
from pathlib import Path

import pytest
import streamlit
from packaging.requirements import Requirement

from pagingviz.core.build import jit
from pagingviz.ui import streamlit_version

ROOT = Path(__file__).resolve().parents[2]
USE = re.compile(r"""(?:data-testid=|test_id\()["']?(\w+)""")


@pytest.mark.parametrize(("name", "tried"), [("numba", jit.TESTED), ("streamlit", streamlit_version.TESTED)])
def test_the_bounds_of_requirements_are_the_versions_tried(name, tried):
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    (bounds,) = [line.specifier for line in map(Requirement, lines) if line.name == name]
    (major, minor), (last_major, last_minor) = tried
    assert f"{major}.{minor}" in bounds and f"{major}.{minor - 1}.99" not in bounds
    assert f"{last_major}.{last_minor}.99" in bounds and f"{last_major}.{last_minor + 1}" not in bounds


def uses(folder: str, *kinds: str) -> set[str]:
    """The test ids of Streamlit's that files of these kinds name."""
    paths = [path for kind in kinds for path in (ROOT / folder).rglob(f"*.{kind}")]
    return {name for path in paths for name in USE.findall(path.read_text("utf-8"))}


def test_the_list_of_private_names_is_whole():
    assert uses("pagingviz", "py", "css", "js") == streamlit_version.TEST_IDS


def test_streamlit_still_has_every_private_name():
    names = streamlit_version.TEST_IDS | {name for name in uses("tests", "py") if name.startswith("st")}
    scripts = Path(streamlit.__file__).parent.glob("static/static/js/*.js")
    found = {name for path in scripts for name in re.findall(r"""["'`](st[A-Z]\w*)["'`]""", path.read_text("utf-8"))}
    assert names <= found, f"Streamlit {streamlit.__version__} has renamed or dropped {sorted(names - found)}"


def test_an_untried_streamlit_is_named(monkeypatch, caplog):
    streamlit_version.warn_if_untested()
    assert not caplog.messages, "this one is tried"
    monkeypatch.setattr(streamlit, "__version__", "1.99.0")
    streamlit_version.warn_if_untested()
    assert caplog.messages == ["Streamlit 1.99.0 has not been tried with pagingviz (tried: 1.67 to 1.67): pages may look odd."]
