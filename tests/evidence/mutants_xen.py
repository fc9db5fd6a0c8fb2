"""As a program: the engine with one rule broken is held beside short recordings. The search for the way of the guest must not
hide what is broken.

`python -m tests.evidence.mutants_xen`, with PAGINGVIZ_PLAIN=1 since compiled kernels cannot be patched, prints
{mutant: the first difference found, or ""} as JSON. Searched is what is always searched, but for how a recording began.
"""

import json
from contextlib import nullcontext

from pagingviz.arch import x86
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core import control, logdirty
from pagingviz.core.build.jit import PLAIN
from pagingviz.core.nested import exits, p2m, pml
from pagingviz.core.shadow import emulate, oos, propagate, recycle
from pagingviz.evidence.xen import compare as comparison
from pagingviz.evidence.xen import library
from pagingviz.experiments.breaking import afterwards, broken, given, refuse, skip, with_register, without
from tests.core.mutations import beforehand, result

MUTANTS = {  # name: recording, then the kernel (module, name) and what becomes of it
    "none, shadow": ("pt",),
    "none, EPT": ("exec-pml",),
    "no table goes out of sync": ("pt", oos, "unsync", refuse),
    "out of sync for ever": ("pt", oos, "resync_all", skip),
    "mapped writable at once": ("pt", propagate, "propagate_l1", result(lambda e: e | x86.RW if e & x86.P else e)),
    "an emulated store is another": (
        "pt-oos0",
        emulate,
        "emulate",
        given(lambda s, c, a, gva, gfn, size, value, fast: (s, c, a, gva, gfn, size, value ^ U(1 << 9), fast)),
    ),
    "no blow at CLEAN": ("pae", recycle, "blow", skip),
    "logs not flushed by CLEAN": ("exec-pml", control, "_bits_are_lost", without(pml, "flush_all_logs")),
    "superpages may be executed": ("exec2-pml", p2m, "leaf_entry", with_register("exec_sp", ONE)),
    "an INVEPT after each": (
        "exec-pml",
        p2m,
        "resolve_misconfig",
        afterwards(lambda s, a, gfn: p2m.invept(s, a)),
    ),
    "a fetch marks its page": (
        "exec2-nopml",
        exits,
        "_shatter",
        beforehand(lambda s, c, a, gfn: logdirty.mark(s, c, a, gfn, ONE)),
    ),
    "no CLEAN while off": (
        "off-nopml",
        control,
        "clean",
        lambda kernel: lambda s, *rest: s.log_dirty and kernel(s, *rest),
    ),
    "a second ENABLE is taken": ("off-nopml", control, "_enable", with_register("log_dirty", ZERO)),
}


def found(name, *mutation):
    """The first difference of a recording beside the broken engine."""
    with broken(*mutation) if mutation else nullcontext():
        differences = library.comparison(name).differences
    return differences[0] if differences else ""


def main():
    assert PLAIN
    comparison.STARTS = {"booted": comparison.STARTS["booted"]}  # how all of these recordings began: a third of the work
    print(json.dumps({name: found(*row) for name, row in MUTANTS.items()}))


if __name__ == "__main__":
    main()
