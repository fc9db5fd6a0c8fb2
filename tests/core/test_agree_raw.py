"""Random raw guests of every kind: kernels and slow model agree row by row in state, counters and trace events, the model's
own rules hold, and a guest that plays by the rules of the architecture cannot tell its road from a bare machine."""

import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pagingviz.arch.state import XEN_COUNTERS
from pagingviz.core.audit import audit
from pagingviz.core.audit.rules import rule_of
from tests.core.agree_raw import Pair, Row
from tests.core.raw_drawn import KINDS, ROWS, SMAP, SMEP, SWITCHES, USUAL, WP, drawn, make, play
from tests.model.config import RAW_CR3, RAW_EVENT, RAW_INVLPG, RAW_STORE, READ, WRITE, A, D, P, U, W
from tests.model.invariants import broken_rule

pytestmark = pytest.mark.slow

CALM = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # a guest follows from its seed: nothing to shrink
NEVER = {"shadow_writeable_bf_1"}  # the fixups know every writable mapping of an out-of-sync table
RARE = {  # each has a test of its own below
    "shadow_writeable_h_8",
    "shadow_inconsistent_gwalk",
    "shadow_unshadow_bf",
    "shadow_writeable_h_2",
    "shadow_fault_fast_emulate_fail",
}

kinds = st.sampled_from(KINDS)
shapes = st.fixed_dictionaries(
    {
        "vcpus": st.sampled_from([1, 1, 2, 3]),
        "pool": st.sampled_from([16, 24, 32, 48, 100]),  # beyond what the vCPUs need to exist
        "shopt": st.one_of(st.sampled_from([511, 511, 511] + [511 ^ 1 << bit for bit in range(9)]), st.integers(0, 511)),
        "oos": st.sampled_from([1, 1, 1, 0]),
        "xen": st.sampled_from(["4.17", "master"]),
        "clean": st.sampled_from(["blow", "revoke"]),
    }
)
commands = st.one_of(
    st.sampled_from(
        [("enable", None), ("enable", None), ("clean", None), ("peek", None), ("off", None), ("blow", None), ("flush", None)]
    ),
    st.tuples(st.just("pool"), st.integers(20, 80)),
    st.tuples(st.just("dm"), st.builds(lambda gfn, n: gfn | n << 32, st.integers(0, 150), st.integers(1, 8))),
)
journals = st.lists(st.tuples(st.integers(0, ROWS - 1), commands), max_size=12)
seeds = st.integers(0, 2**40)


def agree(road, examples, kinds=KINDS, switches=SWITCHES, hap="ept"):
    """Draw `examples` guests, each from its number; returns the counters that moved in any of them."""
    reached = set()
    for number in range(examples):
        shape, guest, seed, cr, big, journal = drawn(random.Random(number), kinds, switches)
        fields, program = make(shape, guest, seed, cr, big, beyond=road == "shadow")
        pair = Pair(road=road, hap=hap, **fields)
        for when in play([pair], len(program), journal):
            assert pair.differences() == [], (number, when, program[when[0]])
        reached.update(name for name, n in pair.machine.counters().items() if n)
    return reached


def test_bare_equals_the_model():
    assert agree("bare", 15) >= {"tlb_l1_hit", "invlpg", "cr3_loads"}


def test_shadow_equals_the_model():
    reached = agree("shadow", 160)
    assert set(XEN_COUNTERS) - NEVER - RARE - reached == set(), "paths that no drawn guest took"


def test_hap_equals_the_model():
    assert agree("hap", 15, ["hvm64"], [USUAL, USUAL ^ WP, USUAL | SMEP | SMAP]) >= {"ept_misconfig", "ept_violation"}


def test_npt_equals_the_model():
    switches = [USUAL, USUAL ^ WP, USUAL | SMEP | SMAP]
    assert agree("hap", 40, KINDS, switches, "npt") >= {"npf_recalc", "npf_write"}


@settings(CALM, max_examples=30)
@given(shapes, kinds, seeds, st.sampled_from([USUAL, USUAL, USUAL | SMEP | SMAP, USUAL ^ WP]), st.booleans(), journals)
def test_a_tame_guest_cannot_tell_its_road(shape, guest, seed, cr, big, journal):
    fields, program = make(shape, guest, seed, cr, big, tame=True)
    pairs = [Pair(road=road, **fields) for road in ("bare", "shadow")]
    shadow = pairs[1].model
    for t, _ in play(pairs, len(program), journal):
        if any(pair.over for pair in pairs):
            return
        if not {t, t + 1} & shadow.guest.done:  # the emulator is not ahead of the program
            assert pairs[0].guest() == pairs[1].guest(), program[t]
        if t % 8:
            continue
        assert broken_rule(shadow) == ""
        machine = pairs[1].machine
        assert rule_of(audit(machine.sys, machine.cpu, machine.mem)).sentence == ""


