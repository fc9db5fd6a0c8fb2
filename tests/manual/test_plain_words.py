"""Every word that a page shows has a line of the glossary, or is plain: it stands in plain_words.txt.

A label counts as explained when the glossary explains it whole; of a running text what counts is what its tooltip would mark.
"""

import ast
import re
from pathlib import Path

import pytest

from pagingviz.boards.registry import MIGRATION
from pagingviz.experiments.broken_rules import BROKEN_RULES
from pagingviz.manual import glossary
from pagingviz.scenario.scenario import FIELDS
from tests.boards.on_screen import MACHINE, Shown
from tests.manual import labels
from tests.sentences.templates import PACKAGE, templates

LIST = Path(__file__).with_name("plain_words.txt")
PLAIN = {line for line in LIST.read_text("utf-8").splitlines() if line and not line.startswith("#")}
STORY = sorted(str(path.relative_to(PACKAGE.parent)) for path in (PACKAGE / "story").glob("*.py"))
BOARDS = sorted(str(path.relative_to(PACKAGE.parent)) for path in (PACKAGE / "boards").glob("*.py") if path.stem != "payload")
SEEN = ("pagingviz/experiments/noticed.py", "pagingviz/player/film.py")
CONTROLS = PACKAGE / "boards/static/controls.js"
GREETED = (
    "guest gfn mfn gva gpa mpa shadow pool EPT NPT road exit pinned root monitor snapshot recycled toy floor HAP PV p2m "
    "tick CLEAN log-dirty"
).split()


def unknown(text: str) -> set[str]:
    """Words of a text that neither the glossary nor the list of plain words has. Names of functions, numbers and citations
    are no words: whatever has a digit, an underscore or a dot in it."""
    if glossary.explain(text):
        return set()
    text = re.sub(r"\{[^{}]*\}", "0", text)
    while found := glossary.marks(text):  # each word once
        for first, behind, _ in found:
            text = text[:first] + " " * (behind - first) + text[behind:]
    text = re.sub(r"\S*[\w-]*[0-9_][\w.-]*|\w+\.[ch]\b", " ", text)
    words = re.findall(r"[A-Za-z]+(?:'[a-z]+)?", text)
    return {word for word in words if len(word) > 1 and not {word, word.lower(), word.lower().removesuffix("'s")} & PLAIN}


def captions() -> set[str]:
    """Captions of all boards of a small machine of each kind, and their units."""
    shown = [Shown(sim, board) for sim in labels.machines() for board in MACHINE]
    shown += [Shown(labels.moving(), board) for board in MIGRATION]
    return {text for board in shown for text in (board.caption, board.plan.unit)}


def broken_rules() -> set[str]:
    """What the page What if says of the rules and of what is seen without them."""
    of_rules = {text for rule in BROKEN_RULES.values() for text in (rule.title, rule.rule, rule.instead, rule.saves)}
    return of_rules | {text for path in SEEN for text in templates(path)}


def values() -> set[str]:
    """What the status line says behind its labels."""
    return {str(value) for sim in labels.machines() for _, value in Shown(sim, "shadow-pool").scene.status()}


def of_controls() -> set[str]:
    """Every text of the player's controls: the strings of the script with a space in them, and the words on its buttons."""
    script = CONTROLS.read_text("utf-8")
    script = re.sub(r"//.*|/\*.*?\*/|^import .*$|viewBox: \S+ .*?\"", "", script, flags=re.MULTILINE)
    quoted = {text for text in re.findall(r'"([A-Z][^"<>]* [^"<>]*)"', script) if "`" not in text}
    return quoted | set(re.findall(r'button\("\w+", "(\w+)"', script))


def of_buttons() -> set[str]:
    """Labels of buttons in ui/ and pages/, as they stand in calls of Streamlit."""
    found = set()
    for path in [*(PACKAGE / "ui").glob("*.py"), *(PACKAGE.parent / "pages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "button":
                found |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return found


SHOWN = {
    "legends": labels.legend_texts,
    "chips": labels.chips,
    "values of chips": values,
    "kinds of events": labels.kinds,
    "choices": labels.choices_of_pages,
    "cards": labels.cards,
    "captions": captions,
    "controls": of_controls,
    "buttons": of_buttons,
    "sentences": lambda: {text for path in STORY for text in templates(path)},
    "broken rules": broken_rules,
    "boards": lambda: {text for path in BOARDS for text in templates(path)},
}


@pytest.mark.parametrize("kind", SHOWN)
def test_every_word_has_a_line_of_the_glossary_or_is_plain(warm, kind):
    texts = SHOWN[kind]()
    assert len(texts) > 1
    found = {word: text for text in sorted(texts) for word in unknown(text)}
    assert found == {}, f"give a word a line in glossary.md or a form behind 'Written:'; a plain one goes to {LIST.name}"


def test_every_field_of_the_sidebar_says_what_it_is():
    shown = [field for field in FIELDS if field.section != "manual"]
    assert len(shown) > 10 and [field.label for field in shown if len(field.help) < 20] == []


def test_a_word_that_nobody_explains_is_found():
    assert unknown("The frobnicated gfn 0x9 of the guest (sh_page_fault).") == {"frobnicated"}
    assert unknown("All shadows are blown away: 7 pages freed.") == set()


def test_the_list_holds_words_in_order_and_none_in_vain():
    lines = [line for line in LIST.read_text("utf-8").split("\n# ")[-1].splitlines()[1:] if line]
    assert lines == sorted(set(lines))
    words = {word for texts in SHOWN.values() for text in texts() for word in re.findall(r"[A-Za-z]+(?:'[a-z]+)?", text)}
    met = {form for word in words for form in (word, word.lower(), word.lower().removesuffix("'s"))}
    assert PLAIN - met == set()


@pytest.mark.parametrize("word", [*GREETED, "out of sync"])
def test_the_words_that_a_newcomer_stumbled_over_are_explained(word):
    entry = word if glossary.explain(word) else glossary.marks(word)[0][2]
    assert len(glossary.tooltip(entry)) > 60
