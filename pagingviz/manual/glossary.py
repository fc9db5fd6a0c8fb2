"""The glossary as data: glossary.md, in which every word has a heading, a text, where it is met, and the labels it explains.

Labels are explained whole (`explain`). In running text, such as a sentence or a caption, the words are looked for (`marks`).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

_MET, _EXPLAINS, _WRITTEN = "- Met on: ", "- Explains: ", "- Written: "
_ORDINARY = "only so"  # behind "- Written:": the heading itself is an ordinary word in a sentence


@dataclass(frozen=True)
class Word:
    """One entry. met: titles of pages, or "every page", "options", "sentences", "command line"; explains: texts of labels;
    written: how running text writes the word.
    """

    word: str
    text: str
    met: tuple[str, ...]
    explains: tuple[str, ...]
    written: tuple[str, ...]


@functools.cache
def words() -> tuple[Word, ...]:
    """All entries, in the order of the alphabet."""
    text = Path(__file__).with_name("glossary.md").read_text("utf-8")
    return tuple(_word(part) for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:])


def _word(part: str) -> Word:
    word, *lines = part.splitlines()
    met = next(line for line in lines if line.startswith(_MET)).removeprefix(_MET)
    labels = next((line for line in lines if line.startswith(_EXPLAINS)), "")
    forms = next((line for line in lines if line.startswith(_WRITTEN)), "")
    text = " ".join(line for line in lines if line and not line.startswith((_MET, _EXPLAINS, _WRITTEN)))
    written = tuple(_quoted(forms))
    if _ORDINARY not in forms:
        written = (word, f"{word}s", *written)
    return Word(word, text, tuple(met.split(", ")), tuple(_quoted(labels)), written)


def _quoted(line: str) -> list[str]:
    return re.findall(r"`([^`]+)`", line)


def plain(label: str) -> str:
    """A label with its numbers written as N, which is how the glossary writes it: "1 GiB leaf" is "N GiB leaf"."""
    return re.sub(r"(?<![A-Za-z0-9])\d[\d,]*", "N", label.strip())


@functools.cache
def _by_label() -> dict[str, Word]:
    index = {word.word: word for word in words()}
    return {label: word for word in words() for label in word.explains} | index


def explain(label: str) -> Word | None:
    """The entry behind a word or behind a label of the pages; None when there is none."""
    known = _by_label()
    return known.get(label) or known.get(plain(label))


@functools.cache
def tooltip(label: str) -> str:
    """The text that a label shows when somebody points at it: the entry's text without links; "" when there is none."""
    word = explain(label)
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", word.text) if word else ""


@functools.cache
def line(label: str) -> tuple[str, str] | None:
    """(word, text) of the entry behind a word or a label; None when there is none."""
    word = explain(label)
    return (word.word, tooltip(label)) if word else None


def _begun_large(form: str) -> str:
    return form[:1].upper() + form[1:]


def _begun_small(form: str) -> str:
    return form[:1].lower() + form[1:] if form[1:2].islower() else form


@functools.cache
def _terms() -> tuple[re.Pattern[str], dict[str, str]]:
    """What finds the words of the glossary in running text, the longest first, and {as it is written: heading}.

    A word is met as it is written, and with a large or a small first letter, as a sentence begins with it or not. What is
    written in capitals is met in capitals only: STOP is an answer of the policy, and to stop an ordinary word.
    """
    index: dict[str, str] = {}
    for change in (str, _begun_small, _begun_large):
        for word in words():
            for form in word.written:
                index.setdefault(change(form), word.word)
    longest = sorted(index, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])"), index


@functools.lru_cache(4096)
def marks(text: str) -> tuple[tuple[int, int, str], ...]:
    """The words of the glossary in a text, each once: (first character, character behind it, heading of the entry)."""
    pattern, index = _terms()
    found: dict[str, tuple[int, int, str]] = {}
    for hit in pattern.finditer(text):
        found.setdefault(index[hit[0]], (*hit.span(), index[hit[0]]))
    return tuple(found.values())
