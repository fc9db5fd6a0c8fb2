"""What decides in the pool, in words: how many pages are wanted next, how many are free, and who would have to go for them."""

from __future__ import annotations

from pagingviz.machine.machine import Machine
from pagingviz.reading import recycling, shadows
from pagingviz.reading.nested import split_costs
from pagingviz.story.counting import counted

_MOST = 3  # roots that a caption names


def table_name(machine: Machine, head: int) -> str:
    """The guest table that a shadow stands for: "gfn 0x9"."""
    gfn = shadows.shadowed_frame(machine, head)
    return "unpaged_pagetable" if gfn == machine.scenario.frames else f"gfn {gfn:#x}"


def next_fault(machine: Machine) -> str:
    """What the next shadow fault asks of the pool: "a shadow fault needs 7, has 5: would unpin gfn 0x9, then gfn 0xa"."""
    would = recycling.recycling(machine, recycling.wanted_by_a_fault(machine))
    if would.free >= would.wanted:
        return f"a shadow fault needs {would.wanted}: nothing has to go"
    acts = [(verb, heads) for verb, heads in (("unpin", would.unpinned), ("unhook", would.unhooked)) if heads]
    named = [f"{verb} {_list(machine, heads)}" for verb, heads in acts]
    end = "" if would.enough else ", and the domain would die for want of a page"
    return f"a shadow fault needs {would.wanted}, has {would.free}: would {', then '.join(named)}{end}"


def _list(machine: Machine, heads: tuple[int, ...]) -> str:
    more = f" and {len(heads) - _MOST} more" if len(heads) > _MOST else ""
    return ", then ".join(table_name(machine, head) for head in heads[:_MOST]) + more


def nested_pool(machine: Machine) -> str:
    """Pages in use and free behind EPT or NPT, and what the next split of a superpage leaf takes."""
    s = machine.sys[0]
    used = f"{counted(s.p2m_pages, 'page')} in use, {int(s.free_pages):,} free"
    costs = split_costs(machine)
    if not costs:
        return f"{used} · nothing is left to split"
    needs = " or ".join(f"{pages} ({size} leaf)" for size, pages in costs.items())
    return f"{used} · the next split needs {needs} · {int(s.p2m_split)} so far"
