"""A PV guest given entry by entry: its frames' types, and programmes of hypercalls and stores drawn from a seed."""

import random

from pagingviz.arch import operation, xen
from tests.core.raw import BASE, DIRECT, FRAME, LINK, PAGE, P, Raw, U, W

L1, WRITABLE = int(xen.PGT_L1), int(xen.PGT_WRITABLE)
G = 0x100
DATA = 48  # first frame without contents: that of page 0 at BASE


def raw(**fields):
    return Raw(4, "pv", **fields)


def type_of(r, gfn):
    """(PGT_* type, type count) of a frame."""
    info = int(r.view("info")[gfn])
    return (info & int(xen.PGT_TYPE)) >> int(xen.PGT_SHIFT), info & int(xen.TYPECOUNT)


def direct(gfn):
    return DIRECT[4] + gfn * FRAME


def programme(seed):
    """A random PV guest: (name, arguments) of methods of Raw, and commands of the hypervisor for those who want them."""
    rng = random.Random(seed)
    for n in range(120):
        if n == 15:
            yield "do", ("enable",)
        page = BASE + rng.randrange(10) * FRAME
        gfn = rng.choice((1, 2, 5, 7, 40, 41, 42, DATA, DATA + 1, 60, 61))
        flags = rng.choice((PAGE, PAGE, PAGE & ~W, P | U, P | U | W, 0))
        yield rng.choice(
            (
                ("read", (page,)),
                ("write", (page,)),
                ("write", (page,)),
                ("fetch", (page,)),
                ("write", (direct(60), 0)),
                ("update_va", (page, gfn << 12 | flags)),
                ("update_va", (direct(gfn), gfn << 12 | rng.choice((PAGE, PAGE & ~W)))),
                ("mmu_update", (rng.choice((40, 41, 42, 5, 7)), rng.randrange(4), gfn << 12 | flags)),
                ("mmu_update", (rng.choice((2, 3, 4, 5, 6)), 300 + rng.randrange(2), gfn << 12 | rng.choice((LINK, 0)))),
                ("pin", (gfn, rng.randrange(1, 5))),
                ("unpin", (gfn,)),
                ("xen_write", (page,)),
                ("do", (rng.choice(("enable", "clean", "off", "peek", "blow", "flush")),)),
            )
        )


def carried_out(seed, logging):
    """The machine after the programme; without `logging` its commands are left out."""
    r = raw()
    for name, arguments in programme(seed):
        if name == "do" and not logging:
            continue
        if name == "write" and len(arguments) > 1:
            r.write(arguments[0], user=arguments[1])
        else:
            getattr(r, name)(*arguments)
        if name == "mmu_update":
            r._op(operation.RAW_FLUSH)  # which a guest owes its TLB; UPDATE_VA asks for it itself
        if r.s.log_dirty:
            assert r.m.log_dirty()["missing"] == 0
    return r
