"""The cell words of the boards: the 16-bit word of a fill code and a letter, and the words that boards share."""

import numpy as np

from pagingviz.boards.palette import (
    ABSENT,
    AGE_YOUNGEST,
    BLANK,
    CROSSED,
    DIRTY,
    DIRTY_BEFORE,
    FILL_MASK,
    FREE,
    LETTER_MASK,
    LETTER_SHIFT,
    LETTERS,
    OUT_OF_SYNC,
    PENDING,
    READ_ONLY,
    SUPERPAGE,
    TABLE,
    WRITABLE,
)


def word(fill: int, letter: str) -> np.uint16:
    """The cell word of a fill code with a letter."""
    return np.uint16(fill | LETTERS.index(letter) << LETTER_SHIFT)


def letter_of(cell: int) -> str:
    """The letter of a cell word."""
    return LETTERS[int(cell) >> LETTER_SHIFT & LETTER_MASK]


def letters_of(grid: np.ndarray) -> np.ndarray:
    """The letters of a grid of cell words, uint16[height, width], as a grid of texts, str[height, width]."""
    return np.array(list(LETTERS))[grid >> LETTER_SHIFT & LETTER_MASK]


def differ(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Which of n cells have changed, bool[n]: `now` and `before` are their words, uint16[n].

    That a page has grown older, or that a cross has gone, is no change.
    """
    aged = ((now & FILL_MASK) >= AGE_YOUNGEST) & ((before & FILL_MASK) >= AGE_YOUNGEST)
    return (now ^ before) & ~np.where(aged, CROSSED | FILL_MASK, CROSSED).astype(np.uint16) != 0


NOTHING, HATCHED = word(BLANK, " "), word(ABSENT, " ")
W_FREE, W_TABLE = word(FREE, "."), word(TABLE, "T")
W_DIRTY, W_BEFORE, W_LOGGED = word(DIRTY, "D"), word(DIRTY_BEFORE, "d"), word(PENDING, "L")
W_READ, W_WRITE, W_PENDING = word(READ_ONLY, "R"), word(WRITABLE, "W"), word(PENDING, "?")
W_SUPER, W_SUPER_RO, W_OOS = word(SUPERPAGE, "S"), word(READ_ONLY, "S"), word(OUT_OF_SYNC, "O")
W_GIB, W_GIB_RO = word(SUPERPAGE, "G"), word(READ_ONLY, "G")
