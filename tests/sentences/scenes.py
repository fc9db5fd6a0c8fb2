"""The scenes in which every sentence of the story is said: scenarios and stretches of their ticks, and guests given by hand."""

from pagingviz.arch import operation, x86, xen
from pagingviz.arch.words import U
from pagingviz.core import run as kernels
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.core.raw import BASE, DIRECT, FRAME, PAGE, PSE, Raw, Tables, W
from tests.sentences.moments import moment

HAP = {"road": "hap", "hap": "ept", "pml": 0}
COMMANDS = (
    "enable@300,peek@500,clean@950,pool:64@1250,pool:40@1260,flush@1300,dm:7:3@1400,dm:9@1410,blow@1500,off@1650,dm:7@1700,"
    "clean@1850"
)

SCENES = {  # name: (scenario, fields, stretches of ticks)
    "blackboard": ("blackboard", {}, [(0, 1500), (2790, 3300)]),
    "commands, shadow": ("blackboard", {"do": COMMANDS}, [(298, 1860)]),
    "commands, EPT": (
        "blackboard",
        HAP | {"frames": 16384, "do": COMMANDS.replace("blow", "flush").replace("pool:40@1260", "pool:40@1260,pool:16@1270")},
        [(298, 1860)],
    ),
    "several commands in a tick": (
        "blackboard",
        {"do": "enable@300,enable@310,flush@310,peek@310,pool:40@320,pool:30@320,blow@330,clean@330"},
        [(298, 335)],
    ),
    "commands, Xen's floor": ("blackboard", {"floor": 1, "pool": 400, "do": "pool:100@300"}, [(298, 303)]),
    "commands, bare": ("blackboard", {"road": "bare", "do": "dm:7:3@20,enable@30,clean@40", "clean_every": 0}, [(0, 60)]),
    "two vCPUs": ("blackboard", {"vcpus": 2}, [(0, 1200)]),
    "forks": ("forks", {}, [(0, 2500)]),
    "updates": ("updates", {}, [(0, 1800)]),
    "thrash": ("thrash", {}, [(0, 2500)]),
    "one process too large": ("blow", {"pool": 20, "do": ""}, [(0, 1500)]),
    "rounds, EPT": ("rounds", HAP, [(3990, 5400), (8990, 9100), (9990, 10400)]),
    "rounds, PML": ("rounds", HAP | {"pml": 1}, [(3990, 5400), (8990, 9100), (9990, 10400)]),
    "log-dirty off": ("rounds", HAP | {"do": "enable@300,off@420,peek@440,off@460,clean@480,enable@600,off@700"}, [(298, 720)]),
    "log-dirty off, PML": ("rounds", HAP | {"pml": 1, "do": "enable@300,off@420"}, [(298, 480)]),
    "rounds, NPT": ("rounds", {"hap": "npt"}, [(3990, 5400), (9990, 10400)]),
    "lab, EPT": ("lab", HAP, [(19990, 20200)]),
    "lab, fetches": ("lab", HAP | {"exec_sp": 0}, [(0, 40), (19990, 20030)]),
    "2 MiB, fetches": ("lab", HAP | {"exec_sp": 0, "superpages": 1}, [(0, 60)]),
    "lab, NPT": ("lab", {"hap": "npt"}, [(19990, 20200)]),
    "cloud-1t": ("cloud-1t", {}, [(3995, 4030)]),
    "borrowed": ("borrowed", {}, [(0, 400), (2990, 3500), (8990, 9050)]),
    "search": ("search", {}, [(3990, 4050)]),
    "PAE": ("blackboard", {"guest": "pae"}, [(0, 600)]),
    "32 bits": ("expensive", {}, [(0, 600)]),
}


