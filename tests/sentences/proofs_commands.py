"""What makes the sentences about commands and ends (story/sentences.py) true: template, what is compared, comparison."""

import re

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch.words import NONE
from pagingviz.reading import nested, shadows

BEGINS = {  # how the sentence about a command begins
    "enable": "(?:Log-dirty on: |ENABLE is refused here )",
    "peek": "PEEK(?: with log-dirty off)?: ",
    "clean": "CLEAN(?: with log-dirty off)?: ",
    "off": "(?:Log-dirty off: |OFF with log-dirty off: )",
    "blow": "All shadows are blown away: ",
    "pool": "The (?:shadow|HAP) pool is ",
    "flush": "The TLB is flushed",
    "dm": "A device has written ",
}


def given(m):
    """The commands of the scenario and of the viewer at this tick, in their order."""
    return [command for command in m.sim.journal if command.tick == m.sim.tick]


def in_their_order(m):
    """Every command that was given is told, one sentence each: the last one first, then the others as they were given.

    A CLEAN that comes at regular intervals comes before all that was given.
    """
    names = [command.name for command in given(m)]
    *before, last = ["clean"] * (m.d("cleans") - names.count("clean")) + names
    text, earlier = m.text.split(" Before that, in the same tick: ")
    told = text.rpartition(" In the same tick: ")[2]  # behind what was looked for
    several = " ".join(BEGINS[name] + r"[^.]*\." for name in before)
    return bool(before and re.fullmatch(BEGINS[last] + r"[^.]*\.", told) and re.fullmatch(several, earlier))


def least_pool(m):
    """The least size of a shadow pool: for each vCPU 128 pages; one for each MiB, seven at least, or what the p2m uses.

    0 in a scenario without this floor. Source: Xen shadow/common.c: shadow_min_acceptable_pages, sh_min_allocation.
    """
    of_ram = m.sim.scenario.frames // 256
    if not m.road().paravirtual:
        of_ram = max(of_ram, 6) + 1
    return m.sim.scenario.floor and 128 * m.sim.scenario.vcpus + max(of_ram, int(m.s.p2m_pages))


def no_smaller(m):
    """The pool has its least size, or every page of it is in use and nothing is left to recycle."""
    return shadows.pool_size(m.m) == least_pool(m) or (m.s.free_pages == 0 and m.s.pin_head == NONE)


def only_empty_roots(m):
    """Whether the loaded roots are the only shadows, and empty."""
    roots = set(shadows.loaded_by(m.m))
    return set(m.live()) <= roots and all(shadows.present_entries(m.m, root) == 0 for root in roots)


def root_pending(m):
    """How many entries of the nested root there are, and how many of them are marked."""
    _, there, waiting = nested.counts(m.m)[4]
    return there, waiting


def refilled(m):
    """How many frames are mapped writable."""
    return int(np.count_nonzero(shadows.frame_rights(m.m) == shadows.WRITABLE))


def no_unseen_store(m):
    """No store passes without an exit or an entry in a log."""
    if m.road().nested:
        there, waiting = root_pending(m)
        return there == waiting
    return refilled(m) == 0


