"""Portraits: machine -> grids of cells, words, tables. Pure functions: nothing here changes a machine or draws on a screen.

A grid is uint16 (height, width); a cell is a fill code, a letter and three flags (pagingviz/boards/palette.py).
"""

from pagingviz.boards.cells import cells  # noqa: I001 (plans first: it is what the others are drawn on)
from pagingviz.boards.inspect import inspect
from pagingviz.boards.nested_tables import below_maps
from pagingviz.boards.plans import BITS, BOARDS, TABLES, Plan, plan
from pagingviz.boards.words import alt, caption, marks, more, status, table
from pagingviz.reading.dirty_tree import dirty_tree
from pagingviz.story.sentences import sentence
from pagingviz.story.kinds import EVENT_KINDS

__all__ = [
    "BITS",
    "BOARDS",
    "EVENT_KINDS",
    "TABLES",
    "Plan",
    "alt",
    "below_maps",
    "caption",
    "cells",
    "dirty_tree",
    "inspect",
    "marks",
    "more",
    "plan",
    "sentence",
    "status",
    "table",
]
