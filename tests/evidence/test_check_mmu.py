"""`check mmu`: recorded cases of real CPU models, and what it says about files that are wrong or no such files."""

import json
from pathlib import Path

import numpy as np
import pytest

from pagingviz.__main__ import main
from pagingviz.arch import x86
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core.build.jit import from_python
from pagingviz.core.walk import page_walk, tlb
from pagingviz.evidence.mmu import check
from pagingviz.evidence.mmu.cases import Cases, read_cases
from pagingviz.scenario.fields import ScenarioError
from tests.support.plainly import answer
from tests.work.tracefiles import zipped

DATA = Path(__file__).parents[1] / "data/mmu"
MODES = ("long", "pae", "legacy", "npt", "ept")
WHOLE = ("base_pa", "base_val")  # the same for every row


def path(mode):
    return str(DATA / f"{mode}_open.npz")


def columns(mode, rows=slice(0, None, 200)):
    """Some rows of a recorded set as plain arrays."""
    with np.load(path(mode)) as file:
        return {name: file[name][rows] if file[name].ndim and name not in WHOLE else file[name] for name in file.files}


def saved(folder, **arrays):
    np.savez_compressed(folder / "cases.npz", **arrays)
    return str(folder / "cases.npz")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_walk_agrees_with_every_recorded_case(mode):
    cases = read_cases(path(mode))
    data = check.report(check.score(cases))
    assert data["rows"] > 20_000
    assert data["mismatches"] == 0, "\n".join(check.lines(data))
    assert sum(row["rows"] for row in data["by_outcome"].values()) == data["rows"]


