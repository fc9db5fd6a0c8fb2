"""What makes each sentence of story/migration.py and rounds.py true: the template, what is compared, and the comparison."""

import re

from pagingviz.arch import costs
from pagingviz.migration import wire
from pagingviz.migration.policy import STOP
from pagingviz.migration.state import ABORTED, EPOCH, FINAL, LIVE, ROLLING, STATE, WAITING
from pagingviz.reading import shadows
from pagingviz.reading.rounds import PLATEAU, fixed, paces
from pagingviz.story.migration import duration
from tests.sentences.proofs_commands import only_empty_roots, root_pending


def st(m):
    """The state of the migration."""
    return m.sim.migration.state


def last(m):
    """Its last round."""
    return st(m).rounds[-1]


def row_of(m):
    """The round that the row of the table is about."""
    return next(r for r in st(m).rounds if r.number == m.event["round"] and r.tick == m.event["from tick"])


def equal(m):
    """Whether the destination holds what the source would send now, page by page."""
    there = m.sim.migration.destination
    if m.sim.scenario.migrate in ("postcopy", "hybrid"):  # the guest runs on, so only what has arrived can be counted
        return st(m).equal is True and bool(st(m).arrived.all())
    return there.differs(*there.image()).size == 0


def between(m, cycles):
    """Whether the text says this time."""
    return duration(cycles) in m.text


