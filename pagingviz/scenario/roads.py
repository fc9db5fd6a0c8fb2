"""The registry of roads: all of them, in the order in which they are shown. A new road is one new file and one line here."""

from __future__ import annotations

from typing import Protocol

from pagingviz.arch import xen
from pagingviz.scenario.road import Road

_ALL = (
    Road("bare", xen.BARE, (("bare", {}),)),
    Road("pv", xen.PV, (("PV", {}),), shadows=True, paravirtual=True),
    Road("shadow", xen.SHADOW, (("shadow", {}),), shadows=True),
    Road(
        "hap",
        xen.HAP,
        (("EPT", {"hap": "ept", "pml": 0}), ("EPT + PML", {"hap": "ept", "pml": 1}), ("NPT", {"hap": "npt", "pml": 0})),
        nested=True,
    ),
)
ROADS: dict[str, Road] = {road.name: road for road in _ALL}


class OnARoad(Protocol):
    """What has a road: a scenario."""

    @property
    def road(self) -> str:
        """The name of the road."""


def road_of(scenario: OnARoad) -> Road:
    """The road that the scenario names."""
    return ROADS[scenario.road]


def names_where(trait: str) -> str:
    """The roads that have the trait (a property of Road), as a sentence names them: `bare or hap`."""
    return " or ".join(name for name, road in ROADS.items() if getattr(road, trait))