MOVES = {  # name: fields of the scenario `moving`; its moments are those at which the migration does something
    "moving, shadow": {},
    "moving, EPT": HAP,
    "moving, NPT": {"road": "hap", "hap": "npt"},
    "moving, PML": HAP | {"pml": 1},
    "moving, PV": {"road": "pv"},
    "moving, stopped": {"migrate": "stop"},
    "moving, post-copy": {"migrate": "postcopy", "prefetch": 3},
    "moving, hybrid": HAP | {"migrate": "hybrid"},
    "moving, Remus": {"migrate": "remus", "road": "pv"},
    "moving, many short rounds": HAP | {"policy": "numbers", "target": 1, "rounds": 14, "pace": 30},
    "moving, given up": {"fail": "link:200"},
    "moving, overdue": {
        "policy": "qemu",
        "downtime": 1,
        "work": "hotcold:100:100",
        "trace": "",
        "pace": 500,
        "limit_rounds": 8,
    },
    "moving, overdue and suspended": {"policy": "qemu", "downtime": 1, "pace": 30, "limit_rounds": 3, "at_limit": "stop"},
    "moving, stalled": HAP
    | {
        "policy": "stall",
        "downtime": 1,
        "work": "hotcold:100:100",
        "trace": "",
        "pace": 500,
        "stall_time": 100,
        "stall_downtime": 1,
    },
    "moving, read within a round": HAP | {"policy": "qemu", "bandwidth": 5, "downtime": 20_000, "pace": 30},
    "moving, link back": {"migrate": "postcopy", "fail": "link:100", "recover": 9},
    "moving, no hypervisor": {"road": "bare"},
    "moving, slow link": HAP | {"bandwidth": 12, "pace": 100, "policy": "legacy"},
}


def move(name):
    """The moments of a migration: before it, at each tick at which it acts, and one tick further on."""
    sim = Simulation(load("moving").replace(**MOVES[name]))
    sim.seek(590)
    yield moment(sim, lambda: sim.seek(591))
    while sim.migration.state.next <= 10**9:
        to = sim.migration.state.next
        sim.seek(max(sim.tick, to - 1))
        yield moment(sim, lambda to=to: sim.seek(to))
    yield moment(sim, lambda: sim.seek(sim.tick + 1))


def run(name):
    """The moments of a scene."""
    if name in MOVES:
        yield from move(name)
        return
    if name in BY_HAND:
        yield from BY_HAND[name]()
        return
    scenario, fields, stretches = SCENES[name]
    sim = Simulation(load(scenario).replace(**fields))
    for first, last in stretches:
        sim.seek(first)
        while sim.tick < last:
            yield moment(sim, lambda: sim.seek(sim.tick + 1))


def _raw(*args, **fields):
    """A guest given by hand, of which every tick is recorded in full."""
    r = Raw(*args, **fields)
    r.audited = False
    r.sim.run = lambda n: r.sim.seek(r.sim.tick + n)
    return r


def _each(r, *acts):
    """The moments after acts on a guest given by hand; a text is a command, which comes after a tick without anything else."""
    for act in acts:
        if isinstance(act, str):
            r._op(operation.RAW_NOP)
            yield moment(r.sim, lambda act=act: r.sim.command(act))
        else:
            yield moment(r.sim, act)


def non_canonical():
    r = _raw()
    yield from _each(
        r, lambda: r.read(0x8000_0000_0000), lambda: r.read(BASE), lambda: r.read(BASE), lambda: r.read(BASE + 20 * FRAME)
    )


def bad_pae_root():
    tables = Tables(3)
    tables.new()
    tables.direct(1, 128)
    tables.map(1, BASE, 48)
    bad = tables.new()
    tables.words[bad] = {0: 0xFFF << 12 | 1 | 2}
    for road in ("shadow", "hap"):
        r = _raw(3, road=road, tables=tables, guest="pae")
        yield from _each(r, lambda r=r: r.cr3(bad))


