"""The shadow pool (Xen mm/shadow/common.c): pages, free list, hash, references, pinned roots, recycling."""
from .config import POOL_EMPTY, NX, MachineCrash, P, U, W, frame

FREE, L1, L2, L3, L4, P2M, MONITOR = 0, 7, 9, 11, 12, 13, 14      # Xen's SH_type numbers of a 64-bit guest
BUCKETS = 251


class Page:
    """One pool page. `epoch`: flush epoch at which it was freed, None = never used. `up`:
    (parent, slot) of the first entry pointing here."""

    def __init__(self):
        self.type, self.gmfn, self.refcount, self.pinned, self.up = FREE, None, 0, False, None
        self.entries = {}
        self.epoch = None


def bucket_of(gmfn, kind):
    """sh_hash, ours: Xen mixes bytes in another way, which only changes the order of a brute-force search."""
    return ((gmfn * 0x9E3779B97F4A7C15 + kind * 0xBF58476D1CE4E5B9) % 2**64 >> 32) % BUCKETS


def rights_lost(old, new):
    """Not perms_strictly_increased: does `new` lack one of the rights of `old`?"""
    return bool(old & (P | W | U) & ~new or new & NX & ~old)


class Pool:
    """All lists keep their head first. A page is named by its machine frame number, 0 .. size-1."""

    def __init__(self, model):
        self.m = model
        self.pages = {smfn: Page() for smfn in range(model.config.pool)}
        self.free = list(self.pages)
        self.total_pages, self.p2m_pages = model.config.pool, 0
        self.buckets = [[] for _ in range(BUCKETS)]
        self.pinned = []
        self.flags = {}         # gmfn -> set of shadow types it has (shadow_flags)
        self.typecount = {}     # mfn of guest RAM -> present writable sl1es mapping it

    # ---- pages ----
    def alloc(self, kind, gmfn=None):
        """shadow_alloc: from the head. A page freed since the last TLB flush may still be cached: flush now."""
        smfn = self.free.pop(0)
        page = self.pages[smfn]
        self.m.count("shadow_alloc")
        if page.epoch == self.m.epoch:
            self.m.count("shadow_alloc_tlbflush")
            self.m.flush_tlbs()
        page.type, page.gmfn, page.refcount, page.pinned, page.up, page.entries = kind, gmfn, 0, False, None, {}
        return smfn

    def release(self, smfn):
        """shadow_free: to the tail; the flush is put off until the page is used again."""
        page = self.pages[smfn]
        page.type, page.gmfn, page.up, page.entries, page.epoch = FREE, None, None, {}, self.m.epoch
        self.free.append(smfn)
        self.m.count("shadow_free")

    def new_tree_page(self):
        """shadow_alloc_p2m_page: a page of the log-dirty tree leaves the pool proper."""
        self.prealloc(1)
        self.total_pages -= 1
        self.p2m_pages += 1
        return self.alloc(P2M)

    def free_tree_page(self, smfn):
        self.total_pages += 1
        self.p2m_pages -= 1
        self.release(smfn)

    # ---- hash ----
    def lookup(self, gmfn, kind):
        """shadow_hash_lookup: the shadow of a guest frame, or None; a hit moves to the front of its chain."""
        self.m.count("shadow_hash_lookups")
        chain = self.buckets[bucket_of(gmfn, kind)]
        for smfn in chain:
            if (self.pages[smfn].gmfn, self.pages[smfn].type) == (gmfn, kind):
                if smfn == chain[0]:
                    self.m.count("shadow_hash_lookup_head")
                chain.remove(smfn)
                chain.insert(0, smfn)
                return smfn
        self.m.count("shadow_hash_lookup_miss")
        return None

    def get_status(self, gmfn, kind):
        """get_shadow_status."""
        self.m.count("shadow_get_shadow_status")
        return self.lookup(gmfn, kind)

    def make(self, gmfn, kind):
        """sh_make_shadow: the caller has preallocated and removed write access to the guest frame."""
        smfn = self.alloc(kind, gmfn)
        assert not self.typecount.get(gmfn), "shadow_promote: still writable"
        self.flags.setdefault(gmfn, set()).add(kind)
        self.m.count("shadow_hash_inserts")
        self.buckets[bucket_of(gmfn, kind)].insert(0, smfn)
        return smfn

    def is_page_table(self, mfn):
        return bool(self.flags.get(mfn))

    # ---- references ----
    def get_ref(self, smfn, entry=None):
        page = self.pages[smfn]
        page.refcount += 1
        if entry is not None and page.up is None:
            page.up = entry

    def put_ref(self, smfn, entry=None):
        """At zero the shadow dies at once, and with it what only it references."""
        page = self.pages[smfn]
        if entry is not None and page.up == entry:
            page.up = None
        page.refcount -= 1
        if page.refcount == 0:
            self.destroy(smfn)

    def destroy(self, smfn):
        """sh_destroy_shadow: out of the hash, demote, drop children in order of slots, and only then free the page."""
        page = self.pages[smfn]
        self.m.count("shadow_hash_deletes")
        self.buckets[bucket_of(page.gmfn, page.type)].remove(smfn)
        self.flags[page.gmfn].discard(page.type)
        if not self.flags[page.gmfn]:
            del self.flags[page.gmfn]
        for slot in sorted(page.entries):
            self.put_target(smfn, slot, page.entries[slot])
        self.release(smfn)

    def get_target(self, smfn, slot, entry):
        """What a present entry holds:
        a reference of a lower shadow, or in an SL1 a writable mapping of a guest frame."""
        if entry & P and self.pages[smfn].type != L1:
            self.get_ref(frame(entry), (smfn, slot))
        elif entry & P and entry & W:
            self.typecount[frame(entry)] = self.typecount.get(frame(entry), 0) + 1

    def put_target(self, smfn, slot, entry):
        if entry & P and self.pages[smfn].type != L1:
            self.put_ref(frame(entry), (smfn, slot))
        elif entry & P and entry & W:
            self.typecount[frame(entry)] -= 1
            if not self.typecount[frame(entry)]:
                del self.typecount[frame(entry)]

    def entry(self, smfn, slot):
        return self.pages[smfn].entries.get(slot, 0)

    def set_entry(self, smfn, slot, new):
        """shadow_set_l1e .. l4e: take the new reference, write, drop the old.

        True when TLBs must be flushed (never for an SL1)."""
        page, old = self.pages[smfn], self.entry(smfn, slot)
        if old == new:
            return False
        self.get_target(smfn, slot, new)
        page.entries.pop(slot, None)
        if new:
            page.entries[slot] = new
        self.put_target(smfn, slot, old)
        return page.type != L1 and bool(old & P) and (frame(old) != frame(new) or rights_lost(old, new))

    # ---- pinned roots ----
    def pin(self, smfn):
        """sh_pin: to the head of the list; one reference however often it is pinned."""
        page = self.pages[smfn]
        if page.pinned:
            self.pinned.remove(smfn)
        else:
            page.pinned = True
            self.get_ref(smfn)
        self.pinned.insert(0, smfn)

    def unpin(self, smfn):
        if self.pages[smfn].pinned:
            self.pages[smfn].pinned = False
            self.pinned.remove(smfn)
            self.put_ref(smfn)

    def unhook(self, smfn):
        """sh_unhook_l4_mappings: empty a root; what nobody else references below it dies."""
        for slot in sorted(self.pages[smfn].entries):
            self.set_entry(smfn, slot, 0)

    # ---- recycling ----
    def prealloc(self, n):
        """shadow_prealloc: see that n pages are free, or crash the domain."""
        if not self.try_prealloc(n):
            raise MachineCrash(POOL_EMPTY)

    def try_prealloc(self, n):
        """_shadow_prealloc: unpin from the tail; then empty the loaded roots."""
        if len(self.free) >= n:
            return True
        self.m.count("shadow_prealloc_1")
        for smfn in reversed(list(self.pinned)):
            self.m.event("PREALLOC_UNPIN", self.m.gfn_of[self.pages[smfn].gmfn])
            self.unpin(smfn)
            if len(self.free) >= n:
                return True
        self.m.count("shadow_prealloc_2")
        for vcpu in self.m.vcpus:
            if vcpu.slot is not None:
                self.unhook(vcpu.slot)
                if len(self.free) >= n:
                    self.m.flush_tlbs()
                    return True
        return False

    def blow(self):
        """shadow_blow_tables: every shadow dies but the loaded roots, which stay empty and unpinned."""
        for smfn in reversed(list(self.pinned)):
            self.unpin(smfn)
        for vcpu in self.m.vcpus:
            if vcpu.slot is not None:
                self.unhook(vcpu.slot)
        self.m.flush_tlbs()

    def set_allocation(self, pages):
        """shadow_set_allocation: grow by the lowest unused index, shrink from the head of the free list, as far
        as it goes."""
        target = max(0, pages - self.p2m_pages)
        while self.total_pages < target:
            smfn = next(i for i in range(len(self.pages) + 1) if i not in self.pages)
            self.pages[smfn] = Page()
            self.free.append(smfn)
            self.total_pages += 1
        while self.total_pages > target and self.try_prealloc(1):
            del self.pages[self.free.pop(0)]
            self.total_pages -= 1

    def state(self):
        """`shadows`: {smfn: (type, gmfn, refcount, pinned, {slot: entry})}; `pool`: lists, chains, counts."""
        live = {s: p for s, p in self.pages.items() if FREE < p.type <= L4}
        return {
            "shadows": {s: (p.type, p.gmfn, p.refcount, p.pinned, dict(p.entries)) for s, p in live.items()},
            "pool": {"types": {s: p.type for s, p in self.pages.items()},
                     "free": list(self.free), "pinned": list(self.pinned),
                     "hash": {b: list(chain) for b, chain in enumerate(self.buckets) if chain},
                     "up": {s: p.up for s, p in live.items()}, "epoch": {s: self.pages[s].epoch for s in self.free},
                     "flags": {g: set(f) for g, f in self.flags.items()}, "typecount": dict(self.typecount),
                     "total_pages": self.total_pages, "p2m_pages": self.p2m_pages},
            "ept": {},
        }
