"""EPT and NPT: the processor's walk in two dimensions, and how the hypervisor keeps its nested tables.

p2m has EPT, the exits and the page-modification log; npt has AMD's format; split is for both; walk is the processor's part.
"""
