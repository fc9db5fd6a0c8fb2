"""Scenarios: every field's bounds, the languages of do, work and order, and the three written forms."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagingviz.scenario.roads import ROADS, names_where, road_of
from pagingviz.scenario.scenario import (
    FIELDS,
    HOME,
    Command,
    Scenario,
    ScenarioError,
    format_do,
    from_json,
    from_mapping,
    from_toml,
    load,
    names,
    parse_command,
    parse_do,
    pool_cap,
    shipped_traces,
)
from pagingviz.scenario.table import MIGRATION, PAGING, VIEW_FIELDS, WORK, of_section
from pagingviz.work.programs import Programs
from tests.scenario.refused import refused

# --- the library


def test_library_has_the_promised_scenarios():
    assert names()[0] == HOME == "blackboard"
    assert len(names()) >= 6
    assert {"blackboard", "programs", "lecture"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_library_scenario_is_complete_and_fits(name):
    scenario = load(name)
    assert scenario.name == name
    assert scenario.sentence.endswith(".") and scenario.notes and scenario.start > 0
    assert set(scenario.traces) <= set(shipped_traces())
    work = Programs(scenario)
    assert work.need_frames <= scenario.frames


def test_programs_runs_four_recorded_programs():
    assert len(set(load("programs").traces)) == 4


def test_unknown_scenario():
    assert "blackboard" in refused(load, "blakboard")
    assert "did you mean" in refused(load, "blakboard")
    refused(load, "../scenarios/blackboard")


# --- one table of fields


def test_defaults_are_valid_and_typed():
    for field in FIELDS:
        assert field.parse(field.default, shipped_traces()) == field.default
        assert field.help.endswith(".")
        assert getattr(Scenario(), field.name) == field.default


def test_describe_is_plain_data():
    rows = json.loads(json.dumps([field.describe() for field in FIELDS]))
    assert all({"name", "kind", "default", "help"} <= set(row) for row in rows)
    assert all(row["bounds"][0] <= row["default"] <= row["bounds"][1] for row in rows if row["kind"] == "int")


@pytest.mark.parametrize("field", [f for f in FIELDS if f.kind == "int"], ids=lambda f: f.name)
def test_integer_bounds(field):
    for good in (field.low, field.high, str(field.low), str(field.high)):
        assert field.parse(good) == int(good)
    for bad in (
        field.low - 1,
        field.high + 1,
        "",
        " 5",
        "5 ",
        "1e3",
        "0x10",
        "1_000",
        "٣",
        "five",
        7.0,
        None,
        True,
        [],
    ):
        assert field.name in refused(field.parse, bad)


def test_only_one_core_has_a_page_modification_log():
    assert "pml=1 needs core=skylake" in refused(Scenario, road="hap", hap="npt", pml=1)
    assert "pml=1 needs core=skylake" in refused(Scenario, road="shadow", hap="npt", pml=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"road": "Shadow"},
        {"road": ""},
        {"road": 2},
        {"pml": True},
        {"superpages": "yes"},
        {"superpages": 3},
        {"vcpus": 5},
        {"frames": 63},
        {"frames": 262145},
        {"pool": 15},
        {"seed": -1},
        {"seed": 2**63},
        {"write": 101},
        {"quantum": 0},
        {"trace": "gzip,"},
        {"trace": "nosuch"},
        {"trace": "../gzip"},
        {"trace": "A" * 64},
        {"trace": ["gzip"]},
        {"trace": "", "work": ""},
        {"trace": ",".join(["gzip"] * 17)},
        {"trace": ",".join(["gzip"] * 9), "work": ",".join(["idle"] * 8)},
        {"work": "zipf"},
        {"work": "zipf:0"},
        {"work": "zipf:10:3"},
        {"work": "zipf:10:0.999"},
        {"work": "zipf:10:nan"},
        {"work": "uniform:10:3"},
        {"work": "idle:1"},
        {"work": "hotcold:4:5"},
        {"work": "hotcold:4:1:101"},
        {"work": "Fork:4"},
        {"order": "0,1"},
        {"order": "0,,0"},
        {"order": "-1"},
        {"order": "zero"},
        {"order": 0},
        {"direct_map": "0"},
        {"direct_map": "0x1000"},
        {"direct_map": "0x00007f0000000000"},
        {"direct_map": "0xffff880000001000"},
        {"direct_map": 0xFFFF880000000000},
        {"do": "enable"},
        {"do": "enable@"},
        {"do": "enable@x"},
        {"do": "enable@-1"},
        {"do": "enable@1000000001"},
        {"do": "enable@1@2"},
        {"do": "Enable@1"},
        {"do": "enable:1@1"},
        {"do": "pool@1"},
        {"do": "pool:@1"},
        {"do": "pool:15@1"},
        {"do": "pool:257@1", "pool": 64},
        {"do": "enable@1;off@2"},
        {"do": ",".join(["peek@1"] * 257)},
        {"do": ["enable@1"]},
        {"name": "Two Words"},
        {"name": ""},
        {"sentence": 5},
        {"notes": "x" * 4001},
        {"notes": "\ud800"},
        {"start": -1},
    ],
    ids=repr,
)
def test_wrong_values_are_refused_in_one_sentence(wrong):
    refused(Scenario, **wrong)


def test_hostile_values_are_shortened_in_the_sentence():
    text = refused(Scenario, road="\x1b[31m" + "x" * 10**6)
    assert "\x1b" not in text


def test_scenario_is_frozen_and_text_is_taken_for_numbers():
    scenario = Scenario(frames="128", superpages="1")
    assert (scenario.frames, scenario.superpages) == (128, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenario.frames = 64
    assert scenario == Scenario(frames=128, superpages=1)
    assert hash(scenario) == hash(Scenario(frames=128, superpages=1))


def test_replace_checks_again():
    assert Scenario().replace(pool="32").pool == 32
    refused(Scenario().replace, pool=1)
    assert "did you mean frames" in refused(Scenario().replace, frame=256)


def test_direct_map_names():
    assert Scenario().direct_map_base == 0xFFFF880000000000
    assert Scenario(direct_map="linux420").direct_map_base == 0xFFFF888000000000
    assert Scenario(direct_map="0xFFFF888000000000").direct_map == "linux420"
    assert Scenario(direct_map="0xffffffffc0000000").direct_map_base == 0xFFFFFFFFC0000000


def test_turns_default_to_every_entry_once():
    assert Scenario(trace="gzip,xz" if "xz" in shipped_traces() else "gzip,cc1", work="idle").turns == (0, 1, 2)
    assert Scenario(trace="gzip", work="idle", order="0,1,01").turns == (0, 1, 1)


def test_generator_defaults():
    (zipf, hot, few) = Scenario(work="zipf:50,hotcold:80,hotcold:3").generators
    assert zipf.args == (50, 99)
    assert hot.args == (80, 10, 90)
    assert few.args == (3, 1, 90)
    assert Scenario(work="zipf:50:1.5").generators[0].args == (50, 150)
    assert Scenario(work="zipf:50:0.5").generators[0].args == (50, 50)


# --- commands


def test_do_of_the_contract():
    text = "enable@300,peek@500,clean@900,pool:64@1200"
    commands = parse_do(text)
    assert commands[0] == Command("enable", 0, 300)
    assert commands[-1] == Command("pool", 64, 1200)
    assert format_do(commands) == text


def test_do_is_sorted_by_tick_and_stable():
    assert Scenario(do="clean@9,off@3,blow@9").do == "off@3,clean@9,blow@9"
    assert Scenario(do="").commands == ()


def test_commands_alone():
    assert parse_command("flush", 7) == Command("flush", 0, 7)
    assert parse_command("pool:64").text == "pool:64"
    assert pool_cap(16) == 256
    assert pool_cap(200) == 800
    assert pool_cap(4096) == 5120
    assert Scenario(pool=64, do="pool:256@1").commands[0].arg == 256
    assert parse_command("dm:7", 3) == Command("dm", 7 | 1 << 32, 3) and parse_command("dm:7").text == "dm:7"
    assert parse_command("dm:7:2").arg == 7 | 2 << 32 and parse_command("dm:7:2").text == "dm:7:2"
    for bad in ("dm", "dm:", "dm:-1", "dm:x", "dm:1:0", "dm:1:", "dm:1:2:3", "dm:63:2", "dm:64"):
        refused(parse_command, bad, 0, 256, 64)
    refused(Scenario, frames=256, do="dm:250:7@3")
    refused(parse_command, "pool:300", 0, 256)
    refused(parse_command, "reboot")
    refused(parse_command, 5)


COMMANDS = st.one_of(
    st.builds(Command, st.sampled_from(["enable", "clean", "peek", "off", "blow", "flush"]), st.just(0), st.integers(0, 10**9)),
    st.builds(Command, st.just("pool"), st.integers(16, 256), st.integers(0, 10**9)),
    st.builds(
        Command,
        st.just("dm"),
        st.builds(lambda gfn, n: gfn | n << 32, st.integers(0, 200), st.integers(1, 56)),
        st.integers(0, 10**9),
    ),
)


@given(st.lists(COMMANDS, max_size=20))
def test_do_round_trip(commands):
    in_order = tuple(sorted(commands, key=lambda command: command.tick))
    assert parse_do(format_do(in_order)) == in_order
    assert Scenario(do=format_do(tuple(commands))).commands == in_order


@pytest.mark.slow
@given(st.text(max_size=40))
def test_any_text_is_a_do_or_refused(text):
    try:
        assert format_do(parse_do(text)).count("@") == len(parse_do(text))
    except ScenarioError as error:
        assert "\n" not in str(error)


# --- written forms

CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "road": st.sampled_from(["bare", "shadow", "hap"]),
        "frames": st.integers(64, 262144),
        "pool": st.integers(32, 4096),
        "superpages": st.integers(0, 1),
        "trace": st.sampled_from(["gzip", "gzip,sqlite", "ab" * 32]),
        "work": st.sampled_from(["", "zipf:100:0.5", "fork:3,idle"]),
        "order": st.sampled_from(["", "0", "0,0"]),
        "seed": st.integers(0, 2**63 - 1),
        "direct_map": st.sampled_from(["linux", "linux420", "0xffff900000000000"]),
        "do": st.sampled_from(["", "enable@1,pool:64@2"]),
    },
)


@given(st.sampled_from(names()), CHANGES)
def test_query_round_trip(name, changes):
    changes = {"order": "", "trace": "gzip", **changes}
    if load(name).direct_map_pages == "huge":  # a large guest: neither shadows nor small leaves
        changes = {key: value for key, value in changes.items() if key not in ("road", "superpages")}
    scenario = load(name).replace(**changes)
    query = scenario.to_query()
    assert from_mapping(query) == scenario
    assert set(query) - {"scenario"} <= set(changes)
    assert all(isinstance(value, str) for value in query.values())


def test_query_holds_only_what_differs():
    assert load("forks").to_query() == {"scenario": "forks"}
    assert load("forks").replace(seed=9).to_query() == {"scenario": "forks", "seed": "9"}
    assert load(HOME).replace(do="enable@3,pool:64@5").to_url() == "scenario=blackboard&do=enable@3,pool:64@5"
    assert from_mapping({}) == load(HOME)


def test_a_scenario_outside_the_library_is_written_against_the_home_scenario():
    own = Scenario(name="mine", frames=512)
    back = from_mapping(own.to_query())
    assert all(getattr(back, field.name) == getattr(own, field.name) for field in FIELDS)


@pytest.mark.parametrize(
    "mapping",
    [
        {"scenario": "nosuch"},
        {"scenario": ""},
        {"frame": "3"},
        {"frames": ""},
        {"start": "4"},
        {"name": "x"},
        {"__class__": "x"},
        {"do": "enable@%20"},
        {"trace": "/etc/passwd"},
    ],
    ids=repr,
)
def test_malformed_url(mapping):
    refused(from_mapping, mapping)


@given(CHANGES, st.text(st.characters(codec="utf-8"), max_size=80))
def test_toml_and_json_round_trip(changes, text):
    scenario = Scenario(**changes, name="own-1", sentence=text, notes=text + '\n\x7f"\\\'\'\'"""😀', start=5)
    assert from_toml(scenario.to_toml()) == scenario
    assert from_json(scenario.to_json()) == scenario


