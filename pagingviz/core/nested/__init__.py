"""EPT and NPT: the processor's walk in two dimensions, and how the hypervisor keeps the tables."""
