"""What the page Live migration shows at one moment: the words beside its boards."""

from __future__ import annotations

from pagingviz.boards.scene import Scene
from pagingviz.migration.state import ABORTED, BROKEN, DONE, EPOCH, FINAL, LIVE, LOST, ROLLING, STATE, WAITING
from pagingviz.story import migration
from pagingviz.story.migration import duration
from pagingviz.story.sentences import after_commands, begin_with, sentence
from pagingviz.story.status import status

_HIDDEN = ("seed", "table updates", "PML")  # these entries of the status line are left out
_PHASES = {
    WAITING: "not begun",
    LIVE: "live, round {n}",
    FINAL: "guest suspended",
    STATE: "guest suspended",
    ROLLING: "guest is there, pages follow",
    BROKEN: "link lost, both sides wait",
    EPOCH: "checkpoint {c}",
    DONE: "done",
    ABORTED: "given up",
    LOST: "lost",
}


class MigrationScene(Scene):
    """The present moment of a guest that is being migrated, or could be."""

    def sentence(self, sought: str = "") -> tuple[str, str]:
        """What happens in the migration; when the tick is opened at one of its events, what that event is."""
        sim, events = self.sim, self.sim.events()
        if sim.migration is None or sim.opened or sim.crashed or migration.turn(sim, events):
            return sentence(sim, sought)
        found = after_commands(sim, events, migration.at_work(sim))
        return begin_with(sim, events, sought, found, ())

    def status(self) -> list[tuple[str, str]]:
        """The status line of every page, and the phase of the migration."""
        own = []
        if self.sim.migration:
            st = self.sim.migration.state
            n = st.rounds[-1].number if st.rounds else 0
            own = [("migration", _PHASES[st.phase].format(n=n, c=st.checkpoints))]
            if st.downtime and st.phase == DONE:
                own.append(("pause", duration(st.downtime)))
        return [*(row for row in status(self.sim) if row[0] not in _HIDDEN), *own]
