"""The inspector's card of one page of the pool, and what shadow entries and types are called."""

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE
from pagingviz.boards.cells import head_pages, loaded_roots, stale_shadows, tree_pages
from pagingviz.story.events import TYPES

_FL1 = tuple(int(kind) for kind in xen.FL1_OF if kind)


def flags(entry):
    """A page-table entry's bits in words, in the order of their numbers."""
    names = (
        (x86.P, "P"),
        (x86.RW, "RW"),
        (x86.US, "US"),
        (x86.A, "A"),
        (x86.D, "D"),
        (x86.PSE, "PSE"),
        (x86.COW, "COW"),
        (x86.NX, "NX"),
    )
    return " ".join(name for bit, name in names if entry & bit) or "empty"


def chain_of(m, head):
    """All pages of the shadow that begins at pool page `head`, in order."""
    pages, more = [head], m.view("pmore")
    while more[pages[-1]] != NONE:
        pages.append(int(more[pages[-1]]))
    return pages


def shadow_place(m, head, index):
    """Index into the pool's words of the shadow entry for guest entry `index` (core/shadow/entries.py: place)."""
    kind, pages = int(m.view("ptype")[head]), chain_of(m, head)
    if kind == xen.SH_L2_32:
        return pages[index >> 8] * 512 + (index & 255) * 2
    if kind in (xen.SH_L1_32, xen.SH_FL1_32):
        return pages[index >> 9] * 512 + (index & 511)
    return head * 512 + index


def pool_page(sim, plan, page, lit_of):
    """What the card shows for a pool page; `lit_of(sim, gfn)`: the cells of a guest frame on all maps."""
    m = sim.machine
    head = int(head_pages(m, page + 1)[page])
    kind = int(m.view("ptype")[head])
    rows = [("type", TYPES.get(kind, "-"))]
    lit, chain, why = {plan.id: [page]}, [f"mfn {page:#x}"], ""
    if kind == xen.SH_FREE:
        why = "Free: the next shadow comes from the head of the free list (shadow_alloc)."
    elif xen.SH_LEVEL[kind]:
        chain, why, more = _shadow(sim, page, head, kind, rows)
        lit |= lit_of(sim, more) if more is not None else {}
    elif kind == xen.SH_P2M:
        why = _p2m(m, page, rows)
    elif kind == xen.SH_MONITOR:
        why = "Xen's own top level above the shadows (sh_make_monitor_table): one page, three when the guest has 2 or 3 levels."
    elif kind == xen.SH_SNAPSHOT:
        why = _snapshot(m, page, rows)
    rows.append(("age", f"{sim.tick - int(m.view('pstamp')[head]):,} ticks"))
    return {"title": f"pool page {page:#x}", "chain": chain, "rows": rows, "why": why, "lit": lit}


def _shadow(sim, page, head, kind, rows):
    """(chain, why, guest frame or None) of a page of a shadow."""
    m, pages = sim.machine, chain_of(sim.machine, head)
    key = int(m.view("pkey")[head])
    if kind in _FL1:
        gfn, size = key, 1024 if kind == xen.SH_FL1_32 else 512
        chain = [f"superpage gfn {gfn:#x} to {gfn + size - 1:#x}", f"shadow page {page:#x}"]
        rows.append(("splinters", f"{size} frames from gfn {gfn:#x}"))
    else:
        gfn = int(m.view("m2p")[key - int(xen.RAM_BASE)])
        if gfn == m.scenario.frames:
            chain, gfn = ["identity table of a guest that does not page", f"shadow page {page:#x}"], None
            rows.append(("shadows", "unpaged_pagetable"))
        else:
            chain = [f"guest table gfn {gfn:#x}", f"shadow page {page:#x}"]
            rows.append(("shadows", f"gfn {gfn:#x}"))
    if len(pages) > 1:
        rows.append(("pages", f"{len(pages)} ({pages.index(page) + 1}. of them; the guest spent one)"))
    up = int(m.view("pup")[head])
    pool = m.view("pool").reshape(-1, 512)
    rows += [
        ("references", str(int(m.view("pref")[head]))),
        ("pinned", "yes" if m.view("ppin")[head] else "no"),
        ("loaded", "yes" if head in loaded_roots(m) else "no"),
        ("present entries", str(sum(int(np.count_nonzero(pool[p] & x86.P)) for p in pages))),
    ]
    if up != int(NONE):
        at = up - (int(m.sys[0].o_pool))
        rows.append(("up-pointer", f"page {at // 512:#x}, entry {at % 512}"))
    return chain, _why_shadow(m, head, kind, gfn), gfn if gfn is not None and gfn < m.scenario.frames else None


def _why_shadow(m, head, kind, gfn):
    if stale_shadows(m, head + 1)[head]:
        return "Its guest table is out of sync: it may be stale until sh_resync, at the latest at the next CR3 load."
    if kind in _FL1:
        return "Shadows know no superpages: the guest spent one entry, Xen spends whole pages (make_fl1_shadow)."
    if m.view("ppin")[head] or head in loaded_roots(m):
        if kind == xen.SH_L3:
            return "Pinned like a root: Linux-L3 mode, as long as few L4 tables have been seen (SHOPT_LINUX_L3_TOPLEVEL)."
        return "A root: pinned at its last CR3 load; the one loaded longest ago is recycled first."
    if gfn is None:
        return "Left from the time before the guest switched paging on; it stays until the pool needs it or a blow comes."
    return "It lives as long as an entry above it points to it."


def _p2m(m, page, rows):
    if m.scenario.road == "hap" and m.view("pkey")[page] != NONE:
        rows.append(("holds", f"{m.scenario.hap.upper()} table, level {int(m.view('pref')[page])}"))
        return f"Part of the domain's only set of {m.scenario.hap.upper()} tables."
    if page in tree_pages(m):
        rows.append(("holds", "the log-dirty bitmap's tree"))
        return "Taken when the first bit below it was set; CLEAN keeps it, OFF frees it."
    rows.append(("holds", "tables of the p2m"))
    return "Xen's own p2m lives in the same pool (shadow_alloc_p2m_page); it was there before the guest ran."


def _snapshot(m, page, rows):
    s = m.sys[0]
    places = [k for k in range(s.oos.size) if int(s.oos_snap[k]) == page]
    for k in places:
        rows.append(("place", f"{k % xen.OOS_PAGES} of vCPU {k // xen.OOS_PAGES}"))
        if s.oos[k] != NONE:
            gfn = int(m.view("m2p")[int(s.oos[k] - xen.RAM_BASE)])
            rows.append(("snapshot of", f"gfn {gfn:#x}"))
            return "What its shadow reflects of an out-of-sync table; sh_resync compares the table with it, entry by entry."
    return "Kept for a table that will go out of sync: three for each vCPU, taken from the pool in advance."
