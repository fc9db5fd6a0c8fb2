"""The ledger of machines side by side: its counts are the engine's, its cycles those times the table, its sources named."""

import pytest

from pagingviz.arch import costs
from pagingviz.experiments import balance
from pagingviz.player.side import entries
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

ROADS = ({}, {"road": "hap"}, {"road": "hap", "hap": "npt"}, {"road": "pv"}, {"road": "bare"})


@pytest.fixture(scope="module")
def sims(warm):
    """The blackboard on every road, log-dirty on, some CLEANs done."""
    out = [Simulation(load("blackboard").replace(do="enable@300,clean@600,peek@700,clean@900", **fields)) for fields in ROADS]
    for sim in out:
        sim.run(1500)
    return out


@pytest.fixture(scope="module")
def rows(sims):
    return {row.what: row for row in balance.ledger(sims)}


def test_counts_are_the_engine_s_and_cycles_are_counts_times_prices(sims, rows):
    for what, counter, price in (*costs.CAUSES, *costs.PAUSES, ("reference of a walk", "walk_refs", {"reference": 1})):
        counts = tuple(sim.counters()[counter] for sim in sims)
        if any(counts):
            assert rows[what].counts == counts and rows[what].counter == counter
            assert rows[what].cycles == tuple(n * costs.cycles(price) for n in counts)
        else:
            assert what not in rows, "rows without anything in them are left out"
    assert rows["bitmap read"].counts == tuple(sim.counters()["peeks"] + sim.counters()["cleans"] for sim in sims)
    assert rows["bitmap read"].cycles[0] == rows["bitmap read"].counts[0] * costs.DEFAULT["bitmap_page"] > 0


def test_a_store_that_is_emulated_is_one_of_the_shadow_faults(rows):
    emulated, faults = rows["store emulated by the shadow code"], rows["shadow fault"]
    assert emulated.cycles is None and emulated.counts[0] > 0
    assert all(few <= all_ for few, all_ in zip(emulated.counts, faults.counts, strict=True))


def test_the_sum_is_that_of_all_that_has_a_price(sims, rows):
    for k in range(len(sims)):
        assert rows[balance.TOTAL].cycles[k] == sum(
            row.cycles[k] for row in rows.values() if row.cycles and row.what != balance.TOTAL
        )
    assert rows[balance.TOTAL].cycles[4] < min(rows[balance.TOTAL].cycles[:4]), "without a hypervisor only walks cost"


def test_every_row_says_where_its_price_comes_from(rows):
    known = {cost.source for cost in costs.COSTS}
    for row in rows.values():
        assert row.source and (row.cycles is not None or row.source.startswith("counted"))
        if row.price:
            named = [key for key in costs.DEFAULT if key in row.price.split()]
            assert named and all(f"{key} {costs.DEFAULT[key]:,}" in row.price for key in named)
            assert row.source in known or all(f"{key}: " in row.source for key in named)
    assert rows["shadow fault"].source == costs.GUESS and "VMRUN" in rows["CR3 exit"].source
    assert rows["shadow fault"].whose == "Xen's own counter" and rows["reference of a walk"].whose == "counted by the model"


def test_a_price_that_the_viewer_has_changed_is_called_hers(warm):
    sim = Simulation(load("blackboard").replace(cost_shadow_fault=5000))
    sim.run(900)
    row = next(row for row in balance.ledger([sim]) if row.what == "shadow fault")
    assert row.source == balance.YOURS and row.cycles == (row.counts[0] * 5000,) and row.price == "shadow_fault 5,000"


def test_a_migration_adds_what_it_sent_and_how_long_the_guest_stood(warm):
    sims = [Simulation(load("moving").replace(**fields)) for fields in ({}, {"road": "hap"})]
    for sim in sims:
        sim.run(12_000)
    rows = {row.what: row for row in balance.ledger(sims)}
    assert rows["sent over the link"].counts == tuple(sim.migration.state.bytes for sim in sims)
    pause = rows["pause of the guest"]
    assert pause.counts == tuple(sim.migration.stood for sim in sims) and min(pause.counts) > 0
    assert pause.cycles == tuple(sim.migration.state.downtime for sim in sims) and min(pause.cycles) > 0


def test_a_pause_that_is_not_over_counts_up_to_now(warm):
    sim = Simulation(load("moving"))
    while not sim.migration.paused:
        sim.run(50)
    seen = []
    while sim.migration.paused:
        (pause,) = (row for row in balance.ledger([sim]) if row.what == "pause of the guest")
        seen.append((*pause.counts, *pause.cycles))
        sim.run(200)
    assert len(seen) > 2 and seen == sorted(seen) and seen[0] < seen[-1]
    assert seen[-1][1] <= sim.migration.state.downtime


def test_bars_show_how_much_more_the_others_have_than_the_first(rows):
    for cycles in (True, False):
        for what, more in balance.differences(list(rows.values()), cycles):
            numbers = rows[what].cycles if cycles else rows[what].counts
            assert more == tuple(n - numbers[0] for n in numbers[1:]) and what != balance.TOTAL


def test_the_chip_counts_all_exits_and_hypercalls(sims, rows):
    causes = {what for what, _, _ in costs.CAUSES}
    for k, sim in enumerate(sims):
        assert entries(sim) == sum(row.counts[k] for row in rows.values() if row.what in causes)
    assert entries(sims[4]) == 0
