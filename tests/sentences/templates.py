"""The sentence templates of a source file, read from its text: every string in it that is prose."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "pagingviz"
WORDS = 3  # a string of fewer words is a name or a label and states nothing
COUNTING = ("counted", "form", "_pages")  # what they are given goes with a number: tests/sentences/test_numbers.py
_CITATION = re.compile(r"[\w/-]+\.(?:c|h|rst)\b|^guest kernel: |^SDM |^not in Xen, which blows: ")


def prose(text, least=WORDS):
    """Whether a string states something: at least `least` words, no citation of a source, no code of a browser's page."""
    text = re.sub(r"\{[^{}\s]*\}", "", text)
    code = re.search(r"[{};]\s*[{}]|=>|</|-ms-|: var\(|\[data-", text)
    words = re.findall(r"[A-Za-zµ][a-z']+", text)
    return len(words) >= least and " " in text.strip() and not code and not _CITATION.search(text)


def templates(path, least=WORDS):
    """The prose of a Python file, in its order: placeholders of formatted strings are written {}. path: from the top level.

    least: strings of fewer words are left out.
    """
    tree = ast.parse((PACKAGE.parent / path).read_text("utf-8"))
    docs, inside = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in COUNTING:
            inside.update(node.args)
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            docs.add(node.body[0].value)
        if isinstance(node, ast.JoinedStr):
            inside.update(part for part in node.values if isinstance(part, ast.Constant))
            inside.update(
                x
                for part in node.values
                if isinstance(part, ast.FormattedValue) and part.format_spec
                for x in ast.walk(part.format_spec)
            )
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and node not in inside:
            text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs | inside:
            text = node.value
        else:
            continue
        text = " ".join(text.split())
        if prose(text, least):
            found.append((node.lineno, node.col_offset, text))
    return list(dict.fromkeys(text for _, _, text in sorted(found)))


def longest(template):
    """The longest part of a template without a placeholder: it stands in each of its texts, and is looked for fast."""
    return max(re.split(r"\{[^{}]*\}", template), key=len)


def pattern(template):
    """A compiled expression that finds a template's text, with a group for each placeholder."""
    parts = re.split(r"\{[^{}]*\}", template)
    out = re.escape(parts[0])
    for k, part in enumerate(parts[1:], start=1):
        last = k == len(parts) - 1 and not part
        out += (r"(\S*)" if last or (k == 1 and not parts[0]) else r"([^;]*?)") + re.escape(part)
    return re.compile(out.replace(r"\ ", r"\s+"))
