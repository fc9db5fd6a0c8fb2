"""Every text about a broken rule, and about what is seen of it, names the tests that hold it."""

import pytest

from pagingviz.experiments.broken_rules import BROKEN_RULES, NAMES
from tests.sentences.proofs_broken_rules import RULES, TEXTS
from tests.sentences.templates import templates
from tests.support.named_tests import all_tests


def test_every_rule_has_its_tests():
    assert tuple(RULES) == NAMES
    assert {name for tests in RULES.values() for name in tests} - all_tests() == set()


@pytest.mark.parametrize("file", TEXTS)
def test_every_text_of_what_is_seen_has_its_tests(file):
    found, rows = templates(file, least=2), TEXTS[file]
    assert [text for text in found if not any(text.startswith(start) for start in rows)] == [], "proofs_broken_rules.py: a row"
    assert [start for start in rows if not any(text.startswith(start) for text in found)] == [], "a row without a text"
    assert {name for tests in rows.values() for name in tests} - all_tests() == set()


@pytest.mark.parametrize("rule", NAMES)
def test_a_rule_is_told_in_whole_sentences(rule):
    row = BROKEN_RULES[rule]
    for text in (row.rule, row.instead, row.saves):
        assert text[0].isupper() and text.rstrip(")").endswith("."), text
    assert not row.title.endswith(".") and len(row.title) < 45 and row.source
