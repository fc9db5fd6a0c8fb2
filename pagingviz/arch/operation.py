"""The words in which work is handed to the engine: one operation is one tick.

The low three bits of a word are its kind: an access (x86.FETCH, x86.READ, x86.WRITE) or one of the kinds below.
"""

from pagingviz.arch.words import U

FORK, EXIT, IDLE = U(4), U(5), U(6)
OP_KIND = U(7)
RAW = U(7)  # an op of a raw guest: the row of its program stands above bit 12 (rawguest.py)
(
    RAW_FETCH,
    RAW_READ,
    RAW_WRITE,
    RAW_STORE,
    RAW_CR3,
    RAW_INVLPG,
    RAW_XEN_WRITE,
    RAW_NOP,
    RAW_EVENT,
    RAW_DYING,
    RAW_CR,
    RAW_UPDATE_VA,
    RAW_MMU_UPDATE,
    RAW_PIN,
    RAW_UNPIN,
    RAW_FLUSH,
    RAW_GRANT_WRITE,
    RAW_GRANT_UNMAP,
) = (U(i) for i in range(18))
OP_VMA_W, OP_VMA_X = U(1 << 3), U(1 << 4)
OP_PROC_SHIFT, OP_PROC_MASK = U(5), U(31)
OP_VPN_SHIFT = U(12)
