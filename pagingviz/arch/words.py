"""The word of the machine: every register, table entry and counter is an unsigned 64-bit integer.

numba turns uint64 mixed with int64 into float64, so the small numbers that kernels need are np.uint64 constants as well.
"""

import numpy as np

U = np.uint64
ZERO, ONE, TWO, THREE = U(0), U(1), U(2), U(3)
NONE = U(0xFFFF_FFFF_FFFF_FFFF)  # "no frame, no entry, no page": all bits set
