"""Every number that is told goes with the singular or the plural that it needs."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagingviz.story import events
from pagingviz.story.counting import Number, counted, form, listed
from tests.sentences import numbers

PAIRS = {  # all words that go with a number: one, more
    "": "one of them ",
    "CLEAN": "CLEANs",
    "address": "addresses",
    "address is": "addresses are",
    "bit": "bits",
    "dies": "die",
    "dirty bit is": "dirty bits are",
    "entry": "entries",
    "entry changes": "entries change",
    "entry was": "entries were",
    "equals": "equal",
    "exit": "exits",
    "fault": "faults",
    "frame": "frames",
    "has": "have",
    "is": "are",
    "leaf": "leaves",
    "logged page is": "logged pages are",
    "neighbouring entry": "neighbouring entries",
    "of its pages is": "of its pages are",
    "of its tables is": "of its tables are",
    "other is": "others are",
    "page": "pages",
    "page is": "pages are",
    "page of the guest is": "pages of the guest are",
    "page of the pool is": "pages of the pool are",
    "page table": "page tables",
    "page-table frame": "page-table frames",
    "pending change": "pending changes",
    "recycling": "recyclings",
    "root": "roots",
    "round": "rounds",
    "shadow": "shadows",
    "shadow fault": "shadow faults",
    "shadow table": "shadow tables",
    "table": "tables",
    "table store": "table stores",
    "table store is": "table stores are",
    "that the policy counted was sent": "that the policy counted were sent",
    "tick": "ticks",
    "time": "times",
    "waits": "wait",
    "was": "were",
    "writable frame": "writable frames",
    "writable frame is": "writable frames are",
}


@given(st.integers(0, 10**9))
def test_one_is_singular_and_all_else_plural(n):
    many = n != 1
    assert (
        counted(n, "page") == f"{n:,} page{'s' * many}" and counted(n, "leaf", "leaves") == f"{n:,} lea{'ves' if many else 'f'}"
    )
    assert form(n, "is", "are") == ("are" if many else "is")
    assert f"{Number(n):page|pages} {Number(n):~is|are}" == f"{counted(n, 'page')} {form(n, 'is', 'are')}"
    assert f"{Number(n)} {Number(n):#x}" == f"{n} {n:#x}"


def test_names_in_a_row():
    assert [listed(list("abc"[:k])) for k in (1, 2, 3)] == ["a", "a, then b", "a, then b and c"]


def test_the_table_has_the_words_of_every_template():
    assert dict(sorted({(one, many) for _, one, many in numbers.counted_words()})) == PAIRS


def test_no_other_template_has_a_number_before_a_fixed_plural():
    assert sorted({text for _, text in numbers.bare_plurals()} - set(numbers.NEVER_ONE)) == []


@pytest.mark.parametrize("kind", events.WORDS)
@pytest.mark.parametrize("n", [1, 2])
def test_words_of_events_with_one_and_with_two(kind, n):
    fields = {name: Number(n) if name == "detail" else "?" for name in re.findall(r"\{(\w+)", events.WORDS[kind])}
    assert numbers.wrong_number(events.WORDS[kind].format(**fields)) == ""


@pytest.mark.parametrize("text", ["1 shadows die", "recycled 1 times", "2 page", "1 dirty bits are read", "12 entry"])
def test_what_is_wrong_is_found(text):
    assert numbers.wrong_number(text)
