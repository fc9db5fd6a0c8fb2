"""The chapters of the manual: each is one text beside this file, readable there and on the page Manual."""

from __future__ import annotations

import base64
import html
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
_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
_LINK = re.compile(r"\]\(([\w-]+)\.md(#[\w-]+)?\)")


def picture(markdown: str, width: int) -> str:
    """A picture of a chapter as HTML, with its alternative text. width: in px, at most; ValueError for what is no picture."""
    found = _PICTURE.fullmatch(markdown)
    if found is None:
        raise ValueError(f"{markdown!r} is no picture of a chapter.")
    file = HERE / found[2]
    source = f"data:{_TYPES[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"
    return f'<img src="{source}" alt="{html.escape(found[1])}" style="width: {width}px; max-width: 100%;">'


def text(key: str) -> str:
    """The chapter's text, in Markdown."""
    return (HERE / f"{key}.md").read_text("utf-8").strip()


def parts(key: str, query: Callable[[str], str] = "part={}".format) -> list[tuple[str, str]]:
    """A chapter as the page shows it: [("text", Markdown) or ("picture", its Markdown)], in order.

    The chapter's own title is left out, its headings are one level lower, and links to other chapters are those of the page;
    query(chapter): the query string with which the page shows a chapter.
    """
    out: list[tuple[str, str]] = []
    for block in text(key).split("\n\n")[1:]:
        if _PICTURE.fullmatch(block.strip()):
            out.append(("picture", block.strip()))
            continue
        block = re.sub(r"^(##+ )", r"#\1", block, flags=re.MULTILINE)
        block = _LINK.sub(lambda link: f"](manual?{query(link[1])}{link[2] or ''})", block)
        if out and out[-1][0] == "text":
            out[-1] = ("text", f"{out[-1][1]}\n\n{block}")
        else:
            out.append(("text", block))
    return out
