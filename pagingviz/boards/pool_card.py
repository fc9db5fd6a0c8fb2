"""The inspector's card of one page of the pool: what it is used for, who refers to it, and why it is there."""

from __future__ import annotations

from pagingviz.arch import xen
from pagingviz.arch.words import NONE
from pagingviz.boards import pool_words
from pagingviz.boards.board import Card, Plan
from pagingviz.machine.machine import Machine
from pagingviz.reading import nested, recycling, shadows
from pagingviz.reading.dirty_tree import tree_pages
from pagingviz.scenario.roads import road_of
from pagingviz.story.events import TYPES
from pagingviz.timeline.simulation import Simulation

_MONITOR = "Xen's own top level above the shadows (sh_make_monitor_table): one page, three when the guest has 2 or 3 levels."


def card_of(sim: Simulation, plan: Plan, page: int) -> Card:
    """The card of pool page `page`."""
    m = sim.machine
    head = int(shadows.head_pages(m, page + 1)[page])
    kind = int(m.view("ptype")[head])
    rows = [("type", TYPES.get(kind, "-"))]
    card = Card(f"pool page {page:#x}", [f"mfn {page:#x}"], rows, "", lit={plan.id: [page]})
    if kind == xen.SH_FREE:
        card.why = "Free: the next shadow comes from the head of the free list (shadow_alloc)."
    elif xen.SH_LEVEL[kind]:
        _shadow(card, m, page, head, kind)
    elif kind == xen.SH_P2M:
        card.why = _p2m(m, page, rows)
    elif kind == xen.SH_MONITOR:
        card.why = _MONITOR
    elif kind == xen.SH_SNAPSHOT:
        card.why = _snapshot(m, page, rows)
    if kind not in (xen.SH_FREE, xen.SH_OUT):
        rows.append(("age", _age(sim, head, page)))
    return card


def _shadow(card: Card, m: Machine, page: int, head: int, kind: int) -> None:
    """Write on the card what is known of a page of a shadow."""
    rows, pages, gfn = card.rows, shadows.chain(m, head), shadows.shadowed_frame(m, head)
    no_paging, name = gfn == m.scenario.frames, pool_words.table_name(m, head)
    if kind in shadows.FL1_KINDS:
        size = 1024 if kind == xen.SH_FL1_32 else 512
        card.chain = [f"superpage gfn {gfn:#x} to {gfn + size - 1:#x}", f"shadow page {page:#x}"]
        rows.append(("splinters", f"{size} frames from gfn {gfn:#x}"))
    elif no_paging:
        card.chain = ["identity table of a guest that does not page", f"shadow page {page:#x}"]
        rows.append(("shadows", name))
    else:
        card.chain = [f"guest table {name}", f"shadow page {page:#x}"]
        rows.append(("shadows", name))
    if len(pages) > 1:
        rows.append(("pages", f"{len(pages)}, this is number {pages.index(page) + 1}; the guest spent one"))
    rows += [
        ("references", str(int(m.view("pref")[head]))),
        ("pinned", _pinned(m, head)),
        ("loaded", _loaded(m, head)),
        ("present entries", str(shadows.present_entries(m, head))),
    ]
    up = int(m.view("pup")[head])
    if up != int(NONE):
        at = up - int(m.sys[0].o_pool)
        rows.append(("up-pointer", f"page {at // 512:#x}, entry {at % 512}"))
    card.why = _why_shadow(m, head, kind, no_paging)
    if gfn < m.scenario.frames:
        card.frame, card.lit = gfn, {}  # the pages of the frame's shadows are lit, and nothing else of the pool


def _age(sim: Simulation, head: int, page: int) -> str:
    """Since when a page is in use; of a root since it was loaded last, which decides in what order roots are recycled."""
    since = int(shadows.stamps(sim.machine, page + 1)[page])
    kind = int(sim.machine.view("ptype")[head])
    what = "made or last loaded" if xen.SH_LEVEL[kind] else "taken"
    return f"{sim.tick - since:,} ticks: {what} at tick {since:,}"


def _loaded(m: Machine, head: int) -> str:
    """Which vCPUs run on a root now."""
    vcpus = shadows.loaded_by(m).get(head)
    return f"yes, in CR3 of vCPU {' and '.join(map(str, vcpus))}" if vcpus else "no"


