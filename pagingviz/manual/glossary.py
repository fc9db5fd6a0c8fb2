"""The glossary as data: glossary.md, in which every word has a heading, a text, where it is met, and the labels it explains."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

_MET, _EXPLAINS = "- Met on: ", "- Explains: "


@dataclass(frozen=True)
class Word:
    """One entry. met: titles of pages, or "every page", "options", "sentences", "command line"; explains: texts of labels."""

    word: str
    text: str
    met: tuple[str, ...]
    explains: tuple[str, ...]


@functools.cache
def words() -> tuple[Word, ...]:
    """All entries, in the order of the alphabet."""
    text = Path(__file__).with_name("glossary.md").read_text("utf-8")
    return tuple(_word(part) for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:])


def _word(part: str) -> Word:
    word, *lines = part.splitlines()
    met = next(line for line in lines if line.startswith(_MET)).removeprefix(_MET)
    labels = next((line for line in lines if line.startswith(_EXPLAINS)), "")
    text = " ".join(line for line in lines if line and not line.startswith((_MET, _EXPLAINS)))
    return Word(word, text, tuple(met.split(", ")), tuple(re.findall(r"`([^`]+)`", labels)))


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
