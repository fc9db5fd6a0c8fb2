"""What a vCPU's caches hold, read without touching them: of one address the TLB's entry, of a walk the references they save."""

from dataclasses import dataclass

from pagingviz.arch import x86

_LINEAR, _NESTED = ("pde", "pdpte", "pml4e"), ("nested_pde", "nested_pdpte", "nested_pml4e")  # by level, from 2


@dataclass(frozen=True)
class TlbEntry:
    """A translation in the TLB. level: 1 or 2, the first that has it; gfn: the guest's frame; rights: TLB_* bits."""

    level: int
    gfn: int
    rights: int


def tlb_entry(machine, vcpu, gva):
    """The TlbEntry that serves the page of `gva` on a vCPU, whatever rights it grants, or None (core/walk/tlb.py: lookup)."""
    s, c = machine.sys[0], machine.cpu[vcpu]
    vpn = int(gva) >> 12 & int(x86.VPN_MASK)
    tag = int(s.tlb_gen[vcpu]) << int(x86.TLB_GEN_SHIFT) | vpn
    for level, sets, ways, tags, values in ((1, s.t1_sets, s.t1_ways, c.t1t, c.t1v), (2, s.t2_sets, s.t2_ways, c.t2t, c.t2v)):
        first = vpn % int(sets) * int(ways)
        for way in range(first, first + int(ways)):
            if int(tags[way]) == tag:
                value = int(values[way])
                return TlbEntry(level, value >> int(x86.TLB_GFN_SHIFT), value & (1 << int(x86.TLB_GFN_SHIFT)) - 1)
    return None


_NAMES = {
    "pde": "PDE cache",
    "pdpte": "PDPTE cache",
    "pml4e": "PML4 cache",
    "nested_pde": "nested PDE cache",
    "nested_pdpte": "nested PDPTE cache",
    "nested_pml4e": "nested PML4 cache",
    "nested_tlb": "nested TLB",
}


def filled(machine, vcpu):
    """{cache in words: (entries in use, entries)} of a vCPU: its TLB, then its caches of x86.CACHES, nested ones on HAP."""
    s, c = machine.sys[0], machine.cpu[vcpu]
    out = {}
    for name, tags, size in (("TLB, level 1", c.t1t, s.t1_sets * s.t1_ways), ("TLB, level 2", c.t2t, s.t2_sets * s.t2_ways)):
        out[name] = int((tags >> x86.TLB_GEN_SHIFT == s.tlb_gen[vcpu]).sum()), int(size)
    for name, (first, sets, ways) in x86.CACHES.items():
        if machine.scenario.road == "hap" or not name.startswith("nested"):
            live = c.psc_t[first : first + sets * ways] >> x86.PSC_GEN_SHIFT == _generation(machine, vcpu, name)
            out[_NAMES[name]] = int(live.sum()), sets * ways
    return out


def average(machine):
    """References that a walk has made on average so far, or None before the first."""
    s = machine.sys[0]
    return int(s.walk_refs) / int(s.walks) if s.walks else None


def _generation(machine, vcpu, name):
    s = machine.sys[0]
    return (s.npt_gen if name.startswith("nested") else s.psc_gen)[vcpu]


class _Caches:
    """A copy of a vCPU's paging-structure caches and nested TLB that a walk may ask and teach (core/walk/caches.py)."""

    def __init__(self, machine, vcpu):
        c, self.ways = machine.cpu[vcpu], {}
        for name, (first, sets, ways) in x86.CACHES.items():
            tags, stamps = (region[first : first + sets * ways] for region in (c.psc_t, c.psc_s))
            gen, shift = int(_generation(machine, vcpu, name)), int(x86.PSC_GEN_SHIFT)
            held = [
                (int(tag) & (1 << shift) - 1, int(stamp)) if int(tag) >> shift == gen else (None, 0)
                for tag, stamp in zip(tags, stamps, strict=True)
            ]
            self.ways[name] = [held[k * ways : (k + 1) * ways] for k in range(sets)]
        self.now = int(c.clock) + 1

    def knows(self, name, key):
        mine = self.ways[name][key % len(self.ways[name])]
        for way, (held, _) in enumerate(mine):
            if held == key:
                mine[way] = key, self.now
                return True
        return False

    def learn(self, name, key):
        mine = self.ways[name][key % len(self.ways[name])]
        mine[min(range(len(mine)), key=lambda way: (mine[way][1], way))] = key, self.now

    def start(self, names, page, bits, top, size):
        """Level of the first table that must be read on the way from `top` to a leaf of level `size`."""
        level = size
        while level < top and not self.knows(names[level - 1], page >> bits * level):
            level += 1
        for k in range(size, level):
            self.learn(names[k - 1], page >> bits * k)
        return level


def saved(machine, vcpu, gva, references, bits):
    """Numbers of the references that no memory need be read for, were the walk made now. `bits` of the address a level.

    references: in order, each with number, dimension (guest, nested, shadow), level, column (of the guest table that a nested
    one is made for, 0: the data) and gfn, as reading/translate.py makes them.
    """
    caches, out = _Caches(machine, vcpu), set()
    own = [ref for ref in references if ref.dimension != "nested"]
    start = top = max((ref.column for ref in references), default=0)
    if own:
        start = caches.start(_LINEAR, int(gva) >> 12 & int(x86.VPN_MASK), bits, top, min(ref.level for ref in own))
        out = {ref.number for ref in own if ref.level > start}
    for column in dict.fromkeys(ref.column for ref in references if ref.dimension == "nested"):
        refs = [ref for ref in references if ref.dimension == "nested" and ref.column == column]
        if column > start or column == start < top or caches.knows("nested_tlb", refs[0].gfn):
            out |= {ref.number for ref in refs}
            continue
        caches.learn("nested_tlb", refs[0].gfn)
        first = caches.start(_NESTED, refs[0].gfn, 9, 4, min(ref.level for ref in refs))
        out |= {ref.number for ref in refs if ref.level > first}
    return out
