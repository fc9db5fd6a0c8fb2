"""Prices as fields: one for each row of the table of costs, in every written form, and what they decide."""

import pytest

from pagingviz.arch import costs
from pagingviz.experiments.migrations import migrate
from pagingviz.scenario.cost_fields import name_of
from pagingviz.scenario.scenario import from_json, from_mapping, from_toml
from pagingviz.scenario.table import FIELD, FIELDS
from tests.scenario.refused import refused


def test_each_row_of_the_table_of_costs_is_a_field_and_no_other_price_is():
    assert [field.name for field in FIELDS if field.name.startswith("cost_")] == [name_of(cost.key) for cost in costs.COSTS]
    for cost in costs.COSTS:
        field = FIELD[name_of(cost.key)]
        assert field.default == cost.cycles and cost.what in field.help and cost.source in field.help
    assert from_mapping({}).costs == costs.DEFAULT


@pytest.mark.parametrize("cost", costs.COSTS, ids=lambda cost: cost.key)
def test_a_price_survives_address_json_and_toml(cost):
    name = name_of(cost.key)
    sc = from_mapping({name: str(cost.cycles + 7)})
    assert sc.costs == costs.DEFAULT | {cost.key: cost.cycles + 7}
    assert sc.to_query() == {"scenario": "blackboard", name: str(cost.cycles + 7)}
    assert from_mapping(sc.to_query()) == from_json(sc.to_json()) == from_toml(sc.to_toml()) == sc
    assert name in refused(from_mapping, {name: "-1"}) and name in refused(from_mapping, {name: "dear"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part"),
    [("cost_suspend", "suspend"), ("cost_resume", "resume"), ("cost_shadow_freed", "shadows"), ("state_size", "state")],
)
def test_a_price_decides_the_part_of_the_pause_that_it_is_for(name, part):
    cheap, dear = (migrate(from_mapping({"scenario": "moving", name: n})).migration.state.pause for n in (1, 10**6))
    assert dear[part] > cheap[part] and dear["resume"] + dear["latency"] > 0


@pytest.mark.slow
def test_a_dearer_exit_leaves_the_guest_less_time():
    cheap, dear = (
        migrate(from_mapping({"scenario": "moving", "road": "hap", "pml": 0, "cost_ept_violation": n}))
        .migration.state.rounds[0]
        .ticks
        for n in (0, 10**6)
    )
    assert dear < cheap / 2
