"""What must not change: the machine's state, the pages, the addresses."""
