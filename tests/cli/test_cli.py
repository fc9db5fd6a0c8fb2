"""The command line: what it prints for people and for programs, and one sentence with exit code 2 for bad input."""

import io
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pagingviz
from pagingviz.__main__ import main
from pagingviz.arch.state import COUNTERS
from pagingviz.experiments import migrations
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import FIELDS, load, names, shipped_traces
from pagingviz.timeline.simulation import Simulation
from pagingviz.work.tracefile import fingerprint
from tests.support.waiting import PATIENCE

TRACES = Path(pagingviz.__file__).parent / "work/traces"
ROOT = Path(__file__).parents[2]
KEYS = {"schema", "scenario", "road", "seed", "ticks", "notices", "crashed", "counters", "digest", "guest", "log_dirty"}


@pytest.fixture
def cli(capsys):
    """cli(*arguments) -> (exit code, stdout, stderr)."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def report(cli):
    """report(*arguments) -> the JSON of a command that must succeed."""

    def call(*arguments):
        code, out, err = cli(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


@pytest.fixture
def refused(cli):
    """refused(*arguments) -> the one sentence on stderr of a command that must fail with exit code 2."""

    def call(*arguments):
        code, out, err = cli(*arguments)
        assert (code, out) == (2, "")
        assert err.endswith(".\n") and err.count("\n") == 1 and "Traceback" not in err and len(err) < 350, err
        return err

    return call


# --- list


def test_list_json(report):
    listing = report("list")
    assert listing["schema"] == 1
    assert [row["name"] for row in listing["scenarios"]] == list(names())
    assert all(row["sentence"] and row["notes"] and row["question"] for row in listing["scenarios"])
    assert [row["number"] for row in listing["scenarios"]] == [load(name).number for name in names()]
    assert "[[" not in str(listing), "steps are written out in words"
    assert [row["name"] for row in listing["fields"]] == [field.name for field in FIELDS]
    assert all({"name", "kind", "default", "help"} <= set(row) for row in listing["fields"])
    assert all("bounds" in row for row in listing["fields"] if row["kind"] in ("int", "address"))
    assert listing["traces"] == list(shipped_traces())


def test_list_for_people(cli):
    code, out, err = cli("list")
    assert (code, err) == (0, "")
    assert all(name in out for name in [*names(), *shipped_traces(), *(field.name for field in FIELDS)])
    questions = [f"{load(name).number} {load(name).question} {name}" for name in names()]
    said = [" ".join(line.split()) for line in out.splitlines()]
    assert [line for line in said if line in questions] == questions


def test_list_prints_the_notes_of_one_scenario(cli, report, refused):
    code, out, err = cli("list", "touched")
    assert (code, err) == (0, "") and out.startswith("2.3 Is a shadow a full copy?\n")
    assert re.findall(r"(?m)^(\d)\. ", out) == ["1", "2", "3"] and "[[" not in out
    assert [row["name"] for row in report("list", "touched")["scenarios"]] == ["touched"]
    assert "did you mean touched" in refused("list", "touche")


# --- run


@pytest.mark.parametrize("name", names())
def test_run_every_scenario(report, name):
    result = report("run", name, "--ticks", 3000)
    assert set(result) == KEYS
    assert (result["schema"], result["scenario"], result["ticks"], result["crashed"]) == (1, name, 3000, 0)
    assert set(result["counters"]) == set(COUNTERS), "every counter is always present"
    assert all(type(value) is int for value in result["counters"].values())
    assert result["counters"]["ops"] == 3000
    assert set(result["guest"]) == {"faults", "versions", "ad", "tables"}
    assert set(result["log_dirty"]) == {"on", "dirty", "missing"}
    assert result["log_dirty"]["missing"] == 0


@pytest.mark.parametrize("name", ["blackboard", "forks"])
def test_guest_is_equal_on_all_roads(report, name):
    results = [report("run", name, "--set", f"road={road}", "--ticks", 5000) for road in ("bare", "shadow", "hap")]
    assert [result["road"] for result in results] == ["bare", "shadow", "hap"]
    assert results[0]["guest"] == results[1]["guest"] == results[2]["guest"]
    assert len({result["digest"] for result in results}) == 3


def test_second_reading_15_and_16_the_output_tells_what_of_a_trace_is_moved_or_left_out(cli, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(b" S 00602264,1\n L ffffffffff600000,8\n S 1ffefff000,8\n")
    code, out, err = cli("run", "blackboard", "--set", f"trace={path}", "--set", "guest=pae", "--set", "order=", "--ticks", 10)
    assert (code, err) == (0, "")
    assert "…: 1 of 3 accesses is left out" in out and "so 1 of its 2 pages lies elsewhere than recorded" in out
    assert "left out" not in cli("run", "blackboard", "--ticks", 10)[1]


def test_run_is_deterministic_and_the_seed_counts(report):
    arguments = ("run", "lecture", "--ticks", 2000)
    assert report(*arguments) == report(*arguments)
    other = report(*arguments, "--set", "seed=2")
    assert other["seed"] == 2
    assert other["guest"] != report(*arguments)["guest"]


def test_commands_of_do_join_those_of_the_scenario(report):
    both = report("run", "blackboard", "--ticks", 1000, "--do", "peek@500", "--do", "off@900,flush@950")
    assert [both["counters"][name] for name in ("enables", "peeks", "offs")] == [1, 1, 1]
    assert both["log_dirty"]["on"] is False
    alone = report("run", "blackboard", "--ticks", 1000, "--set", "do=peek@500")
    assert [alone["counters"][name] for name in ("enables", "peeks")] == [0, 1]


def test_zero_ticks(report):
    assert report("run", "blackboard", "--ticks", 0)["counters"]["ops"] == 0


def test_run_for_people(cli):
    code, out, err = cli("run", "blackboard", "--ticks", 2000)
    assert (code, err) == (0, "")
    assert "shadow_fault" in out and "digest" in out and "2000 ticks" in out


def test_trace_from_a_path_is_the_shipped_trace(report):
    path = TRACES / "gzip.npz"
    by_path = report("run", "blackboard", "--set", f"trace={path}", "--ticks", 1000)
    assert by_path == report("run", "blackboard", "--ticks", 1000)
    mixed = report("run", "programs", "--set", f"trace={path},sqlite", "--ticks", 1000)
    assert mixed == report("run", "programs", "--set", "trace=gzip,sqlite", "--ticks", 1000)


# --- audit


def test_audit_is_clean(report):
    result = report("audit", "forks", "--ticks", 1000, "--every", 50)
    assert set(result) == KEYS | {"audit"}
    assert result["audit"] == {"every": 50, "checks": 20, "broken": ""}
    without = report("run", "forks", "--ticks", 1000)
    assert {key: result[key] for key in KEYS} == without, "checking changes nothing"


def test_audit_stops_at_the_first_broken_rule(cli, monkeypatch):
    monkeypatch.setattr(Simulation, "audit", lambda self: "a rule is broken" if self.tick >= 30 else "")
    code, out, _ = cli("audit", "forks", "--ticks", 100, "--every", 10, "--json")
    assert code == 1
    result = json.loads(out)
    assert (result["audit"]["broken"], result["audit"]["checks"], result["ticks"]) == ("a rule is broken", 3, 30)
    code, out, _ = cli("audit", "forks", "--ticks", 100, "--every", 10)
    assert code == 1
    assert "a rule is broken" in out


# --- bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "required"),
        (("dance",), "invalid choice"),
        (("run",), "SCENARIO"),
        (("run", "nosuch"), "'nosuch' is not known"),
        (("run", "blackbord"), "did you mean blackboard"),
        (("run", "../blackboard"), "not known"),
        (("run", "blackboard", "--set", "frames"), "KEY=VALUE"),
        (("run", "blackboard", "--set", "frame=256"), "did you mean frames"),
        (("run", "blackboard", "--set", "name=x"), "'name' is not known"),
        (("run", "blackboard", "--set", "frames=many"), "whole number"),
        (("run", "blackboard", "--set", "frames=1e3"), "whole number"),
        (("run", "blackboard", "--set", "frames=2.5"), "whole number"),
        (("run", "blackboard", "--set", "frames=63"), "from 64 to 268435456"),
        (("run", "blackboard", "--set", "frames=262145"), "needs road=bare or hap"),
        (("run", "cloud-1t", "--set", "road=shadow"), "needs road=bare or hap"),
        (("run", "cloud-1t", "--set", "superpages=0"), "needs superpages=1 or 2"),
        (("run", "cloud-1t", "--set", "direct_map_pages=4k"), "needs direct_map_pages=large or huge"),
        (("run", "blackboard", "--set", "frames=999999999999999999999999"), "from 64"),
        (("run", "blackboard", "--set", "frames=128"), "needs 256 frames"),
        (("run", "blackboard", "--set", "pool=15"), "from 16 to 4096"),
        (("run", "blackboard", "--set", "road=pv", "--set", "guest=pae"), "64-bit guests only"),
        (("run", "rounds", "--set", "pml=1", "--set", "hap=npt"), "pml=1 needs core=skylake"),
        (("run", "blackboard", "--set", "hap=tdp"), "one of ept, npt"),
        (("run", "blackboard", "--set", "road=warp"), "one of bare, pv, shadow, hap"),
        (("run", "blackboard", "--set", "work=fork"), "form fork:PAGES"),
        (("run", "blackboard", "--set", "order=0,5"), "order names entry 5"),
        (("run", "blackboard", "--set", "trace=nosuch"), "'nosuch' is not known"),
        (("run", "blackboard", "--set", "trace=nosuch.npz"), "No such file"),
        (("run", "blackboard", "--set", "trace=/"), "Is a directory"),
        (("run", "blackboard", "--set", "trace=a\0b.npz"), "not a usable path"),
        (("run", "blackboard", "--set", f"trace={'0' * 64}"), "please give its file"),
        (("run", "blackboard", "--do", "enable"), "COMMAND@TICK"),
        (("run", "blackboard", "--do", "enable@soon"), "whole number"),
        (("run", "blackboard", "--do", "enable@-1"), "from 0 to 1000000000"),
        (("run", "blackboard", "--do", "reboot@5"), "'reboot' is not known"),
        (("run", "blackboard", "--do", "pool:9999@5"), "from 16 to 256"),
        (("run", "blackboard", "--do", "clean:3@5"), "takes no value"),
        (("run", "blackboard", "--ticks", "-1"), "--ticks"),
        (("run", "blackboard", "--ticks", "1000000001"), "--ticks"),
        (("run", "blackboard", "--tick", "5"), "--tick"),
        (("audit", "blackboard", "--every", "0"), "--every"),
        (("audit", "blackboard", "--every", "x"), "--every"),
        (("app", "--port", "x"), "--port"),
        (("app", "--port", "65536"), "from 1 to 65535"),
        (("app", "--host", "::"), "--host"),
        (("app", "--address", "203.0.113.1"), "cannot listen at '203.0.113.1'"),
        (("app", "--address", "a..b", "--port", "8501"), "port 8501: not a usable name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_options(refused, arguments, words):
    assert words in refused(*arguments)


def npz(**changes) -> bytes:
    """Bytes of a small trace, arrays replaced."""
    arrays = {
        "pages": np.array([1, 2], np.uint64),
        "page": np.array([0, 1], np.uint16),
        "kind": np.array([1, 2], np.uint8),
        "count": np.array([1, 1], np.uint16),
    }
    file = io.BytesIO()
    np.savez_compressed(file, **(arrays | changes))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not an .npz"),
        (b"just some text\n" * 100, "not an .npz"),
        (npz()[:200], "damaged or cut short"),
        (npz(page=np.array([{"a": 1}], object)), "pickle"),
        (npz(page=np.zeros(150 << 20, np.uint16)), "would unpack to 300 MiB"),
        (npz(page=np.array([0, 2], np.uint16)), "only 2 pages"),
        (npz(pages=np.array([2, 1], np.uint64)), "not sorted"),
        (npz(kind=np.array([1, 2], np.int64)), "uint8"),
        (npz(other=np.array([1])), "not part of a trace"),
    ],
    ids=["empty", "text", "truncated", "pickle", "bomb", "index", "unsorted", "type", "foreign"],
)
def test_bad_trace_files(refused, tmp_path, data, words):
    path = tmp_path / "their.npz"
    path.write_bytes(data)
    sentence = refused("run", "blackboard", "--set", f"trace={path}")
    assert words in sentence
    assert "their.npz" in sentence


def test_a_good_small_file_of_ones_own(report, tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(npz())
    result = report("run", "blackboard", "--set", f"trace={path}", "--set", "work=", "--ticks", 10)
    assert result["guest"]["faults"]["count"] == 2


def test_trace_too_big_for_the_guest_is_told_the_size(refused):
    path = TRACES / "cc1.npz"
    sentence = refused("run", "blackboard", "--set", f"trace={path}")
    assert "needs " in sentence and "frames=" in sentence


def test_a_port_that_is_taken(refused):
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "in use" in refused("app", "--port", other.getsockname()[1])


# --- the process itself


def run_process(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pagingviz", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.slow
def test_exit_codes_of_the_process():
    assert run_process("list", "--json").returncode == 0
    wrong = run_process("run", "nosuch", "--json")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.count("\n") == 1
    right = run_process("run", "blackboard", "--ticks", "100", "--json")
    assert right.returncode == 0
    assert json.loads(right.stdout)["ticks"] == 100


def test_help_and_closed_pipe():
    assert "SCENARIO" in run_process("run", "--help").stdout
    piped = subprocess.run(
        f"{sys.executable} -m pagingviz list --json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE,
        check=False,
    )
    assert (piped.stdout, piped.stderr) == ("{", "")


def test_upload_in_the_api_is_named_by_its_sha256(report):
    data = (TRACES / "gzip.npz").read_bytes()
    scenario = load("blackboard").replace(trace=fingerprint(data))
    simulation = Simulation(scenario, {fingerprint(data): data})
    simulation.run(1000)
    assert simulation.machine.digest() == report("run", "blackboard", "--ticks", 1000)["digest"]
    with pytest.raises(ScenarioError, match="please give its file"):
        Simulation(scenario)


def test_second_reading_25_columns_of_a_text_table_never_touch(cli):
    """A column is as wide as its longest text, whatever a name or a number has grown to."""
    _, out, _ = cli("list")
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert rows["2.10"].index("What if") == rows["2.9"].index("Can a")
    assert rows["2.10"].index("thrash") == rows["4.2"].index("search", len("  4.2  Why not search"))
    assert rows["hap"].index("Nested") == rows["pml"].index("1:")
    rounds = [{"number": 1, "kind": "live", "sent": 101_387_008, "skipped": 101_387_008, "dirtied": 123_456_789}]
    rounds[0] |= {"needless": 101_387_008, "time": 10**12, "ticks": 10**12, "exits": {}}
    words = dict.fromkeys(("scenario", "road", "hap", "pml", "migrate", "policy", "seed", "outcome", "stop", "why"), "")
    words |= {"road": "bare", "total": 1, "downtime": 1, "pages": 1, "bytes": 1, "destination_equals_source": True}
    line = next(line for line in migrations.lines(words | {"rounds": rounds}) if "101,387,008" in line)
    assert re.split(r" {2,}", line.strip()) == [
        "1", "live", *["101,387,008"] * 2, "123,456,789", "101,387,008", "1,000,000,000.000", "1,000,000,000,000", "none"
    ]  # fmt: skip


def test_second_reading_27_an_order_that_no_longer_fits_says_what_to_do(refused, cli):
    assert "give an order of these, or none (order=)" in refused("run", "lecture", "--set", "work=", "--ticks", "1")
    assert cli("run", "lecture", "--set", "work=", "--set", "order=", "--ticks", "1")[0] == 0
