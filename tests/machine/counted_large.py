"""What operations on guests of 64 GiB and of 1 TiB cost, in counts: lines of plain Python run, and bytes allocated at most.

Lines, because a loop over RAM would run sixteen times as many; bytes, because numpy does such a loop in one line, on an array
of that size. Prints JSON {size: {operation: [lines, bytes]}}. Run with PAGINGVIZ_PLAIN=1: no line of a compiled kernel is seen.
tests/bench/large.py measures the milliseconds of the same operations.
"""

import json
import sys
import tracemalloc

from pagingviz.boards.registry import HOME
from pagingviz.core.build.jit import PLAIN
from pagingviz.story.status import status
from tests.boards.on_screen import Shown
from tests.machine.large import GIB, TIB, large

TICKS = 40
MOST = 5_000_000  # lines of one operation: whoever needs more goes through all of RAM
WORK = "zipf:64:0.6"
SIZES = {"64 GiB": 64 * GIB, "1 TiB": TIB}


def counted(act):
    """[lines run, bytes allocated at most beyond those at the beginning] of act()."""
    lines = 0

    def count(_frame, event, _argument):
        nonlocal lines
        lines += event == "line"
        if lines > MOST:
            raise AssertionError(f"more than {MOST:,} lines")
        return count

    tracemalloc.start()
    try:
        sys.settrace(count)
        act()
        sys.settrace(None)
        return [lines, tracemalloc.get_traced_memory()[1]]
    finally:
        sys.settrace(None)
        tracemalloc.stop()


def costs(frames, measured=counted):
    """{operation: [lines, bytes]} on a guest of that many frames that has run TICKS ticks."""
    sim = large(frames, do="enable@10", work=WORK)
    sim.run(TICKS)
    boards = [Shown(sim, board) for board in HOME]

    def painted():
        sim.step()
        for board in boards:
            board.grid  # noqa: B018 - it is drawn when it is asked for
        status(sim)

    return {
        "open": measured(lambda: large(frames, work=WORK)),
        "enable": measured(lambda: (sim.command("off"), sim.command("enable"))),
        "clean": measured(lambda: sim.command("clean")),
        "step": measured(painted),
    }


if __name__ == "__main__":
    assert PLAIN
    costs(64 * GIB, lambda act: act())  # what is imported and filled once belongs to no operation
    print(json.dumps({size: costs(frames) for size, frames in SIZES.items()}))
