"""All proofs carried out: each scene is run once, and every sentence that is said in it is held against the machine."""

import functools
from collections import Counter
from dataclasses import dataclass, field

from pagingviz.arch import events as ev
from pagingviz.story.events import MARKED_BY
from tests.sentences import moments, proofs_events, scenes
from tests.sentences.numbers import wrong_number
from tests.sentences.proofs_commands import COMMANDS, ENDS
from tests.sentences.proofs_hypercalls import HYPERCALLS
from tests.sentences.proofs_migration import MIGRATION, ROUNDS, UNSAID
from tests.sentences.proofs_nested import NESTED
from tests.sentences.proofs_nested_exits import NESTED_EXITS
from tests.sentences.proofs_story import SENTENCES
from tests.sentences.templates import longest, pattern

BY_STATE = {  # file: ((template, what is compared, comparison of a Moment), ...)
    "pagingviz/story/commands.py": COMMANDS,
    "pagingviz/story/sentences.py": ENDS + SENTENCES,
    "pagingviz/story/nested_exits.py": NESTED_EXITS,
    "pagingviz/story/hypercalls.py": HYPERCALLS,
    "pagingviz/story/migration.py": MIGRATION,
    "pagingviz/story/rounds.py": ROUNDS,
    "pagingviz/story/nested_tables.py": NESTED,
}
UNSAID = {("pagingviz/story/migration.py", template): why for template, why in UNSAID.items()}
CHANNELS = {"pagingviz/story/nested_tables.py": "nested", "pagingviz/story/rounds.py": "rounds"}  # the rest: the story
MOST = 30  # times that one sentence is checked in one scene
NESTED_SCENES = (
    "rounds, EPT",
    "rounds, PML",
    "rounds, NPT",
    "lab, EPT",
    "lab, NPT",
    "commands, EPT",
    "lab, fetches",
    "log-dirty off, PML",
)
ALWAYS = ("ENABLE", "CLEAN", "OFF", "PEEK", "P2M_SPLIT", "PML_FULL", "PML_FLUSH")  # ticks at which the entries are looked at


@dataclass
class Found:
    """What came of one sentence. first: scene and tick at which it was said first; times: how often it was checked."""

    first: tuple[str, int] | None = None
    times: int = 0
    wrong: list = field(default_factory=list)

    def take(self, name, m, true, text):
        self.first = self.first or (name, m.sim.tick)
        self.times += 1
        if not true:
            self.wrong.append((name, m.sim.tick, text))


class Evidence:
    """What came of all sentences: {(file, template or kind of event): Found}."""

    def __init__(self):
        self.found = {(file, row[0]): Found() for file, rows in BY_STATE.items() for row in rows}
        self.found |= {("kinds", kind): Found() for kind in proofs_events.PROOFS}
        self.found |= {("marks", words): Found() for words in proofs_events.MARKED_BY}
        self.numbers = []  # texts with a wrong singular or plural
        self.rows: dict[str, list] = {}  # by channel
        for file, rows in BY_STATE.items():
            of_channel = self.rows.setdefault(CHANNELS.get(file, "story"), [])
            of_channel += [(file, template, longest(template), pattern(template), check) for template, _, check in rows]
        for name in (*scenes.SCENES, *scenes.BY_HAND, *scenes.MOVES):
            self.scene(name)

    def scene(self, name):
        """Run a scene."""
        said: Counter = Counter()
        for number, m in enumerate(scenes.run(name)):
            for channel, text, e in moments.said(m):
                if wrong_number(text):
                    self.numbers.append((name, m.sim.tick, text))
                if channel == "events":
                    self.event(name, m, e, said)
                else:
                    self.text(name, m, text, e, said, channel)
            if name in NESTED_SCENES and (number % 7 == 0 or m.n(*ALWAYS)) and (number < 400 or m.n(*ALWAYS)):
                frames = m.sim.scenario.frames
                some = sorted({int(e["gfn"]) for e in m.events if e["gfn"] < frames} | {0, 1, 700 % frames, 3000 % frames})
                for channel, text, e in moments.of_nested_tables(m, some[:8]):
                    self.text(name, m, text, e, said, channel)

    def text(self, name, m, text, e, said, channel):
        """Hold every template that is in a text against the moment."""
        for file, template, part, expression, check in self.rows[channel]:
            if part not in text or said[template] >= MOST:
                continue
            if match := expression.search(text):
                said[template] += 1
                m.text, m.groups, m.event = text, match.groups(), e
                self.found[file, template].take(name, m, check(m), text)

    def event(self, name, m, e, said):
        """Hold the words of an event against the moment."""
        kind = ev.NAMES[int(e["kind"])]
        said[kind, int(e["level"])] += 1
        if said[kind, int(e["level"])] > MOST:
            return
        self.found["kinds", kind].take(name, m, proofs_events.PROOFS[kind][1](m, e), kind)
        if kind == "MARK_DIRTY":
            words = MARKED_BY[int(e["level"])]
            self.found["marks", words].take(name, m, proofs_events.MARKED_BY[words][1](m, e), words)


@functools.cache
def evidence():
    """The evidence of this session, made once."""
    return Evidence()
