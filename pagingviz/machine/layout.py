"""The regions of the arena: how many words each has in a machine of this scenario, and where it begins."""

from __future__ import annotations

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.arch.state import ARENA, CELLS, MAX_PROCESSES
from pagingviz.scenario.frames import Modelled, hap_pages
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario
from pagingviz.work.work import Work

BY_FRAME = ("ver", "cver", "info", "share", "dround")
BY_POOL_PAGE = ("ptype", "pkey", "pref", "pup", "phash", "pprev", "pnext", "ppin", "pstamp", "pepoch", "pmore")
SPARE = ("info", "p2m", "m2p")  # have a word for the frame after the last: the identity table of CR0.PG=0
_ENTRIES = 512  # words of a table, and of a log


def least_real_pool(sc: Scenario) -> int:
    """Pages that Xen gives a PV guest's shadows at first (shadow/common.c: sh_min_allocation)."""
    return int(xen.MIN_PAGES) * sc.vcpus + (sc.frames >> 8)


def pool_pages(sc: Scenario, work: Work) -> int:
    """Pages that the hypervisor's pool of this machine can ever have."""
    road = road_of(sc)
    if road.nested:
        return hap_pages(sc, work)
    if road.paravirtual:
        return max(sc.pool_cap, least_real_pool(sc))
    return sc.pool_cap if road.shadows else 0


def sizes(sc: Scenario, work: Work, modelled: Modelled) -> dict[str, int]:
    """Words of every region of arch/state.py: ARENA, without the spare ones."""
    pages = pool_pages(sc, work)
    translated = 0 if modelled.spread else sc.frames  # of a large guest the machine frames follow from the numbers alone
    return {
        **dict.fromkeys(BY_FRAME, modelled.count),
        **dict.fromkeys(BY_POOL_PAGE, pages),
        "p2m": translated,
        "m2p": translated,
        "tstack": work.zone,
        "dstack": modelled.count - work.zone,
        "roots": MAX_PROCESSES + 1,
        "uroots": MAX_PROCESSES + 1,
        "sparse": 0,
        "hash": int(xen.HASH_BUCKETS),
        "tables": work.zone * _ENTRIES,
        "pool": pages * _ENTRIES,
        "prog": work.program.size,
        "ring": int(ev.RING * ev.RING_WORDS),
        "tmp": max(modelled.count, pages, int(CELLS)),
    }


def regions(sc: Scenario, work: Work, modelled: Modelled) -> tuple[dict[str, tuple[int, int]], int]:
    """({region: (first word, words)} in the order of ARENA, words of the whole arena)."""
    words, found, at = sizes(sc, work, modelled), {}, 0
    for name in ARENA:
        found[name] = at, words[name]
        at += words[name] + (name in SPARE)
    return found, at
