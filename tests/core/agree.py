"""Kernels and slow model side by side: the kernels' arrays read as the plain values that `Model.state()` gives."""

from types import SimpleNamespace

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.state import PV_COUNTERS, XEN_COUNTERS
from pagingviz.arch.words import NONE, U
from pagingviz.core import run as kernels
from pagingviz.machine.machine import Machine
from pagingviz.scenario.frames import hap_pages
from pagingviz.work.programs import Programs
from pagingviz.work.work import ANY_GIBS
from tests.model import Config, Model, Op

FIELDS = {  # of a scenario, as small guests have them
    "road": "shadow",
    "hap": "ept",
    "pml": 0,
    "exec_sp": 0,
    "ept_ad": 1,
    "frames": 64,
    "pool": 24,
    "vcpus": 1,
    "superpages": 0,
    "clean_every": 0,
    "clean": "blow",
    "shopt": 511,
    "oos": 1,
    "xen": "4.17",
    "guest": "hvm64",
    "direct_map_pages": "4k",
    "wp": 1,
    "smep": 0,
    "smap": 0,
    "nx": 1,
    "pse": 1,
    "core": "skylake",
    "floor": 0,
}


ROUGH = SimpleNamespace(
    small_chunks=(), huge_leaves=ANY_GIBS, hap_pool=0, need_frames=0
)  # of a work that says no more about its guest
_SHARED = (
    "road",
    "hap",
    "pml",
    "exec_sp",
    "ept_ad",
    "frames",
    "vcpus",
    "superpages",
    "clean",
    "clean_every",
    "shopt",
    "oos",
    "xen",
    "guest",
    "direct_map_pages",
    "core",
    "floor",
)


def scenario_of(**fields):
    """What Machine asks of a scenario. `direct_map`: address of the guest's direct map (64-bit guests)."""
    direct_map = fields.pop("direct_map", 0xFFFF_8800_0000_0000)
    scenario = SimpleNamespace(**FIELDS | fields, pool_cap=256)
    scenario.direct_map_base = direct_map if scenario.guest == "hvm64" else 0xC000_0000
    scenario.unsyncs = bool(scenario.oos and scenario.shopt & 256)
    scenario.guest_levels = {"hvm64": 4, "pae": 3, "hvm32": 2}[scenario.guest]
    return scenario


def config_of(scenario, zone, **fields):
    """The same for the model."""
    switches = (scenario.wp, scenario.smep, scenario.smap, scenario.nx, 0, 0, scenario.pse, 1)
    return Config(
        zone=zone,
        pool=hap_pages(scenario, ROUGH) if scenario.road == "hap" else scenario.pool,
        direct_map=scenario.direct_map_base,
        **{"cr": sum(on << bit for bit, on in enumerate(switches))} | fields,
        **{name: getattr(scenario, name) for name in _SHARED},
    )


def build(zone=32, processes=6, **fields):
    """(kernel machine, model) of the same small guest with processes."""
    scenario = scenario_of(**fields)
    work = SimpleNamespace(slots=processes, zone=zone, program=Programs.program, **vars(ROUGH))
    machine = Machine(scenario, work)
    return machine, Model(config_of(scenario, zone, processes=processes))


def tick(machine, model, op):
    """One operation on both."""
    word = op.vpn << 12 | op.proc << 5 | op.vma_x << 4 | op.vma_w << 3 | op.kind
    kernels.run(machine.sys, machine.cpu, machine.mem, np.array([word], np.uint64), np.array([op.credit], np.uint32))
    model.tick(op)


def command(machine, model, name, arg=None):
    """One command on both."""
    code = U(xen.COMMANDS.index(name))
    kernels.command(machine.sys, machine.cpu, machine.mem, code, U(arg or 0))
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
    ours = (
        "tlb_l1_hit",
        "tlb_l2_hit",
        "tlb_miss",
        "ept_misconfig",
        "ept_violation",
        "npf_recalc",
        "npf_write",
        "pml_full",
        "invept",
        "walks",
        "walk_refs",
        "refused",
        "toggles",
        "shadows_searched",
        "entries_searched",
        "entries_stripped",
        "frames_revoked",
        "device_writes",
    )
    if counters["p2m_split"] != want["counters"].get("splits", 0):
        out.append(("splits", counters["p2m_split"], want["counters"].get("splits", 0)))
    if counters["p2m_shatter"] != want["counters"].get("shatters", 0):
        out.append(("shatters", counters["p2m_shatter"], want["counters"].get("shatters", 0)))
    for name in XEN_COUNTERS + PV_COUNTERS + ours:
        if counters[name] != want["counters"].get(name, 0):
            out.append((f"counter {name}", counters[name], want["counters"].get(name, 0)))
    return out


