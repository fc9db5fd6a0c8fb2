"""A walk in words: what each reference reads and yields, how the walk ends, and what the hypervisor would do then."""

from pagingviz.arch import x86, xen
from pagingviz.arch.sizes import leaf_size
from pagingviz.arch.words import U
from pagingviz.machine.machine import Machine
from pagingviz.reading import nested, shadows
from pagingviz.reading.translate import End, Reference, Walk
from pagingviz.story.entry_bits import entry_flags, flags

ACCESSES = ("fetch", "read", "store")  # by x86.FETCH, READ, WRITE
_ERROR = ((1, "P"), (2, "W"), (4, "U"), (8, "RSVD"), (16, "I"))
_NPF = (*_ERROR, (1 << 32, "final"), (1 << 33, "table"))
_VIOLATION = ((1, "read"), (2, "write"), (4, "fetch"), (8, "R"), (16, "W"), (32, "X"), (1 << 7, "linear"), (1 << 8, "final"))


def nested_name(machine: Machine) -> str:
    """EPT or NPT."""
    return machine.scenario.hap.upper()


def bits(walk: Walk, ref: Reference) -> str:
    """The entry's bits in words."""
    if ref.dimension == "nested":
        return entry_flags(walk.machine, ref.level, U(ref.entry))
    return flags(U(ref.entry))


def pending(walk: Walk, ref: Reference) -> bool:
    """Whether the entry is a nested one in which a change of the p2m waits."""
    return ref.dimension == "nested" and bool(nested.pending(walk.machine, U(ref.entry)))


def writable(walk: Walk, ref: Reference) -> bool:
    """Whether the entry itself grants write access."""
    return bool(nested.writable(U(ref.entry)) if ref.dimension == "nested" else ref.entry & int(x86.RW))


def size(walk: Walk, level: int) -> str:
    """Size of a guest's page, by the level of its leaf."""
    return leaf_size(level, int(walk.machine.sys[0].guest_levels))


# ---- one reference


def table(walk: Walk, ref: Reference) -> str:
    """Which table is read: "the guest's L3 table, gfn 0x1c"."""
    if ref.dimension == "guest":
        host = f" (mfn {ref.frame:#x})" if walk.machine.scenario.road != "bare" else ""
        return f"the guest's L{ref.level} table, gfn {ref.gfn:#x}{host}"
    if ref.dimension == "shadow":
        return f"the shadow's L{ref.level} table, mfn {ref.frame:#x}"
    return f"{nested_name(walk.machine)}'s L{ref.level} table, mfn {ref.frame:#x}"


def yields(walk: Walk, ref: Reference) -> str:
    """What comes out of the entry."""
    frame = (ref.entry & int(x86.FRAME_MASK)) >> 12
    if ref.leads == "hole":
        return "it is not present"
    if pending(walk, ref):
        return "it is pending: " + ("its US bit was taken away" if walk.machine.sys[0].npt else "misconfigured on purpose")
    if ref.leads == "bad":
        return "a reserved bit is set" if ref.dimension != "nested" or walk.machine.sys[0].npt else "it is misconfigured"
    if ref.leads == "table":
        guest = ref.dimension == "guest"
        kind = "guest's " if guest else "shadow's " if ref.dimension == "shadow" else ""
        return f"it leads to the {kind}L{ref.level - 1} table, {_guests_word(walk) if guest else 'mfn'} {frame:#x}"
    if ref.dimension == "nested":
        within = (1 << 9 * (ref.level - 1)) - 1
        return f"gfn {ref.gfn:#x} is mfn {frame & ~within | ref.gfn & within:#x}" + _large(leaf_size(ref.level), ref.level)
    if ref.dimension == "shadow":
        return f"the page is mfn {frame:#x}"
    return f"it maps {_guests_word(walk)} {frame:#x}" + _large(size(walk, ref.level), ref.level)


