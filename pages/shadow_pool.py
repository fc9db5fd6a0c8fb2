"""Shadow pool: a fixed number of pages for all shadows of a domain."""

from pagingviz.ui.page import map_page
from pagingviz.ui.pool_size import pool_size

map_page(
    ("shadow-pool",),
    "Shadow pool",
    (
        "When the pool is full, _shadow_prealloc unpins the root that was loaded longest ago, and everything that "
        "only this root referred to dies with it; only when no pinned root is left are the loaded ones unhooked.",
        "The pages of the dirty bitmap's tree come from the same pool: with log-dirty on there is less room for shadows.",
    ),
    ("free_pages", "total_pages", "exits_page_fault"),
    below=pool_size,
)
