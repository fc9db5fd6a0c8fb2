"""What makes each sentence of story/sentences.py and hypercalls.py true: the template, what is compared, and the comparison."""

import re

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE
from pagingviz.reading import shadows
from pagingviz.reading.recycling import places
from pagingviz.reading.translate import translate
from pagingviz.story.events import TYPES, WORDS, frame_text
from pagingviz.story.sentences import sentence
from tests.sentences.proofs_events import PROOFS

READ, WRITE = 1, 2


def walk(m, kind=READ):
    """The walk of the tick's access, made anew on a copy."""
    access = m.of("ACCESS")[-1]
    gva, base = int(access["gva"]), m.sim.scenario.direct_map_base
    return translate(m.m, int(access["vcpu"]), gva, kind, int(gva < base))


def filled_in(m):
    """The access now passes; a store passes exactly if the sentence says so."""
    e = m.of("FIXUP")[0]
    entry = int(e["detail"])
    mapped = entry & int(x86.P) and entry >> 12 & (1 << 40) - 1 == int(m.m.view("p2m")[int(e["gfn"])])
    return mapped and bool(entry & int(x86.RW)) == (" filled in, writable" in m.text) and m.d("shadow_fault_fixed") >= 1


def pinned_by_then(m):
    """Guest frames of the shadows that were pinned when the first one was unpinned, the one pinned longest ago first.

    In the tick itself others may have gone, and new ones have been pinned: roots, and L3 shadows of a 64-bit guest.
    """
    kinds = m.events["kind"]
    earlier = m.events[: int(np.flatnonzero(kinds == ev.CODES["PREALLOC_UNPIN"])[0])]
    gone = set(earlier["gfn"][earlier["kind"] == ev.CODES["DEMOTE"]].tolist())
    made = earlier[earlier["kind"] == ev.CODES["PROMOTE"]]
    pinned = made["gfn"][made["level"] >= 3 if m.s.guest_levels == 4 else made["level"] == 2].tolist()
    return [gfn for gfn in m.pinned[::-1] if gfn not in gone] + pinned


def victims(m):
    """The shadows that the sentence names were pinned longest ago, in its order."""
    gfns = named(m, LONGEST_AGO)
    return gfns and gfns == pinned_by_then(m)[: len(gfns)] and m.d("shadow_prealloc_1") + m.d("shadow_prealloc_2") >= 1


def unhooked(m):
    """The roots that the sentence names are those of which events say that they are unhooked, and it counts them rightly."""
    word, told = re.search(r"it unhooks the loaded (roots?) ([^;.]*)", m.text).groups()
    gfns = [int(gfn, 16) for gfn in re.findall(r"gfn (0x[0-9a-f]+)", told)]
    said = gfns and (word == "roots") == (len(gfns) > 1)
    return said and gfns == m.of("PREALLOC_UNHOOK")["gfn"].tolist()[: len(gfns)] and m.d("unhooks") >= len(gfns)


def went(m, *levels):
    """Whether the shadow that the sentence names was unpinned or unhooked, and has one of these levels."""
    rows = np.concatenate([m.of("PREALLOC_UNPIN"), m.of("PREALLOC_UNHOOK")])
    return set(rows["level"][rows["gfn"] == m.num(0)].tolist()) & set(levels)


def named(m, words):
    """The frames that the text names behind these words, up to the end of its clause."""
    clause = re.split(r"[;.]", m.text.partition(words)[2])[0]
    return [int(gfn, 16) for gfn in re.findall(r"gfn (0x[0-9a-f]+)", clause)]


LONGEST_AGO, AGAIN = "pinned longest ago, ", "needs room again, and "


def pinned_now(m):
    """Frames of tables that this tick can have pinned: their shadows were made in it, or the guest has loaded them."""
    return {int(gfn) for kind in ("PROMOTE", "CR3_LOAD") for gfn in m.of(kind)["gfn"]}


def unpinned_later(m):
    """What went when room was needed again was the rest of the pinned list, from its tail on.

    Only when nothing is left of it, roots follow that this tick has pinned, and those that are loaded.
    """
    first, later = named(m, LONGEST_AGO), named(m, AGAIN)
    left = pinned_by_then(m)[len(first) :]
    known, others = later[: len(left)], later[len(left) :]
    return known == left[: len(later)] and later != [] and set(others) <= pinned_now(m) | set(loaded(m))


