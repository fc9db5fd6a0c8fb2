"""EPT / NPT: guest frame to machine frame."""

from pagingviz.ui.place import map_page

map_page(
    "ept-npt",
    "EPT / NPT",
    (
        "Switching log-dirty on poisons one entry of the root, whatever the size of RAM: ept_invalidate_emt_subtree "
        "makes it misconfigured on purpose, and resolve_misconfig pushes the mark down one level at a time, where the"
        " guest walks.",
        "A store to a ram_logdirty leaf is an EPT violation: the frame is marked dirty and its leaf becomes ram_rw "
        "again, so each frame costs one exit a round; a 2 MiB leaf is split first.",
    ),
    ("ept_misconfig", "ept_violation", "pages_marked"),
)
