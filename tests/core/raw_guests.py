"""Guests given entry by entry that serve more than one file of tests."""

import pytest
from hypothesis import HealthCheck, Phase, settings

from pagingviz.core.build.jit import PLAIN
from tests.core.raw import BASE, FRAME, LINK, PAGE, PSE, A, D, P, Raw, Tables, U, W

CALM = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=12,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate] if PLAIN else list(Phase),
)
LEVELS = pytest.mark.parametrize("levels", [4, 3, 2])


def kinds(levels):
    """(L1, fl1, L2) shadow types of a guest with that many levels."""
    return {4: (7, 8, 9), 3: (4, 5, 6), 2: (1, 2, 3)}[levels]


def superpage(levels=4, flags=PAGE | PSE, **fields):
    """A guest with one superpage at BASE, and a 4 KiB page above it in the next L2 entry."""
    t, size = Tables(levels), 1024 if levels == 2 else 512
    t.new()
    t.direct(1, 128)
    t.map(1, BASE, size, flags, level=2)
    t.map(1, BASE + size * FRAME, 100)
    return Raw(levels, frames=2 * size, tables=t, **fields), size


def chain(levels=4, roots=1, pages=4, tables_each=1, frames=128, zone=64):
    """`roots` address spaces with the kernel's direct map, each with pages in L1 tables of its own."""
    t = Tables(levels)
    tops = [t.new() for _ in range(roots)]
    t.direct(tops[0], frames)
    for top in tops:
        for k, e in t.words[tops[0]].items():
            t.words[top].setdefault(k, e)
    data = zone
    for top in tops:
        for n in range(tables_each):
            for k in range(pages):
                t.map(top, BASE + n * (FRAME << t.bits) + k * FRAME, zone + (data - zone) % (frames - zone), PAGE)
                data += 1
    return t, tops


COMMANDS = ("enable", "clean", "off", "blow", "pool:36", "pool:60", "flush")


def world(levels, road, pool, vcpus, **fields):
    """Two address spaces that share two of their three L1 tables; a superpage. (guest, roots, addresses to touch)."""
    size = 1024 if levels == 2 else 512
    t = Tables(levels)
    one, two = t.new(), t.new()
    t.direct(one, 128)
    for n in range(3):
        for k in range(4):
            t.map(one, BASE + (n * size + k) * FRAME, 96 + 4 * n + k, P | W | U | (A | D if k < 2 else 0))
    t.map(one, BASE + 3 * size * FRAME, size, P | W | U | PSE, level=2)
    t.words[two] |= {i: e for i, e in t.words[one].items() if i != t.index(BASE, levels)}
    for n in range(2):
        table = t.link(one, BASE + n * size * FRAME, 1)
        t.words[t.link(two, BASE, 2)][t.index(BASE + n * size * FRAME, 2)] = table << 12 | LINK
    t.map(two, BASE + 2 * size * FRAME, 110)
    r = Raw(levels, road=road, frames=2 * size, zone=48, tables=t, cr3=one, pool=pool, vcpus=vcpus, **fields)
    spots = [BASE + (n * size + k) * FRAME for n in range(3) for k in range(4)]
    return r, [one, two], [*spots, BASE + 3 * size * FRAME, BASE + (3 * size + 9) * FRAME]
