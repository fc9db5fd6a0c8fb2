"""Every sentence that the program can say, held against the machine at the moments at which it says it."""
