"""The audit can fail: each of its rules by one thing made wrong, and those that matter most by a kernel made wrong."""

import pytest

from pagingviz.arch.words import U
from pagingviz.core.audit import rules
from tests.core.corruptions import CORRUPTIONS, Broken, Given, text
from tests.support.plainly import answer


@pytest.mark.parametrize("spoil", CORRUPTIONS, ids=lambda spoil: spoil.__name__)
def test_one_thing_wrong_breaks_one_rule(spoil):
    road, rule = CORRUPTIONS[spoil]
    broken = Broken(road) if isinstance(road, str) else Given(road)
    spoil(broken)
    assert broken.rule().name == rules.RULES[int(rule)].name
    assert broken.sim.audit().startswith(text(rule))


def test_every_rule_is_named_as_it_is_written():
    named = {name: rules.RULES[int(code)].name for name, code in vars(rules).items() if name.isupper() and isinstance(code, U)}
    del named["CODE_BITS"]
    assert len(named) == len(rules.RULES) - 1 and all(name == known for name, known in named.items())


def test_every_rule_has_a_way_to_fail():
    assert {int(rule) for _, rule in CORRUPTIONS.values()} == set(range(1, len(rules.RULES)))


def test_the_audit_changes_nothing():
    for road in ("bare", "pv", "shadow", "hap"):
        broken = Broken(road)
        before = broken.m.digest()
        broken.rule()
        assert broken.m.digest() == before


# ---- kernels with one rule left out

TRAPPED, WRITABLE, BIT = text(rules.TLB_STORE), text(rules.CLEAN_WRITABLE), text(rules.LOST_WRITE)
NOTICED = {  # table of mutants: those that a test must notice
    "pml": (
        "log not flushed before CLEAN",
        "log emptied and not marked",
        "marked at OFF",
        "one page for all logs",
        "pages of the log kept",
        "a log without a page",
        "rights computed anew though the type stays",
        "walks that only read",
    ),
    "ept": (
        "superpages executable",
        "only the leaf of the fetch",
        "a fetch marks the page",
        "the TLB lets a fetch through",
        "a fetch without pages hangs",
        "guest memory types",
        "A and D preset",
        "an INVEPT after a misconfiguration",
        "a CLEAN while off is refused",
        "an OFF while off changes the types",
    ),
    "ring 3": ("kernel pages stay in the TLB", "user pages go from the TLB", "PDPTEs from registers behind NPT"),
    "gib": ("EPT splits only the way", "NPT's children a frame apart", "a page of the pool is enough"),
}
BUG = "the guest's kernel met a fault it cannot explain"
CAUGHT = {  # mutant: (rules that may be the first to speak, whether writes are lost)
    "none, shadow": ({""}, False),
    "none, hap": ({""}, False),
    "no flush after CLEAN, shadow": ({TRAPPED, BIT}, True),
    "no flush after CLEAN, hap": ({TRAPPED, BIT}, True),
    "no blow": ({TRAPPED, WRITABLE}, True),
    "no poison": ({TRAPPED, WRITABLE}, True),
    "no mark, shadow": ({TRAPPED, WRITABLE, BIT}, True),
    "no mark, hap": ({TRAPPED, WRITABLE, BIT}, True),
    "A and D bits not marked": ({TRAPPED, WRITABLE, BIT}, True),
    "prefetch writable": ({TRAPPED, WRITABLE}, True),
    "write access left": ({TRAPPED, text(rules.TABLE_WRITABLE)}, False),
    "no validation": ({TRAPPED, text(rules.GUEST_NOT_PRESENT), text(rules.RIGHTS)}, False),
    "reference kept": ({TRAPPED, text(rules.SHADOW_FLAG), text(rules.REFERENCES)}, True),
    "none, npt": ({""}, False),
    "no flush after CLEAN, npt": ({TRAPPED, BIT}, True),
    "no poison, npt": ({TRAPPED, WRITABLE}, True),
    "no mark, npt": ({TRAPPED, WRITABLE, BIT}, True),
    "retyped without a mark, npt": ({TRAPPED, WRITABLE, BIT}, True),
    "none, pml": ({""}, False),
    "no flush after CLEAN, pml": ({TRAPPED, BIT}, True),
    "D set and not logged": ({TRAPPED, BIT, text(rules.LOGDIRTY_WRITABLE)}, True),
    "none, revoke": ({""}, False),
    "no search": ({TRAPPED, WRITABLE}, True),
    "one shadow searched": ({TRAPPED, WRITABLE}, True),
    "no flush after the search": ({TRAPPED, BIT}, True),
    "no search, pv": ({TRAPPED, WRITABLE}, True),
    "none, pv": ({""}, False),
    "no flush after CLEAN, pv": ({TRAPPED, BIT}, True),
    "no blow, pv": ({TRAPPED, WRITABLE}, True),
    "no mark, pv": ({TRAPPED, WRITABLE, BIT}, True),
    "hypercall without its shadow": ({text(rules.GUEST_NOT_PRESENT), text(rules.RIGHTS), text(rules.TARGET)}, True),
    "writable use not counted": ({BUG, text(rules.PV_TYPECOUNT)}, False),
    "use not ended": ({BUG, text(rules.PV_TYPECOUNT)}, False),
    "old table kept": ({text(rules.PV_TYPECOUNT)}, False),
    "no flush between kernel and user": ({text(rules.TLB_TRANSLATION)}, False),
    "direct map left writable": ({BUG}, False),
}


@pytest.fixture(scope="module")
def found():
    """{"properties": {number: what its test said}, "roads": {mutant: [first broken rule, writes lost]}}."""
    return answer("core.mutants")


@pytest.mark.plain
@pytest.mark.parametrize("number", range(1, 41))
def test_a_property_broken_on_purpose_is_noticed(found, number):
    assert found["properties"][str(number)] != ""


@pytest.mark.plain
@pytest.mark.parametrize(("table", "mutant"), [(table, mutant) for table, mutants in NOTICED.items() for mutant in mutants])
def test_a_broken_rule_is_noticed(found, table, mutant):
    assert found[table][mutant] != ""


@pytest.mark.plain
@pytest.mark.parametrize("mutant", CAUGHT)
def test_a_rule_left_out_is_noticed(found, mutant):
    rules, losing = CAUGHT[mutant]
    rule, lost = found["roads"][mutant]
    assert rule.partition(" (at")[0] in rules
    assert (lost > 0) == losing


@pytest.mark.plain
def test_every_mutant_is_judged(found):
    assert set(found["roads"]) == set(CAUGHT)
    assert {table: set(found[table]) for table in NOTICED} == {table: set(mutants) for table, mutants in NOTICED.items()}
