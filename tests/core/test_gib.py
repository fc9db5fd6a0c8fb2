"""1 GiB leaves of EPT and NPT: kernels and slow model side by side, the split rules, and what a poor pool does to them."""

import random

import numpy as np
import pytest

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, U
from pagingviz.core import run as kernels
from pagingviz.core.audit import audit
from pagingviz.core.audit.rules import rule_of
from pagingviz.scenario.scenario import load
from pagingviz.story.sentences import sentence
from pagingviz.timeline.simulation import Simulation
from tests.core.agree import tick
from tests.core.agree_raw import Pair as RawPair
from tests.core.nested_pair import BASE, Pair, after
from tests.core.raw_drawn import USUAL, play
from tests.core.rawgen import random_guest
from tests.model import WRITE, Op
from tests.model.invariants import broken_rule

pytestmark = pytest.mark.slow

GIB = 512**2
ROWS = 40
KINDS = {"ept": {"hap": "ept"}, "npt": {"hap": "npt"}, "pml": {"pml": 1}}
kinds = pytest.mark.parametrize("kind", KINDS)
JOURNAL = [(4, ("enable", None)), (16, ("clean", None)), (26, ("peek", None)), (32, ("off", None))]


def gib(kind="ept", **fields):
    """A guest of 1 GiB with a kernel, and the slow model of it. Only the frames that its few pages take are ever touched."""
    return Pair("hap", **{"frames": GIB, "superpages": 2, "direct_map_pages": "large"} | KINDS[kind] | fields)


def leaves(m):
    """How many leaves of 4 KiB, 2 MiB and 1 GiB map the guest, and how many frames they are: counted table by table."""
    pages = np.flatnonzero((m.view("ptype") == xen.SH_P2M) & (m.view("pkey") != NONE))
    rows, level = m.view("pool").reshape(-1, 512)[pages], m.view("pref")[pages].astype(int)
    present = rows & (x86.P if m.sys[0].npt else x86.EPT_RWX) != 0
    found = {
        n: int(np.count_nonzero(present[level == n] & ((n == 1) | (rows[level == n] & x86.EPT_SP != 0)))) for n in (1, 2, 3)
    }
    return found, sum(n * 512 ** (size - 1) for size, n in found.items())


@kinds
def test_raw_guests_of_more_than_a_gib_agree_row_by_row(kind):
    """One GiB leaf, one of 2 MiB, a ragged end. Half of the rows store; the guest's own superpages point all over the RAM."""
    reached = set()
    for number in range(2):
        r, frames = random.Random(number), GIB + 700
        guest = ["hvm64", "pae"][number] if kind != "pml" else "hvm64"
        g = random_guest(r.randrange(2**40), guest, frames, 40, 1, ROWS, USUAL, True)
        pair = RawPair(
            road="hap",
            frames=frames,
            zone=40,
            guest=guest,
            superpages=2,
            tables=g.tables,
            cr3=g.cr3,
            program=g.program,
            **KINDS[kind],
        )
        for when in play([pair], len(g.program), JOURNAL):
            assert pair.differences() == [], (number, when, g.program[when[0]])
        assert broken_rule(pair.model) == ""
        m = pair.machine
        assert rule_of(audit(m.sys, m.cpu, m.mem)).sentence == ""
        reached.update(name for name, n in m.counters().items() if n)
    assert reached >= {"p2m_split", "pages_marked"}


@pytest.mark.parametrize(
    ("kind", "pages", "found"),
    [("ept", 513, {1: GIB, 2: 0, 3: 0}), ("npt", 2, {1: 512, 2: 511, 3: 0}), ("pml", 513, {1: GIB, 2: 0, 3: 0})],
)
def test_h23_h24_a_store_splits_a_gib_and_nothing_else_does(kind, pages, found):
    """EPT: all of it down to 4 KiB, 1 + 512 pages at once. NPT: the leaf on the path, 2 pages. Reads, poison, OFF: nothing."""
    p = after(gib(kind), BASE, BASE + 1)
    mfns, own = p.view("p2m").copy(), int(p.s.p2m_pages)
    assert leaves(p.m) == ({1: 0, 2: 0, 3: 1}, GIB) and own == 2
    if kind == "ept":  # elsewhere a walk alone stores to the tables that it walks
        p.do("enable")
        p.touch(BASE)
        p.do("clean")
        p.touch(BASE + 1)
        p.do("off")
        p.touch(BASE)
        assert leaves(p.m)[0][3] == 1 and p.s.p2m_pages == own
    p.do("enable")
    moved = p.touch(BASE, WRITE)
    assert moved["p2m_split"] == (2 if kind == "npt" else 1)
    assert leaves(p.m) == (found, GIB), "no frame is mapped twice, none is lost"
    assert p.s.p2m_pages == own + pages + 4 + (kind == "pml"), "and the bitmap's tree, and the log"
    more = p.touch(BASE + 1, WRITE)
    assert "p2m_split" not in more
    p.do("off")
    after(p, BASE, BASE + 1)
    assert leaves(p.m) == (found, GIB) and (p.view("p2m") == mfns).all(), "no leaf is ever merged"  # H25


