"""Every sentence template has a proof, is said in some scene, and is true wherever it is said."""

import pytest

from pagingviz.arch import events as ev
from pagingviz.story.events import MARKED_BY, WORDS
from tests.sentences import chapter, proofs_events
from tests.sentences.evidence import BY_STATE, UNSAID, evidence
from tests.sentences.templates import templates

pytestmark = pytest.mark.slow
SENTENCES = [(file, row[0]) for file, rows in BY_STATE.items() for row in rows]
SENTENCES += [("kinds", kind) for kind in proofs_events.PROOFS] + [("marks", words) for words in proofs_events.MARKED_BY]


@pytest.mark.parametrize("file", BY_STATE)
def test_every_template_has_a_proof(file):
    have = [" ".join(row[0].split()) for row in BY_STATE[file]] + [text for where, text in UNSAID if where == file]
    assert sorted(have) == sorted(templates(file)), "tests/sentences/proofs_*.py: one row for each sentence"


def test_every_kind_of_event_has_a_proof():
    assert {*proofs_events.PROOFS, *proofs_events.NO_EVENT} == set(WORDS) == set(ev.NAMES)
    assert {*proofs_events.MARKED_BY, "nobody"} == set(MARKED_BY.values())


@pytest.mark.parametrize(("file", "template"), SENTENCES)
def test_a_sentence_is_said_and_true(warm, file, template):
    found = evidence().found[file, template]
    assert found.times, "no scene says it (tests/sentences/scenes.py)"
    assert not found.wrong, found.wrong[:3]


def test_nothing_said_in_any_scene_has_the_wrong_number(warm):
    assert evidence().numbers == []


def test_the_chapter_of_the_manual_says_what_was_found(warm):
    assert chapter.CHAPTER.read_text("utf-8") == chapter.text(), "python -m tests.sentences.chapter"
