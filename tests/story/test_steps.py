"""Notes as data: the language of steps, its words, what it refuses; and the library, which calls everything by its label."""

import re

import pytest

from pagingviz.arch import events as ev
from pagingviz.manual.pages import PAGES
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import FIELDS, load, names
from pagingviz.scenario.table import FIELD
from pagingviz.story.kinds import COMMANDS, EVENT_KINDS
from pagingviz.story.steps import Step, notes, plain

MARK = re.compile(r"\[\[.*?\]\]")
SHOWN = {label for _, label, _ in COMMANDS} | {words for _, words in EVENT_KINDS} | {"INVLPG"}  # which is an instruction
# Names of fields that are no English words: where one of them stands in a note, the sidebar's label is missing.
CODES = {f.name for f in FIELDS if f.label != f.name and ("_" in f.name or len(f.name) <= 3 or f.name == "shopt")} - {"do"}


def all_steps():
    """(scenario, step) of the whole library."""
    return [(name, step) for name in names() for note in notes(load(name).notes) for step in note.steps]


def test_a_note_is_cut_into_numbers_texts_and_steps():
    first, one, two = notes("Before.\n1. Set [[pool=40&oos=0]],\n   then go to [[tick=12000]].\n2. Nothing.\n")
    assert (first.number, one.number, two.number) == (0, 1, 2) and not first.steps + two.steps
    pool, tick = one.steps
    assert (pool.kind, pool.keys) == ("set", (("pool", "40"), ("oos", "0")))
    assert pool.words == "shadow pool pages to 40 and out-of-sync tables to off"
    assert (tick.kind, tick.value, tick.words, tick.label) == ("tick", "12000", "tick 12,000", "Go to tick 12,000")
    assert one.text(lambda step: f"<{step.kind}>") == "Set <set>, then go to <tick>."
    assert (
        plain("1. Set [[road=hap]].\n2. Set [[oos=0]].") == "1. Set road to hap.\n2. Set out-of-sync tables to off (oos=0).\n"
    )


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("next=FORK", "next fork"),
        ("page=translation", "Translation"),
        ("do=", "commands to nothing"),
        ("scenario=touched", "“2.3 Is a shadow a full copy?”"),
        ("pml=1", "page-modification log to on"),
    ],
)
def test_a_step_is_called_as_the_page_calls_it(step, words):
    ((found,),) = [note.steps for note in notes(f"1. Here [[{step}]].")]
    assert found.words == words


@pytest.mark.parametrize(
    "bad",
    [
        "[[pool]]",
        "[[pool=3]]",
        "[[pool=many]]",
        "[[nonsense=1]]",
        "[[pool=40&nonsense=1]]",
        "[[tick=-1]]",
        "[[tick=soon]]",
        "[[next=BLOW]]",
        "[[next=fork]]",
        "[[page=nowhere]]",
        "[[page=]]",
        "[[scenario=nowhere]]",
        "[[road=hap",
        "road=hap]]",
        "[[]]",
    ],
)
def test_a_bad_step_is_refused_in_one_sentence(bad):
    with pytest.raises(ScenarioError) as refused:
        notes(f"1. Do {bad}.")
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)


# ---- the library


@pytest.mark.parametrize("name", names())
def test_every_step_of_the_library_can_be_taken(name):
    scenario = load(name)
    for note in notes(scenario.notes):
        changed = scenario
        for step in note.steps:
            if step.kind == "set":
                assert changed.replace(**dict(step.keys)) != changed, (
                    f"{name}, note {note.number}: {step.words} changes nothing"
                )
                changed = changed.replace(**dict(step.keys))
            assert step.kind != "scenario" or step.value != name


def test_the_library_has_steps_of_every_kind():
    assert {step.kind for _, step in all_steps()} == {"set", "tick", "next", "page", "scenario"}


@pytest.mark.parametrize("name", names())
def test_a_note_calls_fields_commands_and_events_as_the_sidebar_and_the_menus_do(name):
    text = MARK.sub("", load(name).notes)
    for word in re.findall(r"[A-Z][A-Z0-9_]{2,}", text):
        assert word not in ev.CODES or word in SHOWN, f"{word} is no word of a menu or a button"
    for word in re.findall(r"\w+", text):
        assert word not in CODES, f"the sidebar calls {word} {FIELD[word].label!r}"
    assert not [key for key in re.findall(r"\b(\w+)=", text) if key in FIELD], "a step shows what an address would hold"


@pytest.mark.parametrize("name", names())
def test_a_note_names_a_page_by_its_title(name):
    for note in notes(load(name).notes):
        text = note.text(lambda step: f"<{step.words}>" if step.kind == "page" else step.words)
        for said in re.findall(r"\bpage (<?[A-Z][\w /]*>?)", text):
            title = said.strip("<>")
            assert any(title.startswith(known) for known in PAGES.values()), said
            assert said.startswith("<"), f"{title} can be opened by a step"


def test_the_check_of_names_finds_a_wrong_one():
    assert {"oos", "pml", "clean_every", "exec_sp"} <= CODES and not {"pool", "road", "frames", "write", "work"} & CODES
    assert not {"COW_BREAK", "EMULATE", "PREALLOC_UNPIN", "BLOW"} & SHOWN and {"CLEAN", "PEEK", "ENABLE", "OFF"} <= SHOWN
    assert isinstance(all_steps()[0][1], Step)
