"""What a vCPU's caches hold of one address, read without touching them: looking is no use, and ages nothing."""

from dataclasses import dataclass, field

from pagingviz import layout as L


@dataclass(frozen=True)
class TlbEntry:
    """A translation in the TLB. level: 1 or 2, the first that has it; gfn: the guest's frame; rights: TLB_* bits."""

    level: int
    gfn: int
    rights: int


@dataclass(frozen=True)
class Held:
    """tlb: a TlbEntry or None; levels: guest levels whose entry a paging-structure cache holds; nested: gfns whose nested
    translation is held. The machine has no such caches yet (core/tlb.py), so the last two are empty."""

    tlb: TlbEntry | None = None
    levels: frozenset = field(default_factory=frozenset)
    nested: frozenset = field(default_factory=frozenset)


def tlb_entry(machine, vcpu, gva):
    """The TlbEntry that serves the page of `gva` on a vCPU, whatever rights it grants, or None (core/tlb.py: lookup)."""
    s, c = machine.sys[0], machine.cpu[vcpu]
    vpn = int(gva) >> 12 & int(L.VPN_MASK)
    tag = int(s.tlb_gen[vcpu]) << int(L.TLB_GEN_SHIFT) | vpn
    for level, sets, ways, tags, values in ((1, L.T1_SETS, L.T1_WAYS, c.t1t, c.t1v), (2, L.T2_SETS, L.T2_WAYS, c.t2t, c.t2v)):
        first = vpn % int(sets) * int(ways)
        for way in range(first, first + int(ways)):
            if int(tags[way]) == tag:
                value = int(values[way])
                return TlbEntry(level, value >> int(L.TLB_GFN_SHIFT), value & (1 << int(L.TLB_GFN_SHIFT)) - 1)
    return None


def held(machine, vcpu, gva):
    """Everything that the caches of a vCPU hold for `gva`: a Held."""
    return Held(tlb_entry(machine, vcpu, gva))
