"""Live migration: source, wire and destination of a guest that is moved while it runs."""

from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.boards.registry import MIGRATION
from pagingviz.ui.every_road import every_road
from pagingviz.ui.migration import choices, details
from pagingviz.ui.page import map_page

map_page(
    MIGRATION,
    "Live migration",
    (
        "Xen's loop (send_memory_live) sends all, then what was dirtied meanwhile, and again. Its policy stops below 50 dirty "
        "pages or after 5 rounds; then the guest is suspended, and the rest crosses while nothing can dirty it.",
        "A set bit means: written since the last CLEAN, not: written since it was sent. What is written before its turn comes "
        "goes twice, the second time in vain. Older Xens looked again before each batch and skipped it (policy legacy).",
        "Post-copy turns the order round: the guest moves first, and waits for each page it touches. Every page crosses once, "
        "and a lost link loses the guest.",
    ),
    (),
    switch=choices,
    details=details,
    below=every_road,
    scene=MigrationScene,
    changes=False,
)