MIGRATION = (
    (
        "The guest goes on on the destination after {}; {} not there yet",
        "the time between suspend and resume, and the frames that have not arrived",
        lambda m: between(m, st(m).resumed - st(m).suspended) and st(m).phase == ROLLING,
    ),
    (
        "{}: what it touches is fetched, the rest is pushed.",
        "the frames that have not arrived",
        lambda m: int((~st(m).arrived).sum()) >= last(m).planned - last(m).sent > 0,
    ),
    (
        "Checkpoint {} is written to the link, and the primary goes on after {} without an answer",
        "the number of checkpoints, the time that the primary stood, and that it runs",
        lambda m: m.num(0) == st(m).checkpoints and between(m, last(m).stall) and not m.sim.migration.paused,
    ),
    (
        "{}: what it sends out is held back until the backup has confirmed.",
        "the primary runs in the next epoch while its last pages may be on their way",
        lambda m: st(m).phase == EPOCH,
    ),
    (
        "The link is back after {}: both sides agree on what has arrived, and the guest goes on on the destination.",
        "the time of the recovery, that the guest runs, and that the rest of the pages is still to come",
        lambda m: (
            between(m, m.sim.scenario.recover * wire.FREQUENCY)
            and st(m).repaired
            and not st(m).arrived.all()
            and st(m).phase == ROLLING
            and not m.sim.migration.paused
        ),
    ),
    (
        ", and {} had not been sent yet",
        "the frames of the round before that were neither sent nor left for later",
        lambda m: m.num(0) == (r := st(m).rounds[-2]).planned - r.sent - r.skipped > 0,
    ),
    ("Nothing had been sent.", "no byte is on the link", lambda m: st(m).bytes == 0 and st(m).phase == ABORTED),
    (
        "{} still to be sent, {} on this link",
        "the frames that were left, and the time that the link takes for them",
        lambda m: m.before(" page") == st(m).left and between(m, st(m).left * m.sim.migration.link.page),
    ),
    (
        "{}; a pause of {} was allowed.",
        "the downtime of the scenario",
        lambda m: between(m, m.sim.scenario.downtime * wire.FREQUENCY),
    ),
    (
        "{}; at a local minimum a pause of {} was allowed.",
        "the ceiling of the scenario",
        lambda m: between(m, m.sim.scenario.stall_downtime * wire.FREQUENCY) and m.sim.scenario.policy == "stall",
    ),
    ("{}; the policy stops at fewer than {}.", "the policy's target", lambda m: m.num(1) == m.sim.migration.policy.target),
    ("its memory equals the source's, page by page", "the two hosts' memories, compared anew", equal),
    (
        "The last page has arrived: {}, as it was at the suspend. The source has nothing left to give.",
        "every frame has arrived",
        lambda m: bool(st(m).arrived.all()),
    ),
    (
        "Shadow paging ends with log-dirty: PV has its own tables back.",
        "no shadow is in use",
        lambda m: not shadows.in_use(m.m) and m.s.log_dirty == 0,
    ),
    (
        "The destination resumes: {}. The guest stood still for {}.{}",
        "the time between suspend and resume",
        lambda m: between(m, st(m).resumed - st(m).suspended),
    ),
    (
        "The epoch is over: the primary is suspended for checkpoint {}",
        "the number of checkpoints so far",
        lambda m: m.num(0) == st(m).checkpoints + 1 and m.sim.migration.paused,
    ),
    ("{}, for which {} become dirty.", "the pages of the round that begins", lambda m: m.num(1) == last(m).planned),
    (
        "The guest is suspended: all of its memory is copied while it stands still.",
        "the guest is suspended, and the round has all frames",
        lambda m: m.sim.migration.paused and last(m).planned == m.sim.migration.frames,
    ),
    (
        "The guest is suspended: only its vCPUs' state crosses now, its pages come later.",
        "the guest is suspended before pages were sent for the last time",
        lambda m: m.sim.migration.paused and st(m).phase == STATE,
    ),
    (
        "{} left for the {}.",
        "the pages of the round that begins",
        lambda m: m.before(" left for the") == last(m).planned,
    ),
    (
        "The policy says STOP because {}",
        "the last answer of the policy",
        lambda m: st(m).calls[-1][-1] == STOP,
    ),
    (
        "{}: the guest is suspended, and the bitmap is read while nothing can change it.{}{}",
        "the guest is suspended, and no bit is left",
        lambda m: m.sim.migration.paused and m.s.dirty_count == 0,
    ),
    (
        " The {} in round {}, while the guest still ran; round {} has what it wrote meanwhile.",
        "the pages of the last live round, what the policy was told before it, and what was found after it",
        lambda m: (
            (r := [r for r in st(m).rounds if r.kind == "live"])[-1].number == m.num(1)
            and r[-1].planned
            == r[-1].sent + r[-1].skipped
            == r[-2].dirtied
            == st(m).calls[-1][2]
            == int(re.search(r"The ([\d,]+) page", m.text)[1])
            and (last(m).number, last(m).planned) == (m.num(2), r[-1].dirtied)
        ),
    ),
    ("all shadows are thrown away", "the loaded roots are the only shadows, empty", only_empty_roots),
    ("shadow paging begins", "shadows are in use", lambda m: shadows.in_use(m.m)),
    (
        "one root entry is poisoned for each 512 GiB",
        "the marked entries of the nested root",
        lambda m: root_pending(m) == (-(-m.sim.scenario.frames >> 27) or 1,) * 2,
    ),
    (
        "The migration begins: log-dirty on ({}), and round 1 sends all {}.",
        "log-dirty is on, and the round has all frames",
        lambda m: m.s.log_dirty == 1 and m.num(1) == m.sim.scenario.frames,
    ),
    (
        ", {} of them before they were sent",
        "the frames that were sent after their last store",
        lambda m: m.num(0) == st(m).rounds[-2].needless <= st(m).rounds[-2].dirtied,
    ),
    (
        "all shadows are gone with it",
        "the loaded roots are the only shadows, empty",
        only_empty_roots,
    ),
    (
        "the nested root is poisoned again",
        "every entry of the nested root is marked",
        lambda m: root_pending(m)[0] == root_pending(m)[1],
    ),
    (
        "CLEAN: {} became dirty during round {}{}; {}. Round {} sends them{}.",
        "the bits that CLEAN found, the pages of the next round, and that no bit is left",
        lambda m: m.num(0) == int(m.of("CLEAN")["detail"][-1]) and m.num(4) == last(m).number and m.s.dirty_count == 0,
    ),
    (
        "The migration begins at tick {}; until then the guest just runs.",
        "the tick, and that nothing was sent",
        lambda m: m.num(0) == m.sim.scenario.migrate_at > m.sim.tick and st(m).phase == WAITING and st(m).bytes == 0,
    ),
    ("found equal to the source's", "what the comparison at the resume found", lambda m: st(m).equal is True),
    (
        "The guest runs on the destination, its pages {}. It stood still for {}.",
        "the time between suspend and resume",
        lambda m: between(m, st(m).resumed - st(m).suspended),
    ),
    (
        "The guest is suspended: vCPU and platform state are on their way.",
        "the guest is suspended, and its state is being sent",
        lambda m: m.sim.migration.paused and (st(m).phase == STATE or st(m).state_sent),
    ),
    (
        "The primary runs; {} to the next checkpoint.",
        "the guest runs",
        lambda m: not m.sim.migration.paused and st(m).phase == EPOCH,
    ),
    (
        "The guest is suspended, {} so far: {} of the last round.",
        "the guest is suspended, and the pages sent of the round",
        lambda m: m.sim.migration.paused and st(m).phase == FINAL,
    ),
    (
        "The guest runs on the destination: {}, {} fetched on demand, {} waited for them.",
        "the demand faults of the round",
        lambda m: m.num(1) == last(m).faults and st(m).phase == ROLLING,
    ),
    (
        "Round {}: {}, while the guest runs on and dirties what it has already given away.",
        "the round, the pages sent, and that the guest runs",
        lambda m: m.num(0) == last(m).number and not m.sim.migration.paused and st(m).phase == LIVE,
    ),
)

