"""Time: a machine that can be stepped, rewound and run to an event; checkpoints; the warm-up of the kernels."""
