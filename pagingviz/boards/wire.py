"""The board of a migration's wire: how often each frame has been sent."""

from __future__ import annotations

import numpy as np

from pagingviz.boards.migration_map import MigrationBoard, Words
from pagingviz.boards.palette import AGE_YOUNGEST, FREE, PENDING, WRITABLE
from pagingviz.migration.run import Migration
from pagingviz.migration.state import EPOCH, LIVE
from pagingviz.reading import migration_frames as frames
from pagingviz.story.counting import counted
from pagingviz.story.migration import bytes_text

# The brighter, the more often; a darker colour would hide a thick edge.
_ONCE, _TWICE, _THREE, _MORE = range(AGE_YOUNGEST + 9, AGE_YOUNGEST - 1, -3)


class Wire(MigrationBoard):
    """How often each page has crossed, and which are on their way."""

    id = "wire"
    column = 1
    idle = "idle"
    shows = "most often sent"
    more_legend = (("", None, "outlined: on its way"),)
    words = Words(
        (
            (".", FREE, "never sent"),
            ("1", _ONCE, "once"),
            ("2", _TWICE, "twice"),
            ("3", _THREE, "three times"),
            ("4", _MORE, "more often"),
            ("?", PENDING, "left for later"),
            ("H", WRITABLE, "in the pause"),
            ("F", WRITABLE, "fetched on demand"),
        ),
        thick=("1", "thick: goes again"),
        sent="1",
    )

    def ranks(self, mig: Migration) -> tuple[np.ndarray, np.ndarray]:
        st, rank_of = mig.state, self.words.rank
        rank = np.array([rank_of[letter] for letter in ".1234"])[np.minimum(st.times, 4)]
        if st.rounds and st.rounds[-1].kind in ("final", "checkpoint"):
            rank[st.sent_in == st.rounds[-1].number] = rank_of["H"]
        rank[st.fetched] = rank_of["F"]
        rank[frames.passed_over(mig)] = rank_of["?"]
        return rank, frames.dirty(mig) & (st.times > 0) & (st.phase in (LIVE, EPOCH))

    def line(self, mig: Migration) -> str:
        st = mig.state
        if not st.rounds:
            return "the state of vCPUs and platform is on its way" if st.bytes else f"idle · {mig.link.whole:,} MB/s"
        r = st.rounds[-1]
        done = f"round {r.number}, {r.kind}: {r.sent:,} of its {counted(r.planned, 'page')} sent"
        return f"{done} · {bytes_text(st.bytes)} in all rounds, {st.bytes / (mig.frames * 4096):.2f} times the guest's memory"
