"""The fields of a migration: rows of the one table (table.py), in a file of their own."""

from __future__ import annotations

from dataclasses import dataclass

from pagingviz.scenario.declare import declared
from pagingviz.scenario.fields import MAX_TICK, MOST_FRAMES

MIGRATION = "Migration"  # the section of the sidebar


@dataclass(frozen=True)
class Moving:
    """How the guest is moved to another host."""

    migrate: str = declared(
        "choice",
        "no",
        "How the guest is moved to another host: precopy, as Xen does; stop: suspended, then copied; postcopy: "
        "moved first, copied then; hybrid: one round live, the rest as postcopy; remus: checkpoint after checkpoint.",
        choices=("no", "precopy", "stop", "postcopy", "hybrid", "remus"),
        words=("no migration", "pre-copy", "stop-and-copy", "post-copy", "hybrid", "Remus"),
    )
    migrate_at: int = declared(
        "int", 1000, "Tick at which the migration begins.", "begins at tick", MIGRATION, bounds=(0, MAX_TICK)
    )
    policy: str = declared(
        "choice",
        "xen",
        "When pre-copy stops: xen (fewer than 50 pages, or 5 rounds), legacy (29 rounds, 3 times the guest, "
        "pages dirty again are skipped), clark (rate-adaptive), qemu (downtime), stall (as qemu; when it makes no progress, "
        "at a local minimum), numbers (target, rounds, factor, skip).",
        "when to stop",
        MIGRATION,
        choices=("xen", "legacy", "clark", "qemu", "numbers", "stall"),
    )
    target: int = declared(
        "int", 50, "policy=numbers: stop below so many dirty pages.", "stop below pages", MIGRATION, bounds=(1, MOST_FRAMES)
    )
    rounds: int = declared("int", 5, "policy=numbers: stop after so many rounds.", "most rounds", MIGRATION, bounds=(1, 100))
    factor: int = declared(
        "int",
        0,
        "policy=numbers: stop when so many times the guest are sent; 0: never.",
        "most times the guest",
        MIGRATION,
        bounds=(0, 100),
    )
    skip: int = declared(
        "choice",
        0,
        "policy=numbers: 1 skips pages dirty again when their batch begins.",
        "skip what is dirty again",
        MIGRATION,
        choices=(0, 1),
    )
    downtime: int = declared(
        "int",
        300_000,
        "policy=qemu: microseconds that what is left may take; QEMU's downtime-limit is 300 ms.",
        "downtime allowed, µs",
        MIGRATION,
        bounds=(1, 10**9),
    )
    downtime_from: int = declared(
        "int",
        0,
        "policy=qemu or stall: microseconds allowed at first, more from the third round on, up to downtime; 0: all at once.",
        "downtime allowed at first, µs",
        MIGRATION,
        bounds=(0, 10**9),
    )
    downtime_step: int = declared(
        "int", 150_000, "With downtime_from: microseconds more each time.", "downtime: step, µs", MIGRATION, bounds=(1, 10**9)
    )
    downtime_wait: int = declared(
        "int",
        10_000_000,
        "With downtime_from: microseconds between two steps.",
        "downtime: between two steps, µs",
        MIGRATION,
        bounds=(1, 10**9),
    )
    stall_time: int = declared(
        "int",
        40_000_000,
        "policy=stall: microseconds in which what is left must have become less.",
        "stall: progress within, µs",
        MIGRATION,
        bounds=(1, 10**9),
    )
    stall_margin: int = declared(
        "int",
        4,
        "policy=stall: percent by which what is left must have become less; as much above the best still counts as a minimum.",
        "stall: margin, %",
        MIGRATION,
        bounds=(0, 50),
    )
    stall_downtime: int = declared(
        "int",
        900_000,
        "policy=stall: microseconds that the pause of a stalled migration may take; beyond 1.5 times that, see at_limit.",
        "stall: downtime at most, µs",
        MIGRATION,
        bounds=(1, 10**9),
    )
    limit_rounds: int = declared(
        "int", 100, "Readings of the bitmap after which a migration is overdue.", "most readings", MIGRATION, bounds=(1, 1000)
    )
    limit_time: int = declared(
        "int", 0, "Microseconds after which a migration is overdue; 0: never.", "most time, µs", MIGRATION, bounds=(0, 10**9)
    )
    at_limit: str = declared(
        "choice",
        "cancel",
        "What becomes of an overdue one: cancel; stop, the guest is suspended whatever is left; postcopy, the rest follows it.",
        "when overdue",
        MIGRATION,
        choices=("cancel", "stop", "postcopy"),
    )
    channels: int = declared(
        "int",
        1,
        "Links like this one, side by side, among which pages are dealt out (multifd); state and post-copy use one.",
        "links side by side",
        MIGRATION,
        bounds=(1, 255),
    )
    bandwidth: int = declared(
        "int", 1250, "Of the link between the hosts, MB a second (1250: 10 Gb/s).", "link, MB/s", MIGRATION, bounds=(1, 10**6)
    )
    latency: int = declared("int", 50, "Of the link, one way, microseconds.", "latency, µs", MIGRATION, bounds=(0, 10**6))
    page_overhead: int = declared(
        "int", 0, "Nanoseconds that each page costs beside its bytes.", "overhead of a page, ns", MIGRATION, bounds=(0, 10**6)
    )
    pace: int = declared(
        "int",
        20,
        "Guest speed against link speed: ticks while one page goes over the wire, exits aside.",
        "guest: ticks a page on the wire",
        MIGRATION,
        bounds=(1, 10**6),
        after="downtime",
    )
    state_size: int = declared(
        "int",
        0,
        "Bytes of the vCPUs' and the platform's state, which cross in the pause; 0: as in a recorded stream of that road.",
        "state of vCPUs and platform, bytes",
        MIGRATION,
        bounds=(0, 10**9),
    )
    tracking: str = declared(
        "choice",
        "costs",
        "costs: exits take time by the table of costs; free: only the guest's own work does.",
        "price of tracking",
        MIGRATION,
        choices=("costs", "free"),
    )
    zeros: int = declared(
        "choice", 0, "1: pages never written go as one byte.", "zero pages as a byte", MIGRATION, choices=(0, 1)
    )
    xbzrle: int = declared(
        "int",
        0,
        "Pages of a cache of what was sent: those go as what differs; 0: none.",
        "XBZRLE cache, pages",
        MIGRATION,
        bounds=(0, 10**6),
    )
    throttle: int = declared(
        "choice",
        0,
        "1: auto-converge, a guest that dirties too fast is slowed down; judged at most once a second.",
        "auto-converge",
        MIGRATION,
        choices=(0, 1),
    )
    throttle_initial: int = declared(
        "int", 20, "throttle=1: percent taken from the guest at first.", "auto-converge: first, %", MIGRATION, bounds=(1, 99)
    )
    throttle_increment: int = declared(
        "int", 10, "throttle=1: percent more each further time.", "auto-converge: step, %", MIGRATION, bounds=(1, 99)
    )
    throttle_max: int = declared(
        "int", 99, "throttle=1: percent taken at most.", "auto-converge: most, %", MIGRATION, bounds=(1, 99)
    )
    throttle_trigger: int = declared(
        "int",
        50,
        "throttle=1: the guest is slowed down when more than so many percent of what was sent have become dirty again.",
        "auto-converge: trigger, %",
        MIGRATION,
        bounds=(1, 100),
    )
    prefetch: int = declared(
        "int",
        0,
        "postcopy, hybrid: pages after a wanted one that come along with it.",
        "pages with a wanted one",
        MIGRATION,
        bounds=(0, 1023),
    )
    preempt: int = declared(
        "choice",
        0,
        "postcopy, hybrid: 1 gives wanted pages a channel of their own, on which they overtake the background.",
        "wanted pages overtake",
        MIGRATION,
        choices=(0, 1),
    )
    epoch: int = declared(
        "int", 2000, "remus: ticks between two checkpoints.", "Remus: ticks an epoch", MIGRATION, bounds=(1, 10**6)
    )
    epochs: int = declared(
        "int", 10, "remus: checkpoints until the primary stops.", "Remus: epochs", MIGRATION, bounds=(1, 500)
    )
    fail: str = declared(
        "fail",
        "",
        "What goes wrong: link:N, the link is lost after N pages; host:N, the host that sends them is; p2m:N, a PV guest "
        "changes its list of frames after N pages; flux:GFN, that PV table cannot be sent while the guest runs.",
        "what goes wrong",
        MIGRATION,
    )
    recover: int = declared(
        "int",
        0,
        "postcopy, hybrid: microseconds after which a lost link is back, and both sides go on; 0: nobody recovers it.",
        "lost link is back after, µs",
        MIGRATION,
        bounds=(0, 10**9),
    )
