"""How fast a machine is played at first."""

import math

from pagingviz.scenario.scenario import Scenario

FPS = 30
ROUND_SECONDS = 10  # about so long a viewer sees the first round of a migration
_STEPS = tuple(step * 10**k for k in range(5) for step in (1, 2, 5))


def ticks_a_frame(scenario: Scenario) -> int:
    """1; of a migration so many that its first round, which sends all frames at `pace` ticks a page, takes ROUND_SECONDS."""
    if scenario.migrate == "no":
        return 1
    wanted = scenario.frames * scenario.pace / (FPS * ROUND_SECONDS)
    return min(_STEPS, key=lambda n: abs(math.log(n / wanted)))
