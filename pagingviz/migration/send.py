"""Pages onto the link: what goes in a batch, how many bytes it is, and what arrives.

Source: Xen tools/libs/guest/xg_sr_save.c (add_to_batch, write_batch); zero pages and differences are QEMU's.
"""

import numpy as np

from pagingviz.migration import wire
from pagingviz.migration.effects import Advance, BeginBatch, BeginPackage, Command, OpenRecord, SendPages, Skip, Step
from pagingviz.migration.rounds import entries, package_left, package_over
from pagingviz.migration.situation import Situation
from pagingviz.migration.state import LIVE, ROLLING
from pagingviz.migration.xbzrle import differences

_NONE = np.zeros(0, np.int64)


def send(now: Situation) -> Step:
    """The next entries of the round, as they are on the source now: in batches of 1024, ascending."""
    st, planned = now.state, now.state.rounds[-1].planned
    if st.at >= st.batch:
        yield from _begin_batch(now)
    upto = min(st.batch, st.at + wire.chunk(planned))
    if now.policy.within_rounds:
        if package_over(now):
            yield BeginPackage()
        upto = min(upto, st.at + package_left(now))
        if _first_pass(now):
            upto = min(upto, st.at + now.p2m_size - st.total_sent)  # XBZRLE begins with the page after the last of memory
    frames, skipped = entries(now, st.at, upto), 0
    if st.skip is not None:
        again = np.isin(frames, st.skip)
        skipped = int(again.sum())
        frames = frames[~again]
    yield Advance(upto, skipped)
    if not frames.size:
        return
    if not st.opened:
        yield OpenRecord()
    yield pages(now, frames)


def _begin_batch(now: Situation) -> Step:
    """A new PAGE_DATA record: the next 1,024 entries.

    Where pages that are dirty again are skipped, a PEEK says which, and they do not count (xc_domain_save of Xen 4.5).
    """
    st, planned = now.state, now.state.rounds[-1].planned
    if not now.policy.skips or st.rounds[-1].kind != "live":
        yield BeginBatch(min(st.at + wire.BATCH, planned))
        return
    yield Command("peek")
    again = now.machine.dirty_frames()
    upto = first = st.at
    missing = wire.BATCH
    while missing and upto < planned:
        upto = min(upto + missing, planned)
        missing -= upto - first - int(np.isin(entries(now, first, upto), again).sum())
        first = upto
    yield BeginBatch(upto)
    yield Skip(again)


def pages(now: Situation, frames: np.ndarray) -> SendPages:
    """What sending these frames, int64[n], comes to: entries, pages, bytes, and which pages arrive."""
    rolling = now.state.phase == ROLLING  # the guest runs there: pages are sent as it left them here
    real = frames[frames < now.frames]  # beyond: holes of the p2m, entries without a page (XTAB)
    index = now.index_of(real)
    held = _held_back(now, index) if now.state.phase == LIVE else _NONE
    index = np.setdiff1d(index, held) if held.size else index
    empty = 0
    if now.scenario.zeros:  # frames without state were never written
        empty = real.size - held.size - index.size + int(zero_pages(now, index).sum())
    smaller, saved, cached = (0, 0, _NONE) if rolling else _as_differences(now, index)
    whole = real.size - held.size - empty - smaller
    size = frames.size * wire.ENTRY + whole * wire.PAGE + saved + empty * wire.ZERO_PAGE
    deferred = now.machine.modelled.frames()[held]
    return SendPages(frames, index, deferred, whole + smaller, size, cached, now.image if rolling else None)


def _first_pass(now: Situation) -> bool:
    """Whether the search for pages has not come to the end of memory yet; up to then QEMU sends each page once, ascending."""
    st = now.state
    return st.total_sent < now.p2m_size if now.policy.within_rounds else st.rounds[-1].number == 1


def _as_differences(now: Situation, index: np.ndarray) -> tuple[int, int, np.ndarray]:
    """(pages that go as differences, their bytes, page numbers, int64[c], that the cache holds afterwards); XBZRLE.

    It begins after the first pass over memory, and its cache is empty then (QEMU migration/ram.c: find_dirty_block,
    save_xbzrle_page): the second time that a page is sent it goes whole, and comes into the cache.
    """
    if not now.cache.gfn.size or _first_pass(now):
        return 0, 0, _NONE
    hits, cached = now.cache.lookup(now.machine.modelled.frames()[index], now.state.rounds[-1].number)
    return *differences(now.machine, now.destination, index[hits]), cached


def zero_pages(now: Situation, index: np.ndarray) -> np.ndarray:
    """Of frames by their index, int64[n]: bool[n], never stored to, and without anything in it."""
    m = now.machine
    source = m.view("ver"), m.view("tables").reshape(-1, 512)
    versions, tables = now.image if now.image and now.state.phase == ROLLING else source
    zero = versions[index] == 0
    zone = index < int(m.sys[0].zone)
    zero[zone] &= ~np.any(tables[index[zone]], axis=1)
    return zero


def _held_back(now: Situation, index: np.ndarray) -> np.ndarray:
    """Index of PV tables that cannot be normalised now (EAGAIN): deferred until the guest is suspended."""
    if now.scenario.road != "pv":
        return _NONE
    flux = now.destination.in_flux(index[index < int(now.machine.sys[0].zone)])
    return np.union1d(flux, index[index == int(now.fail[1])]) if now.fail[0] == "flux" else flux
