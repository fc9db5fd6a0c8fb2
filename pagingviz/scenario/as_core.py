"""Fields whose default is the core's: a scenario that does not give one has it as the core has it, whatever core that is.

A value that is the one the core gives anyway follows the core when the core is changed; any other stays as it was given. The
core itself follows `hap`: who wants NPT and names no core has one with NPT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pagingviz.arch.cores import CORES

FOLLOWING = ("hap", "ept_ad", "pml", "exec_sp")


def of_core(core: str, ept_ad: int | None = None) -> dict[str, Any]:
    """{field: value} of FOLLOWING as a core has them. `ept_ad`: whether Xen uses EPT's A and D, None: as the core has it.

    Without A and D there is no page-modification log. Source: hvm/vmx/vmcs.c: vmx_init_vmcs_config.
    """
    has = CORES[core]
    ad = int(has.ept_ad) if ept_ad is None else ept_ad
    return {"hap": has.hap, "ept_ad": ad, "pml": int(has.pml and ad == 1), "exec_sp": int(has.exec_sp)}


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """{field: value} for `core` and each of FOLLOWING, from values of which None means that it was not given."""
    core = values["core"]
    if core is None:
        core = next((name for name, has in CORES.items() if has.hap == values["hap"]), next(iter(CORES)))
    own = of_core(core, values["ept_ad"])
    return {"core": core} | {name: own[name] if values[name] is None else values[name] for name in FOLLOWING}


def follow(values: Mapping[str, Any]) -> set[str]:
    """Those of FOLLOWING whose value is the one that the core gives. values: of `core` and of FOLLOWING."""
    own = of_core(values["core"], values["ept_ad"]) | {"ept_ad": int(CORES[values["core"]].ept_ad)}
    return {name for name in FOLLOWING if values[name] == own[name]}


def given(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes`, and None for each field that follows the core and is not among them: what a changed scenario is made with.

    values: of `core` and of FOLLOWING as they are. A core that lacks the nested tables asked for is not kept either.
    """
    free: dict[str, Any] = dict.fromkeys(follow(values))
    if changes.get("hap", CORES[values["core"]].hap) != CORES[values["core"]].hap:
        free["core"] = None
    return free | dict(changes)
