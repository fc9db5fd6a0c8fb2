"""What makes each sentence of story/nested_exits.py true: the template, what is compared, and the comparison of a Moment."""

from pagingviz.arch import events as ev
from pagingviz.arch import x86, xen
from pagingviz.arch.sizes import LEAF_SIZES
from pagingviz.reading import nested
from tests.sentences.proofs_commands import root_pending
from tests.sentences.proofs_story import WRITE, walk


def may_write(m, kind):
    """Whether the leaf that the first exit of a kind was for may be written now."""
    return bool(nested.writable(m.leaf(m.of(kind)[0]["gfn"]).entry))


def executable(m, size):
    """Whether the first, a middle and the last frame of the leaf that was split have leaves of 4 KiB that may be executed."""
    e = m.of("P2M_SHATTER")[0]
    first, frames = int(e["gfn"]), 512 ** (int(e["level"]) - 1)
    steps = [m.leaf(gfn) for gfn in (first, first + frames // 2, first + frames - 1)]
    return frames == size and all(step.level == 1 and step.entry & x86.EPT_X for step in steps)


def fetched(m):
    """The leaf of the size that is named led to the frame, and the frame has a smaller one now; no frame counts as written."""
    e = m.of("P2M_SHATTER")[0]
    return m.d("p2m_shatter") == 1 and LEAF_SIZES[int(e["level"])] in m.text and m.leaf(m.num(0)).level == 1


NESTED_EXITS = (
    (
        "The guest hangs: its store needs a leaf split, and the pool lacks the pages; it is repeated for ever.",
        "the domain's state is `hung`, and the pool has no free page",
        lambda m: m.s.crashed == xen.HUNG and m.s.free_pages == 0,
    ),
    (
        "Xen crashes the domain: its fetch needs a superpage split, and the pool lacks the pages.",
        "the domain's state, and that the pool has fewer pages than the split of a 2 MiB leaf takes",
        lambda m: m.s.crashed == xen.NOT_SHATTERED and m.s.free_pages == 0 and m.s.last_tick[int(ev.DOMF_DYING)] > 0,
    ),
    ("512 executable leaves of 4 KiB", "the leaves of the first, a middle and the last frame", lambda m: executable(m, 512)),
    (
        "262,144 executable leaves of 4 KiB, {} of the pool at once",
        "`p2m_pages`, and the leaves of the first, a middle and the last frame",
        lambda m: executable(m, 512 * 512) and m.num(0) == m.d("p2m_pages") - m.n("TREE_ALLOC"),
    ),
    (
        "Instruction fetch at gfn {}, in a {} leaf that is not executable: exit, it becomes {}",
        "`p2m_shatter` + 1, the size of the leaf, and that the frame's leaf is one of 4 KiB",
        fetched,
    ),
    (
        "{}; nothing is marked dirty.",
        "`pages_marked`, less the frames of the guest's tables",
        lambda m: (
            m.d("pages_marked")
            == int((m.of("MARK_DIRTY")["gfn"] < m.s.zone).sum())
            == m.d("ept_violation") - m.d("p2m_shatter")
        ),
    ),
    ("bit number {} is set", "the bit, and that log-dirty is on", lambda m: m.s.log_dirty == 1 and m.bit(m.num(0))),
    (
        "log-dirty is off, so no bit is set",
        "log-dirty is off, and `pages_marked` stays",
        lambda m: m.s.log_dirty == 0 and m.d("pages_marked") == 0,
    ),
    (
        "{} would set another D bit, and the log of its vCPU is full: exit, its {} marked",
        "`pml_full` + 1, and the log has only what came since",
        lambda m: m.d("pml_full") == 1 and m.num(1) == 512 and m.d("pages_marked") == 512,
    ),
    (
        "{}; the store itself has not happened yet, and is tried again.",
        "the exit stands before the store, which is made within the tick",
        lambda m: m.d("writes") == 1 and walk(m, WRITE).end.kind == "frame",
    ),
    (
        " (and {} for the A/D bits)",
        "`ept_violation`, less the one of the access",
        lambda m: m.num(0) == m.d("ept_violation") - 1,
    ),
    (
        "{} hits a read-only EPT leaf: exit, {}, the leaf is writable again",
        "`ept_violation`, and the leaf's right to write",
        lambda m: m.d("ept_violation") >= 1 and may_write(m, "EPT_VIOLATION"),
    ),
    (
        "{} meets a poisoned EPT entry: the mark is pushed down, {} recomputed.",
        "`ept_misconfig`, and that no mark is left on the way",
        lambda m: m.d("ept_misconfig") >= 1 and not nested.waiting(m.m, nested.path(m.m, int(m.of("EPT_MISCONFIG")[0]["gfn"]))),
    ),
    (
        "; {} so far, as reading a guest table counts as a store to it",
        "`npf_write`",
        lambda m: m.num(0) == m.d("npf_write") > 1,
    ),
    (", after {} for pending changes", "`npf_recalc`", lambda m: m.num(0) == m.d("npf_recalc") >= 1),
    (
        "{} hits a read-only NPT leaf: NPF, {}, the leaf is writable again",
        "`npf_write`, and the leaf's right to write",
        lambda m: m.d("npf_write") >= 1 and may_write(m, "HVM_NPF"),
    ),
    (
        "{} meets an NPT entry without its US bit: NPF, {}, of the leaves only this one.",
        "`npf_recalc`, and that no mark is left on the way",
        lambda m: m.d("npf_recalc") >= 1 and not nested.waiting(m.m, nested.path(m.m, int(m.of("NPF_RECALC")[0]["gfn"]))),
    ),
    ("; the 2 MiB leaf is split", "`p2m_split` + 1", lambda m: m.d("p2m_split") >= 1),
    ("into 4 KiB leaves, all of it", "`p2m_pages` + 513", lambda m: m.d("p2m_pages") >= 513),
    ("on the way to this frame", "`p2m_split` + 2", lambda m: m.d("p2m_split") == 2),
    (
        "; the 1 GiB leaf is split {}: {} of the pool",
        "`p2m_pages` (the bitmap's tree takes four more)",
        lambda m: m.num(1) == m.d("p2m_pages") - m.n("TREE_ALLOC"),
    ),
    (
        ", and the pool lacks a page for each vCPU's log, so stores are caught by write protection",
        "no log has a page, the pool has fewer than it would need, and the processor sets no D",
        lambda m: nested.log_pages(m.m).size == 0 and m.s.free_pages < m.s.vcpus and m.s.ept_ad == 0,
    ),
    (
        ", and each vCPU's log takes a page of the pool",
        "the pages of the logs, and `p2m_pages`",
        lambda m: len(set(nested.log_pages(m.m).tolist())) == m.s.vcpus == m.d("p2m_pages"),
    ),
    (
        "CLEAN with log-dirty off: dirty_count, {}, is read and zeroed, and {}",
        "log-dirty is off, `dirty_count` before and after",
        lambda m: m.s.log_dirty == m.s.dirty_count == 0 and m.num(0) == m.prev.dirty_count,
    ),
    (
        "; all types become ram_logdirty although nothing is marked, until log-dirty is switched on and off",
        "what a pending change makes of a frame, that every root entry has one, and that no bitmap is kept",
        lambda m: m.s.global_logdirty == 1 and m.s.log_dirty == 0 and root_pending(m)[0] == root_pending(m)[1] > 0,
    ),
)
