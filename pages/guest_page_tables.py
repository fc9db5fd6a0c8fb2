"""Guest page tables: what the guest believes."""

from pagingviz.ui.page import map_page

map_page(
    ("guest-tables",),
    "Guest page tables",
    (
        "A guest table is ordinary guest memory. On the shadow road the hypervisor lets nobody change it unseen: a table that "
        "gets a shadow loses its writable mappings. The first store to an L1 table after that makes it go out of sync: it may "
        "then be written freely, until the guest loads CR3 and its shadow is brought up to date. A store to a table of a "
        "higher level, and with oos=0 to any table, is trapped and emulated each time.",
        "The A and D bits that the guest sees are its own. On the shadow road hardware sets them in the shadow only, so Xen "
        "sets them in the guest's tables itself, in the guest walk of sh_page_fault, before it fills in the shadow entry.",
    ),
    ("guest_faults", "exits_page_fault", "tlb_miss"),
)