ENDS = (
    (
        "The domain has crashed: no page could be had for a shadow.",
        "the domain's state is `crashed`, and there was an event DOMF_DYING",
        lambda m: m.s.crashed == 1 and m.s.last_tick[int(ev.DOMF_DYING)] > 0,
    ),
    (
        "The guest's kernel has stopped: it is out of frames, or a page fault makes no sense to it.",
        "the domain's state is that of a bug of the guest, and no page of the pool was asked for",
        lambda m: m.s.crashed == 2 and m.d("shadow_alloc") == 0,
    ),
    (
        "The guest is idle.",
        "no access was made",
        lambda m: all(m.d(name) == 0 for name in ("fetches", "reads", "writes", "exits_page_fault")),
    ),
)
COMMANDS = (
    (
        "{} Before that, in the same tick: {}",
        "the commands that were given at this tick, and `cleans`: one sentence for each, the last one first",
        in_their_order,
    ),
    (
        "The {} is asked for {}.",
        "the size in a command of this tick that is not the last one",
        lambda m: m.num(1) in [command.arg for command in given(m)[:-1] if command.name == "pool"],
    ),
    (
        "{} fails (-ENOMEM): for some bit no page of the tree could be had, so it is lost, and Xen says so.",
        "`no_memory` + 1, `failed_allocs` > 0, `cleans` and `peeks` stay",
        lambda m: m.d("no_memory") == 1 and m.s.failed_allocs > 0 and m.d("cleans") == m.d("peeks") == 0,
    ),
    (
        "first {} marked in the bitmap, then ",
        "the entries that the logs had before the tick, and no log has one now",
        lambda m: m.num(0) == m.waiting() + m.d("pml_logged") and m.waiting(now=True) == 0,
    ),
    (
        "all shadows are blown away ({} freed)",
        "only the loaded roots are left as shadows, empty, and so many pages became free",
        lambda m: m.n("OFF") or (only_empty_roots(m) and m.d("blows") >= 1 and m.num(0) <= int(m.s.free_pages)),
    ),
    (
        "the {} root is poisoned again",
        "every present entry of the root is marked",
        lambda m: root_pending(m)[0] == root_pending(m)[1] > 0,
    ),
    (
        "in all L1 shadows {} searched for, {} looked at",
        "`frames_revoked` and `entries_searched`",
        lambda m: m.num(0) == m.d("frames_revoked") and m.num(1) <= m.d("entries_searched") and refilled(m) == 0,
    ),
    (
        "CLEAN: {} read and cleared, and {}.",
        "`dirty_count` before and the bits set in the tick; none is left",
        lambda m: m.num(0) == int(m.prev.dirty_count) + m.d("pages_marked") and not m.m.dirty_bits().any(),
    ),
    (
        "CLEAN: {}{} read and cleared, and {}.",
        "`dirty_count` before and the bits set in the tick; none is left",
        lambda m: (
            m.num(1) == int(m.prev.dirty_count) + m.d("pages_marked") and m.s.dirty_count == 0 and not m.m.dirty_bits().any()
        ),
    ),
    (
        "Log-dirty on: shadow paging begins{}; CR3 now points to a shadow of the root.",
        "shadows are in use, with a root loaded",
        lambda m: shadows.in_use(m.m) and bool(shadows.loaded_by(m.m)),
    ),
    (
        "Log-dirty off: shadow paging ends, its pool goes back{}, and CR3 points to the guest's own table again.",
        "the pool is free, and no root of a shadow is loaded",
        lambda m: not shadows.in_use(m.m) and m.s.total_pages == m.s.free_pages and not shadows.loaded_by(m.m),
    ),
    (
        " but for {} of the bitmap's tree",
        "the pages that the pool has still, no more than the tree had",
        lambda m: m.num(0) == m.s.total_pages <= m.prev.p2m_pages,
    ),
    (
        "all shadows are blown away and CR3 is reloaded",
        "only the loaded roots are left as shadows, empty",
        only_empty_roots,
    ),
    (
        "{} root entry of {} is poisoned, whatever the size of RAM",
        "the entries of the root that are marked",
        lambda m: root_pending(m) == (1, 1) and m.num(0) == 1,
    ),
    (
        "{} root entries of {} are poisoned, one for each 512 GiB",
        "the entries of the root that are marked, and the size of RAM",
        lambda m: root_pending(m) == (m.num(0),) * 2 and m.num(0) == -(-m.sim.scenario.frames >> 27),
    ),
    (
        "Log-dirty on: {}{}; nothing can be written unseen.",
        "log-dirty is on, and every entry of the nested root is marked, or no shadow entry is writable",
        lambda m: m.s.log_dirty == 1 and no_unseen_store(m),
    ),
    (
        "{} with log-dirty off: nothing changes{}.",
        "log-dirty, `dirty_count`, the pool and the nested root before and after",
        lambda m: (
            m.s.log_dirty == m.prev.log_dirty == 0
            and all(m.d(name) == 0 for name in ("dirty_count", "free_pages", "p2m_pages", "blows", "invept", "global_logdirty"))
        ),
    ),
    (
        "; dirty_count, {}, is left over",
        "`dirty_count`, while there is no tree of a bitmap",
        lambda m: m.num(0) == m.s.dirty_count > 0 and m.s.tree_root == NONE,
    ),
    (
        "Log-dirty off: the bitmap's tree goes back to the pool.",
        "log-dirty is off, and the tree has no root",
        lambda m: m.s.log_dirty == 0 and m.s.tree_root == NONE,
    ),
    (
        "PEEK: {}{} read; none is cleared.",
        "`dirty_count` after the tick, and that no bit went",
        lambda m: m.num(1) == int(m.s.dirty_count) >= int(m.prev.dirty_count) and m.d("peeks") == 1,
    ),
    (
        "All shadows are blown away: {} freed; loaded roots stay, empty and unpinned.",
        "the loaded roots are the only shadows, empty, and the pinned list is empty",
        lambda m: only_empty_roots(m) and m.s.pin_head == NONE and m.num(0) <= int(m.s.free_pages),
    ),
    ("no bitmap was kept then", "log-dirty is off", lambda m: m.s.log_dirty == 0),
    (
        "its bit is set",
        "the bit of the frame",
        lambda m: m.bit(m.of("MODIFIED_MEMORY")[0]["gfn"]),
    ),
    (", with a pool of {}", "the pool's size", lambda m: m.num(0) == shadows.pool_size(m.m)),
    (": log-dirty is on already", "log-dirty is on, before and after", lambda m: m.s.log_dirty == m.prev.log_dirty == 1),
    (
        "it cannot have fewer",
        "the pool has Xen's least size",
        lambda m: shadows.pool_size(m.m) > given(m)[-1].arg and no_smaller(m),
    ),
    (
        "their bits are set",
        "the bits of all these frames",
        lambda m: all(
            m.bit(gfn) for e in m.of("MODIFIED_MEMORY")[:1] for gfn in range(int(e["gfn"]), int(e["gfn"]) + int(e["detail"]))
        ),
    ),
    ("nobody keeps a bitmap", "the road has no hypervisor", lambda m: not m.road().hypervisor),
    ("{} frames from gfn {} on", "`device_writes`", lambda m: m.num(0) == m.d("device_writes")),
    ("A device has written {}: {}.", "`device_writes` has moved", lambda m: m.d("device_writes") > 0),
    (
        "The {} is set to {}.",
        "the size of the pool, and whose it is",
        lambda m: m.num(1) == shadows.pool_size(m.m) and ("HAP" in m.text) == m.road().nested,
    ),
    (
        "The {} is to have {} and has {}: {}.",
        "the size of the pool",
        lambda m: m.num(2) == shadows.pool_size(m.m) != m.num(1),
    ),
    ("only free pages can be taken away", "no page of the pool is free", lambda m: m.s.free_pages == 0),
    (
        "it is as large as it can be in this machine",
        "the largest pool that the machine has room for",
        lambda m: shadows.pool_size(m.m) == m.s.pool_cap,
    ),
    ("The TLB is flushed.", "`tlb_flush` has moved", lambda m: m.d("tlb_flush") >= 1),
    ("{} is refused here and changes nothing{}.", "`ignored` + 1", lambda m: m.d("ignored") == 1),
)
