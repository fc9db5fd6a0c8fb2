"""Single events of the record in words, and the path flags that Xen's trace events carry."""

from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.sizes import LEAF_SIZES
from pagingviz.arch.words import NONE
from pagingviz.story.counting import Number

# Xen's names of shadow types (shadow/private.h: SH_type_*), by layout.SH_* code.
TYPES = dict(
    enumerate(
        (
            "free",
            "l1_32",
            "fl1_32",
            "l2_32",
            "l1_pae",
            "fl1_pae",
            "l2_pae",
            "l1_64",
            "fl1_64",
            "l2_64",
            "l2h_64",
            "l3_64",
            "l4_64",
            "p2m_table",
            "monitor_table",
            "oos_snapshot",
            "not in the pool",
            "further page",
        )
    )
)
TRACED = (
    "FIXUP",
    "NOT_SHADOW",
    "EMULATE",
    "EMULATE_UNSHADOW_USER",
    "EMULATE_UNSHADOW_EVTINJ",
    "EMULATE_UNSHADOW_UNHANDLED",
)
Sentence = tuple[str, str]  # a sentence, and the function or chapter that its rule comes from
_LOW = (1 << int(xen.FLAGS_SHIFT)) - 1


def first_of(events: np.ndarray, *kinds: str) -> Any:
    """The first event of any of the kinds, in the order asked for, or None. events: EVENT_DTYPE[n]."""
    for kind in kinds:
        found = events[events["kind"] == ev.CODES[kind]]
        if found.size:
            return found[0]
    return None


def count_of(events: np.ndarray, kind: str) -> int:
    """How many of the events are of that kind. events: EVENT_DTYPE[n]."""
    return int(np.count_nonzero(events["kind"] == ev.CODES[kind]))


def frame_text(x: int) -> str:
    """A frame number, or "none"."""
    return f"{int(x):#x}" if x != NONE else "none"


def path_flags(e: np.void) -> str:
    """Names of the path flags of a trace event (private.h: TRCE_SFLAG_*), "" when it has none: "PROMOTE|WRMAP"."""
    if ev.NAMES[int(e["kind"])] not in TRACED:
        return ""
    return xen.flag_names(int(e["level"]) >> int(xen.FLAGS_SHIFT))