def _only_where_different(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [k for k in {*a, *b} if a.get(k) != b.get(k)]
        return {k: _plain(a.get(k)) for k in keys[:8]}, {k: _plain(b.get(k)) for k in keys[:8]}
    return a, b


def _plain(value):
    """Of a table's bytes the present words: {slot: word}."""
    return {k: hex(word) for k, word in _sparse(np.frombuffer(value, np.uint64)).items()} if isinstance(value, bytes) else value


_NORMAL = {
    "tlb": lambda vcpus: [{level: {k: v[:5] + v[6:] for k, v in t[level].items()} for level in ("l1", "l2")} for t in vcpus],
    "log.stamp": lambda stamp: {g: (r + 1, xen.MARKS.index(by), n) for g, (r, by, n) in stamp.items()},
    "guest.share": lambda share: {g: n for g, n in share.items() if n},
    "pool.typecount": lambda counts: {m: n for m, n in counts.items() if n},
}


def read_words(machine, base, frames):
    out = {int(f): {} for f in frames}
    rows = machine.view(base).reshape(-1, 512)[list(out)]
    names, where = list(out), np.nonzero(rows)
    for r, i, word in zip(*(at.tolist() for at in where), rows[where].tolist(), strict=True):
        out[names[r]][i] = word
    return out


def _sparse(row):
    """{place: word} of the words that are not zero."""
    where = np.flatnonzero(row)
    return dict(zip(where.tolist(), row[where].tolist(), strict=True))


def _chain(machine, head, following):
    out, page = [], int(head)
    while page != int(NONE):
        out.append(page)
        page = int(machine.view(following)[page])
    return out


class _Row:
    """Row n of the registers or of the vCPUs. numpy's own records find a field ten times as slowly, and thousands are read."""

    def __init__(self, rows, n=0):
        self._fields = rows.view(np.ndarray).view(np.dtype((np.void, rows.dtype)))[n]

    def __getattr__(self, name):
        return self._fields[name]


def _read(machine):
    s, road = _Row(machine.sys), machine.scenario.road
    view, vcpus = machine.view, range(int(s.vcpus))
    rows = [_Row(machine.cpu, v) for v in vcpus]
    words = read_words(machine, "tables", range(int(s.zone)))
    state = {
        "crashed": int(s.crashed),
        "guest.versions": _sparse(view("ver")),
        "guest.words": {g: w for g, w in words.items() if w},
        "cr3": [int(g) for g in s.cr3[: int(s.vcpus)]],
        "cr": int(s.cr),
        "levels": [int(n) for n in machine.cpu["levels"]],
        "tlb": [_tlb(machine, s, rows[v], v) for v in vcpus],
        "caches": [_caches(s, rows[v], v) for v in vcpus],
    }
    if s.guest_levels == 3:
        state["pdptes"] = [row.pdpte.tolist() for row in rows]
    if not s.rows:
        live = sorted(int(g) for g in machine.live_tables())
        roots = [None if r == NONE else int(r) for r in view("roots")[: machine.slots]]
        state |= {
            "guest.tables": {g: words[g] for g in live},
            "guest.table_stack": [int(g) for g in view("tstack")[: int(s.ttop)]],
            "guest.data_stack": [int(g) for g in view("dstack")[: int(s.dtop)]],
            "guest.recycled": int(s.recycled),
            "guest.cur": [int(n) for n in s.cur[: int(s.vcpus)]],
            "guest.roots": roots,
            "guest.share": _sparse(view("share")),
        }
    if road == "bare":
        return state
    bits = set(np.flatnonzero(machine.dirty_bits()).tolist())
    state |= {
        "log.on": bool(s.log_dirty),
        "log.bits": bits,
        "log.dirty_count": int(s.dirty_count),
        "log.fault_count": int(s.fault_count),
        "log.round": int(s.dirty_round),
        "log.stamp": {g: (r & 0xFFFF_FFFF, r >> 32 & 7, r >> 36) for g, r in _sparse(view("dround")).items()},
        "pool.free": _chain(machine, s.free_head, "pnext"),
        "pool.total_pages": int(s.total_pages),
        "pool.p2m_pages": int(s.p2m_pages),
    }
    if road == "hap":
        return state | {"ept": _ept(machine), "pml": machine.pml()}
    return state | _shadows(machine, s) | (_types(machine) if road == "pv" else _typecounts(machine))


def _tlb(machine, s, c, v):
    p2m, gen, big = machine.view("p2m"), s.tlb_gen[v], 10 if c.levels == 2 else 9
    out = {}
    for level, tags, values, ways in (("l1", c.t1t, c.t1v, int(s.t1_ways)), ("l2", c.t2t, c.t2v, int(s.t2_ways))):
        out[level] = {}
        for k in np.flatnonzero(tags >> x86.TLB_GEN_SHIFT == gen):
            val = values[k]
            mfn = int(p2m[int(val >> x86.TLB_GFN_SHIFT)])
            out[level][int(k) // ways, int(k) % ways] = (
                int(tags[k] & x86.VPN_MASK),
                mfn,
                bool(val & x86.TLB_W),
                bool(val & x86.TLB_U),
                bool(val & x86.TLB_NX),
                bool(val & x86.TLB_KW),
                18 if val & x86.TLB_HUGE else big if val & x86.TLB_BIG else 0,
                bool(val & x86.TLB_GLOBAL),
            )
    return out


def _caches(s, c, v):
    out, all_tags, all_frames = {}, c.psc_t, c.psc_s
    for name, (first, sets, ways) in x86.CACHES.items():
        gen = (s.npt_gen if name.startswith("nested") else s.psc_gen)[v]
        tags, frames = all_tags[first : first + sets * ways], all_frames[first : first + sets * ways]
        live = np.flatnonzero(tags >> 28 == gen).tolist()
        out[name] = {(k // ways, k % ways): (int(tags[k]) & (1 << 28) - 1, int(frames[k])) for k in live}
    return out


def _shadows(machine, s):
    view = machine.view
    types = view("ptype")
    live = [int(p) for p in np.flatnonzero((types >= xen.SH_L1_32) & (types <= xen.SH_L4))]
    more = [int(p) for p in np.flatnonzero(types == xen.SH_MORE)]
    words = read_words(machine, "pool", live + more)
    up = {}
    for p in live:
        at = int(view("pup")[p])
        up[p] = None if at == int(NONE) else divmod(at - int(s.o_pool), 512)
    chains = {b: _chain(machine, head, "phash") for b, head in enumerate(view("hash")) if head != NONE}
    info, p2m = (machine.mem[int(at) : int(at) + int(s.frames) + 1] for at in (s.o_info, s.o_p2m))  # and the identity table
    shadowed = np.flatnonzero(info & xen.SHADOW_FLAGS)
    flags = {int(p2m[g]): {t for t in range(1, 13) if int(info[g]) >> 32 + t & 1} for g in shadowed}

    def marked(bit):
        return {int(p2m[g]) for g in shadowed if info[g] & bit}

    def known(word):
        return None if word == NONE else int(word)

    oos, vcpus = {}, []
    for v in range(int(s.vcpus)):
        for k in range(3):
            at = v * 3 + k
            if s.oos[at] != NONE:
                places = [(int(s.fix_page[at * 2 + i]), int(s.fix_off[at * 2 + i])) for i in range(2)]
                places = [None if page == int(NONE) else (page, slot) for page, slot in places]
                snapshot = int(s.oos_snap[at])
                oos[v, k] = (int(s.oos[at]), read_words(machine, "pool", [snapshot])[snapshot], places, int(s.fix_next[at]))
        vcpus.append(
            {
                "slots": [known(page) for page in s.root[v * 4 : v * 4 + 4]],
                "unshadow_memory": known(s.last_emul[v]),
                "last_ok": bool(s.last_ok[v]),
                "last": (int(s.last_frame[v]), int(p2m[int(s.last_mfn[v])])) if s.last_ok[v] else None,
                "snapshots": [known(page) for page in s.oos_snap[v * 3 : v * 3 + 3]],
                "last_writeable": known(s.last_wr[v]),
            }
        )
    return {
        "shadows": {
            p: (int(types[p]), int(view("pkey")[p]), int(view("pref")[p]), bool(view("ppin")[p]), words[p]) for p in live
        },
        "more": {p: (int(view("pkey")[p]), words[p]) for p in more},
        "chains": {p: _chain(machine, p, "pmore") for p in live if view("pmore")[p] != NONE},
        "pool.pinned": _chain(machine, s.pin_head, "pnext"),
        "pool.hash": chains,
        "pool.up": up,
        "pool.flags": flags,
        "pool.dying": marked(xen.DYING),
        "out_of_sync": marked(xen.OOS),
        "may_write": marked(xen.OOS_MAY_WRITE),
        "linux_l3": bool(s.opt_l3),
        "oos": oos,
        "vcpus": vcpus,
    }


def _typecounts(machine):
    s = machine.sys[0]
    info, p2m = (machine.mem[int(at) : int(at) + int(s.frames) + 1] for at in (s.o_info, s.o_p2m))
    return {"pool.typecount": {int(p2m[g]): int(info[g] & xen.TYPECOUNT) for g in np.flatnonzero(info & xen.TYPECOUNT)}}


def _types(machine):
    """What a PV guest's frames are used as, and the roots of each vCPU."""
    s, info = machine.sys[0], machine.view("info")
    types = {
        int(g): (int((info[g] & xen.PGT_TYPE) >> xen.PGT_SHIFT), int(info[g] & xen.TYPECOUNT), bool(info[g] & xen.PGT_PINNED))
        for g in np.flatnonzero(info & (xen.PGT_TYPE | xen.TYPECOUNT | xen.PGT_PINNED))
    }
    roots = [tuple(None if root == NONE else int(root) for root in (s.kroot[v], s.uroot[v])) for v in range(int(s.vcpus))]
    out = {"pv.types": types, "pv.roots": roots}
    if not s.rows:
        out["guest.user_roots"] = [None if r == NONE else int(r) for r in machine.view("uroots")[: machine.slots]]
    return out


def _ept(machine):
    pages = np.flatnonzero((machine.view("ptype") == xen.SH_P2M) & (machine.view("pkey") != NONE))
    rows = machine.view("pool").reshape(-1, 512)
    return {page: rows[page].tobytes() for page in pages.tolist()}


__all__ = ["Op", "build", "command", "differences", "tick"]
