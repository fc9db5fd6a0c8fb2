"""Singular and plural: the words that go with numbers, and a check of what has been said with them."""

import ast
import re

from pagingviz.story import events
from tests.sentences.templates import COUNTING, PACKAGE

BOARDS = ("guest_tables", "shadow_pool", "pool_words", "dirty_bitmap")
BOARDS += ("source", "wire", "destination", "migration_card", "migration_scene")
FILES = sorted(
    f"pagingviz/{path.relative_to(PACKAGE)}"
    for path in (
        *PACKAGE.glob("story/*.py"),
        *(PACKAGE / f"boards/{name}.py" for name in BOARDS),
        *(PACKAGE / f"ui/{name}.py" for name in ("migration", "bitmap", "revoke", "pool_size")),
    )
    if path.name != "counting.py"
)
NOUNS = ("page", "frame", "shadow", "bit", "table", "round", "tick", "time", "exit", "store", "fault", "event", "cycle", "root")
NOUNS = {**{one: f"{one}s" for one in NOUNS}, "entry": "entries", "leaf": "leaves", "address": "addresses", "change": "changes"}
NEVER_ONE = {  # templates with a plural of their own: why the number is never 1
    "{} · {} in all rounds, {} times the guest's memory": "a number with two decimals",
    "{} root entries of {} are poisoned, one for each 512 GiB": "one has a sentence of its own",
    "{} frames from gfn {} on": "one has words of its own",
    "It became so before the last {} events, which are all that is kept.": "4,096",
    "{} exits: its entries are zeroed and its frames freed{}.": "the name of a process that exits",
    "{} exits: the shadow entry of gfn {} is filled in, {}{}.": "an access that exits",
    " It is the first of {} such events in this tick.": "said of more than one",
    "The first {} of {} leaves; all are in the table.": "more than MOST_LEAVES",
    "The first {} ticks of this work, run once for each of {} sizes. ": "pool_size.TICKS",
    " This machine has {} pages: {}.": "a pool has more",
    "This work is run for {} ticks with pools of several sizes …": "pool_size.TICKS",
    " With {} pages the domain dies for want of one.": "a pool has more",
    "The work is run {} times …": "twice for each of several",
    "**The destination equals the source**, page by page: {} compared. The guest stood still for {}; {} MB crossed the wire, "
    "{} times its memory, in {}.": "a number with two decimals",
    "**The cliff:** with {} pages {} and {}, with {} pages {} and {}. Below it one unpinned root takes nearly everything with "
    "it, and the next switch builds it all again.": "a pool has more",
    "{}, each followed by {}; both roads find {}. Searching looks at {} for {} while the domain is **paused for {} cycles**; "
    "blow destroys {} in {}. Afterwards the emptied guest takes {}, the other {}. Pauses and rounds together are {} cycles "
    "with blow and rebuild and {} with the search: {}.{}": "every pause takes thousands of cycles",
    " In a guest this small the pause of blow is the longer one, {} cycles against {}: hardly anything was written, so there "
    "is little to search for. The search grows with the frames that were written and the shadows that there are, blow with "
    "the shadows alone: scenario `ledger` shows it.": "every pause takes thousands of cycles",
    "{}{} of {} pages free{} · {}": "a pool has more",
}
_BY_ONE = re.compile(r"(?<![\w,./-])1 (?:(?!entry |by )[a-z][\w-]* )?(" + "|".join(NOUNS.values()) + r")\b(?! (?:to|in)\b)")
_BY_MORE = re.compile(
    r"(?<![\w,./-])(?!1\b)\d[\d,]* (?:(?:dirty|free|writable|logged) )?("
    + "|".join(NOUNS)
    + r")\b(?!-| table| store| entries| pages)"
)


def counted_words():
    """[(file, singular, plural)] of all that is given to the functions that count, and of the templates of events."""
    found = []
    for file in FILES:
        for node in ast.walk(ast.parse((PACKAGE.parent / file).read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in COUNTING:
                words = [arg.value for arg in node.args[1:] if isinstance(arg, ast.Constant)]
                if words:
                    found.append((file, words[0], words[1] if len(words) > 1 else f"{words[0]}s"))
    for text in events.WORDS.values():
        found += [("events", *pair.removeprefix("~").split("|")) for pair in re.findall(r"\{\w+:([^}]*\|[^}]*)\}", text)]
    return found


def bare_plurals():
    """[(file, template)] of formatted strings in which a number stands right before a plural that is always the same."""
    found = []
    expression = re.compile(r"\{\} (?:[a-z-]+ )?(" + "|".join(NOUNS.values()) + r")\b")
    for file in FILES:
        for node in ast.walk(ast.parse((PACKAGE.parent / file).read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
                if expression.search(text):
                    found.append((file, text))
    return found


def wrong_number(text):
    """What stands in a text with the wrong number: "1 pages", "2 page"; "" when nothing does."""
    found = _BY_ONE.search(text) or _BY_MORE.search(text)
    return found[0] if found else ""