def superpage():
    tables = Tables(4)
    tables.new()
    tables.direct(1, 128)
    tables.map(1, 0x4020_0000, 512, PAGE | PSE, level=2)
    tables.map(1, BASE, 48)
    r = _raw(frames=1024, tables=tables)
    yield from _each(r, lambda: r.read(0x4020_0000), lambda: r.write(0x4020_3000), "blow", lambda: r.read(0x4020_1000))


def stores_to_tables():
    """Emulated, out of sync, a user's store, one while an event is injected, and an instruction that is not known."""
    for oos in (0, 1):
        yield from _kernel_stores(_raw(oos=oos))
    for event in (0, 1):
        yield from _plain_store(_raw(oos=0), event)
    tables = Tables()
    tables.new()
    tables.direct(1, 128)
    tables.map(1, BASE, 100)
    tables.map(1, BASE + (1 << 21), 101)
    tables.map(1, BASE + FRAME, tables.link(1, BASE + (1 << 21), 1))
    r = _raw(tables=tables, oos=0)
    for va in (BASE, BASE + (1 << 21)):
        r.read(va)
    yield from _each(r, lambda: r.write(BASE + FRAME))


def _kernel_stores(r):
    """Stores of entries to tables of both lower levels, two of zero in a row among them."""
    r.read(BASE)
    l1, l2 = r.table(BASE), r.table(BASE, 2)
    acts = [lambda i=i: r.store(l1, i, r.entry(l1, i)) for i in (3, 4)]
    acts += [lambda: r.read(BASE), *(lambda i=i: r.store(l1, i, 0) for i in (100, 101)), lambda: r.store(l2, 9, 0)]
    yield from _each(r, *acts, lambda: r.cr3(1), lambda: r.read(BASE))


def _plain_store(r, event):
    """A store to a table that is no store of an entry; `event`: while an event is injected."""
    r.read(BASE)
    address = DIRECT[4] + r.table(BASE) * FRAME
    r.read(address, user=0)
    r._op(operation.RAW_EVENT, value=event)
    yield from _each(r, lambda: r.write(address, user=0))


def many_tables_out_of_sync():
    """More tables than a vCPU has slots, so that one must come back; and a second vCPU whose tables stay out of sync."""
    tables = Tables()
    tables.new()
    tables.direct(1, 128)
    for k in range(6):
        tables.map(1, BASE + (k << 21), 100 + k)
    r = _raw(tables=tables, vcpus=2)
    at = [BASE + (k << 21) for k in range(6)]
    for va in at:
        r.read(va)
    acts = [lambda va=va: r.store(r.table(va), 7, 0) for va in at]
    yield from _each(r, *acts, lambda: r.cr3(1, vcpu=1), lambda: r.cr3(1))


def write_protect_off():
    """CR0.WP is 0: the kernel stores to a page that is read-only."""
    r = _raw(flags=PAGE & ~W, cr=int(x86.CR_NXE | x86.CR_PSE | x86.CR_PG))
    r.read(BASE)
    yield from _each(r, lambda: r.write(BASE, user=0), lambda: r.write(BASE, user=0))


def hypercalls():
    """Of a PV guest, without shadows and with them; and another domain's mapping."""
    r = _raw(road="pv")
    yield from _hypercalls(r)
    yield from _each(r, "enable")
    yield from _hypercalls(r)
    yield from _each(r, "off")


def _hypercalls(r):
    l1 = r.table(BASE)
    yield from _each(
        r,
        lambda: r.read(BASE),
        lambda: r.mmu_update(l1, 3, 51 << 12 | PAGE),
        lambda: r.store(l1, 4, r.mfn(52 << 12 | PAGE)),
        lambda: r.update_va(BASE + FRAME, l1 << 12 | PAGE),
        lambda: r.pin(l1, 1),
        lambda: r.unpin(l1),
        lambda: r.cr3(1),
        lambda: r.grant_write(60),
        lambda: r.grant_unmap(60),
        lambda: r.read(BASE),
    )


