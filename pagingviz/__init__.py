"""pagingviz: how a hypervisor manages memory, as a machine that can be run, stopped, rewound and questioned."""

__version__ = "0.1.0"  # the one place: the wheel and `pagingviz --version` read it here
