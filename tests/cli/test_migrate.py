"""Whole migrations from the command line: reports, side by side, exit codes, bad input."""

import json

import pytest

from pagingviz.__main__ import main
from pagingviz.experiments import migrations
from pagingviz.migration.effects import ReadBitmap
from pagingviz.scenario.scenario import load
from tests.migration.finished import intercept

pytestmark = pytest.mark.slow

ROUND = {
    "number",
    "kind",
    "planned",
    "sent",
    "data",
    "skipped",
    "dirtied",
    "needless",
    "bytes",
    "ticks",
    "began",
    "time",
    "rate",
    "throttle",
    "faults",
    "stall",
    "exits",
}


def test_the_report_adds_up(capsys):
    assert main(["migrate", "moving", "--json"]) == 0
    r = json.loads(capsys.readouterr().out)
    assert r["schema"] == 1 and r["outcome"] == "done" and r["destination_equals_source"] is True
    assert all(set(row) == ROUND for row in r["rounds"])
    assert r["pages"] == sum(row["sent"] for row in r["rounds"])
    exits = {}
    for row in r["rounds"]:
        for cause, n in row["exits"].items():
            exits[cause] = exits.get(cause, 0) + n
    assert r["exits"] == exits and "shadow fault" in exits
    assert 0 < r["downtime"] < r["total"] and 0 < r["slowdown"] < 1
    assert [c["dirty_count"] == -1 for c in r["calls"]] == [i % 2 == 1 for i in range(len(r["calls"]))]


def test_a_scenario_without_a_migration_is_moved_as_xen_does(capsys):
    assert main(["migrate", "blackboard", "--set", "road=hap", "--set", "pml=0"]) == 0
    out = capsys.readouterr().out
    assert "migrate precopy, policy xen" in out and "the destination equals the source" in out and "EPT violation" in out


def test_its_own_readings_of_the_bitmap_give_way():
    sc = migrations.with_migration(load("blackboard").replace(do="enable@300,pool:30@500,clean@900"))
    assert (sc.migrate, sc.clean_every, sc.do) == ("precopy", 0, "pool:30@500")
    assert migrations.with_migration(sc) is sc


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--set", "fail=link:100"], 1, "The link was lost after 100 pages: the source goes on"),
        (["--set", "migrate=postcopy", "--set", "fail=link:100"], 1, "neither host has all of its memory"),
        (["--set", "migrate=remus", "--set", "fail=link:500"], 0, "the backup goes on from checkpoint"),
        (["--set", "road=bare"], 1, "No hypervisor, no migration"),
    ],
)
def test_what_goes_wrong_is_one_sentence(options, code, words, capsys):
    assert main(["migrate", "moving", *options]) == code
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "migrate=teleport"], "migrate"),
        (["--set", "fail=fire:3"], "link:N"),
        (["--set", "fail=link:x"], "whole number"),
        (["--set", "bandwidth=0"], "bandwidth must be from 1"),
        (["--set", "pace=0"], "pace must be"),
        (["--set", "clean_every=100"], "clean_every must be 0"),
        (["--set", "policy=luck"], "policy"),
    ],
)
def test_bad_input_is_one_sentence(options, words, capsys):
    assert main(["migrate", "moving", *options]) == 2
    shown = capsys.readouterr()
    assert words in shown.err and shown.err.count("\n") == 1 and shown.out == ""


def test_a_difference_is_an_error(monkeypatch, capsys):
    intercept(monkeypatch, ReadBitmap, lambda mig, effect, carry_out: carry_out()[:0] if mig.paused else carry_out())
    assert main(["migrate", "moving"]) == 1
    assert "IS NOT THE SOURCE" in capsys.readouterr().out


def test_side_by_side_the_work_is_the_same_and_the_price_is_not(capsys):
    assert main(["migrate", "moving", "--compare", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["roads"]}
    assert list(rows) == ["PV", "shadow", "EPT", "EPT + PML", "NPT"]
    assert all(row["destination_equals_source"] for row in rows.values())
    assert rows["shadow"]["slowdown"] > rows["NPT"]["slowdown"] > rows["EPT"]["slowdown"] > rows["EPT + PML"]["slowdown"]
    assert main(["migrate", "moving", "--compare"]) == 0
    text = capsys.readouterr().out.splitlines()
    assert len(text) == 6 and text[0].startswith("road") and text[4].startswith("EPT + PML")


def test_a_road_that_cannot_be_says_so():
    rows = migrations.side_by_side(load("moving").replace(guest="pae"))
    assert [row["name"] for row in rows if "error" in row] == ["PV"]
    assert migrations.table(rows)[0]["stopped because"].endswith(".")