def pool_of_nested_tables_too_small():
    """A leaf that cannot be split, and bits that have no place in the tree."""
    for hap in ("ept", "npt"):
        yield from _no_page_to_split(_raw(4, "hap", frames=4096, zone=128, pages=600, flags=PAGE, hap=hap, superpages=1))


def _no_page_to_split(r):
    kernels.command(r.m.sys, r.m.cpu, r.m.mem, xen.CMD_POOL, r.s.p2m_pages)
    r.read(BASE)
    yield from _each(r, "enable", lambda: r.write(BASE), lambda: r.read(BASE), "clean", "peek")


def pool_too_small_for_a_log():
    """Log-dirty is switched on with a page-modification log for which the pool has no page."""
    r = _raw(4, "hap", frames=4096, zone=128, pages=600, flags=PAGE, hap="ept", pml=1)
    kernels.command(r.m.sys, r.m.cpu, r.m.mem, xen.CMD_POOL, r.s.p2m_pages)
    r.read(BASE)
    yield from _each(r, "enable", lambda: r.read(BASE))


def pool_too_small_for_a_fetch():
    """A superpage that is not executable, and no page for its pieces."""
    r = _raw(4, "hap", frames=4096, zone=128, pages=600, flags=PAGE, hap="ept", superpages=1, exec_sp=0)
    kernels.command(r.m.sys, r.m.cpu, r.m.mem, xen.CMD_POOL, r.s.p2m_pages)
    yield from _each(r, lambda: r.read(BASE), lambda: r.fetch(BASE))


def full_log():
    """More stores than a page-modification log has entries."""
    r = _raw(4, "hap", frames=4096, zone=128, pages=600, flags=PAGE, hap="ept", pml=1)
    for k in range(600):
        r.read(BASE + k * FRAME)
    r.do("enable")
    r.do("clean")
    yield from _each(r, *(lambda k=k: r.write(BASE + k * FRAME) for k in range(600)))
    yield from _each(r, "peek", lambda: r.read(BASE), "clean", lambda: r.read(BASE), "off")


def no_page_for_a_shadow():
    """A pool so small that the domain dies."""
    r = _raw(pool=16)
    kernels.command(r.m.sys, r.m.cpu, r.m.mem, xen.CMD_POOL, U(1))
    yield from _each(r, *(lambda k=k: r.read(BASE + k * FRAME) for k in range(4)))


def a_guest_bug():
    """A guest whose kernel is left without frames."""
    sim = Simulation(load("blackboard").replace(road="bare", trace="", work="uniform:100", order="", do="", clean_every=0))
    sim.seek(50)
    sim.machine.sys[0].dtop = 0
    for _ in range(40):
        yield moment(sim, lambda: sim.seek(sim.tick + 1))


def roots_that_were_written():
    """A new root is written through the direct map, then loaded: its writable mapping must be found."""
    for shopt in (511, 0):
        yield from _new_roots(_raw(shopt=shopt, frames=128, zone=48), (30, 31, 32, 33))


def _new_roots(r, roots):
    for root in roots:
        for i in (0, 272):
            r.store(root, i, r.entry(1, i))
    yield from _each(r, *(lambda root=root: r.cr3(root) for root in roots), lambda: r.invlpg(BASE))


BY_HAND = {
    "roots that were written": roots_that_were_written,
    "no canonical address": non_canonical,
    "a bad PAE root": bad_pae_root,
    "a superpage": superpage,
    "stores to tables": stores_to_tables,
    "many tables out of sync": many_tables_out_of_sync,
    "CR0.WP is 0": write_protect_off,
    "hypercalls": hypercalls,
    "a HAP pool too small": pool_of_nested_tables_too_small,
    "no page for a log": pool_too_small_for_a_log,
    "no page for a fetch": pool_too_small_for_a_fetch,
    "a full log": full_log,
    "no page for a shadow": no_page_for_a_shadow,
    "a bug of the guest": a_guest_bug,
}
