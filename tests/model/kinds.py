"""Numbers of Xen's shadow code: types of shadows and what they cost, trace flags, return bits, optimisation switches."""

# Xen's SH_type numbers.
FREE = 0
L1_32, FL1_32, L2_32, L1_PAE, FL1_PAE, L2_PAE, L1_64, FL1_64, L2_64, L3_64, L4_64 = 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12
P2M, MONITOR, SNAPSHOT = 13, 14, 15
SIZE = {L1_32: 2, FL1_32: 2, L2_32: 4}  # sh_type_to_size, in pages; all others 1
L1_OF, FL1_OF, L2_OF = {2: L1_32, 3: L1_PAE, 4: L1_64}, {2: FL1_32, 3: FL1_PAE, 4: FL1_64}, {2: L2_32, 3: L2_PAE, 4: L2_64}
ROOT_OF = {2: L2_32, 3: L2_PAE, 4: L4_64}
L1S, FL1S, L2S = set(L1_OF.values()), set(FL1_OF.values()), set(L2_OF.values())
LEVELS_OF = {t: 2 if t <= L2_32 else 3 if t <= L2_PAE else 4 for t in range(1, 13)}
BUCKETS = 251

# Bits of the trace path flags (private.h TRCE_SFLAG_*)
(
    GET_REF,
    PUT_REF,
    _,
    SET_CHANGED,
    SET_FLUSH,
    SET_ERROR,
    DEMOTE,
    PROMOTE,
    WRMAP,
    GUESS_FOUND,
    _,
    EARLY_UNSHADOW,
    SECOND_PT,
    LAST_FAILED,
    FULL_PT,
    PREALLOC_UNHOOK,
    UNSYNC,
    FIXUP_ADD,
    FIXUP_EVICT,
) = range(2, 21)

CHANGED, FLUSH, ERROR = 1, 2, 4  # SHADOW_SET_*

# SHOPT_*
GUESSES, EARLY, FAST_PATH, PREFETCH, LINUX_L3, SKIP_VERIFY, VTLB, FAST_EMULATION, OUT_OF_SYNC = (1 << i for i in range(9))


def entry_of(words, levels, slot):
    """Entry `slot` of a guest's table page given as 8-byte words {index: word}."""
    if levels == 2:
        return words.get(slot >> 1, 0) >> 32 * (slot & 1) & 0xFFFF_FFFF
    return words.get(slot, 0)


def bucket_of(key, kind):
    """sh_hash, ours: Xen mixes bytes in another way, which only changes the order of a brute-force search."""
    return ((key * 0x9E3779B97F4A7C15 + kind * 0xBF58476D1CE4E5B9) % 2**64 >> 32) % BUCKETS
