"""Machines beside a scenario's own: the text that names them, what they are called, and one sentence for every bad one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagingviz.scenario import beside
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import load, names
from tests.scenario.refused import refused

HOME = load("blackboard")
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "road": st.sampled_from(["bare", "pv", "shadow", "hap"]),
        "pool": st.integers(16, 4096).map(str),
        "trace": st.sampled_from(["gzip", "gzip,sqlite"]),
        "work": st.sampled_from(["uniform:32", "uniform:32,zipf:64:0.99", "idle"]),
        "order": st.sampled_from(["0,1,0", "0"]),
        "do": st.sampled_from(["enable@300", "enable@300,pool:64@1200,dm:3:2@1300", ""]),
    },
).filter(bool)


@given(st.lists(FIELDS, max_size=beside.MOST))
def test_the_text_is_read_as_it_was_written(machines):
    assert list(beside.parse(beside.written(machines))) == machines


def test_each_machine_is_the_scenario_with_its_fields_changed():
    found = beside.scenarios(HOME, "road:hap,hap:npt;trace:gzip,sqlite,order:0,1;do:enable@5,pool:32@9")
    assert found == (
        HOME.replace(road="hap", hap="npt"),
        HOME.replace(trace="gzip,sqlite", order="0,1"),
        HOME.replace(do="enable@5,pool:32@9"),
    )
    assert beside.scenarios(HOME, "") == ()


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("", ("shadow",)),
        ("road:hap", ("shadow", "EPT + PML")),
        ("road:hap,pml:0;road:hap,hap:npt;road:bare", ("shadow", "EPT", "NPT", "bare")),
        ("pool:32", ("pool=24", "pool=32")),
        ("road:hap,pool:32", ("shadow, pool=24", "EPT + PML, pool=32")),
        ("core:zen,road:hap", ("shadow, core=skylake", "NPT, core=zen")),
        ("do:", ("do=enable@250", "no do")),
        ("road:shadow", ("shadow (1)", "shadow (2)")),
    ],
)
def test_a_machine_is_called_by_what_differs(text, called):
    assert beside.names(HOME.replace(do="enable@250"), text) == called


BAD = {
    "x": "needs FIELD:VALUE",
    ";": "needs FIELD:VALUE",
    "road:hap;": "needs FIELD:VALUE",
    "rod:hap": "did you mean road",
    "scenario:rounds": "'scenario' is not known",
    "tick:5": "'tick' is not known",
    "road:hap,road:pv": "twice",
    "road:hop": "Machine 2 (beside=road:hop): road must be one of",
    "road:hap;pool:3": "Machine 3 (beside=pool:3): pool must be",
    "guest:pae,road:pv": "64-bit guests only",
    "road:hap,pol:3": "did you mean pool",
    "pool:32;pool:33;pool:34;pool:35": "at most 3 machines, not 4",
    "work:" + "idle," * 300: "at most 1000 characters",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_machine_is_one_sentence(text):
    said = refused(lambda: beside.scenarios(HOME, text))
    assert BAD[text] in said and said.endswith(".") and "\n" not in said


@given(st.text(max_size=60))
def test_no_text_does_anything_but_name_machines_or_be_refused(text):
    try:
        assert len(beside.scenarios(HOME, text)) <= beside.MOST
    except ScenarioError as error:
        assert str(error).endswith(".")


def test_machines_that_another_scenario_cannot_have_are_left_out():
    assert beside.fitting(HOME.replace(guest="pae", pool=64), "road:pv;road:hap") == "road:hap"
    assert beside.fitting(HOME, "road:pv;road:hap") == "road:pv;road:hap"


@pytest.mark.parametrize("name", names())
def test_every_scenario_has_a_machine_on_another_road(name):
    own = load(name)
    (other,) = beside.scenarios(own, beside.other_road(own))
    assert other.road != own.road
