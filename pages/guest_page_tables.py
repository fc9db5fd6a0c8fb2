"""Guest page tables: what the guest believes."""

from pagingviz.ui.page import map_page

map_page(
    ("guest-tables",),
    "Guest page tables",
    (
        "A guest table is ordinary guest memory. On the shadow road the hypervisor lets nobody write to it unseen: "
        "while a table has a shadow, every mapping of its frame is read-only, and each store to it is trapped and "
        "emulated.",
        "The A and D bits that the guest sees are its own. Hardware sets them in the shadow only, so Xen sets them in"
        " the guest's tables itself, in the guest walk of sh_page_fault, before it fills in the shadow entry.",
    ),
    ("guest_faults", "exits_page_fault", "tlb_miss"),
)
