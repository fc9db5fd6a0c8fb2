"""What must hold between the fields of a scenario: which guests, roads, sizes and options go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pagingviz.arch.cores import CORES
from pagingviz.arch.linux import LOWMEM_FRAMES
from pagingviz.scenario.fields import MAX_ENTRIES, MAX_FRAMES, ScenarioError, parse_do
from pagingviz.scenario.roads import names_where, road_of

if TYPE_CHECKING:
    from pagingviz.scenario.scenario import Scenario


def check(scenario: Scenario) -> None:
    """Raise ScenarioError with one sentence for the first rule that the fields break together."""
    road = road_of(scenario)
    entries = len(scenario.traces) + len(scenario.generators)
    if not 1 <= entries <= MAX_ENTRIES:
        raise ScenarioError(f"trace and work together must name 1 to {MAX_ENTRIES} entries, not {entries}.")
    if max(scenario.turns) >= entries:
        raise ScenarioError(
            f"order names entry {max(scenario.turns)}, but entries are numbered 0 to {entries - 1}: "
            "give an order of these, or none (order=), and all take turns."
        )
    parse_do(scenario.do, scenario.pool_cap, scenario.frames)
    if scenario.migrate != "no" and scenario.clean_every:
        raise ScenarioError(f"migrate={scenario.migrate} reads the bitmap itself: clean_every must be 0.")
    if scenario.guest != "hvm64" and scenario.frames > LOWMEM_FRAMES:
        raise ScenarioError(f"A 32-bit guest maps at most {LOWMEM_FRAMES} frames (896 MiB), not {scenario.frames}.")
    if scenario.guest == "hvm32" and scenario.direct_map_pages == "large" and not scenario.pse:
        raise ScenarioError("direct_map_pages=large needs pse=1 with guest=hvm32.")
    _check_core(scenario)
    if road.paravirtual and scenario.guest != "hvm64":
        raise ScenarioError(f"road={road.name} takes 64-bit guests only (guest=hvm64).")
    if scenario.frames > MAX_FRAMES:
        _check_large(scenario)
    if scenario.direct_map_pages == "huge" and (scenario.guest != "hvm64" or not road.hardware_alone):
        roads = names_where("hardware_alone")
        raise ScenarioError(f"direct_map_pages=huge needs guest=hvm64 and road={roads}: nothing else has 1 GiB pages.")
    if scenario.direct_map_pages == "large" and not road.superpages:
        raise ScenarioError(f"road={road.name} needs direct_map_pages=4k: Xen gives a PV guest no superpages.")
    if road.shadows and scenario.pool < scenario.least_pool:
        raise ScenarioError(f"pool must be at least {scenario.least_pool} for this guest, not {scenario.pool}.")


def _check_core(scenario: Scenario) -> None:
    """What the core has: its kind of nested tables, and what these can do."""
    core, has = scenario.core, CORES[scenario.core]
    if scenario.hap != has.hap:
        raise ScenarioError(f"core={core} has hap={has.hap}: hap={scenario.hap} needs core={_cores_with('hap', scenario.hap)}.")
    for name in ("ept_ad", "pml"):
        if getattr(scenario, name) and not getattr(has, name):
            raise ScenarioError(f"{name}=1 needs core={_cores_with(name, True)}: {_LACKS[name].format(core)}.")
    if scenario.pml and not scenario.ept_ad:
        raise ScenarioError("pml=1 needs ept_ad=1: what is logged is each D bit of EPT that the processor sets.")
    if not scenario.exec_sp and has.hap != "ept":
        raise ScenarioError(f"exec_sp=0 needs core={_cores_with('hap', 'ept')}: superpages of NPT are always executable.")
    huge = {"superpages": 2, "direct_map_pages": "huge"}
    for name, value in huge.items():
        if getattr(scenario, name) == value and not has.gib_pages and road_of(scenario).hardware_alone:
            raise ScenarioError(f"{name}={value} needs core={_cores_with('gib_pages', True)}: {core} has no 1 GiB pages.")


_LACKS = {"ept_ad": "{} sets no A and D bits in EPT", "pml": "{} has no page-modification log"}


def _cores_with(trait: str, value: object) -> str:
    """The cores whose trait (an attribute of Core) has the value, as a sentence names them: `skylake or haswell`."""
    return " or ".join(name for name, has in CORES.items() if getattr(has, trait) == value)


def _check_large(scenario: Scenario) -> None:
    """What a guest of more than MAX_FRAMES frames needs."""
    what = f"frames={scenario.frames}, more than {MAX_FRAMES}, needs"
    road = road_of(scenario)
    if not road.hardware_alone:
        roads = names_where("hardware_alone")
        raise ScenarioError(f"{what} road={roads}: on road={scenario.road} the hypervisor keeps words for every frame.")
    if scenario.direct_map_pages == "4k":
        raise ScenarioError(f"{what} direct_map_pages=large or huge.")
    if road.nested and not scenario.superpages:
        raise ScenarioError(f"{what} superpages=1 or 2: its nested tables alone would fill this computer.")
    if scenario.direct_map_base + (scenario.frames << 12) > 1 << 64:
        raise ScenarioError(
            f"direct_map={scenario.direct_map} leaves no room for a map of {scenario.frames} frames below 2^64."
        )


def check_gva(gva: int, guest: str) -> None:
    """Raise ScenarioError with one sentence when a guest of that kind cannot have the address."""
    if guest != "hvm64" and gva >> 32:
        raise ScenarioError(f"gva {gva:#x} is beyond the 32-bit addresses of this guest: use at most 0xffffffff.")
    if guest == "hvm64" and gva >> 47 not in (0, 0x1FFFF):
        raise ScenarioError(f"gva {gva:#x} is not canonical: bits 63 to 47 of a 64-bit address must be equal.")
