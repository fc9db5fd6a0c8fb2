"""Scripts of the recordings (`.ld`): one operation a line, in the order the tool carried them out. Pure text, no machine.

A line is `note TEXT`, `cmd N a b c d e` (missing numbers: a=0, b=0, c=1, d=1, e=0; `cmd1`: vCPU 1 is to do it),
`sh .../dump.sh NAME` (Xen's debug key D: all EPT leaves at this point), or an operation of the tool around the guest. Blank
lines and lines that begin with # are skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pagingviz.scenario.fields import ScenarioError, integer, one_of, quote

MAX_LINES = 4096
ARGUMENTS = ("a", "b", "c", "d", "e")
DEFAULTS = (0, 0, 1, 1, 0)
HIGHEST = 1 << 20  # of any number in a script: more than a guest of 32 MiB can use
PLAIN = ("enable", "clean", "peek", "off", "info", "pool")  # operations without a number
NUMBERED = {"sleep": "milliseconds", "setpages": "pages"}  # operations with exactly one number
NAMES = ("note", "cmd", "cmd1", "sh", *PLAIN, *NUMBERED)
UNRECORDED = ("sleep", "info", "dump")  # steps that not every file of a recording has a row of: nothing is compared with it
_DUMP = re.compile(r"(?:\S+ )?\S*dump\.sh (\S+)")
LAST_OF_THE_FIRST = 15  # the second program has further commands
# What each command of the guest does, in words for the reader (evidence/recordings/README.md).
COMMANDS = {
    1: "d passes: increment the first word of b pages from a, stride c",
    2: "read the first word of b pages from a, stride c",
    3: "split both 2 MiB pages of the region into 4 KiB pages, reload CR3",
    4: "toggle bit 9 of b L1 entries from a, stride c, each with INVLPG if d",
    5: "reload CR3",
    7: "have the hypervisor copy a string into b pages from a, stride c",
    8: "for b L1 entries from a, stride c: clear RW, reload CR3, restore it, reload CR3",
    9: "clear A and D of b L1 entries from a, stride c, then reload CR3",
    11: "back to 2 MiB pages, reload CR3",
    12: "b stores of zero to consecutive words of an old L1 page",
    13: "build a alias L1 tables and hook them, reload CR3",
    14: "d passes: read through b alias tables from a",
    15: "d passes: increment through b alias tables from a",
    16: "load from b frames from a, stride c",
    17: "store to b frames from a, stride c",
    18: "run a RET in b frames from a, stride c",
    19: "store a RET in b frames from a, stride c",
    20: "run the RET in b pages from a, stride c",
    21: "store a RET in b pages from a, stride c",
    22: "store to b pages from a, stride c, without loading first",
}


@dataclass(frozen=True)
class Step:
    """One line of a script: `name` of NAMES (cmd1: "cmd" with vcpu 1; sh: "dump"); `text` of a note, or a dump's name; `number`
    of a command or operation; `args` a..e."""

    line: int
    name: str
    text: str = ""
    number: int = 0
    args: tuple[int, ...] = ()
    vcpu: int = 0

    @property
    def words(self) -> str:
        """The step as the script would have it, short forms written out."""
        if self.name in ("note", "dump"):
            return f"{'sh dump.sh' if self.name == 'dump' else 'note'} {self.text}"
        if self.name == "cmd":
            return " ".join(map(str, ("cmd1" if self.vcpu else "cmd", self.number, *self.args[:4])))
        return f"{self.name} {self.number}" if self.name in NUMBERED else self.name


def of_the_second(step: Step) -> bool:
    """Whether only the second program of the recordings (eptguest.py) can do this step."""
    return step.name == "cmd" and (step.number > LAST_OF_THE_FIRST or step.vcpu > 0)


def parse(text: str) -> list[Step]:
    """The steps of a script. Raises ScenarioError with one sentence for the first line that is not understood."""
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise ScenarioError(f"A script may have at most {MAX_LINES} lines, not {len(lines)}.")
    steps = [_step(number, line.strip()) for number, line in enumerate(lines, 1)]
    return [step for step in steps if step is not None]


def refuse_unknown(steps: list[Step]) -> None:
    """Raise ScenarioError for the first command that the guest does not have. A PV guest takes any, and does nothing."""
    for step in steps:
        if step.name == "cmd" and step.number not in COMMANDS:
            known = ", ".join(map(str, COMMANDS))
            raise ScenarioError(
                f"The guest of the recordings has no command {step.number} (line {step.line} of the script); it knows {known}."
            )


def _step(number: int, line: str) -> Step | None:
    if not line or line.startswith("#"):
        return None
    name, _, rest = line.partition(" ")
    where = f"in line {number} of the script"
    if name == "note":
        return Step(number, name, text=rest.strip())
    if name not in NAMES:
        raise one_of(f"The operation {where}", name, NAMES)
    words = rest.split()
    if name == "sh":
        return _dump(number, where, rest)
    if name in ("cmd", "cmd1"):
        return _command(number, where, words, int(name == "cmd1"))
    if len(words) != (name in NUMBERED):
        takes = f"one number of {NUMBERED[name]}" if name in NUMBERED else "no number"
        raise ScenarioError(f"{name} {where} takes {takes}, not {quote(rest)}.")
    value = integer(f"The number of {name} {where}", words[0], 0, HIGHEST) if words else 0
    return Step(number, name, number=value)


def _dump(number: int, where: str, rest: str) -> Step:
    found = _DUMP.fullmatch(rest.strip())
    if not found:
        raise ScenarioError(f"sh {where} is understood for dump.sh and a name only, not for {quote(rest)}.")
    return Step(number, "dump", text=found[1])


def _command(number: int, where: str, words: list[str], vcpu: int) -> Step:
    if not 1 <= len(words) <= 1 + len(ARGUMENTS):
        raise ScenarioError(f"cmd {where} takes a command and up to five numbers, not {quote(' '.join(words))}.")
    command = integer(f"The command {where}", words[0], 0, HIGHEST)
    given = [
        integer(f"The number {name} of cmd {where}", word, 0, HIGHEST) for name, word in zip(ARGUMENTS, words[1:], strict=False)
    ]
    return Step(number, "cmd", number=command, args=(*given, *DEFAULTS[len(given) :]), vcpu=vcpu)
