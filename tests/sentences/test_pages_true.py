"""Every text of a page names the tests that hold it against the machine, and these exist."""

import re
from pathlib import Path

import pytest

from tests.sentences.proofs_pages import PAGES
from tests.sentences.templates import PACKAGE, templates

TESTS = Path(__file__).parents[1]


def test_all_pages_are_listed():
    assert {
        file for file in (f"pages/{path.name}" for path in (PACKAGE.parent / "pages").glob("*.py")) if templates(file)
    } == set(PAGES)


@pytest.mark.parametrize("file", PAGES)
def test_every_text_of_a_page_has_its_tests(file):
    found = templates(file)
    assert [start for start in PAGES[file] if sum(text.startswith(start) for text in found) != 1] == []
    assert [text for text in found if not any(text.startswith(start) for start in PAGES[file])] == [], "proofs_pages.py: a row"


def test_the_named_tests_exist():
    names = {name for path in TESTS.rglob("test_*.py") for name in re.findall(r"(?m)^def (test_\w+)", path.read_text("utf-8"))}
    assert {name for rows in PAGES.values() for tests in rows.values() for name in tests} - names == set()
