"""Kernels and slow model side by side: the kernels' arrays read as the plain values that `Model.state()` gives."""

from types import SimpleNamespace

import numpy as np

from pagingviz import layout as L
from pagingviz.core import run as kernels
from pagingviz.machine import Machine, hap_pages
from tests.model import Config, Model, Op

TYPE_NAMES = {int(L.SH_FREE): "free", int(L.SH_P2M): "p2m_table", int(L.SH_MONITOR): "monitor_table"}


def build(road="shadow", frames=64, zone=32, pool=24, vcpus=1, superpages=0, clean_every=0,
          direct_map=0xFFFF_8800_0000_0000, processes=6):  # fmt: skip
    """(kernel machine, model) of the same small guest."""
    scenario = SimpleNamespace(
        road=road, frames=frames, pool=pool, pool_cap=256, vcpus=vcpus, superpages=superpages, clean_every=clean_every,
        direct_map_base=direct_map)  # fmt: skip
    machine = Machine(scenario, SimpleNamespace(slots=processes, zone=zone))
    size = hap_pages(frames) if road == "hap" else pool
    model = Model(Config(road=road, frames=frames, zone=zone, pool=size, vcpus=vcpus, superpages=superpages,
                         clean_every=clean_every, direct_map=direct_map, processes=processes))  # fmt: skip
    return machine, model


def tick(machine, model, op):
    """One operation on both."""
    word = op.vpn << 12 | op.proc << 5 | op.vma_x << 4 | op.vma_w << 3 | op.kind
    kernels.run(machine.sys, machine.cpu, machine.mem, np.array([word], np.uint64), np.array([op.credit], np.uint32))
    model.tick(op)


def command(machine, model, name, arg=None):
    """One command on both."""
    code = L.U(L.COMMANDS.index(name))
    kernels.command(machine.sys, machine.cpu, machine.mem, code, L.U(arg or 0))
    model.command(name, arg)


def differences(machine, model):
    """[(what, kernels, model)] for everything observable that is not equal."""
    want = model.state()
    have = _read(machine)
    out = []
    for name, value in have.items():
        expect = want
        for part in name.split("."):
            expect = expect[part] if isinstance(expect, dict) else getattr(expect, part)
        if name in _NORMAL:
            expect = _NORMAL[name](expect)
        if value != expect:
            out.append((name, *_only_where_different(value, expect)))
    counters = machine.counters()
    for name in L.XEN_COUNTERS + ("tlb_l1_hit", "tlb_l2_hit", "tlb_miss", "ept_misconfig", "ept_violation"):
        if counters[name] != want["counters"].get(name, 0):
            out.append((f"counter {name}", counters[name], want["counters"].get(name, 0)))
    return out


