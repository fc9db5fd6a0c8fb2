"""The numbered list of sources (sources.md), and whether every citation in this package is in it.

A citation is the end of a path with what stands after it (`mm/shadow/common.c (shadow_alloc, shadow_free)`), a section of a
processor manual (`SDM vol. 3, 4.5`), or authors and a year. A name after a path is a function where it has an underscore; a `*`
in it stands for any characters. A function of Xen is claimed to be in that file in both versions, 4.17 and master, unless the
citation says in which: `oos.c: sh_unsync (master)` or `oos.c (sh_unsync, master)`. Run as a program it prints what is
not in the list; the exit code is 1 if there is any.
"""

from __future__ import annotations

import ast
import fnmatch
import functools
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent
VERSIONS = ("4.17", "master")  # of Xen
_HEAD = re.compile(r"### (\d+)\. (.+)")
_ITEM = re.compile(r"- ([\w.]+): (.+)")
_FILE = re.compile(r"(?<![\w/.-])((?:[\w-]+/)*[\w-]+\.(?:c|h|rst|pandoc))\b(?!\()")
_NAME = re.compile(r"[A-Za-z_][\w*]*")
_MANUAL = re.compile(r"\b(SDM|APM)(?: vol\. \d,)? (\d+(?:\.\d+)+(?:(?:, | and | to )\d+(?:\.\d+)+)*)")
_PAPER = re.compile(r"[A-Z][a-z]+(?:(?:, [A-Z][a-z]+)* and [A-Z][a-z]+|(?: et al\.),?)(?: [A-Z]+)? (?:19|20)\d\d")


@dataclass(frozen=True)
class Source:
    """One entry of the list. names: the functions or sections that it lists; text: what it is good for.

    only: of names that stand in one version of Xen's file only, that version; used: names that the file does not define.
    """

    number: int
    title: str
    names: frozenset[str]
    text: str
    only: Mapping[str, str]
    used: frozenset[str]


@functools.cache
def sources() -> tuple[Source, ...]:
    """All sources in the order of their numbers."""
    lines = (HERE / "sources.md").read_text("utf-8").splitlines()
    heads = [n for n, line in enumerate(lines) if _HEAD.fullmatch(line)]
    return tuple(_source(lines[n:end]) for n, end in zip(heads, [*heads[1:], len(lines)], strict=True))


def _source(lines: list[str]) -> Source:
    """One source from its lines, the heading first."""
    head = _HEAD.fullmatch(lines[0])
    assert head
    names: set[str] = set()
    only: dict[str, str] = {}
    used: set[str] = set()
    text = []
    for line in lines[1:]:
        if item := _ITEM.fullmatch(line):
            listed = re.findall(r"`([^`]+)`", item[2])
            names.update(listed or [item[1]])
            only.update(dict.fromkeys(listed, item[1]) if item[1] in VERSIONS else {})
            used.update(listed if item[1] == "used" else [])
        elif not line.startswith("## "):
            text.append(line)
    return Source(int(head[1]), head[2], frozenset(names), " ".join(text), only, frozenset(used))


def of_file(path: str, names: list[str]) -> list[Source]:
    """The sources that a citation of a file and of names in it can mean: exactly one if the citation is good."""
    ends = [source for source in sources() if source.title == path or source.title.endswith("/" + path)]
    return [source for source in ends if all(fnmatch.filter(source.names, name) for name in names)]


def problem(text: str) -> Iterator[str]:
    """What a text cites that is in no source, or could be in two: one sentence each."""
    found = list(_FILE.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends, strict=False):
        rest = text[match.end() : end]
        names = _names(rest)
        fits = of_file(match[1], names)
        if len(fits) != 1:
            what = f"{match[1]}: {', '.join(names)}" if names else match[1]
            yield f"{what} is in {len(fits)} sources"
        else:
            yield from _of_another_version(match[1], fits[0], names, _claim(rest))
    for manual, sections in _MANUAL.findall(text):
        for section in re.findall(r"\d+(?:\.\d+)+", sections):
            if not any(f"({manual})" in source.title and section in source.names for source in sources()):
                yield f"{manual} {section} is in no source"
    for paper in _PAPER.findall(text):
        if not any(f"`{paper.strip()}" in source.text for source in sources()):
            yield f"{paper} is in no source"


def _of_another_version(path: str, source: Source, names: list[str], claim: str) -> Iterator[str]:
    """One sentence for each name that is not in the version that its citation claims, "" for both."""
    for name in names:
        wrong = {source.only[full] for full in fnmatch.filter(source.only, name)} - {claim}
        if claim == "both" and len(wrong) == len(VERSIONS):
            continue  # a pattern that means different functions in each
        if wrong:
            yield f"{path}: {name} is in {' and '.join(sorted(wrong))} only, which the citation does not say"


def _claim(rest: str) -> str:
    """The version that a citation claims: "4.17", "master", or "both". rest: the text after the file."""
    after = re.split(r"[;)]|\. ", rest)[0]
    return next((version for version in VERSIONS if re.search(rf"\b{re.escape(version)}\b", after)), "both")


def _names(rest: str) -> list[str]:
    """The functions named after a file: `: a, b` up to the end of the clause, or ` (a, b)`."""
    if rest.startswith(": "):
        clause = re.split(r"[;()]|\. ", rest[2:])[0]
    elif rest.startswith(" ("):
        clause = rest[2:].partition(")")[0]
    else:
        return []
    return [name for name in _NAME.findall(clause) if "_" in name]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of everything in a file that may cite: strings and comments of Python, the whole of any other text."""
    source = path.read_text("utf-8")
    if path.suffix != ".py":
        yield 1, " ".join(source.split())
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, " ".join(node.value.split())
    first, last = 0, -1
    block: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1 and block:
            yield first, " ".join(block)
            block = []
        first, last = (first if block else token.start[0]), token.start[0]
        block.append(token.string.lstrip("# -").strip())
    if block:
        yield first, " ".join(block)


def citing_files() -> list[Path]:
    """The files of this package in which citations stand."""
    kinds = ("*.py", "scenario/library/*.toml", "manual/*.md")
    return sorted(path for kind in kinds for path in PACKAGE.rglob(kind) if path.name != "sources.md")


def problems() -> list[str]:
    """Every citation of the package that is not in the list, as `file:line: what`."""
    return [
        f"{path.relative_to(PACKAGE)}:{line}: {sentence}"
        for path in citing_files()
        for line, text in texts(path)
        for sentence in problem(text)
    ]


if __name__ == "__main__":
    wrong = problems()
    print("\n".join(wrong) or f"every citation is one of {len(sources())} sources")
    sys.exit(bool(wrong))
