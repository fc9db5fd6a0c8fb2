"""What makes each caption of a board of the page Live migration true, and the phases on its status line."""

import numpy as np

from pagingviz.migration import wire
from pagingviz.migration.state import ABORTED, BROKEN, DONE, EPOCH, FINAL, LIVE, LOST, ROLLING, STATE, WAITING
from pagingviz.story.migration import bytes_text


def st(m):
    """The state of the migration."""
    return m.sim.migration.state


def last(m):
    """Its last round."""
    return st(m).rounds[-1]


def unsent(m):
    """Frames of the last round's set that are neither sent nor passed over."""
    return last(m).planned - last(m).sent - last(m).skipped


def away(m):
    """Frames that have not arrived, after the guest has gone or stopped for good."""
    return int((~st(m).arrived).sum())


def bits(m):
    """Frames whose bit is set, and those in the processors' logs."""
    return len({*m.m.dirty_frames().tolist(), *m.m.logged_frames().tolist()})


def suspended(m):
    """Whether the guest stands still on the source: nothing of it changes in the next ticks."""
    return m.sim.migration.paused and not gone(m)


def here(m):
    """Whether the guest runs on the source."""
    return not m.sim.migration.paused and (not st(m).resumed or m.sim.scenario.migrate == "remus")


def gone(m):
    """Whether the guest has gone on elsewhere."""
    return st(m).resumed > 0 and m.sim.scenario.migrate != "remus"


def there(m):
    """(frames at the destination, those of them that are not as the guest has them, or had them at its suspend)."""
    mig = m.sim.migration
    has = st(m).arrived if mig.postcopy and gone(m) else st(m).times > 0
    versions, tables = mig.image if st(m).phase in (ROLLING, BROKEN, LOST) else mig.destination.image()
    old = mig.destination.versions != versions
    old[: len(tables)] |= (mig.destination.tables != tables).any(axis=1)
    return int(has.sum()), int((has & old).sum())


def counts(m):
    """Whether the caption of the destination has the frames that are there as they are, the older ones, and those missing."""
    all_, (has, old) = st(m).times.size, there(m)
    return (m.before(" equal"), m.before(" are older"), m.before(" are not here")) == (has - old, old, all_ - has)


