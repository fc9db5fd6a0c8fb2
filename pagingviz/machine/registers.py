"""The machine's record before tick 0: what the scenario sets in registers, and regions of which 0 is not the empty value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.cores import CORES, HAPS
from pagingviz.arch.words import NONE, ONE, ZERO, U
from pagingviz.machine import layout
from pagingviz.scenario.frames import machine_frames, placing
from pagingviz.scenario.roads import road_of
from pagingviz.work.work import Work

if TYPE_CHECKING:
    from pagingviz.machine.machine import Machine


def set_up(machine: Machine, work: Work) -> None:
    """Everything that the scenario decides about registers and empty regions. The arena is all zero before."""
    _memory(machine, work)
    _processor(machine)
    _guest(machine)
    _nested_entries(machine)
    _hypervisor(machine, work)
    _translation(machine)
    _empty(machine)


def _memory(machine: Machine, work: Work) -> None:
    """How many frames there are, which have state, and where they lie in the machine."""
    s, sc, modelled = machine.sys[0], machine.scenario, machine.modelled
    s.frames, s.zone = sc.frames, work.zone
    s.modelled, s.spread, s.run_bits = modelled.count, modelled.spread, modelled.bits
    s.ram_base, s.ram_shift, s.ram_whole = placing(sc) if road_of(sc).hypervisor else (0, 0, 0)
    small = s.ram_base + sc.frames <= 1 << int(x86.MAXPHYADDR - x86.PAGE_BITS)
    s.maxphys = x86.MAXPHYADDR if small else x86.MAXPHYADDR_SERVER


def _processor(machine: Machine) -> None:
    """What the vCPUs can do, their TLBs, and the road."""
    s, sc, road = machine.sys[0], machine.scenario, road_of(machine.scenario)
    s.road, s.vcpus = road.code, sc.vcpus
    s.pv, s.npt = road.paravirtual, road.nested and HAPS.index(sc.hap)
    s.pml, s.pml_index[:] = road.nested and sc.pml, x86.PML_ENTRIES - ONE
    s.gib_leaves = road.hardware_alone  # guest_can_use_l3_superpages: not on shadows
    s.t1_sets, s.t1_ways, s.t2_sets, s.t2_ways = CORES[sc.core].tlb
    s.tlb_gen[:] = s.psc_gen[:] = s.npt_gen[:] = 1
    machine.cpu["id"], machine.cpu["pair_va"] = np.arange(sc.vcpus), NONE


def _guest(machine: Machine) -> None:
    """The guest's control registers and what its kernel knows."""
    s, sc = machine.sys[0], machine.scenario
    s.guest_levels = machine.cpu["levels"] = sc.guest_levels
    switches = (x86.CR_WP, sc.wp), (x86.CR_SMEP, sc.smep), (x86.CR_SMAP, sc.smap), (x86.CR_NXE, sc.nx), (x86.CR_PSE, sc.pse)
    s.cr = x86.CR_PG | sum(bit for bit, on in switches if on)
    s.direct_map, s.processes = sc.direct_map_base, machine.slots


def _nested_entries(machine: Machine) -> None:
    """What a usual entry of a nested table looks like, so that the walk knows it at once (core/nested/walk.py), and options."""
    s = machine.sys[0]
    s.exec_sp = machine.scenario.exec_sp
    beyond = U((1 << 52) - (1 << int(s.maxphys)))
    if machine.scenario.hap == "ept":
        s.table_mask, s.table_plain = x86.EPT_RWX | U(0xF8) | beyond, x86.EPT_RWX
        s.leaf_mask, s.leaf_plain = x86.EPT_R | x86.EPT_X | x86.EPT_EMT | beyond, x86.EPT_R | x86.EPT_X | x86.EPT_WB
        s.ad_bits = x86.EPT_A | x86.EPT_D if machine.scenario.ept_ad else ZERO
    else:
        s.table_plain, s.leaf_plain = x86.P | x86.RW | x86.US | x86.A, x86.P | x86.US | x86.A
        s.table_mask, s.leaf_mask = s.table_plain | x86.PSE | x86.NX | beyond, s.leaf_plain | x86.NX | beyond


def _hypervisor(machine: Machine, work: Work) -> None:
    """The host's registers, the version and the switches of Xen, an empty pool, no tables of its own."""
    s, sc, road = machine.sys[0], machine.scenario, road_of(machine.scenario)
    s.host_nxe = 1
    s.xen, s.floor, s.revoke = xen.XENS.index(sc.xen), sc.floor, sc.clean == "revoke"
    s.shopt = sc.shopt & ~(0 if sc.unsyncs and not road.paravirtual else int(xen.SHOPT_OUT_OF_SYNC))
    s.opt_l3 = 0 if road.paravirtual else s.shopt & xen.SHOPT_LINUX_L3
    s.pv_pool, s.pool_cap = sc.pool, layout.pool_pages(sc, work)
    s.superpages, s.clean_every = sc.superpages, sc.clean_every
    s.free_head = s.free_tail = s.pin_head = s.pin_tail = s.tree_root = s.hap_root = NONE
    for name in (
        "root",
        "kroot",
        "uroot",
        "last_emul",
        "last_wr",
        "monitor",
        "pml_page",
        "oos",
        "oos_snap",
        "fix_page",
        "vtlb_page",
    ):
        s[name][:] = NONE


def _translation(machine: Machine) -> None:
    """Which machine frame each guest frame is, and back; the spare frame after the last one is itself."""
    s, sc = machine.sys[0], machine.scenario
    if not machine.modelled.spread:
        gfn = np.arange(sc.frames, dtype=np.uint64)
        machine.view("p2m")[:] = mfn = machine_frames(sc, gfn)
        machine.view("m2p")[mfn - s.ram_base] = gfn
    machine.spare("p2m", xen.RAM_BASE + U(sc.frames))
    machine.spare("m2p", U(sc.frames))


def _empty(machine: Machine) -> None:
    """Regions whose empty value is not 0."""
    for name in ("hash", "roots", "uroots", "pkey", "pup", "phash", "pprev", "pnext", "pepoch", "pmore"):
        machine.view(name)[:] = NONE
    machine.view("ptype")[:] = xen.SH_OUT