WORDS = {
    "ACCESS": "the guest's access",
    "TLB_MISS": "the TLB has no translation for it",
    "GUEST_WALK": "the hypervisor walks the guest's tables",
    "AD_UPDATE": "accessed/dirty bits are set in table gfn {gfn}, level {level}",
    "PREFETCH": "{detail:neighbouring entry|neighbouring entries} {detail:~is|are} shadowed ahead",
    "REFERENCE": "a walk reads an entry of a table: {detail:#x}",
    "NONE": "nothing",
    "GUEST_PF": "page fault delivered to the guest, error code {detail:#x}",
    "PTE_STORE": "the kernel has stored entry {level} of table gfn {gfn}",
    "CR3_LOAD": "CR3 = gfn {gfn}",
    "INVLPG": "INVLPG",
    "FORK": "fork begins: the child's tables are to be filled",
    "EXIT": "the process has ended: its tables are freed",
    "FRAME_ALLOC": "the guest kernel takes frame gfn {gfn}",
    "FRAME_FREE": "the guest kernel frees frame gfn {gfn}",
    "COW_BREAK": "a store has met copy-on-write page gfn {gfn}: the process is to have a page of its own",
    "SHADOW_FAULT": "page fault exits to the hypervisor",
    "FIXUP": "shadow entry written for gfn {gfn}",
    "NOT_SHADOW": "a real guest fault: not the shadow's business",
    "EMULATE": "the store to table gfn {gfn}, entry {level}, has been emulated",
    "EMULATE_UNSHADOW_USER": "a user store to table gfn {gfn}: it is no table any more",
    "EMULATE_UNSHADOW_EVTINJ": "an event being injected stores to table gfn {gfn}: its shadows are removed",
    "EMULATE_UNSHADOW_UNHANDLED": "the emulator cannot do the store to table gfn {gfn}: its shadows are removed",
    "UNSYNC": "table gfn {gfn} goes out of sync",
    "RESYNC_FULL": "table gfn {gfn} is brought back into sync",
    "RESYNC_ONLY": "the shadow of table gfn {gfn} is to be brought up to date, the table stays out of sync",
    "GP": "#GP(0) delivered to the guest",
    "EARLY_UNSHADOW": "second zero store in a row: table gfn {gfn} is to be unshadowed early",
    "UNSHADOW": "all shadows of gfn {gfn} are to be removed",
    "PROMOTE": "gfn {gfn} gets a {shadow} shadow, page {mfn}",
    "DEMOTE": "the {shadow} shadow of gfn {gfn}, page {mfn}, is destroyed",
    "WRMAP": "write access to gfn {gfn} is removed",
    "WRMAP_BF": "all L1 shadows are searched for writers of gfn {gfn}",
    "PREALLOC_UNPIN": "with {detail:page|pages} free, too few, the shadow of gfn {gfn} is to be unpinned",
    "PREALLOC_UNHOOK": "with {detail:page|pages} free, too few, the loaded root gfn {gfn} is to be unhooked",
    "VALIDATE": "table gfn {gfn} has its new entry, and the shadow of it, page {mfn}, has followed",
    "DOMF_DYING": "the domain crashes",
    "MMU_UPDATE": "hypercall: an entry of table gfn {gfn} has become {detail:#x}",
    "PTWR": "the store to L1 table gfn {gfn} has been carried out for the guest",
    "PIN": "table gfn {gfn}, level {level}: pinned {detail}",
    "REFUSED": "a hypercall is refused: {detail:#x} is not allowed there",
    "GRANT_UNMAP": "another domain gives up its writable mapping of gfn {gfn}",
    "EPT_MISCONFIG": "EPT misconfiguration at gfn {gfn}: {detail:entry|entries} recomputed",
    "EPT_VIOLATION": "EPT violation at gfn {gfn}: {how}",
    "NPF_RECALC": "NPF at gfn {gfn}: {detail:pending change|pending changes} carried out",
    "HVM_NPF": "NPF: store to gfn {gfn}, guest-physical address {detail:#x}",
    "P2M_SPLIT": "the {size} leaf at gfn {gfn} is split: {detail:page|pages} of the pool",
    "PML_FULL": "page-modification log full: {detail:address is|addresses are} to be marked",
    "PML_FLUSH": "a page-modification log with {detail:address|addresses} has been emptied",
    "PML_LOG": "the processor logs gfn {gfn} in slot {detail}",
    "INVEPT": "INVEPT: no TLB knows the guest's translations any more",
    "P2M_SHATTER": "the {size} leaf at gfn {gfn} is not executable, and is split for a fetch: {detail:page|pages} of the pool",
    "MARK_DIRTY": "the dirty bit of gfn {gfn} has been set: {mark}",
    "TREE_ALLOC": "the bitmap's tree grows by a level-{level} page",
    "ENABLE": "log-dirty on",
    "PEEK": "PEEK",
    "CLEAN": "CLEAN",
    "OFF": "log-dirty off",
    "BLOW": "shadow_blow_tables",
    "SET_ALLOCATION": "the pool is asked for {detail:page|pages}",
    "TLB_FLUSH": "TLB flush",
    "IGNORED": "refused: nothing changes",
    "NO_MEMORY": "fails: for some bit no page of the tree could be had",
    "REVOKE": "no frame is mapped writable any more: {detail:entry was|entries were} looked at",
    "MODIFIED_MEMORY": "the device model tells of {detail:frame|frames} written from gfn {gfn} on",
    "ROUND": "round {level} of the migration begins: {detail:page|pages}",
    "SUSPEND": "the guest is suspended",
    "RESUME": "the guest goes on",
}

MARKED_BY = dict(
    enumerate(
        (  # by layout.MK_*: who set a bit
            "nobody",
            "a store of the guest",
            "accessed/dirty bits of the table in it",
            "an emulated store",
            "the hypervisor's own write",
            "the processor's log",
            "the device model",
        )
    )
)


def event_text(e: np.void) -> str:
    """One event in words."""
    kind = ev.NAMES[int(e["kind"])]
    text = WORDS[kind].format(
        gfn=frame_text(e["gfn"]),
        mfn=frame_text(e["mfn"]),
        level=int(e["level"]) & _LOW,
        detail=Number(int(e["detail"])),
        shadow=TYPES.get(int(e["detail"]), ""),
        mark=MARKED_BY.get(int(e["level"]), ""),
        size=LEAF_SIZES.get(int(e["level"]), ""),
        how="fetch" if int(e["level"]) & int(x86.EPT_X) else "store",
    )
    return f"{text} ({path_flags(e)})" if path_flags(e) else text
