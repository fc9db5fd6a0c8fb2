"""Pages onto the wire: what goes in a batch, how many bytes it is, and what arrives.

Source: Xen tools/libs/guest/xg_sr_save.c (add_to_batch, write_batch); zero pages and differences are QEMU's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pagingviz.migration import wire
from pagingviz.migration.state import LIVE, ROLLING
from pagingviz.migration.xbzrle import sizes

if TYPE_CHECKING:
    from pagingviz.migration.run import Migration

_NONE = np.zeros(0, np.int64)


def send(mig: Migration) -> None:
    """The next entries of the round: as they are on the source now. In batches of 1024, ascending."""
    st, r = mig.state, mig.state.rounds[-1]
    if st.at >= st.batch:
        _begin_batch(mig)
    upto = min(st.batch, st.at + wire.chunk(r.planned))
    frames = np.arange(st.at, upto) if st.todo is None else st.todo[st.at : upto]
    st.at = upto
    if st.skip is not None:
        again = np.isin(frames, st.skip)
        r.skipped += int(again.sum())
        frames = frames[~again]
    if frames.size and not st.opened:
        put_bytes(mig, wire.PAGE_DATA)
        st.opened = True
    put(mig, frames)


def _begin_batch(mig: Migration) -> None:
    """A new PAGE_DATA record; where pages that are dirty again are skipped, a PEEK says which (legacy xc_domain_save)."""
    st, r = mig.state, mig.state.rounds[-1]
    st.batch = min(st.at + wire.BATCH, r.planned)
    st.skip, st.opened = None, False
    if mig.policy.skips and r.kind == "live":
        mig.command("peek")
        st.skip = mig.machine.dirty_frames()


def put(mig: Migration, frames: np.ndarray) -> None:
    """Send these frames, int64[n]: count them, let them arrive, keep the link busy for as long as it takes."""
    st, r, m = mig.state, mig.state.rounds[-1], mig.machine
    if not frames.size:
        return
    real = frames[frames < mig.frames]  # beyond: holes of the p2m, entries without a page (XTAB)
    places = mig.places(real)
    held = _held_back(mig, places) if st.phase == LIVE else _NONE
    if held.size:
        st.deferred = np.union1d(st.deferred, m.modelled.frames()[held])
        places, r.skipped = np.setdiff1d(places, held), r.skipped + held.size
    empty, size = 0, 0
    if mig.scenario.zeros:
        zero = zero_pages(mig, places)
        empty = real.size - held.size - places.size + int(zero.sum())  # frames without state were never written
        size = empty * wire.ZERO_PAGE
    smaller, saved = sizes(mig, places, r.number) if st.phase != ROLLING else (0, 0)
    _receive(mig, places)
    whole = real.size - held.size - empty - smaller
    r.sent += frames.size
    r.data += whole + smaller
    st.total_sent += frames.size
    st.sent_in[places] = r.number
    st.times[places] += 1
    put_bytes(mig, frames.size * wire.ENTRY + whole * wire.PAGE + saved + size, whole + smaller)


def _receive(mig: Migration, places: np.ndarray) -> None:
    """The pages arrive on the other host: as they are now, or, once the guest runs there, as it left them here."""
    if mig.state.phase == ROLLING:
        assert mig.image
        mig.destination.take(places, *mig.image)
        mig.state.arrived[places] = True
    else:
        mig.destination.receive(places)


def put_bytes(mig: Migration, size: int, pages: int = 0) -> None:
    """Bytes on the wire; those of a round that is not over are its own."""
    st = mig.state
    st.link += mig.link.cycles(size, pages, st.rate)
    st.bytes += size
    if st.rounds and not st.rounds[-1].ended:
        st.rounds[-1].bytes += size


def zero_pages(mig: Migration, places: np.ndarray) -> np.ndarray:
    """Of frames by their places, int64[n]: bool[n], never stored to, and without anything in it."""
    m = mig.machine
    now = m.view("ver"), m.view("tables").reshape(-1, 512)
    versions, tables = mig.image if mig.image and mig.state.phase == ROLLING else now
    zero = versions[places] == 0
    zone = places < int(m.sys[0].zone)
    zero[zone] &= ~np.any(tables[places[zone]], axis=1)
    return zero


def _held_back(mig: Migration, places: np.ndarray) -> np.ndarray:
    """Places of PV tables that cannot be normalised now (EAGAIN): deferred until the guest is suspended."""
    if mig.scenario.road != "pv":
        return _NONE
    flux = mig.destination.in_flux(places[places < int(mig.machine.sys[0].zone)])
    return np.union1d(flux, places[places == int(mig.fail[1])]) if mig.fail[0] == "flux" else flux
