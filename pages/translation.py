"""Translation: one address resolved down every road."""

from pagingviz.ui.translation import translation_page

translation_page(
    "Translation",
    (
        "**Under HAP the two translations stay apart.** The guest's tables say gva to gfn, EPT or NPT say gfn to mfn, and "
        "only the TLB ever holds both in one. A miss costs up to 24 references: every guest table must first be found through "
        "the nested ones, and so must the data, (4+1)·(4+1)−1.",
        "**Under shadow paging Xen combines them beforehand.** A shadow maps gva straight to mfn, so a miss costs 4 references"
        " as on the bare machine. The price is paid elsewhere: an exit for what the shadow lacks, and for each new entry.",
        "Nuance: larger pages shorten the walk (19 references with 2 MiB on one side, 15 on both, 8 with 1 GiB on both), and a "
        "warm processor has most answers in its caches. Splitting EPT's superpages for log-dirty takes part of that away.",
        "A PV guest's own tables hold machine frames: they are walked as they are, until log-dirty lends it shadows.",
        "A 32-bit guest's shadows are PAE tables whose top entries stand in four registers: 2 references. Behind EPT its walk "
        "makes 14; behind NPT a PAE guest's top entries are read from memory as well: 19.",
    ),
)
