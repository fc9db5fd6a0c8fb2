"""Kernels with one rule left out, run as plain Python. Prints JSON: {mutant: [first broken rule, most lost writes]}.

A process of its own, started with PAGINGVIZ_PLAIN=1: compiled kernels could not be patched.
"""

import json
from types import SimpleNamespace

from pagingviz.core import control, logdirty, p2m, pool, recycle, shadow, shadows
from pagingviz.core.jit import PLAIN
from pagingviz.layout import U, ZERO
from pagingviz.scenario import load
from pagingviz.simulation import Simulation

SMALL = load("blackboard").replace(
    frames=128, pool=40, trace="", work="fork:5,hotcold:12", order="", quantum=30, write=60, clean_every=10,
    do="enable@20")  # fmt: skip
LOOKS = (19, 27, 45, 70, 80, 100, 110, 140)  # audits as plain Python are slow


def skip(_kernel):
    """Nothing instead of the kernel."""
    return lambda *_: ZERO


def without(module, name):
    """The kernel, with `module.name` doing nothing meanwhile."""

    def mutate(kernel):
        def mutant(*arguments):
            kept = getattr(module, name)
            setattr(module, name, skip(kept))
            try:
                return kernel(*arguments)
            finally:
                setattr(module, name, kept)

        return mutant

    return mutate


def as_if_not_logging(kernel):
    """The kernel as it is while log-dirty is off."""

    def mutant(s, *arguments):
        on, s.log_dirty = s.log_dirty, ZERO
        kernel(s, *arguments)
        s.log_dirty = on

    return mutant


def uncounted(_set_l1):
    """set_l1 without the typecount."""

    def mutant(s, a, page, i, new):
        a[pool.entry_at(s, page, U(i))] = new

    return mutant


def data_only(marks):
    """The log-dirty module as the shadow code sees it, marking no page tables: the trap of A/D updates."""

    def mark(s, a, gfn):
        if gfn >= s.zone:
            marks.mark(s, a, gfn)

    return SimpleNamespace(mark=mark, is_dirty=marks.is_dirty)


MUTANTS = {  # road, then the kernel (module, name) and what becomes of it
    "none, shadow": ("shadow", control, "clean", lambda kernel: kernel),
    "none, hap": ("hap", control, "clean", lambda kernel: kernel),
    "no flush after CLEAN, shadow": ("shadow", recycle, "blow", without(recycle, "flush_all")),
    "no flush after CLEAN, hap": ("hap", control, "poison_root", without(p2m, "flush_all")),
    "no blow": ("shadow", recycle, "blow", skip),
    "no poison": ("hap", p2m, "_poison", skip),
    "no mark, shadow": ("shadow", logdirty, "mark", skip),
    "no mark, hap": ("hap", logdirty, "mark", skip),
    "page tables not marked": ("shadow", shadow, "logdirty", data_only),
    "prefetch writable": ("shadow", shadow, "_prefetch", as_if_not_logging),
    "write access left": ("shadow", shadow, "remove_write_access", skip),
    "no validation": ("shadow", shadow, "validate", skip),
    "reference kept": ("shadow", shadows, "put_ref", skip),
    "typecount not moved": ("shadow", shadow, "set_l1", uncounted),
}


def verdict(road):
    """[first broken rule or "", most frames stored to since the last CLEAN whose bit was clear]."""
    simulation = Simulation(SMALL.replace(road=road))
    broken, lost = "", 0
    for tick in range(1, LOOKS[-1] + 1):
        simulation.run(1)
        if tick in LOOKS and not broken:
            broken = simulation.audit()
        lost = max(lost, simulation.machine.log_dirty()["missing"])
    return broken, lost


def main():
    assert PLAIN
    found = {}
    for name, (road, module, attribute, mutate) in MUTANTS.items():
        kept = getattr(module, attribute)
        setattr(module, attribute, mutate(kept))
        try:
            found[name] = verdict(road)
        finally:
            setattr(module, attribute, kept)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
