"""The kernels: they know arrays only. Every function works in place on (s, c, a): machine record, vCPU record, arena."""