# ---- paths that need an unlikely order of things

LEAF, LINK = P | W | A | D, P | W | U | A
SMALL = {
    0: {0: 1 << 12 | LINK},
    1: {0: 2 << 12 | LINK, 1: 4 << 12 | LINK},
    2: {0: 3 << 12 | LINK, 1: 6 << 12 | LINK},
    3: {gfn: gfn << 12 | LEAF for gfn in range(20)},
    6: {0: 30 << 12 | LEAF},
}


def run(tables, *rows, **fields):
    """A guest with these tables; every row compared. The kernels' counters."""
    pair = Pair(tables=tables, cr3=0, program=rows, **fields)
    for row in rows:
        pair.step()
        assert pair.differences() == [], row
    return pair.machine.counters()


def test_a_remembered_mapping_may_have_become_something_else():
    """Table 6 goes out of sync, its mapping is remembered (fixup); table 3, which holds that mapping, goes out of sync too;
    INVLPG blanks the entry; the resync at the CR3 load finds nothing there (h_8)."""
    stores = Row(RAW_STORE, 6 * 4096 + 24, 31 << 12 | LEAF, 8), Row(RAW_STORE, 3 * 4096 + 800, 0, 8)
    moved = run(SMALL, Row(READ, 1 << 21), *stores, Row(RAW_INVLPG, 6 * 4096), Row(RAW_CR3, value=0))
    assert moved["shadow_writeable_h_8"] == 1 and moved["shadow_resync"] == 2


def test_one_entry_at_two_levels_changes_under_the_walk():
    """Entry 5 of table 4 maps table 4: as L2 entry and as L1 entry of one walk. The store sets D in its second role, so the
    copy of the first is stale when Xen compares (it compares because write access to table 4 had to be removed)."""
    tables = SMALL | {4: {5: 4 << 12 | P | W | A}}
    moved = run(tables, Row(WRITE, 4 * 4096), Row(RAW_STORE, 1 << 30 | 5 << 21 | 5 << 12 | 56, 0, 8))
    assert moved["shadow_inconsistent_gwalk"] == 1


def test_early_unshadow_of_a_table_with_two_parents_removes_one():
    tables = SMALL | {2: {0: 3 << 12 | LINK, 1: 6 << 12 | LINK, 2: 6 << 12 | LINK}}
    zeros = (Row(RAW_STORE, 6 * 4096 + 8 * k, 0, 8) for k in (1, 2))
    moved = run(tables, Row(READ, 1 << 21), Row(READ, 2 << 21), *zeros, oos=0)
    assert moved["shadow_early_unshadow"] == moved["shadow_unshadow_bf"] == 1 and moved["shadow_up_pointer"] == 0


def test_an_event_stops_the_fast_emulation():
    """While an event is being injected nothing is emulated, on the fast path either: the table is unshadowed instead."""
    stores = [Row(RAW_STORE, 6 * 4096 + 8 * k, 9 << 12 | LEAF, 8) for k in (1, 2, 3)]
    moved = run(SMALL, Row(READ, 1 << 21), *stores[:2], Row(RAW_EVENT, value=1), stores[2], oos=0)
    assert moved["shadow_fault_fast_emulate"] == 2 and moved["shadow_fault_fast_emulate_fail"] == 1


def test_windows_pae_linear_map_is_guessed():
    """L2 table 1 stands in the kernel's L2 table 2, so its entries appear as pages from 0xC0000000 on: there table 5 is written
    before it serves as a table, and there Xen looks first."""
    tables = {0: {0: 1 << 12 | P, 3: 2 << 12 | P}, 1: {1: 5 << 12 | LINK | D}, 2: {0: 1 << 12 | LINK | D}, 5: {}}
    tables[5][0] = 7 << 12 | LEAF
    moved = run(tables, Row(WRITE, 0xC000_1000), Row(READ, 1 << 21), guest="pae")
    assert moved["shadow_writeable"] == moved["shadow_writeable_h_2"] == 1