def _pinned(m: Machine, head: int) -> str:
    """The place of a shadow in the order of unpinning, and how many pages that would free."""
    if not m.view("ppin")[head]:
        return "no"
    order = recycling.pinned(m)
    return f"yes, number {order.index(head) + 1} of {len(order)} to be unpinned"


def _why_shadow(m: Machine, head: int, kind: int, no_paging: bool) -> str:
    if shadows.stale(m, head + 1)[head]:
        return "Its guest table is out of sync: it may be stale until sh_resync, at the latest at the next CR3 load."
    if kind in shadows.FL1_KINDS:
        return "Shadows know no superpages: the guest spent one entry, Xen spends whole pages (make_fl1_shadow)."
    if m.view("ppin")[head] or head in shadows.loaded_by(m):
        if kind == xen.SH_L3:
            return "Pinned like a root: Linux-L3 mode, as long as few L4 tables have been seen (SHOPT_LINUX_L3_TOPLEVEL)."
        return _why_root(m, head)
    if no_paging:
        return "Left from the time before the guest switched paging on; it stays until the pool needs it or a blow comes."
    return "It lives as long as an entry above it points to it."


def _why_root(m: Machine, head: int) -> str:
    """Why a root is there, and what the next shadow fault would do to it."""
    would = recycling.recycling(m, recycling.wanted_by_a_fault(m))
    if head in would.unpinned or head in would.unhooked:
        act = "unpinned" if head in would.unpinned else "unhooked"
        return f"A root. A shadow fault now needs {would.wanted} pages and finds {would.free} free: this root would be {act}."
    return "A root: pinned at its last CR3 load; the one loaded longest ago is recycled first."


def _p2m(m: Machine, page: int, rows: list[tuple[str, str]]) -> str:
    """Adds a row about a page of the p2m or of the bitmap's tree; returns why it is there."""
    if road_of(m.scenario).nested and m.view("pkey")[page] != NONE:
        rows.append(("holds", f"{m.scenario.hap.upper()} table, level {int(m.view('pref')[page])}"))
        return f"Part of the domain's only set of {m.scenario.hap.upper()} tables."
    if page in tree_pages(m):
        rows.append(("holds", "the log-dirty bitmap's tree"))
        return "Taken when the first bit below it was set; CLEAN keeps it, OFF frees it."
    logs = nested.log_pages(m).tolist()
    if page in logs:
        rows.append(("holds", f"the page-modification log of vCPU {logs.index(page)}"))
        return "Taken at ENABLE, a page for each vCPU or none; OFF gives it back (vmx_vcpu_enable_pml)."
    rows.append(("holds", "tables of the p2m"))
    return "Xen's own p2m lives in the same pool (shadow_alloc_p2m_page); it was there before the guest ran."


def _comes_back(m: Machine, vcpu: int, place: int) -> str:
    """Which of the tables that go out of sync next would bring the one in this place back into sync."""
    there = recycling.places(m, vcpu)
    by = [str(own) for own in range(xen.OOS_PAGES) if recycling.returned_by(m, there, own) == there[place]]
    when = f"when a table with mfn % 3 = {' or '.join(by)} goes out of sync, or " if by else ""
    return f"{when}at the next CR3 load of vCPU {vcpu}"


def _snapshot(m: Machine, page: int, rows: list[tuple[str, str]]) -> str:
    """Adds rows about a page for snapshots of tables out of sync; returns why it is there."""
    s = m.sys[0]
    for k in (k for k in range(s.oos.size) if int(s.oos_snap[k]) == page):
        rows.append(("place", f"{k % xen.OOS_PAGES} of vCPU {k // xen.OOS_PAGES}"))
        if s.oos[k] != NONE:
            gfn = int(m.view("m2p")[int(s.oos[k] - xen.RAM_BASE)])
            rows.append(("snapshot of", f"gfn {gfn:#x}"))
            rows.append(("comes back", _comes_back(m, *divmod(k, xen.OOS_PAGES))))
            return "What its shadow reflects of an out-of-sync table; sh_resync compares the table with it, entry by entry."
    return "Kept for a table that will go out of sync: three for each vCPU, taken from the pool in advance."
