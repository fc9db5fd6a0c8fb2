"""What must hold whenever nothing is half done: checkable properties of Xen's shadow code and of EPT under log-dirty.

Each text begins with the rule's number in our two lists of such properties, one for shadow, one for EPT."""
from collections import Counter

from .config import NX, A, D, P, U, W, frame
from .hap import POISON, RAM_RW, ROOT, slot_of
from .pool import L1, L2, L3, L4, MONITOR, P2M, bucket_of

LOWER = {L4: L3, L3: L2, L2: L1}


def broken_rule(model):
    """The first broken rule in words, or "" when all hold."""
    rules = {"shadow": shadow_rules, "hap": hap_rules}.get(model.config.road, lambda m: ())
    return next((text for holds, text in rules(model) if not holds), "")


def shadow_rules(m):
    """(holds, text) of every rule."""
    pool = m.road
    live = {s: p for s, p in pool.pages.items() if p.type in (L1, L2, L3, L4)}
    refs, writable = Counter(v.slot for v in m.vcpus), Counter()
    for smfn, page in live.items():
        gfn = m.gfn_of[page.gmfn]
        for slot, entry in page.entries.items():
            where = f"shadow {smfn} slot {slot}"
            if not entry & P:
                continue
            guest = m.word(gfn, slot)
            yield guest & P, f"1: {where} present, guest entry not"
            yield guest & A, f"2: {where} present, guest A clear"
            yield entry & (U | NX) == guest & (U | NX), f"4: {where} has other U or NX than the guest"
            yield guest & W or not entry & W, f"4: {where} writable, guest entry not"
            if page.type == L1:
                gfn_below = frame(guest)
                yield frame(entry) == m.p2m[gfn_below], f"6: {where} maps another frame than the guest"
                if entry & W:
                    writable[frame(entry)] += 1
                    yield guest & D, f"3: {where} writable, guest D clear"
                    yield not m.log.on or gfn_below in m.log.bits, f"29: {where} writable, frame not dirty"
            else:
                refs[frame(entry)] += 1
                child = pool.pages[frame(entry)]
                yield (child.type, child.gmfn) == (LOWER[page.type], m.p2m[frame(guest)]), f"6: {where}: wrong child"
                yield entry & A and entry & D, f"8: {where} without A and D"
    yield dict(writable) == pool.typecount, "12: typecounts differ from the writable mappings"
    yield not any(g in pool.flags for g in writable), "11: a page table is mapped writable"
    for smfn, page in live.items():
        yield page.refcount == refs[smfn] + page.pinned > 0, f"20: shadow {smfn} has a wrong count of references"
        yield not page.pinned or page.type == L4, "22: only roots are pinned"
        chain = pool.buckets[bucket_of(page.gmfn, page.type)]
        yield chain.count(smfn) == 1, f"21: shadow {smfn} is not in its hash chain"
    yield sum(map(len, pool.buckets)) == len(live), "21: the hash holds something dead"
    keys, flags = {(p.gmfn, p.type) for p in live.values()}, {(g, t) for g, ts in pool.flags.items() for t in ts}
    yield len(keys) == len(live) and keys == flags, "21: shadow flags differ"
    yield sorted(pool.pinned) == sorted(s for s, p in live.items() if p.pinned), "23: pinned list and pins differ"
    others = Counter(p.type for p in pool.pages.values())
    yield len(pool.free) + len(live) + others[MONITOR] == pool.total_pages, "18: pages do not add up"
    yield others[P2M] == pool.p2m_pages == len(m.log.tree), "18: tree pages do not add up"
    yield not m.log.missing(), "30: a written frame is not marked"


def hap_rules(m):
    """No lost bit, rights by type, and every guest frame keeps its machine frame."""
    for gfn in range(m.config.frames):
        table, poisoned = ROOT, False
        for level in (4, 3, 2, 1):
            entry = m.road.tables[table][slot_of(gfn, level)]
            poisoned |= entry.emt == POISON
            if level == 1 or entry.sp:
                break
            table = entry.mfn
        yield entry.mfn + (gfn % 512 if entry.sp else 0) == m.p2m[gfn], f"23: gfn {gfn} lost its machine frame"
        yield entry.w == entry.d == int(entry.type == RAM_RW), f"15: leaf of gfn {gfn} has rights of another type"
        trusted = entry.type == RAM_RW and not poisoned
        yield not (m.log.on and trusted) or gfn in m.log.bits, f"14: gfn {gfn} is effectively writable and not dirty"
    yield not m.log.missing(), "2: a written frame is not marked"
    used = len(m.road.tables) + len(m.road.tree_pages)
    yield used + len(m.road.free) == m.road.size, "pool pages do not add up"
