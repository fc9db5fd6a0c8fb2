"""PV guests: kernels and slow model agree row by row in types and counts, tables, shadows, bitmap, counters and events.

All guests are drawn from their number, the same ones everywhere. Run as a program with PAGINGVIZ_PLAIN=1 it prints what the
comparison says of kernels with one rule broken on purpose."""

import json
import random

import pytest

from pagingviz.arch import x86
from pagingviz.arch.state import PV_COUNTERS
from pagingviz.arch.words import ZERO
from pagingviz.core import control, logdirty, raw
from pagingviz.core.audit import audit
from pagingviz.core.audit.rules import rule_of
from pagingviz.core.build.jit import PLAIN
from pagingviz.core.pv import roots, updates
from pagingviz.core.shadow import recycle, toplevel
from pagingviz.core.walk import tlb
from pagingviz.experiments.breaking import broken, refuse, skip, without
from tests.core.agree_drawn import agree as agree_kernels
from tests.core.agree_raw import Pair, Row
from tests.core.mutations import beforehand, same
from tests.core.pvgen import DIRECT, FRAMES, ZONE, random_pv_guest
from tests.core.raw_drawn import play
from tests.model.config import RAW_STORE
from tests.model.invariants import broken_rule
from tests.support.plainly import answer

pytestmark = pytest.mark.slow


ROWS = 110


def drawn(number):
    """(fields of a Pair, journal) of raw guest `number`."""
    r = random.Random(number)
    vcpus = r.choice([1, 1, 2, 3, 4])
    nx = r.random() < 0.7
    guest = random_pv_guest(r.randrange(2**40), vcpus, ROWS, nx)
    fields = {
        "frames": FRAMES,
        "zone": ZONE,
        "vcpus": vcpus,
        "pool": 4 * vcpus + r.choice([12, 14, 18, 30, 60]),
        "shopt": r.choice([511, 511, 511, r.randrange(512)]),
        "oos": r.randrange(2),
        "xen": r.choice(["4.17", "master"]),
        "floor": int(r.random() < 0.2),
        "tables": guest.tables,
        "cr3": guest.cr3,
        "program": guest.program,
        "cr": int(x86.CR_WP | x86.CR_PSE | x86.CR_PG | (x86.CR_NXE if nx else ZERO)),
    }
    words = [(name, None) for name in ("enable", "enable", "clean", "clean", "peek", "off", "blow", "flush")]
    journal = [(r.randrange(8), ("enable", None))] * (r.random() < 0.7) + [
        (r.randrange(ROWS), r.choice([*words, ("pool", r.randrange(20, 60))])) for _ in range(r.choice([0, 3, 6, 10]))
    ]
    return fields, journal


def compare(numbers):
    """Play these guests. (counters that moved, commands refused and why calls were, kinds of events, rows compared)."""
    counters, reasons, events, rows = set(), set(), set(), 0
    for number in numbers:
        fields, journal = drawn(number)
        pair = Pair(road="pv", **fields)
        for when in play([pair], len(fields["program"]), journal):
            assert pair.differences() == [], (number, when, fields["program"][when[0]])
            rows += 1
        if not pair.over:
            machine = pair.machine
            assert rule_of(audit(machine.sys, machine.cpu, machine.mem)).sentence == broken_rule(pair.model) == ""
            assert machine.log_dirty()["missing"] == 0 and not pair.model.log.missing()
        counters.update(name for name, n in pair.machine.counters().items() if n)
        reasons |= pair.model.road.reasons
        events.update(name for _, name, *_ in pair.model.events)
    return counters, reasons, events, rows


