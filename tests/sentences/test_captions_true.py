"""Every caption of a board and every entry of the status line has a proof, is shown, and is true wherever it is shown."""

import pytest

from tests.sentences.captions import ROWS, captions
from tests.sentences.other_words import OTHERS
from tests.sentences.proofs_legends import LEGENDS, SHARED
from tests.sentences.templates import templates
from tests.support.named_tests import all_tests

pytestmark = pytest.mark.slow
PROVED = [(file, row[0]) for file, rows in ROWS.items() for row in rows if callable(row[2])]


LEGEND = {text for rows in (*LEGENDS.values(), SHARED) for text in rows}


@pytest.mark.parametrize("file", ROWS)
def test_every_text_is_a_caption_with_a_proof_or_an_entry_of_a_legend_or_another_word(file):
    """A text of the file may be a part of an entry or of the template of a proof."""
    found, others = templates(file, least=1), OTHERS.get(file, {})
    known = [*(row[0] for row in ROWS[file]), *LEGEND]
    assert [text for text in found if text not in others and not any(text in other for other in known)] == []
    assert set(others) - set(found) == set(), "other_words.py: a text that is not in the file any more"


@pytest.mark.parametrize(("file", "template"), PROVED)
def test_a_caption_is_shown_and_true(warm, file, template):
    found = captions().found[file, template]
    assert found.times, "no machine of tests/sentences/captions.py shows it"
    assert not found.wrong, found.wrong[:3]


def test_no_caption_has_the_wrong_number(warm):
    assert captions().numbers == []


def test_the_tests_that_a_caption_names_exist():
    named = {row[2] for rows in ROWS.values() for row in rows if isinstance(row[2], str)}
    named |= {why for texts in OTHERS.values() for why in texts.values() if why.startswith("test_")}
    assert named - all_tests() == set()