def _only_where_different(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [k for k in {*a, *b} if a.get(k) != b.get(k)]
        return {k: a.get(k) for k in keys[:8]}, {k: b.get(k) for k in keys[:8]}
    return a, b


_NORMAL = {
    "tlb": lambda vcpus: [{level: {k: v[:5] for k, v in t[level].items()} for level in ("l1", "l2")} for t in vcpus],
    "log.stamp": lambda stamp: {g: r + 1 for g, r in stamp.items()},
    "shadows": lambda shadows: {s: (_number(t), *rest) for s, (t, *rest) in shadows.items()},
    "guest.share": lambda share: {g: n for g, n in share.items() if n},
    "pool.typecount": lambda counts: {m: n for m, n in counts.items() if n},
}


def _number(kind):
    return {"l1_64": 7, "l2_64": 9, "l3_64": 11, "l4_64": 12}.get(kind, kind)


def _words(machine, base, frames):
    out = {int(f): {} for f in frames}
    rows = machine.view(base).reshape(-1, 512)[list(out)]
    names, where = list(out), np.nonzero(rows)
    for r, i, word in zip(*(at.tolist() for at in where), rows[where].tolist(), strict=True):
        out[names[r]][i] = word
    return out


def _chain(machine, head, following):
    out, page = [], int(head)
    while page != int(L.NONE):
        out.append(page)
        page = int(machine.view(following)[page])
    return out


def _read(machine):
    s, frames, road = machine.sys[0], machine.scenario.frames, machine.scenario.road
    view = machine.view
    roots = [None if r == L.NONE else int(r) for r in view("roots")[: machine.slots]]
    words = _words(machine, "tables", range(int(s.zone)))
    live = sorted(int(g) for g in machine.live_tables())
    state = {
        "crashed": int(s.crashed),
        "guest.versions": dict(enumerate(view("ver").tolist())),
        "guest.words": {g: w for g, w in words.items() if w},
        "guest.tables": {g: words[g] for g in live},
        "guest.table_stack": [int(g) for g in view("tstack")[: int(s.ttop)]],
        "guest.data_stack": [int(g) for g in view("dstack")[: int(s.dtop)]],
        "guest.recycled": int(s.recycled), "guest.cur": int(s.cur), "guest.roots": roots,
        "guest.share": {g: n for g, n in enumerate(view("share").tolist()) if n},
        "cr3": [int(g) for g in s.cr3[: int(s.vcpus)]],
        "tlb": [_tlb(machine, v) for v in range(int(s.vcpus))],
    }  # fmt: skip
    if road == "bare":
        return state
    bits = set(np.flatnonzero(machine.dirty_bits()).tolist())
    state |= {"log.on": bool(s.log_dirty), "log.bits": bits, "log.dirty_count": int(s.dirty_count),
              "log.fault_count": int(s.fault_count), "log.round": int(s.dirty_round),
              "log.stamp": {g: r for g, r in enumerate(view("dround").tolist()) if r},
              "pool.free": _chain(machine, s.free_head, "pnext"),
              "pool.total_pages": int(s.total_pages), "pool.p2m_pages": int(s.p2m_pages)}  # fmt: skip
    assert frames == len(state["guest.versions"])
    return state | (_shadows(machine) if road == "shadow" else {"ept": _ept(machine)})


def _tlb(machine, v):
    c, s = machine.cpu[v], machine.sys[0]
    p2m, gen = machine.view("p2m"), s.tlb_gen[v]
    out = {}
    for level, tags, values, ways in (("l1", c.t1t, c.t1v, 4), ("l2", c.t2t, c.t2v, 12)):
        out[level] = {}
        for k in np.flatnonzero(tags >> L.TLB_GEN_SHIFT == gen):
            val = values[k]
            mfn = int(p2m[int(val >> L.TLB_GFN_SHIFT)])
            out[level][int(k) // ways, int(k) % ways] = (
                int(tags[k] & L.VPN_MASK), mfn, bool(val & L.TLB_W), bool(val & L.TLB_U), bool(val & L.TLB_NX))  # fmt: skip
    return out


def _shadows(machine):
    s, view = machine.sys[0], machine.view
    live = [int(p) for p in np.flatnonzero((view("ptype") >= L.SH_L1) & (view("ptype") <= L.SH_L4))]
    words = _words(machine, "pool", live)
    up = {}
    for p in live:
        at = int(view("pup")[p])
        up[p] = None if at == int(L.NONE) else divmod(at - int(s.o_pool), 512)
    chains = {b: _chain(machine, head, "phash") for b, head in enumerate(view("hash")) if head != L.NONE}
    info, p2m = view("info"), view("p2m")
    return {
        "shadows": {p: (int(view("ptype")[p]), int(view("pkey")[p]), int(view("pref")[p]), bool(view("ppin")[p]), words[p])
                    for p in live},
        "pool.pinned": _chain(machine, s.pin_head, "pnext"), "pool.hash": chains, "pool.up": up,
        "pool.typecount": {int(p2m[g]): int(n & L.TYPECOUNT) for g, n in enumerate(info) if n & L.TYPECOUNT},
    }  # fmt: skip


def _ept(machine):
    pages = np.flatnonzero((machine.view("ptype") == L.SH_P2M) & (machine.view("pkey") != L.NONE))
    return {(page, i): e for page, row in _words(machine, "pool", pages).items() for i, e in row.items()}


__all__ = ["Op", "build", "command", "differences", "tick"]
