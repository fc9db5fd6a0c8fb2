"""Numbers of the architecture, each written down once: the processor, Xen, events, and the record of the machine. No rules."""
