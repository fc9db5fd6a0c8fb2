"""What makes each sentence of story/hypercalls.py true: the template, what is compared, and the comparison of a Moment."""

from pagingviz.arch import xen
from pagingviz.reading import shadows

HYPERCALLS = (
    (
        "table gfn {} is no longer pinned: without another use it is no table any more",
        "the pin is gone, and the type is that of its uses",
        lambda m: not m.info(m.num(0)) & xen.PGT_PINNED,
    ),
    (
        "table gfn {} and all below it are validated and pinned",
        "the pin, and a type count above 0",
        lambda m: m.info(m.num(0)) & xen.PGT_PINNED and m.info(m.num(0)) & xen.TYPECOUNT,
    ),
    (
        "Another domain gives up its writable mapping of gfn {}: {}.",
        "the mark of the grant is gone",
        lambda m: not m.info(m.num(0)) & xen.GRANTED,
    ),
    ("now its dirty bit is set", "the bit", lambda m: m.bit(m.of("GRANT_UNMAP")[0]["gfn"])),
    ("log-dirty is off, so no bit is set", "log-dirty is off", lambda m: m.s.log_dirty == 0),
    (
        "The hypercall is refused: the entry would give the guest a table to write, or a frame that is not its own.",
        "`refused` + 1, and no entry was stored",
        lambda m: m.d("refused") == 1 and m.n("MMU_UPDATE", "PTWR") == 0,
    ),
    (
        "; its shadow follows",
        "shadows are in use, and an entry of one was written",
        lambda m: shadows.in_use(m.m) and m.n("VALIDATE") >= 1,
    ),
    (
        "Store to L1 table gfn {}, which is mapped read-only: validated and carried out by the hypervisor{}.",
        "`ptwr_emulations` + 1, and the frame has the type of an L1 table",
        lambda m: m.d("ptwr_emulations") >= 1 and (m.info(m.num(0)) & xen.PGT_TYPE) >> xen.PGT_SHIFT == xen.PGT_L1,
    ),
    (
        "Hypercall: an entry of table gfn {} is validated and stored{}.",
        "`num_page_updates` or `calls_to_update_va`",
        lambda m: m.d("num_page_updates") + m.d("calls_to_update_va") >= 1,
    ),
    (
        "Hypercall: the guest loads gfn {} as its root (NEW_BASEPTR).",
        "`calls_to_mmuext_op` + 1, and the kernel's root",
        lambda m: m.d("calls_to_mmuext_op") == 1 and m.num(0) == int(m.s.kroot[0]),
    ),
    (
        "The guest switches to {} by two operations of a hypercall: NEW_BASEPTR loads gfn {} as its kernel's root",
        "`calls_to_mmuext_op` + 2, and the kernel's root",
        lambda m: m.d("calls_to_mmuext_op") == 2 and m.num(1) == int(m.s.kroot[0]),
    ),
    (
        "{}, NEW_USER_BASEPTR names gfn {} as the root of its user mode.",
        "the root of user mode",
        lambda m: m.num(1) == int(m.s.uroot[0]),
    ),
)
