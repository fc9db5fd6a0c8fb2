"""Work: against a slow model, fixed hashes, the shipped recordings, and what it needs of memory."""

import hashlib
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pagingviz
from pagingviz.scenario.scenario import Scenario, ScenarioError, shipped_traces
from pagingviz.work.generators import alias_table
from pagingviz.work.programs import Programs, shipped

TRACES = Path(pagingviz.__file__).parent / "work/traces"
FETCH, READ, WRITE, FORK, EXIT, IDLE = 0, 1, 2, 4, 5, 6
M64 = 2**64 - 1


def ops(work, t0, n):
    """(op, credit) arrays of ticks t0..t0+n."""
    op, credit = np.zeros(n, np.uint64), np.full(n, 77, np.uint32)
    work.fill(op, credit, t0)
    return op, credit


# --- the model: one tick at a time, Python integers


def splitmix(x):
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & M64
    return x ^ x >> 31


GOLDEN = 0x9E3779B97F4A7C15


def model_tick(scenario, t):
    """(op, credit) of tick t, from the definition."""
    turns = list(scenario.turns)
    slot, rest = divmod(t, scenario.quantum)
    lap, place = divmod(slot, len(turns))
    entry = turns[place]
    e = (turns[:place].count(entry) + lap * turns.count(entry)) * scenario.quantum + rest
    kinds = ["trace"] * len(scenario.traces) + [g.kind for g in scenario.generators]
    proc = entry + kinds[:entry].count("fork")
    if kinds[entry] == "trace":
        data = np.load(TRACES / f"{scenario.traces[entry]}.npz")
        i = e % data["page"].size
        page, kind = int(data["page"][i]), int(data["kind"][i])
        of_page = data["kind"][data["page"] == page]
        flags = 8 * bool((of_page == WRITE).any()) + 16 * bool((of_page == FETCH).any())
        return int(data["pages"][page]) << 12 | proc << 5 | flags | kind, int(data["count"][i]) - 1
    generator = scenario.generators[entry - len(scenario.traces)]
    if generator.kind == "idle":
        return proc << 5 | IDLE, 0
    key = splitmix(scenario.seed ^ splitmix((proc + 1) * GOLDEN & M64))
    r = splitmix((key + e * GOLDEN) & M64)
    high, low = r >> 32, r & 0xFFFFFFFF
    kind = WRITE if (((r * GOLDEN & M64) >> 32) * 100) >> 32 < scenario.write else READ
    pages = generator.args[0]
    if generator.kind == "uniform":
        page = high * pages >> 32
    elif generator.kind == "sequential":
        page = e // generator.args[1] % pages
    elif generator.kind == "zipf":
        page = high * pages >> 32
        cell = int(alias_table(*generator.args)[page])
        page = page if low < cell >> 32 else cell & 0xFFFFFFFF
    elif generator.kind == "hotcold":
        hot, percent = generator.args[1:]
        to_hot = pages == hot or low * 100 >> 32 < percent
        page = high * hot >> 32 if to_hot else hot + (high * (pages - hot) >> 32)
    else:
        phase = e % (3 * pages + 2)
        page = phase if phase < pages else high * pages >> 32
        if phase == pages:
            return 0x10000 << 12 | proc << 5 | 8 | FORK, 0
        if phase == 3 * pages + 1:
            return 0x10000 << 12 | (proc + 1) << 5 | 8 | EXIT, 0
        proc += phase > pages and (phase - pages - 1) // 8 % 2
    return (0x10000 + page) << 12 | proc << 5 | 8 | kind, 0


GENERATORS = ["uniform:7", "zipf:9:0.7", "sequential:5:3", "hotcold:12", "hotcold:3:3:0", "fork:4", "idle"]


@settings(max_examples=60)
@given(
    works=st.lists(st.sampled_from(GENERATORS), min_size=1, max_size=4),
    quantum=st.sampled_from([1, 2, 3, 20, 1000]),
    order=st.lists(st.integers(0, 3), max_size=6),
    seed=st.integers(0, 2**63 - 1),
    write=st.sampled_from([0, 1, 50, 100]),
    t0=st.integers(0, 10**9),
    n=st.integers(1, 90),
)
def test_generators_equal_the_model(works, quantum, order, seed, write, t0, n):
    turns = ",".join(str(turn % len(works)) for turn in order)
    scenario = Scenario(trace="", work=",".join(works), quantum=quantum, order=turns, seed=seed, write=write, frames=256)
    op, credit = ops(Programs(scenario), t0, n)
    assert list(zip(op.tolist(), credit.tolist(), strict=True)) == [model_tick(scenario, t0 + i) for i in range(n)]