UNSAID = {  # what no good machine says, or no scene can reach: why
    "UNEQUAL to the source's": "said only if a migration loses a store: tests/migration makes many, and none does",
    "{} pushed in the background.": "the round begins in the tick of the resume, whose sentence comes first",
}


def part(m):
    """Cycles of the part of the pause that the row is about, of one pause."""
    return st(m).pause[m.event["part"]]


PAUSE = (  # what happens in each part of a pause: the same prices, put together anew
    ("the guest suspends itself", "the price of a suspend", lambda m: part(m) == m.sim.migration.table["suspend"]),
    (
        "CLEAN copies the whole bitmap to the toolstack: one bit for each frame, set or not",
        "the price of a reading of all frames' bits",
        lambda m: part(m) == m.sim.migration.clock.price(costs.bitmap_read(m.sim.migration.p2m_size)),
    ),
    ("CLEAN throws all shadows away", "`blows`", lambda m: part(m) > 0 and m.s.blows > 0),
    (
        "the sender tests every bit",
        "the price of a test of all frames' bits",
        lambda m: part(m) == m.sim.migration.clock.price(costs.bitmap_tested(m.sim.migration.p2m_size)),
    ),
    ("what is still dirty crosses the link", "the pages of the last round", lambda m: part(m) > 0 and last(m).sent > 0),
    (
        "the vCPUs' and the platform's state crosses",
        "the time that the link takes for it",
        lambda m: part(m) >= m.sim.migration.link.main.cycles(m.sim.migration.state_size),
    ),
    ("the last byte is on its way", "the latency of the link", lambda m: part(m) == m.sim.migration.link.latency),
    ("the guest goes on", "the price of a resume", lambda m: part(m) == m.sim.migration.table["resume"]),
)
ROUNDS = (
    *PAUSE,
    ("left for later", "the round's frames that were not sent", lambda m: m.event["left for later"] == row_of(m).skipped),
    (
        "During round {} the guest dirtied {}, {} MB/s",
        "the round's pages and time",
        lambda m: any(r.number == m.num(0) and r.dirtied == m.num(1) for r in st(m).rounds),
    ),
    (
        "{}: more than the link carries, {} MB/s; no number of rounds can empty the set.",
        "the dirty rate is not below the bandwidth",
        lambda m: paces(m.sim.migration)[-1].dirtied >= m.sim.migration.link.whole == m.num(1),
    ),
    (
        "{}: less than the link carries, {} MB/s, but hardly fewer pages than in the round before.",
        "the dirty rate is below the bandwidth, and the pages of the last two rounds",
        lambda m: (
            (p := paces(m.sim.migration))[-1].dirtied < m.num(1) == m.sim.migration.link.whole
            and p[-1].written >= PLATEAU * p[-2].written
        ),
    ),
    (
        "{}: less than the link carries, {} MB/s, so a next round would be shorter.",
        "the dirty rate is below the bandwidth",
        lambda m: paces(m.sim.migration)[-1].dirtied < m.sim.migration.link.whole == m.num(1),
    ),
    (
        "A pause after round {} would take {} µs, {} of them whatever is dirty.",
        "what suspend, state and resume take",
        lambda m: abs(m.num(2) - fixed(m.sim.migration) / wire.FREQUENCY) <= 0.5 and m.num(1) >= m.num(2),
    ),
    (
        "About {} written all the time, the **writable working set**: further rounds would send that in vain.",
        "the pages that the last two readings found dirty",
        lambda m: m.num(0) == min([r.dirtied for r in st(m).rounds if r.kind == "live" and r.left >= 0][-2:]),
    ),
    ("The policy ({}) said STOP: {}.{}", "the policy has answered STOP", lambda m: st(m).calls[-1][-1] == STOP),
    (
        "The guest was suspended without a STOP of the policy ({}): {}.",
        "the policy never answered STOP, and the guest was suspended all the same",
        lambda m: all(call[-1] != STOP for call in st(m).calls) and st(m).suspended > 0,
    ),
    (
        "The policy ({}) has been asked {}; its last answer: {}.",
        "the calls of the policy",
        lambda m: m.num(1) == len(st(m).calls),
    ),
)
