"""A migration whose first attempt is given up, and that is tried once more: what must the second attempt send?"""

from __future__ import annotations

from dataclasses import dataclass

from pagingviz.migration.run import Migration
from pagingviz.migration.situation import Situation
from pagingviz.migration.state import ABORTED, Saved

LATER = 60  # ticks between the end of the first attempt and the second


@dataclass
class Attempt(Saved):
    """A snapshot that knows which attempt it was taken in. fail: as in Situation."""

    fail: tuple[str, ...]


class Retry(Migration):
    """A migration that begins once more when it was given up (fail=link:N of the scenario), and then has a good link."""

    def snapshot(self) -> Saved:
        """As Migration.snapshot."""
        return Attempt(**vars(super().snapshot()), fail=self.fail)

    def restore(self, saved: Saved) -> None:
        """As Migration.restore."""
        assert isinstance(saved, Attempt)
        super().restore(saved)
        self.fail = saved.fail

    def act(self) -> None:
        """As Migration.act; when the first attempt has been given up the second one is made ready."""
        super().act()
        if self.state.phase == ABORTED and self.fail[0]:
            self.begin_again()

    def begin_again(self) -> None:
        """The second attempt: a new, empty domain on the other host, and all of the guest is to be sent. Only time goes on."""
        was, tick = self.state, self.machine.tick
        Situation.__init__(self, self.machine, self.work)
        self.fail = ("", "0")
        st = self.state
        st.next, st.settled, st.paused = tick + LATER, tick, was.paused
        st.guest = st.link = max(was.guest, was.link)
