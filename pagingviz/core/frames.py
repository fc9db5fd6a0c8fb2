"""Where the words of a guest frame stand in the regions by frame, and its machine frame. The rule is frames.py's.

Small guests keep every frame, and their p2m is an array; of a large one only frames that its work can touch have words, and
where the others lie follows from their number.
"""

from pagingviz.arch.words import ONE, ZERO
from pagingviz.core.build.jit import jit


@jit
def place(s, gfn):
    """Place of a frame that is kept in the regions by frame (frames.Kept.places)."""
    if s.spread == ZERO:
        return gfn
    return (gfn >> s.spread << s.run_bits) | (gfn & ((ONE << s.run_bits) - ONE))


@jit
def frame_at(s, k):
    """The frame whose words stand at place `k` (frames.Kept.frames)."""
    if s.spread == ZERO:
        return k
    return (k >> s.run_bits << s.spread) | (k & ((ONE << s.run_bits) - ONE))


@jit
def mfn_of(s, a, gfn):
    """Machine frame of a guest frame (frames.machine_frames)."""
    if s.spread == ZERO:
        return a[s.o_p2m + gfn]
    chunk = gfn >> s.ram_shift
    if chunk < s.ram_whole:
        chunk = chunk + ONE if chunk + ONE < s.ram_whole else ZERO
    return s.ram_base + ((chunk << s.ram_shift) | (gfn & ((ONE << s.ram_shift) - ONE)))
