"""The situation of a migration: all that a step may read. Steps change nothing of it; run.py does, effect by effect."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pagingviz.machine.machine import Machine
from pagingviz.migration import wire
from pagingviz.migration.clock import Clock
from pagingviz.migration.destination import Destination
from pagingviz.migration.policy import Policy, policy_of
from pagingviz.migration.state import PAUSED, POSTCOPY, Image, State
from pagingviz.migration.xbzrle import Cache
from pagingviz.work.work import Work


class Situation:
    """One machine, its destination, the link between them, and the state of the migration.

    `p2m_size`: entries of the first round where that is not the guest's memory (a PVH guest's are 1,044,480, whatever it has);
    `policy`, `link`: others than the scenario's; `table`: cycles by key of costs.COSTS, else the scenario's too. state_size:
    bytes of the vCPUs' and the platform's state.
    """

    def __init__(
        self,
        machine: Machine,
        work: Work,
        p2m_size: int | None = None,
        policy: Policy | None = None,
        link: wire.Link | None = None,
        table: Mapping[str, int] | None = None,
    ) -> None:
        sc = machine.scenario
        self.machine, self.work, self.scenario = machine, work, sc
        self.policy, self.link = policy or policy_of(sc), link or wire.link_of(sc)
        self.frames, self.p2m_size = sc.frames, p2m_size or sc.frames
        self.op = max(1, self.link.main.page // sc.pace)  # cycles of one operation of the guest
        self.table = table or sc.costs
        self.clock = Clock(machine, self.op, sc.tracking == "free", self.table)
        self.state_size = sc.state_size or wire.STATE.get(sc.road, 0)  # without a hypervisor nothing is sent
        self.fail = tuple(sc.fail.split(":")) if sc.fail else ("", "0")
        self.destination = Destination(machine)
        self.image: Image | None = None  # post-copy: the source at the suspend; Remus: the backup at the last checkpoint
        self.sealed: Image | None = None  # Remus: the source at the suspend of the checkpoint that is being sent
        self.checked: Image | None = None  # Remus: the source at the last complete checkpoint
        self.cache = Cache(sc.xbzrle)
        n = machine.modelled.count
        self.state = State(
            next=sc.migrate_at,
            counts=self.clock.counts(),
            since=self.clock.counts(),
            sent_in=np.zeros(n, np.uint16),
            times=np.zeros(n, np.uint16),
            arrived=np.zeros(n, bool),
            fetched=np.zeros(n, bool),
        )

    @property
    def paused(self) -> bool:
        """Whether the guest is suspended: time passes, and nothing runs."""
        return self.state.phase in PAUSED

    @property
    def postcopy(self) -> bool:
        """Whether the guest goes before its pages do."""
        return self.scenario.migrate in POSTCOPY or self.state.fell_back

    @property
    def allowed(self) -> float:
        """Seconds that what is left may take now, for a policy that says so."""
        return self.policy.limit_after(self.time - self.state.ramp if self.state.ramp else -1)

    @property
    def stood(self) -> int:
        """Ticks that have passed over the suspended guest up to now."""
        return self.state.paused + (self.machine.tick - self.state.settled if self.paused else 0)

    @property
    def time(self) -> int:
        """Cycles since tick 0, as of the last time that anything was done."""
        return max(self.state.guest, self.state.link)

    def index_of(self, frames: np.ndarray) -> np.ndarray:
        """Index, int64[k], of each of `frames`, int64[n], that has words in the regions by frame (frames.Modelled)."""
        index = self.machine.modelled.index(frames)
        return index[index < self.machine.modelled.count]
