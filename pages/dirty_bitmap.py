"""Dirty bitmap: which frames were written since the last CLEAN."""

from pagingviz.ui.bitmap import bits_switch, details
from pagingviz.ui.page import map_page
from pagingviz.ui.revoke import road_not_taken

map_page(
    ("dirty-bitmap",),
    "Dirty bitmap",
    (
        "CLEAN reads and clears the bitmap, and takes write access away again (on the shadow road by throwing all "
        "shadows away); PEEK only reads it, and the next CLEAN will report the same frames once more.",
        "The bitmap is a radix tree whose pages are made when the first frame below them is marked: paging_mark_pfn_dirty.",
    ),
    ("dirty_count", "pages_marked", "cleans"),
    below=road_not_taken,
    switch=bits_switch,
    details=details,
)