@pytest.mark.slow
@pytest.mark.parametrize("t0", [0, 999, 4426178 * 2 - 5, 10**9 - 40])
def test_traces_equal_the_model(t0):
    scenario = Scenario(trace="gzip,perl_wc", work="idle", order="0,1,0,2", quantum=7, frames=512)
    op, credit = ops(Programs(scenario), t0, 40)
    assert list(zip(op.tolist(), credit.tolist(), strict=True)) == [model_tick(scenario, t0 + i) for i in range(40)]


@settings(max_examples=30)
@given(st.integers(0, 10**9 - 500), st.lists(st.integers(1, 99), min_size=1, max_size=5))
def test_chunks_do_not_matter(t0, cuts):
    work = Programs(Scenario(trace="gzip", work="hotcold:24,fork:8", quantum=20))
    whole = ops(work, t0, sum(cuts))
    parts, t = [], t0
    for n in cuts:
        parts.append(ops(work, t, n))
        t += n
    assert all((np.concatenate(part) == all_).all() for part, all_ in zip(zip(*parts, strict=True), whole, strict=True))


HASHES = {
    ("gzip", "", 1000): "4943e61aac12adf6",
    ("gzip,perl_wc,sqlite,cc1", "", 2000): "ff0af4a360d2ec29",
    ("", "uniform:1000", 50): "fb50e53f7a350eef",
    ("", "zipf:16384", 1000): "e5f2f43aa87f065d",
    ("", "zipf:500:1.37", 10): "db57f1450e176fe6",
    ("", "sequential:100:8", 10): "abcfaa201a325cc5",
    ("", "hotcold:24", 10): "5f7e45687d9de95c",
    ("", "fork:16,idle", 10): "669cfc2e4a664a7f",
}


@pytest.mark.parametrize(("trace", "work", "quantum"), HASHES)
def test_the_same_operations_on_every_machine(trace, work, quantum):
    scenario = Scenario(trace=trace, work=work, quantum=quantum, seed=12345, frames=32768)
    op, credit = ops(Programs(scenario), 123456, 100_000)
    got = hashlib.sha256(op.astype("<u8").tobytes() + credit.astype("<u4").tobytes()).hexdigest()[:16]
    assert got == HASHES[trace, work, quantum]


def test_seed_and_slot_change_the_stream():
    one = ops(Programs(Scenario(trace="", work="uniform:200,uniform:200", seed=1, frames=512)), 0, 2000)[0]
    two = ops(Programs(Scenario(trace="", work="uniform:200,uniform:200", seed=2, frames=512)), 0, 2000)[0]
    assert (one != two).mean() > 0.9
    assert (one[:1000] >> np.uint64(12) != one[1000:] >> np.uint64(12)).mean() > 0.9


# --- how the generators are distributed


@pytest.mark.parametrize(("pages", "hundredths"), [(1, 99), (2, 100), (10, 99), (1000, 50), (4096, 200), (262144, 99)])
def test_alias_table_is_the_zipf_distribution(pages, hundredths):
    table = alias_table(pages, hundredths)
    own, other = table >> np.uint64(32), (table & np.uint64(0xFFFFFFFF)).astype(np.int64)
    share = own.astype(float)
    np.add.at(share, other, 2.0**32 - own.astype(float))
    share /= pages * 2.0**32
    exact = np.arange(1, pages + 1) ** (-hundredths / 100)
    exact /= exact.sum()
    assert np.abs(share - exact).max() < 1e-7


def test_alias_table_is_exact_for_exponent_one():
    table = alias_table(3, 100)
    total = Fraction(1) + Fraction(1, 2) + Fraction(1, 3)
    share = [Fraction(0)] * 3
    for column, cell in enumerate(table.tolist()):
        share[column] += Fraction(cell >> 32, 3 * 2**32)
        share[cell & 0xFFFFFFFF] += Fraction(2**32 - (cell >> 32), 3 * 2**32)
    assert all(abs(share[k] - Fraction(1, k + 1) / total) < Fraction(1, 10**8) for k in range(3))


def test_writes_and_hot_pages_have_the_share_asked_for():
    op, _ = ops(Programs(Scenario(trace="", work="hotcold:80:10:90", write=25)), 0, 200_000)
    assert abs((op & np.uint64(7) == WRITE).mean() - 0.25) < 0.005
    page = (op >> np.uint64(12)) - np.uint64(0x10000)
    assert abs((page < 10).mean() - 0.9) < 0.005
    assert page.max() == 79
    hot_writes = (op & np.uint64(7) == WRITE)[page < 10].mean()
    assert abs(hot_writes - 0.25) < 0.005, "writes must not depend on the page"
    for page_number in range(10):
        assert abs((page[page < 10] == page_number).mean() - 0.1) < 0.005


def test_no_writes_and_only_writes():
    for write, kind in ((0, READ), (100, WRITE)):
        op, _ = ops(Programs(Scenario(trace="", work="uniform:50", write=write)), 0, 10_000)
        assert (op & np.uint64(7) == kind).all()


