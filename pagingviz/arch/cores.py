"""The cores that a vCPU can be: TLB sizes, and what each offers a hypervisor for nested paging.

A core fixes which nested tables there are; Xen's own choices, such as whether superpages are executable, follow from it unless
an option says otherwise. Sources: hvm/vmx/vmcs.c (vmx_init_vmcs_config) for what Xen asks the processor, hvm/vmx/vmx.c
(has_if_pschange_mc) for the erratum, and for the sizes what is named beside them. What Xen printed at boot on such
processors says the same.
"""

from dataclasses import dataclass

HAPS = ("ept", "npt")


@dataclass(frozen=True)
class Core:
    """One core. `tlb`: sets and ways of both levels, for 4 KiB pages; `hap`: its nested tables, one of HAPS.

    gib_pages: leaves of 1 GiB, its own and those of nested tables; ept_ad: the processor can set A and D in EPT; pml: it has a
    page-modification log; pschange: the page-size-change erratum (CVE-2018-12207), for which Xen makes EPT superpages not
    executable; tag: what keeps the translations of guest and hypervisor apart in the TLB.
    """

    tlb: tuple[int, int, int, int]
    hap: str = "ept"
    gib_pages: bool = True
    ept_ad: bool = False
    pml: bool = False
    pschange: bool = False
    tag: str = "VPID"

    @property
    def exec_sp(self) -> bool:
        """Whether Xen lets superpage leaves be executable where no option says otherwise."""
        return not self.pschange


CORES = {  # by name; of those with one kind of nested tables the first is the usual one
    # WikiChip and the optimisation manual; CPUID says 6 ways
    "skylake": Core((16, 4, 128, 12), ept_ad=True, pml=True, pschange=True),
    # the optimisation manual's table of Haswell's second-level TLB: 1024 entries, 8 ways
    "haswell": Core((16, 4, 128, 8), ept_ad=True, pschange=True),
    # Real World Technologies, "Inside Nehalem", April 2008
    "nehalem": Core((16, 4, 128, 4), gib_pages=False, pschange=True),
    # WikiChip: the first level fully associative, the second of 1536 entries; its ways are a guess
    "zen": Core((1, 64, 128, 12), hap="npt", tag="ASID"),
}
