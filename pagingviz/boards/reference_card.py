"""The inspector's card of one reference of a walk, or of the data at its end."""

from __future__ import annotations

from pagingviz.arch import x86
from pagingviz.boards import translate_words as words
from pagingviz.boards.board import Card
from pagingviz.reading import shadows
from pagingviz.reading.guest_entries import address_bits, readers_of_table
from pagingviz.reading.translate import Reference, Walk
from pagingviz.story.sentences import process_name
from pagingviz.timeline.simulation import Simulation


def card_of(sim: Simulation, walk: Walk, ref: Reference | None) -> Card:
    """The card of a reference, None: of the data, to which the walk leads. Without the name of the road and the lit cells."""
    if ref is None:
        return _data(walk)
    m = walk.machine
    rows = [
        ("entry's address", f"mpa {ref.address:#x}"),
        ("value", f"{ref.entry:#x}"),
        ("bits", words.bits(walk, ref)),
        ("covers", _covers(walk, ref)),
    ]
    if ref.dimension == "guest":
        sharers = readers_of_table(m, walk.gva, bool(walk.user), ref.gfn, ref.level)
        rows.append(("also walked by", ", ".join(process_name(sim, slot) for slot in sharers) or "no process"))
        if walk.register is not None:
            rows.append(("PDPTE register", f"{walk.register:#x}"))
    elif ref.dimension == "shadow":
        head = int(shadows.head_pages(m, ref.frame + 1)[ref.frame])
        rows += [
            ("stands for", f"gfn {ref.gfn:#x}"),
            ("references to it", str(int(m.view("pref")[head]))),
            ("pinned", "yes" if m.view("ppin")[head] else "no"),
        ]
    else:
        rows += [("asked for", f"gfn {ref.gfn:#x}, {words.wanted(ref)}"), ("used by", "every address space of the guest")]
    again = [x.number for x in walk.references if x.address == ref.address and x.dimension == ref.dimension]
    if len(again) > 1:
        rows.append(("read at references", ", ".join(map(str, again))))
    chain = [f"gva {walk.gva:#x}", f"{words.table(walk, ref)}, entry {ref.index}", words.yields(walk, ref)]
    return Card(f"reference {ref.number}", chain, rows, _why(walk, ref))


def _data(walk: Walk) -> Card:
    rows = [
        ("guest frame", f"gfn {walk.end.gfn:#x}"),
        ("machine frame", f"mfn {walk.end.frame:#x}"),
        ("the TLB holds", words.rights(walk.rights)),
    ]
    chain = [f"gva {walk.gva:#x}", f"mpa {walk.end.frame << 12 | walk.gva & 4095:#x}"]
    return Card("the data", chain, rows, words.then(walk)[0])


def _covers(walk: Walk, ref: Reference) -> str:
    """What one entry of this table translates."""
    bits = address_bits(int(walk.machine.sys[0].guest_levels)) if ref.dimension == "guest" else 9
    shift = bits * (ref.level - 1)
    page = ref.gfn if ref.dimension == "nested" else walk.gva >> 12 & int(x86.VPN_MASK)
    first, what = page >> shift << shift, "gfn" if ref.dimension == "nested" else "gva page"
    return f"{what} {first:#x} to {first + (1 << shift) - 1:#x}" if shift else f"{what} {first:#x}"


def _why(walk: Walk, ref: Reference) -> str:
    """Why this reference is made, and what decides at it."""
    if ref.number == walk.end.at and walk.end.kind != "frame":
        return f"Here the walk ends: {words.ending(walk)}. {words.then(walk)[0]}"
    if ref.served:
        return "A cache holds this step, so the processor does not read memory for it."
    if ref.dimension == "nested":
        return (
            f"The guest's entries hold guest-physical addresses: before {words.wanted(ref)} can be read, its gfn must go "
            "through the nested tables."
        )
    if ref.dimension == "shadow":
        return "The shadow holds machine frames: no second translation is needed. That is what Xen made it for."
    if walk.machine.scenario.road == "hap":
        return "Only now, with its machine frame known, can the guest's own entry be read."
    return "The hardware reads the guest's entry itself: its frames are machine frames."
