"""What the host gave a recorded domain, as it is declared beside the recordings (recordings/memory.toml).

The domain builder takes leaves of 1 GiB wherever a guest's memory allows it and the host has them. That the host lacked them is
no rule of the model and not to be seen in a script, so it is written down, and what comes of it is compared like all else.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from pagingviz.scenario.fields import ScenarioError, quote
from pagingviz.work.work import ANY_GIBS

DECLARED = Path(__file__).parents[1] / "recordings/memory.toml"


@dataclass(frozen=True)
class Memory:
    """`huge_leaves`: the most leaves of 1 GiB; `reason` in a sentence, and where it is `seen`; "" of a host that had enough."""

    huge_leaves: int = ANY_GIBS
    reason: str = ""
    seen: str = ""

    @property
    def note(self) -> str:
        """What was declared, for a report; "" where nothing was."""
        return (
            f"Declared, not searched: {self.reason} Leaves of 1 GiB: {self.huge_leaves} ({self.seen})." if self.reason else ""
        )


def memory_of(script: str, path: Path = DECLARED) -> Memory:
    """What is declared of the domains that ran this script, a file of the recordings. Raises ScenarioError."""
    try:
        rows = tomllib.loads(path.read_text("utf-8")).get("memory", [])
        found = [Memory(int(row["huge_leaves"]), row["reason"], row["seen"]) for row in rows if row["script"] == script]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScenarioError(f"What is declared of recorded memory in {path} cannot be used: {quote(str(error), 80)}.") from None
    return found[0] if found else Memory()