@pytest.mark.parametrize(
    "text", ["frames = ", "frames = 1.5", "[frames]\nx = 1", "frame = 3", "frames = true", "a = " + "[" * 9999]
)
def test_bad_toml(text):
    refused(from_toml, text)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"frames": null}', '{"frame": 1}', "5", "[" * 10**5, '{"frames": ' + "9" * 5000 + "}"]
)
def test_bad_json(text):
    refused(from_json, text)


# --- the table of fields and the registry of roads


def test_the_sidebar_shows_a_field_of_its_sections_once_and_behind_the_one_it_names():
    shown = [field for section in (WORK, PAGING, MIGRATION) for field in of_section(section)]
    assert {field.name for field in shown} == {field.name for field in FIELDS if field.section}
    assert len(shown) == len(set(field.name for field in shown))
    names_of = [field.name for field in shown]
    assert all(names_of.index(field.name) == names_of.index(field.after) + 1 for field in shown if field.after)


def test_every_value_of_the_table_is_its_own_canonical_value_and_text():
    for field in FIELDS:
        assert field.parse(field.default, shipped_traces()) == field.default
        assert field.parse(field.text(field.default), shipped_traces()) == field.default
    for field in VIEW_FIELDS:
        for value in field.choices or ([False, True] if field.kind == "switch" else []):
            assert field.parse(field.text(value)) == value
        if field.words:
            assert [field.word(value) for value in field.choices] == list(field.words)
    assert len({field.name for field in (*FIELDS, *VIEW_FIELDS)}) == len(FIELDS) + len(VIEW_FIELDS), "one key, one field"


def test_a_road_says_what_its_guests_and_machines_can_have():
    assert [road for road in ROADS if ROADS[road].hypervisor] == ["pv", "shadow", "hap"]
    assert [road for road in ROADS if ROADS[road].shadows] == ["pv", "shadow"]
    assert [road for road in ROADS if ROADS[road].always_shadows] == ["shadow"]
    assert names_where("hardware_alone") == "bare or hap" and names_where("superpages") == "bare or shadow or hap"
    assert len({int(road.code) for road in ROADS.values()}) == 4
    for name, road in ROADS.items():
        for _, fields in road.forms:
            assert road_of(Scenario(road=name, **fields)) is road
