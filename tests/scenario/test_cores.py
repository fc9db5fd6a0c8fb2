"""What a core fixes, and which fields follow it where they are not given."""

import pytest

from pagingviz.arch.cores import CORES
from pagingviz.scenario.as_core import FOLLOWING
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import Scenario, from_json, from_mapping, from_toml, load, names
from tests.scenario.refused import refused

AS_XEN_PRINTS = {  # what Xen 4.17 said of its own at boot on such processors: hap, ept_ad, pml, exec_sp, 1 GiB pages
    "skylake": ("ept", 1, 1, 0, True),
    "haswell": ("ept", 1, 0, 0, True),
    "nehalem": ("ept", 0, 0, 0, False),
    "zen": ("npt", 0, 0, 1, True),
}


def of(scenario):
    return tuple(getattr(scenario, name) for name in FOLLOWING)


@pytest.mark.parametrize("core", CORES)
def test_second_reading_7_defaults_are_those_of_the_core(core):
    """The page-modification log is on where the core has one, and the core decides which nested tables there are."""
    *own, huge = AS_XEN_PRINTS[core]
    assert (
        of(Scenario(core=core)) == of(load("blackboard").replace(core=core)) == of(from_mapping({"core": core})) == tuple(own)
    )
    assert CORES[core].gib_pages == huge


def test_second_reading_7_a_scenario_given_nothing_is_a_skylake_with_its_log():
    assert Scenario().core == "skylake" and Scenario().pml == 1 and load("blackboard").replace(road="hap").pml == 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"core": "nehalem", "pml": 1}, "pml=1 needs core=skylake: nehalem has no page-modification log."),
        ({"core": "haswell", "pml": 1}, "pml=1 needs core=skylake: haswell has no page-modification log."),
        ({"core": "zen", "hap": "ept"}, "core=zen has hap=npt: hap=ept needs core=skylake or haswell or nehalem."),
        ({"core": "nehalem", "hap": "npt"}, "core=nehalem has hap=ept: hap=npt needs core=zen."),
        ({"core": "nehalem", "ept_ad": 1}, "ept_ad=1 needs core=skylake or haswell: nehalem sets no A and D bits in EPT."),
        ({"core": "zen", "exec_sp": 0}, "exec_sp=0 needs core=skylake or haswell or nehalem"),
        ({"ept_ad": 0, "pml": 1}, "pml=1 needs ept_ad=1"),
        (
            {"core": "nehalem", "road": "hap", "superpages": 2},
            "superpages=2 needs core=skylake or haswell or zen: nehalem has no 1 GiB pages.",
        ),
        ({"core": "nehalem", "road": "hap", "direct_map_pages": "huge"}, "direct_map_pages=huge needs core=skylake"),
        ({"hap": "npt", "pml": 1}, "pml=1 needs core=skylake"),
        ({"hap": "tdp"}, "hap must be one of ept, npt"),
    ],
)
def test_second_reading_7_what_no_core_is_is_refused_in_a_sentence(fields, sentence):
    for make in (Scenario, load("blackboard").replace, lambda **given: from_mapping(given)):
        assert sentence in refused(make, **fields)


def test_second_reading_7_npt_without_a_core_has_one_that_has_it_and_back():
    """An address that asks for NPT and names no core keeps working, whatever the scenario's core is."""
    for name in names():
        base = load(name)
        npt = base.replace(hap="npt")
        assert (npt.core, *of(npt)) == ("zen", "npt", 0, 0, 1), name
        assert npt.replace(hap="ept").core == "skylake"
    assert Scenario(hap="npt").core == "zen" and load("rounds").replace(core="nehalem", hap="ept").core == "nehalem"


def test_what_is_not_as_the_core_has_it_stays_when_the_core_changes():
    sc = Scenario(exec_sp=1, pml=0)
    assert of(sc.replace(core="haswell")) == ("ept", 1, 0, 1) and of(sc.replace(quantum=7)) == of(sc)
    assert of(Scenario().replace(core="haswell")) == ("ept", 1, 0, 0)
    assert of(Scenario(ept_ad=0)) == ("ept", 0, 0, 0), "no log without A and D"
    assert of(Scenario().replace(ept_ad=0)) == ("ept", 0, 0, 0)
    with pytest.raises(ScenarioError):
        Scenario(exec_sp=0, hap="npt")


@pytest.mark.parametrize("base", ["blackboard", "rounds", "cloud"])
@pytest.mark.parametrize(
    "changes",
    [
        {"core": "zen"},
        {"core": "haswell"},
        {"hap": "npt", "quantum": 7},
        {"pml": 0},
        {"pml": 1},
        {"exec_sp": 1},
        {"ept_ad": 0},
        {"core": "haswell", "exec_sp": 1},
        {},
    ],
)
def test_an_address_names_what_is_not_as_the_core_has_it_and_leads_back(base, changes):
    sc = load(base).replace(**changes)
    query = sc.to_query()
    assert from_mapping(query) == sc
    assert from_json(sc.to_json()) == sc and from_toml(sc.to_toml()) == sc
    if changes.get("core") == "zen":
        assert query == {"scenario": base, "core": "zen"}
