"""Where the words of a guest frame stand in the regions by frame, and in which machine frame it lies.

A small guest has words for every frame, and its p2m is an array. Of a large guest only the frames that its work can touch have
words: the same few of every 2**spread frames. Where the others lie in machine memory follows from their number. The same rules
for arrays of frames are in scenario/frames.py.
"""

from pagingviz.arch.words import ONE, ZERO
from pagingviz.core.build.jit import jit


@jit
def word_of(s, gfn):
    """Index of the word of a guest frame in each region by frame. The frame must have words."""
    if s.spread == ZERO:
        return gfn
    return (gfn >> s.spread << s.run_bits) | (gfn & ((ONE << s.run_bits) - ONE))


@jit
def frame_at(s, k):
    """The guest frame whose word has index `k` in each region by frame: the inverse of `word_of`."""
    if s.spread == ZERO:
        return k
    return (k >> s.run_bits << s.spread) | (k & ((ONE << s.run_bits) - ONE))


@jit
def mfn_of(s, a, gfn):
    """Machine frame in which a guest frame lies. Of a large guest chunks of 2**ram_shift frames lie together."""
    if s.spread == ZERO:
        return a[s.o_p2m + gfn]
    chunk = gfn >> s.ram_shift
    if chunk < s.ram_whole:
        chunk = chunk + ONE if chunk + ONE < s.ram_whole else ZERO
    return s.ram_base + ((chunk << s.ram_shift) | (gfn & ((ONE << s.ram_shift) - ONE)))
