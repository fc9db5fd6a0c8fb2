"""pagingviz: how a hypervisor manages memory, as a machine that can be run, stopped, rewound and questioned."""
