"""The one sentence with which bad input is refused."""

import pytest

from pagingviz.scenario.scenario import (
    ScenarioError,
)


def refused(call, *args, **kwargs) -> str:
    """The sentence with which a call is refused: one line, one sentence, of a readable length."""
    with pytest.raises(ScenarioError) as caught:
        call(*args, **kwargs)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 350, text
    return text