def test_the_command_line(capsys):
    assert main(["check", "mmu", path("legacy")]) == 0
    assert "24054 rows, 0 mismatches" in capsys.readouterr().out
    assert main(["check", "mmu", path("legacy"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["rows"], data["mismatches"], data["first"]) == (1, 24054, 0, None)


# ---- a wrong row is found, and says where


def first_of(arrays, kind):
    return int(np.flatnonzero(arrays["exp_kind"] == kind)[0])


@pytest.mark.parametrize(
    ("mode", "kind", "name", "change", "aspect"),
    [
        ("long", 0, "exp_kind", lambda old: 1, "outcome"),
        ("long", 1, "exp_kind", lambda old: 0, "outcome"),
        ("long", 2, "exp_kind", lambda old: 1, "outcome"),
        ("long", 1, "exp_err", lambda old: old ^ 1, "error code"),
        ("long", 1, "exp_err", lambda old: old ^ 16, "error code"),
        ("long", 0, "exp_pa", lambda old: old ^ 4096, "address"),
        ("long", 0, "exp_set", lambda old: old ^ 1, "A/D bits"),
        ("npt", 4, "exp_qual", lambda old: old ^ 1 << 32, "exit qualification"),
        ("npt", 4, "exp_gpa", lambda old: old ^ 8, "guest-physical address"),
        ("npt", 4, "exp_kind", lambda old: 5, "outcome"),
        ("ept", 5, "exp_qual", lambda old: old ^ 2, "exit qualification"),
        ("ept", 6, "exp_gpa", lambda old: old ^ 8, "guest-physical address"),
        ("ept", 6, "exp_kind", lambda old: 5, "outcome"),
        ("ept", 0, "exp_pa", lambda old: old ^ 4096, "address"),
        ("ept", 5, "exp_set", lambda old: old ^ 3, "A/D bits"),
    ],
)
def test_one_changed_row_is_found(tmp_path, capsys, mode, kind, name, change, aspect):
    arrays = columns(mode)
    row = first_of(arrays, kind)
    arrays[name][row] = change(arrays[name][row])
    assert main(["check", "mmu", saved(tmp_path, **arrays), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["mismatches"] == 1
    assert (data["first"]["row"], data["first"]["differs in"]) == (row, [aspect])
    assert main(["check", "mmu", saved(tmp_path, **arrays)]) == 1
    said = capsys.readouterr().out
    assert f"first mismatch: row {row}, {aspect}" in said
    assert "expected " in said and "got " in said and "entry 0 at 0x" in said


def test_on_a_fault_a_bits_may_be_set_early_but_never_d():
    arrays = {
        "exp_kind": np.array([1, 1, 1, 0], np.uint64),
        "n": np.full(4, 2, np.uint64),
        "exp_err": np.zeros(4, np.uint64),
        "exp_pa": np.zeros(4, np.uint64),
        "exp_set": np.zeros((4, 2), np.uint64),
        "qemu_set": np.full((4, 2), 3, np.uint64),
    }
    came = np.zeros((4, 5), np.uint64)
    came[:, 0] = arrays["exp_kind"]
    newly = np.array([[1, 0], [1, 1], [1, 2], [1, 0]], np.uint64)
    wrong = check._wrong(Cases("x", "long", arrays), came, newly)
    assert wrong[:, 3].tolist() == [False, False, True, True]


# ---- a rule left out of the engine is found


@pytest.mark.plain
def test_a_rule_left_out_is_noticed(tmp_path):
    """Every mutant of the walks disagrees with some of 1000 cases; the engine as it is agrees with all of them."""
    chosen = {mode: np.random.default_rng(1).permutation(np.load(path(mode))["va"].size)[:200] for mode in MODES}
    files = []
    for part in range(5):  # a mutant is let go at the first file in which it disagrees
        for mode, rows in chosen.items():
            files.append(tmp_path / f"{mode}{part}.npz")
            np.savez(files[-1], **columns(mode, np.sort(rows[part::5])))
    found = answer("evidence.mutants_mmu", *files)
    assert found.pop("none") == 0
    assert len(found) > 10
    assert not [name for name, wrong in found.items() if wrong == 0], found


# ---- the TLB's judgement is the walk's


def test_a_cached_translation_serves_exactly_what_a_walk_would_allow():
    """For all rights, CR bits then and now, and accesses. A store through a leaf that is not dirty must walk once more."""
    kinds = [(kind, U(user)) for kind in (x86.FETCH, x86.READ, x86.WRITE) for user in (0, 1)]
    tlb_rights, error_code, allowed = map(from_python, (tlb.rights, page_walk.error_code, tlb.allowed))
    for bits in range(8):
        have = U(bits & 1) * x86.RW | U(bits >> 1 & 1) * x86.US | U(bits >> 2) * x86.NX
        for leaf in (ZERO, x86.D):
            for filled in (ZERO, x86.CR_WP):
                value = tlb_rights(have, leaf, ONE, filled)
                for cr in map(U, range(32)):
                    for kind, user in kinds:
                        fault = error_code(have, ZERO, ZERO, kind, user, cr, U(4))
                        free = allowed(value, kind, user, cr)
                        if kind == x86.WRITE and (leaf == 0 or cr & x86.CR_WP != filled):
                            assert fault == 0 or not free
                        else:
                            assert free == (fault == 0), (have, leaf, filled, cr, kind, user)


# ---- files that are no cases


def without(name):
    return lambda arrays: arrays.pop(name)


def put(name, value):
    def change(arrays):
        arrays[name] = value(arrays[name]) if callable(value) else np.array(value)

    return change


@pytest.mark.parametrize(
    ("mode", "change", "words"),
    [
        ("long", without("mode"), "'mode' is missing"),
        ("long", without("exp_err"), "'exp_err' is missing"),
        ("long", put("mode", "npt"), "'ng' is missing"),
        ("ept", put("mode", "long"), "in 'exp_kind', where at most 3"),
        ("long", put("mode", "sv39"), "known are long, pae, legacy, npt, ept"),
        ("long", put("mode", 3), "known are long, pae, legacy, npt, ept"),
        ("npt", without("ncr3"), "'ncr3' is missing"),
        ("npt", put("ncr3", 0x120008), "ncr3 that is a multiple of 4096"),
        ("npt", put("base_val", lambda value: value[:-1]), "'base_val' differs in length"),
        ("npt", put("base_pa", lambda pa: pa + np.uint64(4)), "multiples of 8"),
        ("ept", put("ng", lambda ng: ng + np.uint8(20)), "more guest entries than entries"),
        ("ept", put("cr3", 1 << 40), "host frame 0x10000000"),
        ("long", put("va", 1.5), "as a list of whole numbers"),
        ("long", put("va", lambda va: va.astype(float)), "as a list of whole numbers"),
        ("long", put("va", lambda va: va[:-1]), "rows, but"),
        ("long", put("exp_set", lambda bits: bits[:, :2]), "rows, but"),
        ("long", put("acc", lambda acc: acc + 3), "in 'acc'"),
        ("long", put("n", lambda n: n + 5), "entries in a table 4 wide"),
        ("long", put("cr", lambda cr: cr.astype(np.int16) - 128), "negative number in 'cr'"),
        ("long", put("exp_kind", lambda kind: kind * 0 + 7), "in 'exp_kind'"),
        ("long", put("cr3", 0x100020), "multiple of 4096"),
        ("long", put("maxphyaddr", 31), "maxphyaddr from 32 to 52"),
        ("long", put("ent_pa", lambda pa: pa + np.uint64(4)), "not a multiple of 8"),
        ("legacy", put("ent_val", lambda value: value.astype(np.uint64) << np.uint64(32)), "more than 32 bits"),
        ("pae", put("va", lambda va: va.astype(np.uint64) << np.uint64(32)), "more than 32 bits"),
        ("long", put("qemu_set", lambda bits: bits.astype(object)), "pickle"),
    ],
)
def test_a_file_that_is_no_set_of_cases_is_refused_in_one_sentence(tmp_path, capsys, mode, change, words):
    arrays = columns(mode)
    change(arrays)
    assert main(["check", "mmu", saved(tmp_path, **arrays)]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and said.startswith("The file of cases '") and said.endswith(".") and "\n" not in said


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not an .npz file"),
        (b"PK\x03\x04 and nothing else", "damaged or cut short"),
        (zipped([("mode.npy", b"no array")]), "not in numpy's format"),
        (zipped([("va.npy", b"")]), "'mode' is missing"),
        (None, "cannot be read"),
    ],
    ids=["empty", "cut short", "no array", "no mode", "no file"],  # a zip file holds the time at which it was made
)
def test_a_file_that_is_no_npz_is_refused_in_one_sentence(tmp_path, capsys, data, words):
    file = tmp_path / "cases.npz"
    if data is not None:
        file.write_bytes(data)
    assert main(["check", "mmu", str(file)]) == 2
    assert words in capsys.readouterr().err


def test_without_an_eager_oracle_the_expected_bits_are_exact(tmp_path):
    arrays = columns("long")
    del arrays["qemu_set"]
    data = check.report(check.score(read_cases(saved(tmp_path, **arrays))))
    assert (data["rows"], data["mismatches"]) == (401, 0)


def test_no_rows_is_no_file(tmp_path):
    with pytest.raises(ScenarioError, match="empty"):
        read_cases(saved(tmp_path, **columns("long", slice(0, 0))))
