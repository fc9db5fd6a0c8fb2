"""Shadow paging: the pool, shadows, the page-fault path, emulation, tables out of sync."""
