"""Remus' primary that waits for nobody, older Xen's batches, and the search of post-copy."""

import numpy as np
import pytest

from pagingviz.migration import send, wire
from pagingviz.migration.effects import BeginBatch, Command, Fault, SearchFrom, SendPages, Skip
from tests.migration.closed_forms import uniform
from tests.migration.finished import by_round, intercept, moved, small, wiretap

pytestmark = pytest.mark.slow


# ---- Remus


def test_second_reading_12_the_primary_does_not_wait_for_an_answer():
    """A slow line to the backup delays nothing: the primary goes on when the checkpoint is written to the link."""
    near, far = (moved(**small("ept", migrate="remus", epochs=4, tracking="free", latency=n)).migration for n in (0, 100_000))
    assert near.state.downtime == far.state.downtime and near.state.checkpoints == far.state.checkpoints == 4
    for r in far.state.rounds:
        if r.kind != "live":
            state = far.link.cycles(wire.STATE["hap"] + wire.CHECKPOINT)
            least = r.ended - r.began + far.table["suspend"] + far.table["resume"] + state
            assert abs(r.stall - least) <= 2 * far.op


# ---- batches of older Xen


def planned_ones(now):
    """The mutant: 1,024 entries of the set, skipped or not."""
    yield Command("peek")
    yield BeginBatch(min(now.state.at + 1024, now.state.rounds[-1].planned))
    yield Skip(now.machine.dirty_frames())


@pytest.mark.parametrize("mutant", [None, planned_ones])
def test_second_reading_14_a_batch_is_1024_pages_after_skipping(mutant, monkeypatch):
    """Pages that are dirty again are passed over and do not count: only the last record of a round is shorter."""
    if mutant:
        monkeypatch.setattr(send, "_begin_batch", mutant)
    heard = wiretap(monkeypatch)
    fields = uniform(7000, migrate_at=20_000, policy="legacy", pace=4)
    st = moved(frames=8192, **fields).migration.state
    skipping = [r for r in st.rounds if r.kind == "live" and r.skipped > 100 and r.sent > 1024]
    assert len(skipping) > 2
    records, full = by_round(heard), True
    for r in skipping:
        sizes = [record.size for record in records[r.number]]
        assert sum(sizes) == r.sent
        full &= sizes[:-1] == [1024] * (len(sizes) - 1)
    assert full == (mutant is None)


def test_second_reading_14_the_search_for_1024_pages_ends_at_the_last_frame(monkeypatch):
    """A guest of 512 frames has one batch in each round, however many of them are dirty again."""
    ends = []
    intercept(monkeypatch, BeginBatch, lambda mig, effect, carry_out: (ends.append(effect.upto), carry_out())[1])
    sim = moved(frames=512, policy="legacy", work="uniform:400", write=100, pace=60, migrate_at=8000)
    assert sim.migration.state.equal and ends == [r.planned for r in sim.migration.state.rounds if r.planned]


# ---- post-copy's search


def pushed(monkeypatch, **fields):
    """(what goes onto the link in post-copy, in order: (is it wanted, frames)), the round)."""
    sent, wanted = [], []
    intercept(monkeypatch, Fault, lambda mig, effect, carry_out: (wanted.append(1), carry_out())[1])

    def hear(mig, effect, carry_out):
        sent.append((bool(wanted), effect.frames))
        wanted.clear()
        return carry_out()

    intercept(monkeypatch, SendPages, hear)
    mig = moved(frames=4096, **uniform(4000, migrate="postcopy", pace=1, migrate_at=40_000, **fields)).migration
    monkeypatch.undo()
    return sent, mig


def goes_on_from_the_wanted_page(sent):
    """Whether what the background sends after a wanted page begins with the first page behind it that is not there."""
    there, checked = np.zeros(4097, bool), 0
    for (wanted, frames), (next_wanted, behind) in zip(sent, sent[1:], strict=False):
        there[frames] = True
        if wanted and not next_wanted:
            missing = np.flatnonzero(~there[:4096])
            onwards = missing[missing >= frames[0]]
            if int(behind[0]) != int(onwards[0] if onwards.size else missing[0]):
                return False
            checked += 1
    return checked > 20


def test_second_reading_13_the_background_goes_on_from_the_wanted_page(monkeypatch):
    sent, mig = pushed(monkeypatch)
    assert goes_on_from_the_wanted_page(sent) and mig.state.equal
    assert np.array_equal(np.sort(np.concatenate([frames for _, frames in sent])), np.arange(4096)), "each page once"


def test_second_reading_13_a_background_that_does_not_restart_is_found_out(monkeypatch):
    """The mutant goes on where it was."""
    intercept(monkeypatch, SearchFrom, lambda mig, effect, carry_out: None)
    sent, mig = pushed(monkeypatch)
    assert not goes_on_from_the_wanted_page(sent) and mig.state.equal


def test_second_reading_13_a_page_overtakes_the_background_with_preempt_only(monkeypatch):
    """Without it the page goes behind what is on the link when its request arrives: at most one piece of 1/256 of the round."""
    for preempt in (0, 1):
        _, mig = pushed(monkeypatch, preempt=preempt, latency=0)
        r = mig.state.rounds[-1]
        extra = r.stall - r.faults * (2 * mig.link.latency + mig.link.page)
        if preempt:
            assert extra == 0
        else:
            piece = wire.chunk(r.planned) * mig.link.page
            assert mig.link.page < extra / r.faults <= piece
