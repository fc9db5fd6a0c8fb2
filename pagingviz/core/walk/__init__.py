"""Translation by the processor: guest page tables, TLBs, caches of the walk."""