def loaded(m):
    """Frames of the roots that the vCPUs have loaded, in the order of the vCPUs."""
    return [shadows.shadowed_frame(m.m, root) for root in shadows.loaded_by(m.m)]


def free_after(m, n):
    """Pages that were free after n events of the tick: those before it, less what was taken for shadows and the tree since."""
    rows = m.events[:n]
    gone, made = (xen.SH_PAGES[rows["detail"][rows["kind"] == kind].astype(np.intp)] for kind in (ev.DEMOTE, ev.PROMOTE))
    return int(m.prev.free_pages) + int(gone.sum()) - int(made.sum()) - int(np.count_nonzero(rows["kind"] == ev.TREE_ALLOC))


def first_room(m):
    """Number of events before the tick's first recycling."""
    return int(np.flatnonzero(np.isin(m.events["kind"], (ev.PREALLOC_UNPIN, ev.PREALLOC_UNHOOK)))[0])


def died_for_room(m, n):
    """Whether n shadows have died since the first one went for want of room; fewer where tables were unshadowed, too."""
    before = int(np.count_nonzero(m.events["kind"][: first_room(m)] == ev.DEMOTE))
    since = m.d("shadow_hash_deletes") - before
    return n == since or 0 < n < since and m.n("UNSHADOW", "EARLY_UNSHADOW", "BLOW") > 0


def room(m):
    """So many pages were free before the first root went, and they were too few; there were enough when something was made."""
    at = first_room(m)
    made = np.flatnonzero(np.isin(m.events["kind"][at:], (ev.PROMOTE, ev.TREE_ALLOC)))
    enough = not made.size or free_after(m, at + int(made[0])) >= m.num(0)
    return m.num(1) == free_after(m, at) < m.num(0) and (enough or m.s.crashed)


def sought(m):
    """What is told first is the first event of the kind that was looked for, of its frame if it has one, and it is true.

    A COW_BREAK is told of the new frame, and that sentence has a proof of its own.
    """
    e = m.of(m.event)[0]
    told, rest = m.text.split(" In the same tick: ")
    of_frame = "gfn {gfn}" in WORDS[m.event] and m.event != "COW_BREAK"
    return (
        (not of_frame or f"gfn {frame_text(e['gfn'])}" in told.lower())
        and bool(PROOFS[m.event][1](m, e))
        and rest == sentence(m.sim)[0]
    )


