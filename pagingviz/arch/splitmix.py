"""The constants of splitmix64 (Steele, Lea, Flood 2014), with which this program mixes bits wherever it needs a hash.

Who uses them: the random streams of generators, the hash of the shadow pool, the hash over a guest's faults, and the contents
that a page is taken to have where XBZRLE compares two versions of it.
"""

from pagingviz.arch.words import U

GOLDEN = U(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio: from one state of a stream to the next
MIX1, MIX2 = U(0xBF58476D1CE4E5B9), U(0x94D049BB133111EB)  # multipliers of the finaliser
