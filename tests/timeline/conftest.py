"""Fixtures of the tests of time travel."""

import pytest

from pagingviz.timeline import checkpoints, simulation


@pytest.fixture
def many_checkpoints(monkeypatch):
    """A checkpoint after every chunk, a chunk every few ticks: replay starts in all kinds of places."""
    monkeypatch.setattr(checkpoints, "SPACING", -1.0)
    monkeypatch.setattr(simulation, "CHUNK", 7)
