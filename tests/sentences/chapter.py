"""The chapter of the manual about the proofs: run as a program it is written anew (`python -m tests.sentences.chapter`)."""

from pathlib import Path

import pagingviz
from pagingviz.story.events import WORDS
from tests.sentences import proofs_events
from tests.sentences.chapter_shown import cell
from tests.sentences.chapter_shown import parts as shown_parts
from tests.sentences.evidence import BY_STATE, UNSAID, evidence
from tests.sentences.proofs_notes import NOTES
from tests.sentences.proofs_pages import PAGES
from tests.sentences.wrong import WRONG

CHAPTER = Path(pagingviz.__file__).parent / "manual/sentences.md"
HEAD = """# Sentences

Whatever the program says about a machine can be checked: the machine is there, with its counters, its events and its state.
This chapter lists every sentence with the check that it passes. A sentence is written in the code once, with gaps for names and
numbers; here a gap is `{}`. For each sentence a test runs a scenario, stops at every tick, reads what is said there, and
compares it with the machine of that tick. The column *first said* names the run and the tick at which the sentence came up
first, the column *what is compared* says with what it was compared. Names in backquotes are counters of the machine, and names
that begin with `test_` are those of tests that hold the text in another way.

A sentence without a check fails the tests; so does one that no run ever says, and one that is wrong anywhere. The tables are
written by the tests themselves, so they cannot fall behind the code. After the sentences come the captions of the boards and
the status line, the entries of the legends with what is looked at in the cells that they are about, and the texts of cards,
widgets, charts and options as far as they state something: a label that only names what it stands at is not listed.
"""


def _rows(rows):
    yield "| sentence | first said | what is compared |"
    yield "|---|---|---|"
    for sentence, first, what in rows:
        where = f"{first[0]}, tick {first[1]:,}" if first else "-"
        yield f"| {cell(sentence)} | {where} | {cell(what)} |"


def text():
    """The whole chapter."""
    found = evidence().found
    parts = [HEAD, f"## Found wrong\n\n{len(WRONG)} sentences were wrong when all were read so, and have been corrected.\n"]
    parts.append("| where | it said | true is |\n|---|---|---|")
    parts += [f"| {cell(where)} | {cell(said)} | {cell(true)} |" for where, said, true in WRONG]
    for file, rows in BY_STATE.items():
        parts.append(f"\n## {file.removeprefix('pagingviz/')}\n")
        parts += _rows((row[0], found[file, row[0]].first, row[1]) for row in rows)
        parts += [f"| {cell(template)} | never | {cell(why)} |" for (where, template), why in UNSAID.items() if where == file]
    parts.append("\n## story/events.py\n")
    parts += _rows((WORDS[kind], found["kinds", kind].first, what) for kind, (what, _) in proofs_events.PROOFS.items())
    parts += [f"| {cell(WORDS[kind])} | never | {cell(why)} |" for kind, why in proofs_events.NO_EVENT.items()]
    parts += [
        f"| {words} | {found['marks', words].first[0]}, tick {found['marks', words].first[1]:,} | {cell(what)} |"
        for words, (what, _) in proofs_events.MARKED_BY.items()
    ]
    parts.append("\n## Texts of the pages\n\n| page | text | tests that hold it |\n|---|---|---|")
    parts += [
        f"| `{file}` | {cell(start)} ... | {', '.join(f'`{test}`' for test in tests)} |"
        for file, rows in PAGES.items()
        for start, tests in rows.items()
        if tests
    ]
    parts.append("\n## Notes of the scenarios\n\n| scenario | note | what is compared |\n|---|---|---|")
    parts += [
        f"| `{name}` | {number} | {cell(row[0]) if row else 'states nothing of its own: what to press, or a question'} |"
        for name, rows in NOTES.items()
        for number, row in rows.items()
    ]
    parts += shown_parts()
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    CHAPTER.write_text(text(), "utf-8")
