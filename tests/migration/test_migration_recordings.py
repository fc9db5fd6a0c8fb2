"""The pre-copy loops of a real Xen: what its policy was asked, the bytes of its streams, and the same loops on the model."""

import dataclasses
import json

import numpy as np
import pytest

from pagingviz.evidence.xen import saves
from pagingviz.evidence.xen.compare import known_differences
from pagingviz.evidence.xen.guest import SPECIAL, Guest
from pagingviz.evidence.xen.library import text
from pagingviz.evidence.xen.model import scenario_of
from pagingviz.evidence.xen.pvguest import guest_of
from pagingviz.migration import Migration, wire
from pagingviz.migration.effects import ReadBitmap
from pagingviz.migration.policy import CONTINUE, STOP, Policy
from pagingviz.scenario.fields import ScenarioError
from pagingviz.timeline.simulation import Simulation

pytestmark = pytest.mark.slow

LINES = saves.read_table(text(saves.TABLE))
DIFFERS = [name for name in saves.NAMES if known_differences({f"save_{name}.jsonl"})]
AGREES = [name for name in saves.NAMES if name not in DIFFERS]


class Fed(Migration):
    """A migration that reads the recorded counts in place of its own: the lowest so many frames are dirty."""

    def __init__(self, machine, work, recorded, last):
        self.counts = [*recorded.sets[1:], last]
        super().__init__(machine, work, saves.P2M_SIZE[recorded.road], recorded.policy)

    def apply(self, effect):
        answer = super().apply(effect)
        if not isinstance(effect, ReadBitmap):
            return answer
        self.state.dirty_count = self.counts.pop(0)
        return np.arange(self.state.dirty_count)


def to_the_end(sim):
    """The migration of a simulation when it is over."""
    while not sim.migration.state.ended:
        sim.run(sim.migration.state.next - sim.tick)
    return sim.migration


def fed(name):
    """The end of a migration of an idle guest whose readings are a recording's counts."""
    recorded = saves.save(name)
    guest = guest_of("pv64" if recorded.road == "pv" else "hvm64")
    work = saves.LoopWork(guest, guest.idle(), scenario_of({}, recorded.road))
    scenario = scenario_of({"migrate": "precopy", "migrate_at": work.boot, "tracking": "free"}, recorded.road)
    return to_the_end(Simulation(scenario, work=work, migration=lambda m, w: Fed(m, w, recorded, LINES[name].last)))


# ---- the policy and the stream


def test_the_recordings_are_all_there_and_the_table_is_theirs():
    assert len(saves.NAMES) == 14 and len(LINES) == 17
    for name in saves.NAMES:
        recorded, line = saves.save(name), LINES[name]
        assert recorded.sets == list(line.sets) and recorded.calls[-1].iteration == line.iteration
        assert recorded.calls[-1].dirty_count == line.dirty_count
        assert recorded.sets[0] == saves.P2M_SIZE[recorded.road]


@pytest.mark.parametrize("name", saves.NAMES)
def test_with_the_recorded_counts_the_loop_is_the_recorded_one(warm, name):
    """Every call and answer; and the stream byte for byte, but for pages that the model's guest lacks (HVM) or has (PV)."""
    recorded, line, mig = saves.save(name), LINES[name], fed(name)
    assert mig.state.calls == [call.told for call in recorded.calls]
    assert [call[3] for call in mig.state.calls] == [CONTINUE] * (len(mig.state.calls) - 1) + [STOP]
    assert [call[2] < 0 for call in mig.state.calls] == [bool(k % 2) for k in range(len(mig.state.calls))]
    assert mig.state.stop == recorded.stop[1] and mig.counts == []
    more = SPECIAL if recorded.road != "pv" else -saves.HOLES["pv"]
    assert mig.state.total_sent == line.pfns_sent
    assert mig.state.bytes + more * wire.PAGE == line.stream_bytes


@pytest.mark.parametrize("name", LINES)
def test_the_format_gives_every_recorded_stream(name):
    line, road = LINES[name], name.partition("_")[0]
    assert line.last > 0
    assert line.bytes_by(road) == line.stream_bytes
    # Nothing of it is slack: one entry, or one page, or one record more would show.
    assert dataclasses.replace(line, pfns_sent=line.pfns_sent + 1).bytes_by(road) != line.stream_bytes


# ---- the model's own run


def without_counts(stop):
    """A stop without the number of dirty pages: (iteration, what was compared, with what)."""
    iteration, rule = stop
    return iteration, rule.split()[0], rule.split()[-1]


@pytest.mark.parametrize("name", AGREES)
def test_the_model_stops_where_xen_did(warm, name):
    beside = saves.side_by_side(name)
    assert without_counts(beside.model) == without_counts(beside.recorded)
    assert all(recorded is not None and model is not None for _, recorded, model in beside.rounds)


