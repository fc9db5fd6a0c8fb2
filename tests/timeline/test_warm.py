"""How far the compiler is, and its process of its own. The compiling itself is tried by tests/ui/test_cold_start.py."""

import sys

import pytest

from pagingviz.timeline import own_process, warm


@pytest.fixture
def cold(monkeypatch, tmp_path):
    """A server with an empty folder for kernels, whose clock stands; returns what was compiled in its own process."""
    here = []
    monkeypatch.setattr(warm, "CACHE", tmp_path / "kernels-0")
    (tmp_path / "kernels-0").mkdir()
    monkeypatch.setattr(warm, "_done", 0.0)
    monkeypatch.setattr(warm, "_began", 0.0)
    monkeypatch.setattr(warm, "warm", lambda: here.append(warm._done))
    monkeypatch.setattr(warm.time, "monotonic", lambda: 1000.0)
    return here


def test_the_time_that_is_left_follows_from_what_is_done(cold, monkeypatch):
    assert "it has just begun" in warm.sentence() and warm.remaining() is None
    monkeypatch.setattr(warm, "_began", 970.0)
    monkeypatch.setattr(warm, "_done", 0.25)
    assert warm.remaining() == 90
    assert warm.sentence().endswith("25%, about 90 seconds to go.")


def test_what_is_compiled_is_only_loaded(cold):
    (warm.CACHE / "complete").touch()
    assert warm.sentence() == "The simulator is being loaded: a moment."
    warm.apart()
    assert cold == [0.0], "no process was needed"


def process(monkeypatch, tmp_path, script):
    """In the compiler's place a program that runs `script`."""
    path = tmp_path / "compiler"
    path.write_text(f"#!{sys.executable}\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setattr(own_process.sys, "executable", str(path))


def test_the_compilers_process_says_how_far_it_is_and_then_its_work_is_loaded(cold, monkeypatch, tmp_path):
    process(monkeypatch, tmp_path, "print(0.5)\nprint(1.0)")
    warm.apart()
    assert cold == [1 - warm.LOADING], "loading is left"


def test_when_the_compilers_process_fails_the_server_compiles_itself(cold, monkeypatch, tmp_path, caplog):
    process(monkeypatch, tmp_path, "print(0.5)\nraise SystemExit(3)")
    warm.apart()
    assert cold == [0.0] and "ended with 3" in caplog.text
