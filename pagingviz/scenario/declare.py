"""How a row of the table of fields is written: an attribute of a class, with the rule and the words of a field."""

from __future__ import annotations

import dataclasses
from typing import Any

from pagingviz.scenario.fields import Field


def declared(kind: str, default: Any, help: str, label: str = "", section: str = "", **rule: Any) -> Any:
    """One row of the table: an attribute of the classes below, with what fields.Field says about it.

    Without a label its name is what stands beside it. A row that follows another is None until scenario.Scenario completes it.
    """
    words = {"kind": kind, "default": default, "help": help, "label": label, "section": section, **rule}
    return dataclasses.field(default=None if "follows" in rule else default, metadata=words)


def rows_of(table: type) -> tuple[Field, ...]:
    """The rows of a class whose attributes are `declared`, in their order."""
    return tuple(
        Field(**{"name": f.name, **f.metadata, "label": f.metadata["label"] or f.name}) for f in dataclasses.fields(table)
    )
