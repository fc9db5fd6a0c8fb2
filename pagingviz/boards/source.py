"""The board of a migration's source: what the hypervisor and its toolstack know of each frame (bitmap, sets)."""

from __future__ import annotations

import numpy as np

from pagingviz.boards.board import LegendRow, Plan
from pagingviz.boards.migration_map import MigrationBoard, Words
from pagingviz.boards.palette import DIRTY, DIRTY_BEFORE, FREE, PENDING, TABLE, WRITABLE
from pagingviz.migration.run import Migration
from pagingviz.migration.state import ABORTED, BROKEN, EPOCH, FINAL, LIVE, LOST, ROLLING, STATE, WAITING
from pagingviz.reading import migration_frames as frames
from pagingviz.story.counting import counted, form

_NOT_SENT: LegendRow = (".", FREE, "not sent")


def _written(bits: int) -> str:
    return f"{counted(bits, 'frame')} written"


class Source(MigrationBoard):
    """What is sent, what waits, and what has been written since."""

    id = "source"
    column = 0
    idle = "nothing is being moved"
    words = Words(
        (
            ("T", TABLE, "page table, sent"),
            ("W", WRITABLE, "sent, as it is"),
            (".", FREE, "not sent yet"),
            ("?", PENDING, "left for later"),
            ("d", DIRTY_BEFORE, "in this round's set, waits"),
            ("D", DIRTY, "written since it was sent"),
        ),
        thick=(".", "thick: dirty already"),
    )

    def legend_without_migration(self) -> tuple[LegendRow, ...]:
        return (_NOT_SENT,)

    def grid_without_migration(self, out: np.ndarray, plan: Plan) -> np.ndarray:
        out[plan.key >= 0] = self.words.cells[self.words.rank["."]]
        return out

    def ranks(self, mig: Migration) -> tuple[np.ndarray, np.ndarray]:
        st, rank_of = mig.state, self.words.rank
        if st.phase == ABORTED:  # nothing of it is anywhere else
            return np.full(st.times.size, rank_of["."]), np.zeros(st.times.size, bool)
        waits, bits = frames.waiting(mig), frames.dirty(mig)
        not_sent = np.where(st.times > 0, rank_of["d"], rank_of["."])
        rank = np.where(waits, not_sent, np.where(frames.tables(mig), rank_of["T"], rank_of["W"]))
        if st.phase in (LIVE, EPOCH):
            rank[bits & ~waits] = rank_of["D"]
        rank[frames.passed_over(mig)] = rank_of["?"]
        return rank, bits & waits & (st.phase != WAITING)

    def line(self, mig: Migration) -> str:
        st = mig.state
        waits, bits = int(frames.waiting(mig).sum()), int(frames.dirty(mig).sum())
        wait = f"{waits:,} {form(waits, 'waits', 'wait')}"
        gone = "the primary is gone" if mig.scenario.migrate == "remus" else "nothing is needed from here"
        return {
            WAITING: f"the guest runs here · migration from tick {mig.scenario.migrate_at:,} on",
            LIVE: f"the guest runs here · of this round's pages {wait} · {_written(bits)} since the last CLEAN",
            FINAL: f"the guest is suspended · of the last round's pages {wait}",
            STATE: f"the guest is suspended · of its pages {wait}",
            EPOCH: f"the guest runs here · {_written(bits)} since the last checkpoint",
            ROLLING: f"the guest has gone · {counted(waits, 'of its pages is', 'of its pages are')} still here",
            BROKEN: f"the link is lost · {counted(waits, 'page of the guest is', 'pages of the guest are')} here",
            LOST: f"cut off with {counted(waits, 'page')} of the guest",
            ABORTED: "the guest goes on here",
        }.get(st.phase, gone)
