"""The chapters of the manual: each is one text beside this file, readable there and on the page Manual."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHAPTERS = {  # key of the address, and name of the file: title
    "first-steps": "First steps",
    "glossary": "Glossary",
    "architecture": "Architecture",
    "rules": "Rules",
    "sentences": "Sentences",
    "sources": "Sources",
    "command-line": "Command line",
    "address": "Address",
    "measured": "Measured",
}
_PICTURE = re.compile(r"!\[([^]]*)\]\(([^)]+)\)")
_LINK = re.compile(r"\]\(([\w-]+)\.md(#[\w-]+)?\)")


def text(key: str) -> str:
    """The chapter's text, in Markdown."""
    return (HERE / f"{key}.md").read_text("utf-8").strip()


def parts(key: str, query: Callable[[str], str] = "part={}".format) -> list[tuple[str, str]]:
    """A chapter as the page shows it: [("text", Markdown) or ("picture", file name)], in order.

    The chapter's own title is left out, its headings are one level lower, and links to other chapters are those of the page;
    query(chapter): the query string with which the page shows a chapter.
    """
    out: list[tuple[str, str]] = []
    for block in text(key).split("\n\n")[1:]:
        if picture := _PICTURE.fullmatch(block.strip()):
            out.append(("picture", picture[2]))
            continue
        block = re.sub(r"^(##+ )", r"#\1", block, flags=re.MULTILINE)
        block = _LINK.sub(lambda link: f"](manual?{query(link[1])}{link[2] or ''})", block)
        if out and out[-1][0] == "text":
            out[-1] = ("text", f"{out[-1][1]}\n\n{block}")
        else:
            out.append(("text", block))
    return out
