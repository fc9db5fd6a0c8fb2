"""The slow, obvious model of the whole machine: dictionaries and lists, one rule after the other, no numba, no numpy.

It is the oracle of the kernels in pagingviz/core and was written from Xen's rules, not from them. A test drives both
with the same operations and compares `Model.state()` with the arrays after every tick.
Rules name the Xen function they come from.

    model = Model(Config(road="shadow", frames=64, zone=24))
    model.tick(Op(proc=0, vpn=0x10000, kind=WRITE, vma_w=1))
    model.command("enable")
"""

from .config import EXIT, FETCH, FORK, IDLE, READ, WRITE, Config, Livelock, Op, Raw, Row
from .machine import Model

__all__ = ["EXIT", "FETCH", "FORK", "IDLE", "READ", "WRITE", "Config", "Livelock", "Model", "Op", "Raw", "Row"]
