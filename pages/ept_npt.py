"""EPT / NPT: guest frame to machine frame, and the tables that say so."""

from pagingviz.ui.nested import exits_and_pages
from pagingviz.ui.page import map_page

map_page(
    ("ept-npt", "nested-tables"),
    "EPT / NPT",
    (
        "Two maps of the same thing: the first shows every frame with all that waits above it, as an access would find it, "
        "the second every entry with only what is stored in it. Point at a frame, and its way from L4 to L1 lights up.",
        "Switching log-dirty on poisons one entry of the root for each 512 GiB of RAM: ept_invalidate_emt_subtree "
        "makes it misconfigured on purpose, and resolve_misconfig pushes the mark down one level at a time, where the"
        " guest walks.",
        "Without PML a store to a ram_logdirty leaf is an EPT violation: the frame is marked dirty and its leaf becomes "
        "ram_rw again, so each frame that is written costs one exit a round. With PML (pml=1) the processor notes the frame "
        "in a log and goes on; only a full log of 512 exits, and the first store to a superpage, whose leaf stays read-only. "
        "A superpage is split first, EPT's whole, NPT's on the way alone.",
        "AMD's NPT (hap=npt) knows no misconfiguration: do_recalc finds the mark (US taken away) and settles it for one leaf "
        "at a time, so every 4 KiB leaf that is touched costs an exit a round, and one more when it is written. The guest's "
        "own page tables count as written whenever AMD's processor walks them; on EPT they do while PML is on.",
    ),
    ("ept_misconfig", "ept_violation", "npf_recalc", "npf_write", "pml_full", "p2m_split", "pages_marked"),
    details=exits_and_pages,
)
