"""Texts of cards, widgets, charts, helps and options name the tests that hold them, or are listed as stating nothing."""

import pytest

from pagingviz.manual import glossary
from pagingviz.scenario.table import FIELD
from pagingviz.story.kinds import COMMANDS
from tests.sentences.proofs_cards import CARDS
from tests.sentences.proofs_fields import BUTTONS, FIELDS
from tests.sentences.proofs_widgets import WIDGETS
from tests.sentences.silent_words import SILENT
from tests.sentences.templates import templates
from tests.sentences.widgets import UI, labels, texts
from tests.support.named_tests import all_tests


def row_of(file, text):
    """How the row of a text begins: of those that fit the longest; None where there is none."""
    starts = [start for start in (*WIDGETS.get(file, ()), *SILENT.get(file, ())) if text.startswith(start)]
    return max(starts, key=len, default=None)


@pytest.mark.parametrize("file", UI)
def test_every_text_of_a_widget_has_its_tests_or_states_nothing(file):
    rows = {text: row_of(file, text) for text in texts(file)}
    assert [text for text, row in rows.items() if row is None] == [], "proofs_widgets.py or silent_words.py: a row"
    assert {*WIDGETS.get(file, ()), *SILENT.get(file, ())} - set(rows.values()) == set(), "a row without a text"
    assert set(WIDGETS.get(file, ())).isdisjoint(SILENT.get(file, ()))


@pytest.mark.parametrize("file", CARDS)
def test_every_text_of_a_card_has_a_row(file):
    starts = {text: [start for start in CARDS[file] if text.startswith(start)] for text in templates(file)}
    assert [text for text, rows in starts.items() if not rows] == [], "proofs_cards.py: a row"
    assert set(CARDS[file]) - {start for rows in starts.values() for start in rows} == set(), "a row without a text"


def test_files_that_are_gone_have_no_rows():
    assert {*WIDGETS, *SILENT} <= set(UI)


def test_every_option_has_a_row():
    assert set(FIELDS) == {name for name in FIELD if not name.startswith("cost_")}


def test_every_button_of_a_command_has_a_row():
    assert set(BUTTONS) == {word for _, _, word in COMMANDS} | {"set pool", "device"}
    assert all(glossary.tooltip(word) for word in BUTTONS)


def test_the_named_tests_exist():
    rows = [*FIELDS.values(), *BUTTONS.values(), *(tests for of_file in WIDGETS.values() for tests in of_file.values())]
    assert {name for tests in rows for name in tests} - all_tests() == set()
    assert {name for of_file in CARDS.values() for tests in of_file.values() for name in tests} - all_tests() == set()
    assert all(tests for of_file in WIDGETS.values() for tests in of_file.values()), "what has no test goes to silent_words.py"


def test_a_text_without_a_row_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.sentences.widgets.PACKAGE", tmp_path / "pagingviz")
    monkeypatch.setattr("tests.sentences.templates.PACKAGE", tmp_path / "pagingviz")
    (tmp_path / "new.py").write_text('st.button("Go", help="All shadows stay."); st.slider(f"{n} pages of it")\n')
    assert texts("new.py") == ["All shadows stay.", "{} pages of it", "Go"] and labels("new.py") == ["Go"]
    assert [row_of("new.py", text) for text in texts("new.py")] == [None] * 3
