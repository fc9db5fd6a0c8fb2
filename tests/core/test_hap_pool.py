"""An exhausted HAP pool, rule H 11 of the manual.

A store that needs a page hangs the guest, a dirty bit that needs one is lost, and the next CLEAN reports that.
"""

import pytest

from pagingviz.arch import xen
from pagingviz.core import run as kernels
from pagingviz.story.sentences import sentence
from tests.core.nested_pair import BASE as VPN
from tests.core.nested_pair import Pair, after
from tests.core.raw import BASE, PAGE, Raw

HAPS = pytest.mark.parametrize("hap", ["ept", "npt"])


@HAPS
def test_as_recorded_enable_works_the_guest_hangs_and_clean_fails(hap):
    """Oracle: with the pool down to what is used ENABLE answers 0, the guest hangs at its writes, CLEAN fails with ENOMEM."""
    r = Raw(4, "hap", frames=4096, zone=128, pages=600, flags=PAGE, hap=hap, superpages=1)
    r.audited = False
    kernels.command(r.m.sys, r.m.cpu, r.m.mem, xen.CMD_POOL, r.s.p2m_pages)
    assert r.s.free_pages == 0
    r.read(BASE)
    assert r.do("enable")["enables"] == 1
    r.write(BASE)
    assert r.s.crashed == xen.HUNG and r.s.failed_allocs and r.view("ver")[128] == 0, "the store has not happened"
    assert "hangs" in sentence(r.sim)[0]
    for name in ("clean", "peek"):
        assert r.do(name) == {"no_memory": 1} and "-ENOMEM" in sentence(r.sim)[0]
    assert r.s.cleans == r.s.peeks == 0


@HAPS
def test_the_pool_of_a_hap_guest_is_set_at_its_free_list(hap):
    p = Pair("hap", hap=hap, frames=8192, superpages=1)
    had = int(p.s.total_pages + p.s.p2m_pages)
    for pages in (18, 20, 16, 1000):
        p.do("pool", pages)
        assert p.s.total_pages + p.s.p2m_pages == min(pages, had)
    assert p.s.shadow_prealloc_1 == 0
    after(p, VPN)


@HAPS
def test_a_guest_with_small_leaves_runs_on_and_clean_fails_until_a_tree_has_been_freed(hap):
    """No leaf needs splitting, so every store is let through; the bits that had no place make PEEK and CLEAN fail."""
    p = after(Pair("hap", hap=hap, frames=4096), VPN)
    used = int(p.s.p2m_pages)
    p.do("pool", used)
    assert p.s.free_pages == 0
    p.do("enable")
    after(p, VPN, VPN + 1)
    assert not p.dirty() and p.s.failed_allocs and p.s.crashed == 0 and p.m.log_dirty()["missing"] == 0
    assert p.do("clean") == {"no_memory": 1} and p.do("peek") == {"no_memory": 1}
    p.do("pool", used + 8)
    p.do("off")
    p.do("enable")
    after(p, VPN, VPN + 1)
    assert p.dirty() and p.do("clean") == {"no_memory": 1}, "OFF found no tree, so it has not forgotten that pages were lacking"
    p.do("off")
    p.do("enable")
    after(p, VPN, VPN + 1)
    assert p.dirty() and p.do("clean")["cleans"] == 1