def _large(text: str, level: int) -> str:
    return f", a page of {text}" if level > 1 else ""


def _guests_word(walk: Walk) -> str:
    """A PV guest's entries hold machine frames."""
    return "mfn" if walk.machine.scenario.road == "pv" else "gfn"


def wanted(ref: Reference) -> str:
    """What a nested reference is made for."""
    return f"the guest's L{ref.column} table" if ref.column else "the data"


def reference(walk: Walk, ref: Reference) -> tuple[str, str]:
    """(sentence about one reference, the rule's source)."""
    cached = " A cache has it: no memory is read." if ref.served else ""
    text = f"entry {ref.index} of {table(walk, ref)}: {bits(walk, ref)}"
    if ref.dimension == "nested":
        return f"Where is {wanted(ref)}, gfn {ref.gfn:#x}? It reads {text}; {yields(walk, ref)}.{cached}", _source(walk)
    top = f"PAE's top entry stands in a register: {flags(U(walk.register))}. " if walk.register and ref.number == 1 else ""
    return f"{top}It reads {text}; {yields(walk, ref)}.{cached}", _source(walk) if ref.dimension == "shadow" else "SDM 4.5"


def _source(walk: Walk) -> str:
    return {"hap": "APM 15.25" if walk.machine.sys[0].npt else "SDM 29.3"}.get(walk.machine.scenario.road, "SDM 4.5")


def short(walk: Walk, ref: Reference) -> str:
    """One reference in a few words, for a map's caption."""
    what = f" for {wanted(ref)}" if ref.dimension == "nested" else ""
    return f"{ref.number} of {len(walk.references)}{what}: entry {ref.index}, {bits(walk, ref)}; {yields(walk, ref)}"


# ---- the end


def code_text(end: End) -> str:
    """An exit's or a fault's code with the names of its bits."""
    names = {"EPT violation": _VIOLATION, "NPF": _NPF}.get(end.name, _ERROR)
    return f"{end.code:#x} ({' '.join(name for bit, name in names if end.code & bit) or 'no bit set'})"


def rights(value: int) -> str:
    """TLB_* bits in words."""
    who = "user" if value & int(x86.TLB_U) else "kernel only"
    kernel = "the kernel's stores too" if value & int(x86.TLB_KW) else "a store walks again"
    store = "stores too" if value & int(x86.TLB_W) else kernel
    return f"{who}, {store}" + (", no fetch" if value & int(x86.TLB_NX) else "")


def product(walk: Walk) -> str:
    """What the TLB holds after a walk that ends in a frame: "gva page 0x1ffefff → mfn 0x10080"."""
    return f"gva page {walk.gva >> 12 & int(x86.VPN_MASK):#x} → mfn {walk.end.frame:#x}"


def count(walk: Walk) -> str:
    """ "24 references, 20 of them from caches"."""
    n = len(walk.references)
    tail = f", {walk.cached} of them from caches" if walk.cached else ""
    return f"{n} reference{'s' if n != 1 else ''}{tail}"


def ending(walk: Walk) -> str:
    """How the walk ends, in a few words."""
    end = walk.end
    if end.kind == "frame":
        return f"{count(walk)}; the TLB now holds {product(walk)}"
    if end.kind == "gp":
        return "#GP(0): no canonical address, nothing is read"
    where = f"at reference {end.at}" if end.at else "before the first reference"
    where = f"after {count(walk)}" if end.kind == "fault" else where
    what = "#PF of the guest" if end.kind == "fault" else end.name
    code = "" if end.name in ("EPT misconfiguration", "page-modification log full") else f", {_code_name(end)} {code_text(end)}"
    why = ", to set the entry's A or D" if end.update else ""
    return f"{what} {where}{why}{code}"


def _code_name(end: End) -> str:
    return {"EPT violation": "qualification", "NPF": "EXITINFO1"}.get(end.name, "error code")


