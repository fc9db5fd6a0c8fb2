"""The address of a view: every key there and back, every bad value one sentence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagingviz.scenario.scenario import MAX_TICK, ScenarioError, load
from pagingviz.ui import address
from pagingviz.ui.address import View

views = st.builds(
    View,
    tick=st.none() | st.integers(0, MAX_TICK),
    play=st.booleans(),
    theme=st.sampled_from(["", "light", "dark"]),
    present=st.booleans(),
    bits=st.sampled_from(["round", "often", "who"]),
    recording=st.sampled_from(["", "pt", "sweep-boot2"]),
    row=st.none() | st.integers(0, 99_999),
    gva=st.none() | st.integers(0, 2**47 - 1) | st.integers(2**64 - 2**47, 2**64 - 1),
    access=st.sampled_from(["", "read", "write", "fetch"]),
    ref=st.none() | st.integers(0, 99),
    beside=st.sampled_from(["", "road:hap", "road:hap,hap:npt;pool:32;do:enable@5,pool:32@9"]),
    board=st.sampled_from(["ept-npt", "dirty-bitmap"]),
)


@settings(max_examples=50)
@given(views, st.sampled_from(["bare", "shadow", "hap"]), st.integers(16, 4096))
def test_there_and_back(view, road, pool):
    scenario = load("programs").replace(road=road, pool=pool, do="enable@300,clean@900")
    assert address.read(address.write(scenario, view)) == (scenario, view)


def test_the_bare_address_is_the_home_scenario_at_its_start():
    assert address.read({}) == (load("blackboard"), View())


def test_the_text_is_readable():
    params = address.write(load("blackboard").replace(do="enable@300,pool:64@1200"), View(tick=7))
    assert address.text(params) == "scenario=blackboard&do=enable@300,pool:64@1200&tick=7"


BAD = {
    "scenario=nowhere": "scenario",
    "pool=many": "pool",
    "pool=3": "pool",
    "road=ring": "road",
    "pml=2": "pml",
    "recording=nowhere": "recording",
    "row=-1": "row",
    "guest=arm": "guest",
    "gva=kernel": "hexadecimal",
    "gva=": "hexadecimal",
    "gva=-4": "hexadecimal",
    "gva=0x800000000000": "canonical",
    "gva=12345678901234567": "hexadecimal",
    "access=peek": "access",
    "ref=-1": "ref",
    "beside=road:ring": "Machine 2 (beside=road:ring): road",
    "beside=ring": "FIELD:VALUE",
    "board=left": "map",
    "ref=100": "ref",
    "tick=-1": "tick",
    "tick=1000000001": "tick",
    "tick=1.5": "tick",
    "tick=": "tick",
    "play=yes": "play",
    "theme=pink": "theme",
    "present=2": "present",
    "do=enable": "COMMAND@TICK",
    "do=explode@3": "explode",
    "do=dm:256@3": "dm:GFN",
    "bits=never": "bits",
    "clean=sweep": "clean",
    "do=pool:9999@3": "pool",
    "trace=/etc/passwd": "trace",
    "colour=red": "colour",
    "order=0,9": "order",
}


@pytest.mark.parametrize("query", BAD)
def test_a_bad_value_is_one_sentence(query):
    key, _, value = query.partition("=")
    with pytest.raises(ScenarioError) as told:
        address.read({key: value})
    sentence = str(told.value)
    assert BAD[query] in sentence
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 400


def test_an_address_must_be_one_that_the_guest_can_have():
    assert address.read({"gva": "7F0000"})[1].gva == 0x7F0000
    assert address.read({"guest": "pae", "gva": "0xffffffff"})[1].gva == 0xFFFFFFFF
    with pytest.raises(ScenarioError, match="32-bit"):
        address.read({"guest": "pae", "gva": "0x100000000"})
    view = View(gva=1 << 40, ref=3)
    assert address.fitting(load("blackboard"), view) == view
    assert address.fitting(load("blackboard").replace(guest="hvm32"), view) == View()
