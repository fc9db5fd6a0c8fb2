"""The machine: the arrays that are the whole state, and what stands in them before tick 0."""