REASONS = {  # why a call is refused, or a store to an L1 table not carried out
    "a frame without contents",
    "a frame without contents as a table",
    "a table of another level",
    "a table, to be writable",
    "no L1 table there",
    "not pinned",
    "pinned already",
    "reserved bits",
    "somebody else's frame",
    "store to an L1",
    "superpage",
    "writable, to be a table",
}
EVENTS = {
    "MMU_UPDATE",
    "PTWR",
    "PIN",
    "REFUSED",
    "GRANT_UNMAP",
    "GUEST_PF",
    "GP",
    "FIXUP",
    "NOT_SHADOW",
    "MARK_DIRTY",
    "PREALLOC_UNPIN",
    "COMMAND",
    "IGNORED",
    "NO_MEMORY",
}
MOVED = {
    *PV_COUNTERS,
    "refused",
    "enables",
    "peeks",
    "cleans",
    "offs",
    "blows",
    "no_memory",
    "cr3_loads",
    "shadow_fault_fixed",
    "shadow_fault_bail_real_fault",
    "shadow_prealloc_1",
    "shadow_prealloc_2",
    "shadow_unshadow",
    "shadow_invlpg",
    "shadow_alloc_tlbflush",
    *(f"shadow_validate_gl{level}e_calls" for level in (1, 2, 3, 4)),
}


def test_raw_pv_guests_equal_the_model():
    counters, reasons, events, rows = compare(range(60))
    assert reasons == REASONS and EVENTS - events == set() and MOVED - counters == set()
    assert rows > 6000


def test_pv_kernels_equal_the_model():
    """The guest's kernel with its processes: fork, copy on write, exit, two roots each."""
    assert agree_kernels("pv", 20) >= {
        "forks",
        "exits",
        "cow_breaks",
        "toggles",
        "calls_to_mmuext_op",
        "calls_to_update_va",
        "shadow_prealloc_1",
        "shadow_fault_fixed",
        "pages_marked",
        "enables",
        "cleans",
        "offs",
    }


def test_a_store_across_two_entries_is_not_carried_out():
    fields, _ = drawn(0)
    store = Row(RAW_STORE, DIRECT + 4 * 4096 + 4, 0, 8)
    pair = Pair(road="pv", **fields | {"program": [store]})
    pair.step()
    assert pair.differences() == [] and pair.machine.sys[0].guest_faults == 1 and pair.machine.sys[0].ptwr_emulations == 0


# ---- rules of PV broken on purpose


def same_root_loads_its_shadow(s, c, a, gfn):
    if gfn == s.kroot[c.id] and s.log_dirty:
        roots.update_cr3(s, c, a, c.id)


MUTANTS = {  # the kernel (module, name) and what becomes of it
    "none": (updates, "drop", same),
    "a new table is not dirtied": (updates, "_promote", without(logdirty, "mark")),
    "a new table is not flushed": (updates, "_promote", without(tlb, "flush_all")),
    "a pin is not dirtied": (roots, "pin", without(logdirty, "mark")),
    "an unpinned table is not dirtied": (roots, "unpin", without(logdirty, "mark")),
    "a table that goes is not dirtied": (updates, "_uncount", without(logdirty, "mark")),
    "writable uses are not counted": (updates, "_hold_page", lambda _: lambda *_: True),
    "uses are not ended": (updates, "_put_page", skip),
    "tables are not let go": (updates, "drop", skip),
    "failure is not undone": (updates, "hold", without(updates, "_put_entry")),
    "reserved bits are allowed": (updates, "reserved", skip),
    "shadows do not follow": (updates, "_write", without(updates, "validate")),
    "no writable page tables": (updates, "ptwr", refuse),
    "no flush above level 1": (updates, "mmu_update", without(tlb, "flush_all")),
    "the same root loads its shadow": (roots, "new_baseptr", beforehand(same_root_loads_its_shadow)),
    "entries are stored as they were given": (updates, "adjusted", lambda _: lambda entry, level: entry),
    "a grant's end is not marked": (raw, "raw_operation", without(logdirty, "mark")),
    "the pool is kept": (control, "_off", without(recycle, "set_allocation")),
    "snapshots are kept": (control, "_off", without(toplevel, "disable")),
}


def caught_by(numbers):
    """Number of the first guest that shows a difference, or None."""
    for number in numbers:
        try:
            compare([number])
        except AssertionError:
            return number
    return None


@pytest.mark.plain
def test_each_rule_broken_on_purpose_is_caught():
    found = answer("core.test_agree_pv")
    assert [name for name, number in found.items() if number is None] == ["none"]
    assert set(found) == set(MUTANTS)


if __name__ == "__main__":
    assert PLAIN
    found = {}
    for name, (module, kernel, mutate) in MUTANTS.items():
        with broken(module, kernel, mutate):
            found[name] = caught_by(range(2 if name == "none" else 12))
    print(json.dumps(found))
