"""The machine's state, the pages and the addresses are what they were when the record was made (tests/record/record.py)."""

import json

import numpy as np
import pytest

from tests.record import cases, compare, record
from tests.ui.serving import PAGES

READERS = record.readers()


@pytest.mark.parametrize("case", READERS)
def test_a_machine_is_the_recorded_one(warm, case):
    read, args = READERS[case]
    values, text = read(*args)
    recorded = compare.machines().get(case, {})
    assert recorded or "refused" in compare.texts(compare.TEXTS)[case], "the record does not have it"
    different = compare.different_values(recorded, values)
    assert not different, f"{case}: {len(different)} values differ: {', '.join(different[:60])}"
    different = compare.different_texts(compare.texts(compare.TEXTS).get(case, {}), text)
    assert not different, "\n".join([case, *different])


@pytest.mark.slow
@pytest.mark.parametrize("address, opened", cases.ADDRESSES, ids=[record.page_name(*args) for args in cases.ADDRESSES])
def test_a_page_shows_what_it_did(warm, address, opened):
    recorded = compare.texts(compare.PAGES)[record.page_name(address, opened)]
    different = compare.different_texts(recorded, record.read_page(address, opened, record.chosen_cells(recorded)))
    assert not different, "\n".join([record.page_name(address, opened), *different])


@pytest.mark.parametrize("address", cases.README)
def test_an_address_opens_what_it_did(address):
    different = compare.different_texts(compare.texts(compare.ADDRESSES)[address], record.read_address(address))
    assert not different, "\n".join([address, *different])


def test_every_recorded_page_is_there():
    recorded = {answer["path"] for answer in compare.texts(compare.ADDRESSES).values()}
    assert recorded <= set(PAGES)


def test_all_that_is_recorded_is_compared():
    assert set(compare.machines()) | set(compare.texts(compare.TEXTS)) == set(READERS)
    assert set(compare.texts(compare.PAGES)) == {record.page_name(*args) for args in cases.ADDRESSES}
    assert set(compare.texts(compare.ADDRESSES)) == set(cases.README)


# ---- that a change is found


def test_one_bit_of_a_region_is_found_by_name(warm):
    scenario = record.load("blackboard").replace(**cases.ROADS["shadow"])
    sim = record.Simulation(scenario)
    sim.run(record.ticks(scenario)[1])
    moment, recorded = f"@{sim.tick}", compare.machines()["blackboard shadow"]
    recorded = {key: value for key, value in recorded.items() if key[0] == moment}

    def different():
        values = {(moment, name): record.number_hash(array) for name, array in record.machine_values(sim.machine)}
        return compare.different_values(recorded, values)

    assert not different()
    sim.machine.view("phash")[3] ^= np.uint64(1 << 40)
    sim.machine.view("tmp")[3] ^= np.uint64(1)  # no state
    sim.machine.sys[0].cleans += 1
    sim.machine.cpu[0].psc_t[5] += 1
    assert different() == [f"{moment} {name}" for name in ("sys.cleans", "cpu.psc_t", "mem.phash")]


def test_a_new_name_is_no_difference_and_a_missing_one_is(monkeypatch):
    recorded = {("@1", "sys.a"): 5, ("@1", "sys.b"): 6}
    assert compare.different_values(recorded, recorded | {("@1", "sys.c"): 7}) == []
    assert compare.different_values(recorded, {("@1", "sys.a"): 5, ("@1", "sys.z"): 6}) == ["@1 sys.b is gone"]
    monkeypatch.setitem(compare.RENAMED, "sys.b", "sys.z")
    assert compare.different_values(recorded, {("@1", "sys.a"): 5, ("@1", "sys.z"): 6}) == []


def test_a_changed_word_is_found_by_its_part():
    recorded = next(iter(compare.texts(compare.PAGES).values()))
    now = json.loads(json.dumps(recorded))
    board = next(iter(now["boards"]))
    now["boards"][board]["caption"] += "."
    now["boards"][board]["colours"] = "a part that is new"
    cell, card = next(iter(now["boards"][board]["cards"].items()))
    card["title"] = "another"
    where = [line.partition(": ")[0] for line in compare.different_texts(recorded, now)]
    assert where == [f"boards / {board} / cards / {cell} / title", f"boards / {board} / caption"]


def test_the_hash_of_numbers_knows_values_and_shape_and_no_layout():
    a = np.arange(12, dtype=np.uint64).reshape(3, 4)
    assert record.number_hash(a) == record.number_hash(a.astype(">u2")) == record.number_hash(np.asfortranarray(a))
    assert len({record.number_hash(x) for x in (a, a.T, a.reshape(-1), a + np.uint64(1))}) == 4