@pytest.mark.parametrize("name", saves.NAMES)
def test_rounds_in_which_the_guest_got_to_every_page(warm, name):
    recorded, rounds = saves.save(name), saves.side_by_side(name).rounds
    assert rounds[0][1] == rounds[0][2] == saves.P2M_SIZE[recorded.road]
    full = [(count, model) for _, count, model in rounds[1:] if recorded.full(count)]
    assert full and all(count == model for count, model in full)


@pytest.mark.parametrize("name", saves.NAMES)
def test_the_stream_of_the_models_own_run_has_its_format(warm, name):
    st = saves.moved(saves.save(name)).migration.state
    records = sum(-(-r.sent // wire.BATCH) for r in st.rounds)
    state = wire.STATE[saves.save(name).road]
    assert st.bytes == wire.stream_bytes(st.total_sent, sum(r.data for r in st.rounds), records, state)
    assert st.equal and [r.kind for r in st.rounds][-2:] == ["live", "final"]


@pytest.mark.parametrize("work", ["idle_l0", "w256_1k_l0", "w1024_1k_l8M", "w1024_5k_l2M"])
def test_nested_tables_make_the_guests_own_four_tables_dirty(warm, work):
    nested, shadow = saves.side_by_side(f"hap_{work}"), saves.side_by_side(f"shadow_{work}")
    for side in (1, 2):
        assert nested.rounds[1][side] == shadow.rounds[1][side] + 4


def test_the_known_difference_is_one_of_the_guests_rate(warm):
    """One rate cannot be right for it: as fast in each round as the recorded guest was, the model stops where Xen did."""
    (name,) = DIFFERS
    beside, recorded = saves.side_by_side(name), saves.save(name)
    assert beside.recorded == (5, "iteration 5 >= 5") and beside.model[0] == 4
    rates = [(n - saves.always("hap")) / s for n, s in zip(recorded.sets[1:], recorded.lasted, strict=False)]
    first, second, last = (round(rate) for rate in rates[1:])
    assert f" {first}, {second} and then {last} pages a second" in beside.why
    sim = saves.simulation(recorded)
    sim.migration.ticks = [t * rate / recorded.rate for t, rate in zip(sim.migration.ticks, [*rates, last], strict=True)]
    st = to_the_end(sim).state
    assert (st.iteration, st.stop) == beside.recorded


def test_going_back_and_forth_changes_nothing(warm):
    sim = saves.moved(saves.save("pv_w256_1k_l0"))
    calls, tick = sim.migration.state.calls, sim.tick
    third = sim.migration.state.rounds[2]
    sim.seek(third.tick - 5)
    assert len(sim.migration.state.rounds) == 2
    sim.seek(tick)
    assert sim.migration.state.calls == calls and sim.migration.state.rounds[2] == third


def test_a_visit_takes_the_same_number_of_rows_on_every_page():
    assert len(Guest("hvm64").visits(10)) == 10 * len(Guest("hvm64").visits(1))


# ---- reading


def save_of(*events):
    return saves.read_save("pv_w256_1k_l0", "\n".join(json.dumps(event) for event in events))


def call(t, iteration, count, decision=CONTINUE):
    return {"t": t, "ev": "policy", "iteration": iteration, "total_written": 0, "dirty_count": count, "decision": decision}


def test_rates_of_the_guest():
    """Mean over rounds that are not full; not less than a full one needs; what the name says where all are full."""
    begin, end = call(0, 0, 8191), {"ev": "suspend", "t": 9000.0}
    some = [call(1000, 1, 101), call(3000, 2, 201, STOP)]
    assert save_of(begin, *some, end).rate == 300 / 3
    assert save_of(begin, call(500, 1, 257), call(2500, 2, 51, STOP), end).rate == 256 / 0.5
    assert save_of(begin, call(1000, 1, 257, STOP), end).rate == 1000
    assert save_of(begin, *some, end).lasted == [1, 2, 6]
    assert save_of(begin, *some, call(4000, 3, -1, STOP), end).lasted == [1, 2, 1]
    assert saves.save("pv_w128_120_l2M").policy == Policy("numbers", 20, 8)
    assert save_of(begin, *some, end).policy == Policy("xen")


BAD = [
    "",
    "x",
    "{}",
    '{"ev": "policy"}',
    json.dumps(call(0, 0, 5, STOP)),
    '{"ev": "suspend", "t": 1}',
    '{"ev": "suspend", "t": 1}\n' + json.dumps(call(0, 0, 5)),
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_recording_is_one_sentence(bad):
    with pytest.raises(ScenarioError, match=r"^The pre-copy loop pv_idle_l0 [^\n]*\.$"):
        saves.read_save("pv_idle_l0", bad)


def test_bad_names_and_tables_are_one_sentence():
    with pytest.raises(ScenarioError, match="is not the name of a recorded pre-copy loop"):
        saves.read_save("pv_w_l0", "")
    with pytest.raises(ScenarioError, match="^The pre-copy loop 'hap_w1' is not known"):
        saves.save("hap_w1")
    with pytest.raises(ScenarioError, match="^This is not a line of the table"):
        saves.read_table("pv_idle_l0 it0:5@1s\n")
