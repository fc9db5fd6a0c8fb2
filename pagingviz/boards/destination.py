"""The board of a migration's destination: what is true there of each frame, by the versions of its pages."""

from __future__ import annotations

import numpy as np

from pagingviz.boards.migration_map import MigrationBoard, Words
from pagingviz.boards.palette import DIRTY, DIRTY_BEFORE, FREE, TABLE, WRITABLE
from pagingviz.migration.run import Migration
from pagingviz.migration.state import ABORTED, DONE, ROLLING, WAITING
from pagingviz.reading import migration_frames as frames
from pagingviz.story.counting import form


class Destination(MigrationBoard):
    """Which pages have arrived, and which of them are old."""

    id = "destination"
    column = 2
    idle = "nobody there"
    words = Words(
        (
            ("T", TABLE, "page table, equal"),
            ("W", WRITABLE, "equal to the source's"),
            ("F", WRITABLE, "fetched on demand"),
            (".", FREE, "not here"),
            ("d", DIRTY_BEFORE, "old: the new one waits"),
            ("D", DIRTY, "old: written since"),
        ),
        thick=None,
    )

    def is_empty(self, mig: Migration) -> bool:
        return mig.state.phase == ABORTED

    def ranks(self, mig: Migration) -> tuple[np.ndarray, np.ndarray]:
        st, rank_of = mig.state, self.words.rank
        equal = np.where(st.fetched, rank_of["F"], np.where(frames.tables(mig), rank_of["T"], rank_of["W"]))
        old = np.where(frames.waiting(mig), rank_of["d"], rank_of["D"])
        rank = np.where(frames.arrived(mig), np.where(frames.outdated(mig), old, equal), rank_of["."])
        return rank, np.zeros(st.times.size, bool)

    def line(self, mig: Migration) -> str:
        st = mig.state
        if st.phase == ABORTED:
            return "what had arrived is thrown away"
        if st.phase == WAITING:
            return "an empty domain"
        arrived, old = frames.arrived(mig), int(frames.outdated(mig).sum())
        n = int(arrived.sum())
        whole = f"of {arrived.size:,} pages {n - old:,} {form(n - old, 'equals', 'equal')} the source's"
        if st.phase == DONE and st.equal is not None:
            whole = "all pages equal the source's" if st.equal else "MEMORY DIFFERS from the source's"
            return f"the guest runs here · {whole}"
        where = "the guest runs here · " if st.phase == ROLLING else ""
        return f"{where}{whole}, {old:,} are older, {arrived.size - n:,} are not here"
