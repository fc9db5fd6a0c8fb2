"""What is said of the pages that were wanted is what the engine asked for: each call of it is watched, in plain Python."""

import pytest

from tests.support.plainly import answer


@pytest.mark.plain
@pytest.mark.parametrize("name", ["thrash", "blackboard"])
def test_the_pages_wanted_are_those_that_were_asked_for(name):
    found = answer("reading.asked", name, "600")
    assert len(found) > 2, "the pool was too small"
    for tick, told, asked in found:
        assert told == asked, tick