MIGRATION_CAPTIONS = {
    "pagingviz/boards/source.py": (
        (
            "the guest runs here · migration from tick {} on",
            "the tick at which the migration has something to do first",
            lambda m: here(m) and m.num(0) == st(m).next and st(m).phase == WAITING,
        ),
        (
            "the guest runs here · of this round's pages {} · {} since the last CLEAN",
            "the pages of the round that are neither sent nor passed over; the bits and the logs",
            lambda m: here(m) and m.num(0) == unsent(m) and m.before(" written") == bits(m) and st(m).phase == LIVE,
        ),
        ("{} written", "the bits and the processors' logs", lambda m: m.before(" frame") == bits(m)),
        (
            "the guest is suspended · of the last round's pages {}",
            "the pages of the round that are not sent, and that the guest stands still",
            lambda m: suspended(m) and m.num(0) == unsent(m) and st(m).phase == FINAL,
        ),
        (
            "the guest is suspended · of its pages {}",
            "the frames that have not arrived, and that the guest stands still",
            lambda m: suspended(m) and m.num(0) == away(m) and st(m).phase == STATE,
        ),
        (
            "the guest runs here · {} since the last checkpoint",
            "the bits and the processors' logs",
            lambda m: here(m) and m.before(" frame") == bits(m) and st(m).phase == EPOCH,
        ),
        (
            "the guest has gone · {} still here",
            "the frames that have not arrived, and that the guest has been resumed",
            lambda m: gone(m) and m.before(" of its") == away(m) and st(m).phase == ROLLING,
        ),
        (
            "the link is lost · {} here",
            "the frames that have not arrived, and that the guest waits",
            lambda m: m.sim.migration.paused and m.before(" page") == away(m) and st(m).phase == BROKEN,
        ),
        (
            "cut off with {} of the guest",
            "the frames that have not arrived, and that the guest stands still for good",
            lambda m: m.sim.migration.paused and m.before(" page") == away(m) and st(m).phase == LOST,
        ),
        (
            "the guest goes on here",
            "the migration was given up, and the guest runs",
            lambda m: here(m) and st(m).phase == ABORTED,
        ),
        (
            "the primary is gone",
            "the backup has taken over",
            lambda m: m.sim.scenario.migrate == "remus" and st(m).phase == DONE and st(m).ended > 0,
        ),
        (
            "nothing is needed from here",
            "the destination has every frame",
            lambda m: gone(m) and (st(m).arrived if m.sim.migration.postcopy else st(m).times > 0).all(),
        ),
        ("nothing is being moved", "there is no migration", lambda m: m.sim.migration is None),
    ),
    "pagingviz/boards/wire.py": (
        (
            "the state of vCPUs and platform is on its way",
            "bytes are sent, but no page, and the guest stands still",
            lambda m: suspended(m) and st(m).bytes > 0 and not st(m).times.any(),
        ),
        (
            "idle · {} MB/s",
            "no byte is sent, and the links of the scenario together",
            lambda m: not st(m).bytes and m.num(0) == m.sim.scenario.bandwidth * m.sim.scenario.channels,
        ),
        (
            "round {}, {}: {} of its {} sent",
            "the last round",
            lambda m: m.text.startswith(
                f"round {last(m).number}, {last(m).kind}: {last(m).sent:,} of its {last(m).planned:,} page"
            ),
        ),
        (
            "{} · {} in all rounds, {} times the guest's memory",
            "the bytes of all rounds and of the state, and the frames of the guest",
            lambda m: (
                f"{bytes_text(st(m).bytes)} in all rounds" in m.text
                and m.before(" times the") == int(f"{st(m).bytes / m.sim.scenario.frames / wire.PAGE:.2f}".split(".")[1])
                and sum(r.bytes for r in st(m).rounds) <= st(m).bytes
            ),
        ),
    ),
    "pagingviz/boards/destination.py": (
        (
            "what had arrived is thrown away",
            "the migration was given up, and the guest runs on the source",
            lambda m: here(m) and st(m).phase == ABORTED,
        ),
        ("an empty domain", "nothing has been sent", lambda m: not st(m).times.any() and not st(m).bytes),
        ("of {} {} the source's", "the two hosts' memories, compared anew", counts),
        (
            "all pages equal the source's",
            "the two hosts' memories, compared when the guest was resumed, and after the last page",
            lambda m: st(m).equal is True and (st(m).arrived if m.sim.migration.postcopy else st(m).times > 0).all(),
        ),
        (
            "MEMORY DIFFERS from the source's",
            "two hosts' memories, of which one was changed on purpose",
            "test_one_lost_bit_is_a_wrong_destination",
        ),
        (
            "the guest runs here · {}",
            "the guest has been resumed, or the backup took over",
            lambda m: gone(m) or m.sim.scenario.migrate == "remus" and st(m).phase == DONE,
        ),
        ("the guest runs here · of", "the guest has been resumed", gone),
        ("{}{}, {} are older, {} are not here", "the two hosts' memories, compared anew", counts),
    ),
    "pagingviz/boards/migration_map.py": (
        (
            "no hypervisor on the bare road: nobody could move it",
            "the road",
            lambda m: m.sim.scenario.road == "bare" and m.sim.migration is None,
        ),
        (
            "1 cell = 1 guest frame of 4 KiB",
            "the frames that the cells stand for",
            lambda m: np.array_equal(m.event.key[m.event.key >= 0], np.arange(m.sim.scenario.frames)),
        ),
    ),
    "pagingviz/boards/migration_scene.py": (
        ("chip migration: not begun", "nothing has been sent", lambda m: not st(m).bytes and st(m).phase == WAITING),
        (
            "chip migration: live, round {n}",
            "the last round, and that the guest runs",
            lambda m: here(m) and m.num(0) == last(m).number,
        ),
        ("guest suspended", "the guest stands still", suspended),
        ("guest is there, pages follow", "the guest runs, and frames have not arrived", lambda m: gone(m) and away(m) > 0),
        ("link lost, both sides wait", "the guest waits", lambda m: m.sim.migration.paused and st(m).phase == BROKEN),
        ("chip migration: checkpoint {c}", "the checkpoints", lambda m: m.num(0) == st(m).checkpoints),
        ("chip migration: given up", "the guest runs on the source", lambda m: here(m) and st(m).phase == ABORTED),
    ),
}
