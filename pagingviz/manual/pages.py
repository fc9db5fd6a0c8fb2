"""The pages: {path of the address: title}, in the order of the page list. The page without a path is the home page."""

PAGES = {
    "": "The machine",
    "guest-page-tables": "Guest page tables",
    "shadow-pool": "Shadow pool",
    "ept-npt": "EPT / NPT",
    "dirty-bitmap": "Dirty bitmap",
    "translation": "Translation",
    "live-migration": "Live migration",
    "side-by-side": "Side by side",
    "what-if": "What if",
    "real-xen": "Real Xen",
    "left-out": "What the model leaves out",
    "manual": "Manual",
}


def script(path: str) -> str:
    """Name of the script in pages/ that draws the page, without its ending."""
    return path.replace("-", "_") or "machine"
