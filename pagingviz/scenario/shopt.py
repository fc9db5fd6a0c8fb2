"""What each optimisation of Xen's shadow code does: the bits of the field `shopt`, in the order of xen.SHOPTS.

Source: Xen mm/shadow/private.h (SHOPT_WRITABLE_HEURISTIC and those after it).
"""

SHOPT_HELP = {
    "writable_heuristic": "guess where known systems map their page tables before searching everywhere (h_1 to h_6)",
    "early_unshadow": "two zero stores in a row mean that the table is being torn down",
    "fast_fault_path": "magic entries for holes and devices: without effect here, since all memory is RAM",
    "prefetch": "fill up to 31 neighbours with every entry",
    "linux_l3_toplevel": "pin L3 tables as if they were roots, for early 64-bit Linux",
    "skip_verify": "a store of one not-present entry over another needs no validation",
    "virtual_tlb": "remember guest walks for the emulator",
    "fast_emulation": "emulate the next store to the same page without a walk",
    "out_of_sync": "let L1 tables be written freely until the next flush",
}
