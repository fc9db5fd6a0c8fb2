"""The part of the chapter about proofs that is not of sentences: captions, legends, widgets and options."""

from collections.abc import Iterator

from tests.sentences.captions import ROWS, captions
from tests.sentences.legends import legends
from tests.sentences.proofs_cards import CARDS
from tests.sentences.proofs_fields import BUTTONS, FIELDS
from tests.sentences.proofs_legends import LEGENDS, SHARED
from tests.sentences.proofs_widgets import WIDGETS


def cell(text):
    """A text that a table can hold."""
    return " ".join(text.split()).replace("|", "\\|")


def _row(text, found, what, check):
    """A row of a table; found: a Found, or None where a test is named in place of a comparison."""
    if isinstance(check, str):
        return f"| {cell(text)} | - | {cell(what)}: `{check}` |"
    return f"| {cell(text)} | {found.first[0]}, tick {found.first[1]:,} | {cell(what)} |"


def _by_tests(heading, head, rows):
    """A table of texts and the tests that hold them; what states nothing is left out."""
    yield f"\n## {heading}\n\n| {head} | tests that hold it |\n|---|---|"
    for text, tests in rows:
        if tests:
            yield f"| {cell(text)} | {', '.join(f'`{test}`' for test in tests)} |"


def parts() -> Iterator[str]:
    """The lines of the chapter."""
    for file, rows in ROWS.items():
        yield f"\n## Captions: {file.removeprefix('pagingviz/')}\n\n| text | first shown | what is compared |\n|---|---|---|"
        for template, what, check in rows:
            yield _row(template, captions().found[file, template], what, check)
    boards = {name: rows for name, rows in LEGENDS.items() if not name.startswith("translation-")}
    boards["the boards of Translation"], boards["any board"] = LEGENDS["translation-ept"], SHARED
    for board, rows in boards.items():
        yield f"\n## Legend: {board}\n\n| entry | first looked at | what is compared |\n|---|---|---|"
        for text, (what, check) in rows.items():
            yield _row(text, legends().found.get((board, text)), what, check)
    for file, rows in CARDS.items():
        yield from _by_tests(f"Cards: {file.removeprefix('pagingviz/')}", "text", rows.items())
    for file, rows in WIDGETS.items():
        yield from _by_tests(f"Widgets and charts: {file.removeprefix('pagingviz/')}", "text", rows.items())
    yield from _by_tests("Tooltips of the commands", "word of the [glossary](glossary.md)", BUTTONS.items())
    yield from _by_tests("Options", "option", ((f"`{name}`", tests) for name, tests in FIELDS.items()))
