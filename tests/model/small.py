"""A small machine of the slow model, and what its tests ask of it."""

from tests.model import READ, Config, Model, Op
from tests.model.config import P, frame, index

BASE = 0x10000  # first page of a process


def machine(road="shadow", **fields):
    return Model(
        Config(**{"road": road, "frames": 128, "zone": 64, "pool": 64, "oos": 0, "shopt": 0x2F, "xen": "master"} | fields)
    )


def changes(model, work):
    """The counters that `work` moved."""
    before = dict(model.counters)
    work()
    return {name: n - before.get(name, 0) for name, n in model.counters.items() if n != before.get(name, 0)}


def touch(model, vpn, kind=READ, proc=0):
    return changes(model, lambda: model.tick(Op(proc, vpn, kind)))


def table_of(model, vpn, level, proc=0):
    """Guest frame of the table of `level` that translates the page."""
    table = model.guest.roots[proc]
    for upper in range(4, level, -1):
        table = frame(model.word(table, index(vpn << 12, upper)))
    return table


def shadow_leaf(model, vpn):
    """The sl1e that maps the page in the loaded shadow, 0 when there is none."""
    table = model.cpu.slots[0]
    for level in (4, 3, 2, 1):
        entry = model.road.entry(table, index(vpn << 12, level))
        if not entry & P:
            return 0
        table = frame(entry)
    return entry
