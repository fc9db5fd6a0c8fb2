"""Portraits: machine -> grids of cells, words, tables. Pure functions: nothing here changes a machine or draws on a screen.

A grid is uint16 (height, width); a cell is a fill code, a letter and three flags (pagingviz/palette.py).
"""

from pagingviz.portray.plans import BITS, BOARDS, TABLES, Plan, plan
from pagingviz.portray.cells import cells  # noqa: I001 (plans first: it is what the others are drawn on)
from pagingviz.portray.dirty_tree import dirty_tree
from pagingviz.portray.inspect import inspect
from pagingviz.portray.nested_tables import below_maps
from pagingviz.portray.sentences import EVENT_KINDS, sentence
from pagingviz.portray.words import alt, caption, marks, more, status, table

__all__ = [
    "BITS", "BOARDS", "EVENT_KINDS", "TABLES", "Plan", "alt", "below_maps", "caption", "cells", "dirty_tree", "inspect",
    "marks", "more", "plan", "sentence", "status", "table",
]  # fmt: skip