@kinds
def test_one_store_splits_what_the_rule_says(kind):
    """Word by word as the slow model has it: which tables, of which pages, and every child in them."""
    p = gib(kind)
    p.do("enable")
    p.touch(BASE, WRITE)
    assert p.s.p2m_split and leaves(p.m)[0][3] == 0


@kinds
def test_h12_h13_enable_and_clean_write_the_root_alone(kind):
    p = after(gib(kind), BASE)
    for name in ("enable", "clean"):
        before = p.view("pool").copy()
        p.do(name)
        assert np.flatnonzero(p.view("pool") != before).tolist() in ([int(p.s.hap_root) * 512], []), name


def test_h17_h18_a_gib_is_retyped_whole_by_its_first_touch():
    """One misconfiguration, one NPF, for the whole GiB, however many frames are read; H24: it stays one leaf."""
    p = after(gib("ept"), *range(BASE, BASE + 12))
    p.do("enable")
    for _ in range(2):
        p.do("clean")
        seen = [p.touch(BASE + k) for k in range(12)]
        assert sum(m.get("ept_misconfig", 0) for m in seen) == 1 and not p.dirty() and leaves(p.m)[0][3] == 1
    p = after(gib("npt"), *range(BASE, BASE + 12))
    p.do("enable")
    seen = [p.touch(BASE + k) for k in range(12)]
    assert sum(m.get("npf_recalc", 0) for m in seen) == 1, "the walk's own store has split it by then: its children are settled"
    p.do("clean")
    seen = [p.touch(BASE + k) for k in range(12)]
    frames = {p.gfn(BASE + k) for k in range(12)} | {p.table(BASE, level) for level in (1, 2, 3, 4)}
    assert sum(m.get("npf_recalc", 0) for m in seen) == len(frames), "all in one chunk of 4 KiB leaves now"


@pytest.mark.parametrize(
    ("kind", "left", "found"),
    [("ept", 516, {1: 0, 2: 0, 3: 1}), ("npt", 5, {1: 0, 2: 512, 3: 0}), ("npt", 4, {1: 0, 2: 0, 3: 1})],
)
def test_a_pool_that_cannot_give_the_pages_hangs_the_guest(kind, left, found):
    """The tree takes 4 first. EPT: 513 or nothing. NPT asks level by level: the first split stays, whole as it is."""
    p = after(gib(kind), BASE)
    kernels.command(p.m.sys, p.m.cpu, p.m.mem, xen.CMD_POOL, p.s.p2m_pages + U(left))
    p.model.command("pool", int(p.s.p2m_pages) + left)
    assert p.s.free_pages == left
    p.do("enable")
    tick(p.m, p.model, Op(0, BASE, WRITE))
    assert p.s.crashed == p.model.crashed == xen.HUNG
    assert leaves(p.m) == (found, GIB), "nothing half done"


@pytest.mark.parametrize(("hap", "words"), [("ept", "513 pages of the pool"), ("npt", "2 pages of the pool")])
def test_the_sentence_says_what_the_split_took(hap, words):
    sim = Simulation(
        load("blackboard").replace(
            road="hap", hap=hap, exec_sp=1, frames=GIB, superpages=2, direct_map_pages="huge", do="enable@300"
        )
    )
    sim.run(300)
    assert sim.run_to_event("P2M_SPLIT", 100)
    text, _ = sentence(sim)
    assert "1 GiB leaf" in text and words in text, text
