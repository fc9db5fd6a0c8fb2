"""Shadow paging: the hardware runs on tables of the hypervisor's that follow the guest's own.

In the order in which they build on each other: pool (pages), shadows (what a shadow is, its references and its end), entries
(the only writers of shadow entries), propagate (which entry follows from the guest's), recycle (a full pool), writeable (from a
frame back to its mappings), oos (tables out of sync), links (making and linking shadows), toplevel (CR3), vtlb, validation,
emulate (stores to tables), faults (the page-fault path).
"""
