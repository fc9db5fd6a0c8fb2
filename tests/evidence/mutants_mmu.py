"""The walk with one rule left out, run as plain Python on the files of cases given.

Prints JSON: {mutant: rows that disagree of the first file in which any do, else 0}.

A process of its own, started with PAGINGVIZ_PLAIN=1: compiled kernels could not be patched.
"""

import json
import sys
import warnings

from pagingviz.arch import x86
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core import access
from pagingviz.core.build.jit import PLAIN
from pagingviz.core.nested import walk
from pagingviz.core.walk import page_walk
from pagingviz.evidence.mmu import check
from pagingviz.evidence.mmu.cases import read_cases


def told(**changes):
    """The kernel error_code, told something else about these arguments."""

    def mutate(kernel):
        def mutant(have, missing, rsvd, kind, user, cr, levels):
            values = {"have": have, "missing": missing, "rsvd": rsvd, "kind": kind, "user": user, "cr": cr, "levels": levels}
            return kernel(**{name: changes[name](v) if name in changes else v for name, v in values.items()})

        return mutant

    return mutate


def nothing(_kernel_or_mask):
    """A mask without bits."""
    return ZERO


def no_pse36(kernel):
    """big_leaf that takes 32 bits of address from a 4 MiB leaf."""
    return lambda levels, level, e: kernel(levels, level, e) & (U(0xFFFFF) if levels == 2 else ~ZERO)


def from_the_leaf(kernel):
    """step that forgets the rights of the levels above."""

    def mutant(s, c, a, gva, level):
        c.w_all, c.w_any = ~ZERO, ZERO
        return kernel(s, c, a, gva, level)

    return mutant


def over_everything(_kernel):
    """plain that takes any path of four tables for a usual one."""

    def mutant(s, c, a, gva):
        if s.zone == 0:
            return False
        for level in (4, 3, 2, 1):
            c.w_tab[level - 1] = s.cr3[0] if level == 4 else page_walk.frame(c.w_ent[level])
            c.w_ent[level - 1] = page_walk.get_entry(s, a, U(4), c.w_tab[level - 1], page_walk.index(U(4), gva, U(level)))
        c.w_leaf, c.w_size, c.w_missing, c.w_rsvd, c.w_rights = page_walk.frame(c.w_ent[0]), ONE, ZERO, ZERO, U(6)
        return True

    return mutant


def granting(right):
    """A nested entry that always gives this right."""
    return lambda kernel: lambda s, e: kernel(s, e) | right


def a_table_is_data(kernel):
    """second that takes the read of a guest table for an ordinary one."""
    return lambda s, c, a, gpa, kind, final: kernel(s, c, a, gpa, kind, ONE)


MUTANTS = {  # name in core.walk or core.nested, and what becomes of it
    "none": ("error_code", lambda kernel: kernel),
    "no WP": ("error_code", told(cr=lambda cr: cr & ~x86.CR_WP)),
    "WP always": ("error_code", told(cr=lambda cr: cr | x86.CR_WP)),
    "no SMEP": ("error_code", told(cr=lambda cr: cr & ~x86.CR_SMEP)),
    "no SMAP": ("error_code", told(cr=lambda cr: cr & ~x86.CR_SMAP)),
    "no AC": ("error_code", told(cr=lambda cr: cr & ~x86.CR_AC)),
    "no NX": ("error_code", told(have=lambda have: have & ~x86.NX)),
    "user pages for all": ("error_code", told(have=lambda have: have | x86.US)),
    "reserved not told": ("error_code", told(rsvd=lambda rsvd: ZERO)),
    "fetch never told": ("error_code", lambda kernel: lambda *given: kernel(*given) & ~x86.PF_I),
    "fetch always told": ("error_code", told(cr=lambda cr: cr | x86.CR_NXE, levels=lambda levels: U(4))),
    "all canonical": ("canonical", lambda kernel: lambda gva: True),
    "no A or D": ("needs_ad", lambda kernel: lambda c, level, kind: False),
    "no D": ("needs_ad", lambda kernel: lambda c, level, kind: kernel(c, level, ONE)),
    "D on every access": ("set_ad", lambda kernel: lambda s, c, a, level, gva, kind: kernel(s, c, a, level, gva, x86.WRITE)),
    "PDPTEs unchecked": ("_RSVD_PDPTE", nothing),
    "2 MiB leaf unchecked": ("RSVD_2M", nothing),
    "4 MiB leaf unchecked": ("_RSVD_4M", nothing),
    "1 GiB leaf unchecked": ("RSVD_1G", nothing),
    "allowed unjudged": ("may", lambda kernel: lambda *given: True),
    "fast walk over everything": ("plain", over_everything),
    "no PSE-36": ("big_leaf", no_pse36),
    "leaf's rights only": ("step", from_the_leaf),
    "nested R granted": ("_rights", granting(x86.EPT_R)),
    "nested W granted": ("_rights", granting(x86.EPT_W)),
    "nested X granted": ("_rights", granting(x86.EPT_X)),
    "nothing malformed": ("_malformed", lambda kernel: lambda *given: False),
    "memory types unchecked": ("EPT_EMT", nothing),
    "table's low bits unchecked": ("_RSVD_EPT_TABLE", nothing),
    "guest tables are data": ("second", a_table_is_data),
    "A/D of guest tables unchecked": ("_mark", lambda kernel: lambda *given: ZERO),
    "nested superpages are small": ("SUPERPAGE_FRAMES", lambda size: ONE),
    "bits of the final access": ("EPT_FINAL", nothing),
}


def disagreeing():
    """How many rows of the first file that disagrees; 0 when all agree."""
    return next(filter(None, (len(check.score(read_cases(path)).bad_rows) for path in sys.argv[1:])), 0)


def main():
    assert PLAIN
    warnings.simplefilter("ignore", RuntimeWarning)  # numpy's scalars speak up when a word overflows
    found = {}
    for name, (attribute, mutate) in MUTANTS.items():
        places = [module for module in (page_walk, access, walk, x86) if hasattr(module, attribute)]
        kept = getattr(places[0], attribute)
        for module in places:
            setattr(module, attribute, mutate(kept))
        try:
            found[name] = disagreeing()
        finally:
            for module in places:
                setattr(module, attribute, kept)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