def then(walk: Walk) -> tuple[str, str]:
    """(what happens next in one sentence, source)."""
    end, m = walk.end, walk.machine
    road = m.scenario.road
    if end.kind == "frame":
        return f"The TLB now holds {product(walk)} ({rights(walk.rights)}): the next access needs no walk.", "SDM 4.10.2"
    if end.kind == "gp":
        return "The guest's kernel gets the #GP: bits 63 to 47 of an address must be equal.", "SDM 3.3.7.1"
    if end.kind == "fault":
        if road == "pv":
            text = "The #PF comes to Xen, which finds nothing to mend and passes it on to the guest's kernel."
            return text, "x86/traps.c: do_page_fault"
        return "The #PF goes to the guest's kernel without an exit: the hypervisor hears nothing of it.", "SDM 4.7"
    return _exit(walk)


def _exit(walk: Walk) -> tuple[str, str]:
    end, m = walk.end, walk.machine
    again = "then the walk starts again from its first reference"
    if end.name == "shadow page fault":
        return _shadow_exit(walk)
    if end.name == "page-modification log full":
        return f"Xen marks the 512 logged pages and empties the log; {again}.", "p2m-ept.c: ept_vcpu_flush_pml_buffer"
    ref = next((ref for ref in reversed(walk.references) if ref.dimension == "nested" and ref.number <= end.at), None)
    waits = any(pending(walk, x) for x in walk.references if x.dimension == "nested" and x.gfn == end.gfn)
    if waits and not m.sys[0].npt:
        text = f"resolve_misconfig pushes the pending change down and computes the leaf anew; {again}."
        return text, "p2m-ept.c: resolve_misconfig"
    if waits:
        return f"do_recalc carries the pending change out along this path, for this leaf only; {again}.", "p2m-pt.c: do_recalc"
    if end.name == "EPT violation" and end.code & int(x86.EPT_X):
        text = (
            f"gfn {end.gfn:#x} lies in a superpage leaf that is not executable: it becomes leaves of 4 KiB, which are; {again}."
        )
        return text, "hvm.c: hvm_hap_nested_page_fault"
    if ref is not None and ref.leads == "leaf":
        marked = "is marked dirty" if m.sys[0].log_dirty else "is not marked, as log-dirty is off,"
        text = f"gfn {end.gfn:#x} {marked} and its leaf becomes ram_rw, so that it may be written; {again}."
        return text, "hvm.c: hvm_hap_nested_page_fault"
    return "Nothing in this machine makes such an entry: real Xen would crash the domain.", "hvm.c: hvm_hap_nested_page_fault"


def _shadow_exit(walk: Walk) -> tuple[str, str]:
    m, guest = walk.machine, walk.guest
    assert guest
    source = "shadow/multi.c: sh_page_fault"
    if guest.kind == "fault":
        return f"sh_page_fault walks the guest's own tables, and passes the #PF on, error code {code_text(guest)}.", source
    if guest.gfn >= m.scenario.frames:
        return f"sh_page_fault walks the guest's own tables to gfn {guest.gfn:#x}, where no memory is.", source
    found = f"sh_page_fault walks the guest's own tables to gfn {guest.gfn:#x}"
    if walk.kind == x86.WRITE and shadows.stores_trapped(m, guest.gfn):
        stale = " unless the table goes out of sync (sh_unsync)" if m.sys[0].shopt & xen.SHOPT_OUT_OF_SYNC else ""
        return f"{found}, itself a table: the store is emulated{stale}.", source
    return f"{found} and fills in the shadow, gva → mfn {guest.frame:#x}; then the access is tried again.", source


def access(walk: Walk) -> str:
    """ "store to gva 0x7000 by user mode"."""
    what = f"{ACCESSES[walk.kind]} {('from', 'of', 'to')[walk.kind]} gva {walk.gva:#x}"
    return f"{what} by {'user mode' if walk.user else 'the kernel'}"
