"""What must hold between two ticks: the rules of Xen's shadow code, and of EPT under log-dirty.

Each text begins with the number of its rule in pagingviz/manual/rules.md: S n on the shadow road, H n on the others.
"""

from collections import Counter

from .config import NX, A, D, P, U, W, frame
from .ept import RAM_RW, ROOT, inside, slot_of
from .kinds import FL1S, FREE, L1S, L2_32, L2S, L3_64, L4_64, LEVELS_OF, MONITOR, P2M, SIZE, SNAPSHOT, bucket_of, entry_of
from .pvtypes import WRITABLE
from .walk import is_leaf


def broken_rule(model):
    """The first broken rule in words, or "" when all hold."""
    rules = {"shadow": shadow_rules, "hap": hap_rules, "pv": pv_rules}.get(model.config.road, lambda m: ())
    return next((text for holds, text in rules(model) if not holds), "")


def level_of(kind):
    return 1 if kind in L1S | FL1S else 2 if kind in L2S else 3 if kind == L3_64 else 4


def guest_slot(kind, part, slot):
    """Slot of the guest's table that entry `slot` of page `part` of a shadow stands for."""
    return 256 * part + slot // 2 if kind == L2_32 else 512 * part + slot


def shadow_rules(m):
    """(holds, text) of every rule."""
    pool = m.road
    live = {s: p for s, p in pool.pages.items() if 0 < p.type <= L4_64}
    heads = {s: p for s, p in live.items() if p.head == s}
    refs, writable = Counter(s for v in m.vcpus for s in v.slots if s is not None), Counter()
    for smfn, page in heads.items():
        level, levels = level_of(page.type), LEVELS_OF[page.type]
        mode = m.mode(levels)
        nx = NX if mode.nx() else 0
        stale = page.key in pool.out_of_sync and page.type in L1S
        for part, slot, entry in pool.present(smfn):
            where, at = f"shadow {smfn} page {part} slot {slot}", guest_slot(page.type, page.chain.index(part), slot)
            if level == 1 and entry & W:
                writable[frame(entry)] += 1
                yield not m.log.on or m.gfn_of[frame(entry)] in m.log.bits, f"29: {where} writable, frame not dirty"
            if page.type in FL1S:
                size = 512 * SIZE.get(page.type, 1)
                yield frame(entry) == m.p2m.get(page.key // size * size + at, -1), f"6: {where} maps another frame"
                yield entry & (P | U | A) == P | U | A, f"7: {where} has odd flags"
                continue
            guest = m.entry(m.gfn_of[page.key], at, levels)
            if stale:
                vcpu, k = pool.oos_find(page.key)
                guest = entry_of(pool.pages[vcpu.oos_snapshot[k]].entries, levels, at)
            yield guest & P, f"1: {where} present, guest entry not"
            yield guest & A, f"2: {where} present, guest A clear"
            yield entry & (U | nx) == guest & (U | nx), f"4: {where} has other U or NX than the guest"
            yield guest & W or not entry & W, f"4: {where} writable, guest entry not"
            leaf = is_leaf(mode, level, guest)
            yield guest & D or not entry & W or not leaf, f"3: {where} writable, guest D clear"
            if level == 1:
                yield frame(entry) == m.p2m.get(frame(guest)), f"6: {where} maps another frame than the guest"
                continue
            refs[frame(entry)] += 1
            child = pool.pages[frame(entry)]
            key = frame(guest) if leaf else m.mfn(frame(guest))
            yield (level_of(child.type), child.key) == (level - 1, key), f"6: {where}: wrong child"
            yield (child.type in FL1S) == leaf, f"6: {where}: table and superpage confused"
            yield entry & A and entry & D, f"8: {where} without A and D"
            if page.type == L2_32:
                yield frame(pool.entry(part, slot + 1)) == child.chain[1], f"6: {where}: the pair is broken"
    yield dict(writable) == pool.typecount, "12: typecounts differ from the writable mappings"
    yield not any(g in pool.flags and g not in pool.may_write for g in writable), "11: a page table is mapped writable"
    for smfn, page in heads.items():
        yield page.refcount == refs[smfn] + page.pinned > 0, f"20: shadow {smfn} has a wrong count of references"
        yield not page.pinned or pool.pinnable(page.type), "22: only roots are pinned"
        chain = pool.buckets[bucket_of(page.key, page.type)]
        yield chain.count(smfn) == 1, f"21: shadow {smfn} is not in its hash chain"
        yield len(page.chain) == SIZE.get(page.type, 1), f"19: shadow {smfn} has a wrong size"
    yield sum(map(len, pool.buckets)) == len(heads), "21: the hash holds something dead"
    keys = {(p.key, p.type) for p in heads.values()}
    flags = {(g, t) for g, ts in pool.flags.items() for t in ts}
    yield len(keys) == len(heads), "21: two shadows of one kind of one table"
    yield {k for k in keys if k[1] not in FL1S} == flags, "21: shadow flags differ"
    yield sorted(pool.pinned) == sorted(s for s, p in heads.items() if p.pinned), "23: pinned list and pins differ"
    others = Counter(p.type for p in pool.pages.values())
    yield len(pool.free) + len(live) + others[MONITOR] + others[SNAPSHOT] == pool.total_pages, "18: pages do not add up"
    yield others[P2M] == pool.p2m_pages == len(m.log.tree), "18: tree pages do not add up"
    yield not m.log.missing(), "30: a written frame is not marked"
    yield from oos_rules(m, pool)


def oos_rules(m, pool):
    """Which tables may be out of sync, and where they are remembered."""
    held = Counter(g for v in m.vcpus for g in v.oos if g is not None)
    yield set(held) == pool.out_of_sync == pool.may_write, "13: out-of-sync flags and tables differ"
    yield all(n == 1 for n in held.values()), "13: a table is out of sync twice"
    for v in m.vcpus:
        for k, gmfn in enumerate(v.oos):
            if gmfn is not None:
                yield k in (gmfn % 3, (gmfn + 1) % 3), "13: wrong slot"
                yield len(pool.flags.get(gmfn, ())) == 1 and pool.flags[gmfn] <= L1S, "13: out of sync, not just an L1"
                mappings = {
                    (p, s)
                    for p, page in pool.pages.items()
                    if page.type in L1S | FL1S
                    for s, e in page.entries.items()
                    if e & P and e & W and frame(e) == gmfn
                }
                yield mappings <= set(v.fixups[k].mappings), "14: a writable mapping is not remembered"


def pv_rules(m):
    """Types are what the uses add up to; no shadow lets more through than the tables, and none outlives log-dirty."""
    road, uses = m.road, Counter()
    for v in m.vcpus:
        uses.update((root, 4) for root in (v.kernel_root, v.user_root) if root is not None)
    uses.update((gfn, road.type_of(gfn)) for gfn in road.pins)
    for gfn in range(m.config.zone):
        level = road.type_of(gfn)
        if 1 <= level <= 4:
            for entry in road.table_entries(gfn):
                if level > 1 or entry & W:
                    uses[frame(m.own(entry)), level - 1 or WRITABLE] += 1
    yield dict(uses) == {(g, road.kind[g]): n for g, n in road.uses.items()}, "32: types differ from the uses"
    live = {s: p for s, p in road.pages.items() if 0 < p.type <= L4_64}
    idle = not m.log.tree and all(page.type == FREE for page in road.pages.values())
    yield m.log.on or idle, "36: shadows without log-dirty"
    for smfn, page in live.items():
        level = level_of(page.type)
        yield road.type_of(m.gfn_of[page.key]) == level, f"21: shadow {smfn} of what is no table of its level"
        for _, slot, entry in road.present(smfn):
            guest, where = m.entry(m.gfn_of[page.key], slot), f"shadow {smfn} slot {slot}"
            yield guest & P and guest & A and entry & U, f"1: {where} present, guest entry not"
            yield guest & W or not entry & W, f"4: {where} writable, guest entry not"
            if level > 1:
                child = road.pages[frame(entry)]
                yield (level_of(child.type), child.key) == (level - 1, frame(guest)), f"6: {where}: wrong child"
                continue
            yield frame(entry) == frame(guest), f"6: {where} maps another frame than the guest"
            known = m.log.failed or m.gfn_of[frame(entry)] in m.log.bits
            yield not entry & W or guest & D and known, f"29: {where} writable, frame not dirty"
    yield not m.log.missing(), "30: a written frame is not marked"


def frames_to_check(m):
    """All frames; of a guest of 1 GiB or more those that were touched, and one of every 509."""
    frames = m.config.frames
    return range(frames) if frames < 512**2 else sorted({*m.version, *m.log.bits, *range(0, frames, 509)})


def hap_rules(m):
    """No lost bit, rights by type, and every guest frame keeps its machine frame."""
    waiting = {gfn for log in getattr(m.road, "logs", ()) for gfn in log}  # what the processor has logged and Xen has not read
    for gfn in frames_to_check(m):
        table, poisoned = ROOT, False
        for level in (4, 3, 2, 1):
            entry = m.road.tables[table][slot_of(gfn, level)]
            poisoned |= entry.waits()
            if level == 1 or entry.sp:
                break
            table = entry.mfn
        yield entry.mfn + inside(gfn, level) == m.p2m[gfn], f"23: gfn {gfn} lost its machine frame"
        yield poisoned or not m.log.on or m.road.fits(entry), f"15: leaf of gfn {gfn} has rights of another type"
        stored = entry.type != RAM_RW and getattr(entry, "d", 0) and not poisoned
        yield not stored or gfn in waiting, f"20: leaf of gfn {gfn} was stored to, and the store was not logged"
        trusted = entry.type == RAM_RW and not poisoned
        known = m.log.failed or gfn in m.log.bits
        yield not (m.log.on and trusted) or known, f"14: gfn {gfn} is effectively writable and not dirty"
    yield not set(m.log.missing()) - waiting, "2: a written frame is not marked"
    used = len(m.road.tables) + len(m.road.tree_pages) + len(m.road.log_pages)
    yield used + len(m.road.free) == m.road.size, "pool pages do not add up"