def test_fork_cycles_are_well_formed():
    op, _ = ops(Programs(Scenario(trace="", work="idle,fork:8", order="1", quantum=13)), 0, 26 * 40)
    kind, slot = (op & np.uint64(7)).astype(int), (op >> np.uint64(5) & np.uint64(31)).astype(int)
    alive = False
    for k, p in zip(kind, slot, strict=True):
        assert k != EXIT or (alive and p == 2)
        assert k != FORK or (not alive and p == 1)
        assert p == 1 or alive
        alive = alive != (k in (FORK, EXIT))
    assert (kind == FORK).sum() == (kind == EXIT).sum() == 40


# --- recordings


@pytest.mark.parametrize("name", shipped_traces())
def test_shipped_recording_is_what_its_description_says(name):
    said = json.loads((TRACES / f"{name}.json").read_text())
    trace, spec = shipped(name), Programs(Scenario(trace=name, frames=8192)).processes[0]
    assert trace.name == name == spec.name
    assert trace.pages.size == said["pages"]
    assert int(trace.writable.sum()) == said["pages_written"]
    assert int(trace.executable.sum()) == said["pages_exec"]
    assert trace.events.size == said["events"] == spec.events
    assert trace.accesses == said["recorded_accesses"]
    assert [hex(trace.pages[0]), hex(trace.pages[-1])] == [said["min_vpn"], said["max_vpn"]]
    kinds, hits = trace.events & np.uint64(7), (trace.events >> np.uint64(32)) + np.uint64(1)
    for kind, key in enumerate(("instr", "read", "write")):
        assert int(hits[kinds == kind].sum()) == said["by_kind"][key]
    assert np.unique(trace.events >> np.uint64(8) & np.uint64(0xFFFFFF)).size == trace.pages.size


def test_shipped_recordings_are_small():
    assert len(shipped_traces()) >= 4
    assert sum(path.stat().st_size for path in TRACES.iterdir()) < 5 << 20


def test_recordings_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        shipped("gzip").events[0] = 0


def test_laps():
    work = Programs(Scenario(trace="gzip", work="idle", quantum=1000))
    events = shipped("gzip").events.size
    slots, rest = divmod(events, 1000)
    last = slots * 2000 + rest - 1  # tick of the last event of the first lap: every second slice is gzip's
    assert work.laps(0) == (0, 0)
    assert work.laps(last) == (0, 0)
    assert work.laps(last + 1) == (1, 0)
    op, _ = ops(work, last + 1, 1)
    assert op[0] == ops(work, 0, 1)[0][0]
    assert Programs(Scenario(trace="", work="idle,uniform:9,fork:2")).laps(10**9) == (0, 0, 0, 0)


# --- memory


def count_tables(spec):
    pages = [int(page) for page in spec.pages]
    return 1 + sum(len({page >> shift for page in pages}) for shift in (9, 18, 27))


@pytest.mark.parametrize(
    ("trace", "work", "frames"), [("gzip", "hotcold:24", 256), ("cc1,sqlite", "fork:600,idle", 8192), ("", "idle", 64)]
)
def test_needs(trace, work, frames):
    w = Programs(Scenario(trace=trace, work=work, frames=frames))
    tables = 2 + -(-frames // 512) + sum(count_tables(p) for p in w.processes)
    assert w.need_tables == tables
    assert w.need_frames == 8 * -(-(tables + 8) // 8) + sum(p.pages.size for p in w.processes)
    assert w.slots == len(w.processes)


def test_fork_has_two_slots():
    w = Programs(Scenario(trace="gzip", work="fork:10,uniform:5", frames=256))
    assert [p.name for p in w.processes] == ["gzip", "fork", "fork child", "uniform"]
    assert [p.child for p in w.processes] == [False, False, True, False]
    assert w.processes[1].pages.size == w.processes[2].pages.size == 10


@pytest.mark.parametrize(("trace", "work"), [("gzip", ""), ("cc1,sqlite", "fork:600"), ("", "zipf:200000")])
def test_too_small_a_guest_is_told_the_size(trace, work):
    with pytest.raises(ScenarioError, match=r"needs \d+ frames") as caught:
        Programs(Scenario(trace=trace, work=work, frames=64))
    frames = int(str(caught.value).split("needs ")[1].split()[0])
    assert frames % 64 == 0
    assert f"frames={frames}" in str(caught.value)
    Programs(Scenario(trace=trace, work=work, frames=frames))
    with pytest.raises(ScenarioError):
        Programs(Scenario(trace=trace, work=work, frames=frames - 64))


def test_more_than_any_guest_can_hold():
    with pytest.raises(ScenarioError, match="more than the 262144"):
        Programs(Scenario(trace="", work="uniform:262144", frames=262144))
