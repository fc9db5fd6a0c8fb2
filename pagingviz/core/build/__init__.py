"""How kernels are compiled, where the compiled code is stored, and how one kernel calls another through its address."""
