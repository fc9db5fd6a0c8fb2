"""What a vCPU's caches hold, read without touching them: the TLB's entry of one address, and how full each cache is."""

from dataclasses import dataclass

from pagingviz.arch import x86
from pagingviz.machine.machine import Machine


@dataclass(frozen=True)
class TlbEntry:
    """A translation in the TLB. level: 1 or 2, the first that has it; gfn: the guest's frame; rights: TLB_* bits."""

    level: int
    gfn: int
    rights: int


def tlb_entry(machine: Machine, vcpu: int, gva: int) -> TlbEntry | None:
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


def filled(machine: Machine, vcpu: int) -> dict[str, tuple[int, int]]:
    """{cache in words: (entries in use, entries)} of a vCPU: its TLB, then its caches of x86.CACHES, nested ones on HAP."""
    s, c = machine.sys[0], machine.cpu[vcpu]
    out = {}
    for name, tags, size in (("TLB, level 1", c.t1t, s.t1_sets * s.t1_ways), ("TLB, level 2", c.t2t, s.t2_sets * s.t2_ways)):
        out[name] = int((tags >> x86.TLB_GEN_SHIFT == s.tlb_gen[vcpu]).sum()), int(size)
    for name, (first, sets, ways) in x86.CACHES.items():
        nested = name.startswith("nested")
        if machine.scenario.road == "hap" or not nested:
            generation = (s.npt_gen if nested else s.psc_gen)[vcpu]
            live = c.psc_t[first : first + sets * ways] >> x86.PSC_GEN_SHIFT == generation
            out[_NAMES[name]] = int(live.sum()), sets * ways
    return out


def average(machine: Machine) -> float | None:
    """References that a walk has made on average so far, or None before the first."""
    s = machine.sys[0]
    return int(s.walk_refs) / int(s.walks) if s.walks else None