SENTENCES = (
    (
        "with nothing pinned it unhooks the loaded {} {}",
        "`unhooks`, and the events of it",
        unhooked,
    ),
    (
        "it unpins what was pinned longest ago, {}",
        "they were the last ones of the pinned list, from its end on",
        victims,
    ),
    (
        "later in this tick it needs room again, and {} must go",
        "the pinned list, in which they stood before those that had gone at first, and the loaded roots",
        unpinned_later,
    ),
    ("the L3 shadow of gfn {}", "the level of the shadow that went", lambda m: went(m, 3)),
    ("the root gfn {}", "the level of the shadow that went", lambda m: went(m, 2, 4)),
    (
        "needs {} to be free and has {}",
        "the pages that were free before and after; tests/reading/test_recycling.py holds what is asked for against the engine",
        room,
    ),
    (
        "must give pages back and has {} free",
        "no page was free, and the pool has become smaller: it gives back one page after the other",
        lambda m: m.num(0) == 0 and m.s.total_pages < m.prev.total_pages,
    ),
    (
        "The pool {}: {}. With that {} {}.",
        "`shadow_hash_deletes` but for what died before the first went, or by a command, and `shadow_prealloc_1`",
        lambda m: m.d("shadow_prealloc_1") >= 1 and died_for_room(m, m.num(2)),
    ),
    (
        "It is the first of {} such events in this tick.",
        "the events of the kind that was looked for",
        lambda m: m.num(0) == m.n(m.event) > 1,
    ),
    (
        "{}{} In the same tick: {}",
        "what is compared for an event of that kind, its frame, and the sentence of the tick without a search",
        sought,
    ),
    (
        "fork: the child gets its own tables by {}; writable pages become copy-on-write.",
        "`forks` + 1 and `pte_stores`",
        lambda m: m.d("forks") == 1 and m.num(0) == m.d("pte_stores"),
    ),
    (
        "; {} unshadowed at the second zero store",
        "`shadow_early_unshadow`",
        lambda m: m.num(0) == m.d("shadow_early_unshadow"),
    ),
    (
        "{} exits: its entries are zeroed and its frames freed{}.",
        "`exits` + 1, and `frames_freed`",
        lambda m: m.d("exits") == 1 and m.d("frames_freed") > 0,
    ),
    (
        "gets its own copy, gfn {}",
        "a frame was taken, and the version of the copy counts the store",
        lambda m: m.num(0) in m.of("FRAME_ALLOC")["gfn"] and m.m.view("ver")[m.num(0)] > 0,
    ),
    ("is the last user and may write again", "no frame was taken", lambda m: m.d("frames_allocated") == 0),
    ("Store to a copy-on-write page: the process {}.", "`cow_breaks` + 1", lambda m: m.d("cow_breaks") == 1),
    (
        "#GP(0): {} is no canonical address.",
        "bits 63 to 47 of the address differ",
        lambda m: m.num(0) >> 47 not in (0, (1 << 17) - 1) and m.d("guest_faults") == 0,
    ),
    (
        "#GP(0): an entry of the PAE table at gfn {} has a reserved bit set; CR3 keeps its value.",
        "CR3 before and after",
        lambda m: int(m.s.cr3[0]) == int(m.prev.cr3[0]) != m.num(0),
    ),
    (
        "{} touches page {} for the first time: #PF, its kernel maps gfn {}",
        "`guest_faults` + 1, the frame was free before, and the walk of the page ends there now",
        lambda m: m.d("guest_faults") >= 1 and m.num(2) in m.of("FRAME_ALLOC")["gfn"],
    ),
    (
        "and makes {} for it",
        "`frames_allocated` less the frame of the page",
        lambda m: m.num(0) == m.d("frames_allocated") - 1,
    ),
    ("; on the way {} emulated", "the emulated stores of the tick", lambda m: m.num(0) == m.n("EMULATE") >= 1),
    ("; its L1 table gfn {} goes out of sync", "`shadow_unsync`", lambda m: m.d("shadow_unsync") >= 1),
    (
        "; {} made for it first",
        "shadows put into the hash",
        lambda m: m.num(0) == m.n("PROMOTE") == m.d("shadow_hash_inserts"),
    ),
    (
        ", {}{} for the superpage at gfn {}",
        "a shadow of that type for that frame exists; it is called one of them where more were made",
        lambda m: (
            any(TYPES[int(k)] == m.groups[1].split()[-1] for k in m.m.view("ptype")[m.m.view("pkey") == m.num(2)])
            and ("one of them" in m.text) == (m.n("PROMOTE") > 1)
        ),
    ),
    (
        "; its dirty bit is set",
        "the bit of the frame that was filled in",
        lambda m: m.bit(m.of("FIXUP")[0]["gfn"]),
    ),
    (
        "{} exits: the shadow entry of gfn {} is filled in, {}{}.",
        "the entry maps the frame's machine frame, with RW as said, and `shadow_fault_fixed`",
        filled_in,
    ),
    (
        "a guess at the direct map",
        "a counter of guesses",
        lambda m: sum(m.d(f"shadow_writeable_h_{k}") for k in range(1, 7)) >= 1,
    ),
    ("the L1 shadow of the last hit", "`shadow_writeable_h_5`", lambda m: m.d("shadow_writeable_h_5") >= 1),
    ("a search of all L1 shadows", "`shadow_writeable_bf`", lambda m: m.d("shadow_writeable_bf") >= 1),
    (
        "Table gfn {} loses its writable mapping, found by {}.",
        "no shadow maps the frame writable",
        lambda m: int(shadows.frame_rights(m.m)[m.num(0)]) != shadows.WRITABLE,
    ),
    (
        "A store in user mode hits table gfn {}: no kernel would allow that, so it is no table any more",
        "the frame has no shadow, and the store was made",
        lambda m: not m.info(m.num(0)) & xen.SHADOW_FLAGS and m.m.view("ver")[m.num(0)] > 0,
    ),
    (
        "An event is being injected and its push hits table gfn {}: nothing there can be emulated",
        "the frame has no shadow",
        lambda m: not m.info(m.num(0)) & xen.SHADOW_FLAGS,
    ),
    (
        "The emulator does not know the instruction that stores to table gfn {}",
        "the frame has no shadow, and `shadow_fault_emulate_failed` + 1",
        lambda m: not m.info(m.num(0)) & xen.SHADOW_FLAGS and m.d("shadow_fault_emulate_failed") == 1,
    ),
    (
        "{}: all its shadows are removed, the access is tried again.",
        "`shadow_unshadow`, and the store was made",
        lambda m: m.d("shadow_unshadow") >= 1 and m.d("writes") == 1,
    ),
    ("; {} brought back to make room", "`shadow_resync`", lambda m: m.num(0) == m.d("shadow_resync") >= 1),
    (
        "Store to L1 table gfn {}: it goes out of sync, the guest may write to it until it loads CR3",
        "`shadow_unsync` + 1, and the frame is marked as out of sync and writable",
        lambda m: m.d("shadow_unsync") >= 1 and m.info(m.num(0)) & xen.OOS and m.info(m.num(0)) & xen.OOS_MAY_WRITE,
    ),
    (
        "; the second zero in a row: gfn {} is unshadowed early",
        "`shadow_early_unshadow` + 1, and the frame has no shadow",
        lambda m: m.d("shadow_early_unshadow") >= 1 and not m.info(m.num(0)) & xen.SHADOW_FLAGS,
    ),
    (
        "CR0.WP is 0: the kernel's store to the read-only page gfn {} is emulated, the mapping stays read-only.",
        "`shadow_fault_emulate_wp` + 1, and a store in user mode still faults",
        lambda m: m.d("shadow_fault_emulate_wp") == 1 and int(shadows.frame_rights(m.m)[m.num(0)]) != shadows.WRITABLE,
    ),
    (
        "Another store to table gfn {}, in the page of the last: emulated at once, without a guest walk{}.",
        "`shadow_fault_fast_emulate` + 1, `guest_walk` stays",
        lambda m: m.d("shadow_fault_fast_emulate") == 1 and m.d("guest_walk") == 0,
    ),
    (
        "The guest's store to its page table gfn {} is trapped and emulated{}.",
        "`shadow_fault_emulate_write` has moved",
        lambda m: m.d("shadow_fault_emulate_write") >= 1,
    ),
    (
        "first {} out of sync {} brought up to date",
        "`shadow_resync` and the tables of other vCPUs",
        lambda m: m.num(0) == m.n("RESYNC_FULL", "RESYNC_ONLY") and m.d("shadow_resync") <= m.num(0),
    ),
    (
        "CR3 = gfn {}: {}, then its root is loaded.",
        "CR3, and that the vCPU has no table out of sync",
        lambda m: (
            int(m.s.cr3[vcpu := int(m.of("CR3_LOAD")[0]["vcpu"])]) == m.num(0) and places(m.m, vcpu) == [None] * xen.OOS_PAGES
        ),
    ),
    (
        "an exit: its root is pinned at the head of the list",
        "`exits_cr3` + 1, and the first of the pinned list",
        lambda m: m.d("exits_cr3") == 1 and (m.s.guest_levels == 3 or pinned_first(m) == int(m.of("CR3_LOAD")[0]["gfn"])),
    ),
    (
        "The guest switches to {}: CR3 = gfn {}, {}.",
        "`cr3_loads` + 1, and CR3",
        lambda m: m.d("cr3_loads") == 1 and m.num(1) in [int(cr3) for cr3 in m.s.cr3[: m.s.vcpus]],
    ),
    (
        "The guest loads CR3 = gfn {}, {}.",
        "`cr3_loads` + 1, and CR3",
        lambda m: m.d("cr3_loads") == 1 and m.num(0) in [int(cr3) for cr3 in m.s.cr3[: m.s.vcpus]],
    ),
    (
        "In this tick: {}.",
        "the first event of the tick, which has no access",
        lambda m: m.events.size and not m.n("ACCESS", "CR3_LOAD"),
    ),
    (
        "the TLB knows it",
        "a hit of the TLB, and no miss",
        lambda m: m.d("tlb_miss") == 0 and m.d("tlb_l1_hit") + m.d("tlb_l2_hit") > 0,
    ),
    (
        "the hardware walks the tables",
        "`tlb_miss`, and no exit",
        lambda m: m.d("tlb_miss") >= 1 and m.d("exits_page_fault") == 0,
    ),
)


def pinned_first(m):
    """Guest frame of the first of the pinned list."""
    return shadows.shadowed_frame(m.m, int(m.s.pin_head)) if m.s.pin_head != NONE else None
