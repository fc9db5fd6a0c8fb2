"""How kernels are compiled, kept, and called through an address."""
