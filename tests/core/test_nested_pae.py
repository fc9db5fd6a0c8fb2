"""A PAE guest's top entries: four registers behind EPT, four entries in memory that every walk reads behind NPT."""

import pytest

from pagingviz.reading.translate import translate
from tests.core.raw import BASE, P, Raw, Tables

RESERVED = 1 << 5  # in a PDPTE


def guest(hap, **fields):
    """A PAE guest with a second root whose entry of the user's pages has a reserved bit."""
    t = Tables(3)
    first, second = t.new(), t.new()
    t.direct(first, 128)
    t.map(first, BASE, 60)
    t.words[second] = dict(t.words[first]) | {t.index(BASE, 3): t.words[first][t.index(BASE, 3)] | RESERVED}
    return Raw(3, road="hap", tables=t, cr3=first, hap=hap, **fields), second


@pytest.mark.parametrize(("hap", "references"), [("ept", 14), ("npt", 19)])
def test_second_reading_3_references_of_a_pae_walk(hap, references):
    r, _ = guest(hap)
    r.read(BASE)
    w = translate(r.m, 0, BASE, 1, 1)
    assert len(w.references) == references
    assert [ref.level for ref in w.references if ref.dimension == "guest"] == ([2, 1] if hap == "ept" else [3, 2, 1])
    assert (w.register is None) == (hap == "npt")


@pytest.mark.parametrize("hap", ["ept", "npt"])
def test_second_reading_3_reserved_bits_of_a_pdpte(hap):
    """MOV CR3 refuses them where it loads registers; with NPT the walk that meets them ends in a page fault (P, RSVD, user)."""
    r, second = guest(hap)
    before = int(r.s.cr3[0])
    moved = r.cr3(second)
    if hap == "ept":
        assert int(r.s.cr3[0]) == before
        assert not moved["guest_faults"]
        assert not r.read(BASE)["guest_faults"]
        return
    assert int(r.s.cr3[0]) == second
    assert r.read(BASE)["guest_faults"] == 1
    assert translate(r.m, 0, BASE, 1, 1).end.code == 0b1101


@pytest.mark.parametrize("hap", ["ept", "npt"])
def test_second_reading_3_later_changes_of_a_pdpte(hap):
    """An entry that is cleared in memory is seen at the next walk behind NPT, and behind EPT only after MOV CR3."""
    r, _ = guest(hap)
    root = int(r.s.cr3[0])
    r.store(root, r.tables.index(BASE, 3), 0)
    r.invlpg(BASE)
    assert r.read(BASE)["guest_faults"] == (hap == "npt")


@pytest.mark.parametrize(("hap", "pml"), [("ept", 0), ("ept", 1), ("npt", 0)])
def test_second_reading_3_frame_of_the_pdpt(hap, pml):
    """Behind NPT the table of the top entries is dirtied by being walked; EPT logs at most the tables below it."""
    r, _ = guest(hap, pml=pml)
    r.read(BASE)
    r.do("enable")
    r.do("clean")
    r.read(BASE)
    r.do("peek")
    dirty, root = set(r.dirty()), int(r.s.cr3[0])
    lower = {r.tables.link(root, BASE, 2), r.tables.link(root, BASE, 1)}
    assert dirty == ({root} | lower if hap == "npt" else lower if pml else set())
    assert P & r.tables.words[root][r.tables.index(BASE, 3)]
