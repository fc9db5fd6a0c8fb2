"""The shadow pool (Xen mm/shadow/common.c): pages, free list, hash, promotion, pinned roots, recycling."""

from .config import U
from .kinds import (
    BUCKETS,
    DEMOTE,
    FREE,
    L1_OF,
    L3_64,
    L4_64,
    LINUX_L3,
    OUT_OF_SYNC,
    P2M,
    PREALLOC_UNHOOK,
    PROMOTE,
    SIZE,
    bucket_of,
)
from .refs import References


class Page:
    """One pool page. `chain`: all pages of the shadow (head pages only); `head`: its head page (the others). `key`: machine
    frame of the guest table, or guest frame of a splintered superpage. `up`: (page, slot) of the first entry pointing
    here. `epoch`: flush epoch at which it was freed, None = never used."""

    def __init__(self):
        self.type, self.key, self.refcount, self.pinned, self.up = FREE, None, 0, False, None
        self.chain, self.head, self.entries, self.epoch = [], None, {}, None


class Pool(References):
    """All lists keep their head first. A page is named by its machine frame number, 0 .. size-1."""

    def __init__(self, model):
        self.m = model
        self.pages = {smfn: Page() for smfn in range(model.config.pool)}
        self.free = list(self.pages)
        self.total_pages, self.p2m_pages = model.config.pool, 0
        self.buckets = [[] for _ in range(BUCKETS)]
        self.pinned = []
        self.flags = {}  # gmfn -> set of shadow types it has (shadow_flags)
        self.dying = set()  # shadowed gmfns marked pagetable_dying
        self.typecount = {}  # mfn of guest RAM -> present writable sl1es mapping it
        self.shopt = model.config.shopt & ~(0 if model.config.oos else OUT_OF_SYNC)
        self.linux_l3 = bool(self.shopt & LINUX_L3)  # opt_flags, still on

    def flag(self, bit):
        """TRACE_SHADOW_PATH_FLAG, on the CPU of the vCPU that acts."""
        if self.m.current is not None:
            self.m.current.flags |= 1 << bit

    # ---- pages ----
    def alloc(self, kind, key=None):
        """shadow_alloc: from the head. A page freed since the last TLB flush may still be cached: flush now.
        The last page taken is the head of the shadow."""
        self.m.count("shadow_alloc")
        taken = []
        for _ in range(SIZE.get(kind, 1)):
            smfn = self.free.pop(0)
            page = self.pages[smfn]
            if page.epoch == self.m.epoch:
                self.m.count("shadow_alloc_tlbflush")
                self.m.flush_tlbs()
            page.type, page.key, page.refcount, page.pinned, page.up, page.entries = kind, key, 0, False, None, {}
            page.chain = []
            taken.insert(0, smfn)
            self.m.count("shadow_alloc_count")
        self.pages[taken[0]].chain = taken
        for smfn in taken:
            self.pages[smfn].head = taken[0]
        return taken[0]

    def release(self, smfn):
        """shadow_free: to the tail of the free list, head page first. The TLB flush is put off until the page is used again.

        Whatever was remembered about the page is forgotten.
        """
        self.m.count("shadow_free")
        for part in self.pages[smfn].chain:
            for vcpu in self.m.vcpus:
                if vcpu.last_writeable == part:
                    vcpu.last_writeable = None
                vcpu.last_ok = False
            page = self.pages[part]
            page.type, page.key, page.up, page.entries, page.chain, page.head = FREE, None, None, {}, [], None
            page.epoch = self.m.epoch
            self.free.append(part)
            self.m.count("shadow_alloc_count", -1)

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
    def lookup(self, key, kind):
        """shadow_hash_lookup: the shadow of that key and type, or None. One that is found goes to the front of its chain."""
        self.m.count("shadow_hash_lookups")
        chain = self.buckets[bucket_of(key, kind)]
        for smfn in chain:
            if (self.pages[smfn].key, self.pages[smfn].type) == (key, kind):
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

    def insert(self, smfn):
        page = self.pages[smfn]
        self.m.count("shadow_hash_inserts")
        self.buckets[bucket_of(page.key, page.type)].insert(0, smfn)

    def make(self, gmfn, kind):
        """sh_make_shadow: the caller has preallocated and removed write access to the guest frame."""
        smfn = self.alloc(kind, gmfn)
        if kind == L4_64 and self.linux_l3:
            self.doubt_linux_l3()
        self.promote(gmfn, kind)
        self.insert(smfn)
        return smfn

    def doubt_linux_l3(self):
        """More than two live roots a vCPU: the guest is no early 64-bit Linux that switches processes in one L4 entry."""
        if sum(self.pages[s].type == L4_64 for s in self.pinned) > 2 * len(self.m.vcpus):
            for smfn in list(self.pinned):
                if self.pages[smfn].type == L3_64:
                    self.unpin(smfn)
            self.linux_l3 = False

    def make_fl1(self, gfn, kind):
        """make_fl1_shadow: no guest page stands behind it, so nothing is promoted."""
        smfn = self.alloc(kind, gfn)
        self.insert(smfn)
        return smfn

    def promote(self, gmfn, kind):
        if gmfn in self.out_of_sync:
            self.resync(gmfn)
        assert not self.typecount.get(gmfn), "shadow_promote: still writable"
        if gmfn not in self.flags:
            self.flags[gmfn] = set()
            self.dying.discard(gmfn)
        self.flags[gmfn].add(kind)
        self.flag(PROMOTE)

    def demote(self, gmfn, kind):
        self.flags[gmfn].discard(kind)
        if not self.flags[gmfn]:
            if gmfn in self.out_of_sync:
                self.oos_forget(gmfn)
            self.out_of_sync.discard(gmfn)
            self.may_write.discard(gmfn)
            del self.flags[gmfn]
        self.flag(DEMOTE)

    def is_shadowed(self, mfn):
        return bool(self.flags.get(mfn))

    def is_page_table(self, mfn):
        """sh_mfn_is_a_page_table: of an HVM guest's frame, whether it is shadowed."""
        return self.is_shadowed(mfn)

    # ---- pinned roots ----
    def pin(self, smfn):
        """sh_pin: to the head of the list; one reference however often it is pinned."""
        page = self.pages[smfn]
        if page.pinned:
            self.pinned.remove(smfn)
        else:
            self.get_ref(smfn)
            page.pinned = True
        self.pinned.insert(0, smfn)

    def unpin(self, smfn):
        if self.pages[smfn].pinned:
            self.pages[smfn].pinned = False
            self.pinned.remove(smfn)
            self.put_ref(smfn)

    def unhook(self, smfn, user_only=False):
        """shadow_unhook_mappings: empty a root, or its user half. What nothing else refers to below it is destroyed."""
        for page, slot, entry in self.present(smfn):
            if not user_only or entry & U:
                self.set_upper(page, slot, 0)

    def loaded_roots(self):
        return [smfn for vcpu in self.m.vcpus for smfn in vcpu.slots if smfn is not None]

    # ---- recycling ----
    def prealloc(self, n):
        """shadow_prealloc: see that n pages are free, or crash the domain."""
        if not self.try_prealloc(n):
            self.m.domain_crash()

    def prealloc_l1(self, levels, count):
        """shadow_prealloc for L1 shadows: log-dirty may want a path of tree pages on top."""
        self.prealloc(count * SIZE.get(L1_OF[levels], 1) + (4 if self.m.log.on else 0))

    def try_prealloc(self, n):
        """_shadow_prealloc: unpin from the tail; then empty the loaded roots."""
        if len(self.free) >= n:
            return True
        self.m.count("shadow_prealloc_1")
        for smfn in reversed(list(self.pinned)):
            self.m.event("PREALLOC_UNPIN", gfn=self.m.gfn_of[self.pages[smfn].key])
            self.unpin(smfn)
            if len(self.free) >= n:
                return True
        self.m.count("shadow_prealloc_2")
        for smfn in self.loaded_roots():
            self.flag(PREALLOC_UNHOOK)
            self.unhook(smfn)
            if len(self.free) >= n:
                self.m.flush_tlbs()
                return True
        self.m.flush_tlbs()
        return False

    def blow(self):
        """shadow_blow_tables: every shadow is destroyed but the loaded roots, which stay empty and unpinned."""
        for smfn in reversed(list(self.pinned)):
            self.unpin(smfn)
        for smfn in self.loaded_roots():
            self.unhook(smfn)
        self.m.flush_tlbs()

    def set_allocation(self, pages):
        """shadow_set_allocation: grow by the lowest unused index, shrink from the head of the free list.

        It stops when there is no page left to take.
        """
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
        """`shadows`: {smfn: (type, key, refcount, pinned, {slot: entry})} of head pages; `more`: {page: (head, entries)} of
        the others; `pool`: lists, chains, counts; `vcpus`: what the shadow code remembers for each."""
        live = {s: p for s, p in self.pages.items() if FREE < p.type <= L4_64}
        heads = {s: p for s, p in live.items() if p.head == s}
        oos = {}
        for v in self.m.vcpus:
            for k, gmfn in enumerate(v.oos):
                if gmfn is not None:
                    oos[v.number, k] = (
                        gmfn,
                        dict(self.pages[v.oos_snapshot[k]].entries),
                        list(v.fixups[k].mappings),
                        v.fixups[k].next,
                    )
        return {
            "shadows": {s: (p.type, p.key, p.refcount, p.pinned, dict(p.entries)) for s, p in heads.items()},
            "more": {s: (p.head, dict(p.entries)) for s, p in live.items() if p.head != s},
            "chains": {s: list(p.chain) for s, p in heads.items() if len(p.chain) > 1},
            "oos": oos,
            "out_of_sync": set(self.out_of_sync),
            "may_write": set(self.may_write),
            "linux_l3": self.linux_l3,
            "vcpus": [
                {
                    "slots": list(v.slots),
                    "unshadow_memory": v.unshadow_memory,
                    "last_ok": v.last_ok,
                    "last": (v.last_frame, v.last_mfn) if v.last_ok else None,
                    "snapshots": list(v.oos_snapshot),
                    "last_writeable": v.last_writeable,
                }
                for v in self.m.vcpus
            ],
            "pool": {
                "types": {s: p.type for s, p in self.pages.items()},
                "free": list(self.free),
                "pinned": list(self.pinned),
                "hash": {b: list(chain) for b, chain in enumerate(self.buckets) if chain},
                "up": {s: p.up for s, p in heads.items()},
                "epoch": {s: self.pages[s].epoch for s in self.free},
                "flags": {g: set(f) for g, f in self.flags.items()},
                "dying": self.dying & set(self.flags),
                "typecount": dict(self.typecount),
                "total_pages": self.total_pages,
                "p2m_pages": self.p2m_pages,
            },
            "ept": {},
        }
