"""PV guests: kernels and slow model agree row by row in types and counts, tables, shadows, bitmap, counters and events.

All guests are drawn from their number, the same ones everywhere. Run as a program with PAGINGVIZ_PLAIN=1 it prints what the
comparison says of kernels with one rule broken on purpose."""

import random

from agree_raw import Pair
from model.invariants import broken_rule
from pvgen import FRAMES, ZONE, random_pv_guest
from test_agree import agree as agree_kernels
from test_agree_raw import play

from pagingviz.core.audit import RULES, audit

ROWS = 110


def drawn(number):
    """(fields of a Pair, journal) of raw guest `number`."""
    r = random.Random(number)
    vcpus = r.choice([1, 1, 2, 3, 4])
    guest = random_pv_guest(r.randrange(2**40), vcpus, ROWS)
    fields = {
        "frames": FRAMES, "zone": ZONE, "vcpus": vcpus, "pool": 4 * vcpus + r.choice([12, 14, 18, 30, 60]),
        "shopt": r.choice([511, 511, 511, r.randrange(512)]), "oos": r.randrange(2), "xen": r.choice(["4.17", "master"]),
        "floor": int(r.random() < 0.1), "tables": guest.tables, "cr3": guest.cr3, "program": guest.program,
    }  # fmt: skip
    words = [(name, None) for name in ("enable", "enable", "clean", "clean", "peek", "off", "blow", "flush")]
    journal = [(r.randrange(8), ("enable", None))] * (r.random() < 0.7) + [
        (r.randrange(ROWS), r.choice([*words, ("pool", r.randrange(20, 60))])) for _ in range(r.choice([0, 3, 6, 10]))]
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
            assert RULES[int(audit(machine.sys, machine.cpu, machine.mem)) & 0xFF] == broken_rule(pair.model) == ""
            assert machine.log_dirty()["missing"] == 0 and not pair.model.log.missing()
        counters.update(name for name, n in pair.machine.counters().items() if n)
        reasons |= pair.model.road.reasons
        events.update(name for _, name, *_ in pair.model.events)
    return counters, reasons, events, rows
