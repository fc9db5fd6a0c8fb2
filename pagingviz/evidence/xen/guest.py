"""The recordings' guest (evidence/recordings/README.md): a bare-metal program that obeys commands and loops in between.

It is given to the engine as raw rows (code, va, value, size): what each instruction fetches, reads and stores, in the
order the real one does it. Everything is identity-mapped, so va = gfn * 4096. What follows was read off the recordings'
instruction pointers: command 3 of the 64-bit build stores the second L2 entry twice; a PAE entry is two 4-byte stores,
the first one high half first; the PAE build has no commands 11 and 12, and its command 8 reloads CR3 only (its guest_count
says so). FETCH rows stand before the data access of the same instruction, never between the two halves of a PAE store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from pagingviz.arch import x86
from pagingviz.evidence.xen.script import Step
from pagingviz.work.raw_guest import CODES
from pagingviz.work.work import Shown

FETCH, READ, WRITE, STORE, CR3, INVLPG, XEN_WRITE, NOP, CR = (  # codes of a RawWork program
    CODES[name] for name in ("fetch", "read", "write", "store", "cr3", "invlpg", "xen_write", "nop", "cr")
)
FRAMES = 8192  # 32 MiB; Xen adds 16 special pages high up that the guest never touches
SPECIAL = 16
REGION, PAGES = 0x1000, 1024
ALIAS, ALIAS_WORDS, ALIAS_VA = 0x1400, 8, 128 << 20
P_RW_A_D, TABLE, BIG = 0x63, 0x67, 0xE7  # flags as the recordings show them (gl1e)
RW, ACCESSED_DIRTY, BIT_9 = 0x2, 0x60, 0x200
Row = tuple[int, ...]  # code, va, value, size, and of another vCPU than 0 also user and vcpu
Word = Callable[[int, int], int]  # (table frame, index) -> the 8-byte entry in the guest's memory now


@dataclass(frozen=True)
class Layout:
    """Frame numbers of one kind of guest. `l2` is the first of four; `root` what CR3 points to."""

    levels: int
    l1: int
    l2: int
    root: int
    hypercall: int
    stack: int
    split: tuple[int, ...]  # the two L1 tables of command 3; none in a PV guest
    status: int
    control: int
    l3: int = 0


LAYOUTS = {
    "hvm64": Layout(4, 0x107, 0x108, 0x10D, 0x111, 0x119, (0x11C, 0x11D), 0x11E, 0x11F, l3=0x10C),
    "pae": Layout(3, 0x106, 0x107, 0x10B, 0x110, 0x117, (0x11A, 0x11B), 0x11C, 0x11D),
}
NOT_BUILT = {"hvm64": (), "pae": (11, 12)}
DISPATCH = 0x105  # read once at the start of every command (recorded on the HAP road: one NPF more than its other pages give)
OWN_ENTRIES = range(0x100, 0x120)  # of the first L1 table: what the program uses
UPPER_ENTRIES = range(16)  # of the first L2 table
OWN = range(0x100, 0x106)  # the program's own pages; stack, status, control and hypercall page come on top


@dataclass
class Guest:
    """The program of one kind. `loop` is the page its idle loop lies in: 0x103, or 0x104 in the rebuilt program."""

    kind: str
    loop: int = 0x103
    rows: list[Row] = field(default_factory=list)

    dispatch, region = DISPATCH, REGION
    cr = int(x86.CR_WP | x86.CR_PSE)  # CR bits
    # 2 MiB chunks that have 4 KiB leaves on the hap road once this program runs. Recorded of the first program: a new domain of
    # 32 MiB has 18 pages of its pool in use, with the second program 17, in which the first chunk is one leaf.
    small_chunks: ClassVar[tuple[int, ...]] = (0,)

    def __post_init__(self) -> None:
        self.at = LAYOUTS[self.kind]
        self.low = 0x103  # command 3, command 5 and the end of every command
        self.high = 0x104 if self.at.levels == 4 else 0x103  # the other commands

    @property
    def where(self) -> str:
        """What is searched of how it was built, in words."""
        return f"the idle loop lies in page {self.loop:#x}"

    # ---- memory

    def tables(self, count: int = 0) -> dict[int, dict[int, int]]:
        """Guest tables at the start, {frame: {index: entry}}, and `count` alias tables, empty."""
        at = self.at
        tables = {at.l1: {i: i << 12 | P_RW_A_D for i in range(512)}}
        for quarter in range(4):
            first = 512 * quarter
            tables[at.l2 + quarter] = {i: (first + i) << 21 | BIG for i in range(512)}
        tables[at.l2][0] = at.l1 << 12 | TABLE
        upper = {i: (at.l2 + i) << 12 | (TABLE if at.levels == 4 else 1) for i in range(4)}
        tables[at.l3 or at.root] = upper
        if at.l3:
            tables[at.root] = {0: at.l3 << 12 | TABLE}
        return tables | {frame: {} for frame in (*at.split, *range(ALIAS, ALIAS + count))}

    def zone(self, aliases: int) -> int:
        """Frames with contents, `aliases` alias tables among them."""
        return ALIAS + aliases if aliases else 8 * (max(self.at.split) // 8 + 1)

    def shown(self, aliases: int) -> tuple[Shown, ...]:
        """What the map of guest tables shows of it."""
        at = self.at
        top = [Shown(f"L4 {at.root:x}", 4, at.root, 0, (0,))] if at.levels == 4 else []
        upper = tuple(UPPER_ENTRIES) + tuple(range(64, min(64 + aliases, 512)))
        return (
            *top,
            Shown(f"L3 {at.l3 or at.root:x}", 3, at.l3 or at.root, 0, (0, 1, 2, 3)),
            Shown(f"L2 {at.l2:x}", 2, at.l2, 0, upper),
            Shown(f"L1 {at.l1:x}", 1, at.l1, 0, tuple(OWN_ENTRIES)),
            *(Shown(f"L1 {table:x}", 1, table, REGION + 512 * half, tuple(range(512))) for half, table in enumerate(at.split)),
            *(
                Shown(f"L1 {ALIAS + i:x}", 1, ALIAS + i, (ALIAS_VA >> 12) + 512 * i, tuple(range(ALIAS_WORDS)))
                for i in range(aliases)
            ),
        )

    def own(self, gfn: int) -> bool:
        """Is this one of the pages whose addresses are compared by page only (code, stack, status, control)?"""
        at = self.at
        return gfn in OWN or gfn in (at.hypercall, at.stack, at.status, at.control)

    def level_of(self, gfn: int) -> int:
        """Level of the guest's table in frame `gfn`, of those that stand at the start; 0 for any other frame."""
        at = self.at
        upper = {at.root: at.levels, at.l3: 3} if at.levels == 4 else {at.root: 3}
        return {at.l1: 1, **dict.fromkeys(at.split, 1), **dict.fromkeys(range(at.l2, at.l2 + 4), 2), **upper}.get(gfn, 0)

    # ---- what it does

    def boot(self) -> list[Row]:
        """From the entry with paging off to the idle loop: paging on, the region numbered page by page."""
        at = self.at
        self._fetch(0x100)
        self._row(CR, 0, int(x86.CR_WP | x86.CR_PSE | x86.CR_PG))
        self._fetch(0x100)
        self._touch(WRITE, at.stack)
        if at.levels == 3:  # its first L1 was out of sync before any CR3 load (recorded: RESYNC_FULL 0x106)
            self._entry(at.l1, 0, P_RW_A_D)
        for page in range(REGION, REGION + PAGES):
            self._touch(WRITE, page)
        return self._take()

    def idle(self, place: str = "top") -> list[Row]:
        """Once round the idle loop and into the hypercall page, from `top`, or from where an operation found it:
        in the loop (`loop`: waiting, its counter is on the stack) or behind the yield in the hypercall page (`yield`)."""
        at = self.at
        if place == "top":
            self.rows += self.look()
        if place != "yield":
            self._fetch(self.loop)
            self._touch(READ, at.stack)
            self._touch(WRITE, at.stack)
        for again in (False, True):
            self._fetch(at.hypercall)
            self._touch(READ, at.stack)  # the return pops
            self._fetch(self.loop)
            self._touch(READ, at.control)
            if not again:
                self._touch(WRITE, at.stack)
        return self._take()

    def look(self) -> list[Row]:
        """A look into the control page, from where it takes up a command if there is one."""
        self._fetch(self.loop)
        self._touch(READ, self.at.control)
        return self._take()

    def resume(self, place: str) -> list[Row]:
        """From where an operation found it, as in idle, up to where it takes up a command."""
        return self.idle(place)

    def visits(self, pages: int) -> list[Row]:
        """The work of the recorded pre-copy loops, once over `pages` pages of the region: store to one, wait, to the next.

        It waits as the idle loop does, with its counter on the stack. Every page takes the same number of rows.
        """
        for page in range(pages):
            self._increment(self._page(page) << 12, self.high)
            self._touch(READ, self.at.stack)
            self._touch(WRITE, self.at.stack)
        return self._take()

    def finish(self) -> list[Row]:
        """The end of every command: results and acknowledgement into the status page."""
        self._fetch(self.low)
        self._touch(WRITE, self.at.status)
        return self._take()

    def command(self, step: Step, word: Word) -> list[Row]:
        """The rows of one command up to its last instruction before the status page is written."""
        a, b, c, d, _ = step.args
        self._read(self.dispatch << 12, self.low)
        if step.number not in NOT_BUILT[self.kind]:
            getattr(self, f"_command_{step.number}")(a, b, c, d, word)
        return self._take()

    def _command_1(self, a: int, b: int, c: int, d: int, _word: Word) -> None:
        for _ in range(d):
            for i in range(b):
                self._increment(self._page(a + i * c) << 12, self.high)

    def _command_2(self, a: int, b: int, c: int, _d: int, _word: Word) -> None:
        for i in range(b):
            self._read(self._page(a + i * c) << 12, self.high)

    def _command_3(self, _a: int, _b: int, _c: int, _d: int, _word: Word) -> None:
        at = self.at
        self._fetch(self.low)
        for half, table in enumerate(at.split):
            self._fetch(self.high)
            for i in range(512):
                self._entry(table, i, (REGION + 512 * half + i) << 12 | TABLE)
            self._fetch(self.low)
            if at.levels == 4:
                for _ in range(1 + half):  # the last one twice
                    self._entry(at.l2, 8 + half, table << 12 | TABLE)
            else:
                self._entry(at.l2, 8 + half, table << 12 | TABLE, high_first=not half)
        self._reload(self.low)

    def _command_4(self, a: int, b: int, c: int, d: int, word: Word) -> None:
        values: dict[int, int] = {}
        for i in range(b):
            k = (a + i * c) % PAGES
            table, index = self._l1(k)
            values[k] = values.get(k, word(table, index)) ^ BIT_9
            self._change(table, index, values[k])
            if d:
                self._row(INVLPG, self._page(k) << 12)

    def _command_5(self, _a: int, _b: int, _c: int, _d: int, _word: Word) -> None:
        self._reload(self.low)

    def _command_7(self, a: int, b: int, c: int, _d: int, _word: Word) -> None:
        at = self.at
        for i in range(b):
            self._fetch(self.high)
            self._touch(WRITE, at.stack)
            self._fetch(at.hypercall)
            self._row(XEN_WRITE, self._page(a + i * c) << 12)
            self._fetch(at.hypercall)
            self._touch(READ, at.stack)

    def _command_8(self, a: int, b: int, c: int, _d: int, word: Word) -> None:
        for i in range(b):
            table, index = self._l1((a + i * c) % PAGES)
            old = word(table, index)
            self._read(table << 12 | index * 8, self.high)
            for value in (old & ~RW, old):
                if self.at.levels == 4:
                    self._entry(table, index, value)
                self._reload(self.high)

    def _command_9(self, a: int, b: int, c: int, _d: int, word: Word) -> None:
        for i in range(b):
            table, index = self._l1((a + i * c) % PAGES)
            self._change(table, index, word(table, index) & ~ACCESSED_DIRTY)
        self._reload(self.high)

    def _command_11(self, _a: int, _b: int, _c: int, _d: int, _word: Word) -> None:
        self._fetch(self.high)
        for half in (0, 1):
            self._entry(self.at.l2, 8 + half, (REGION + 512 * half) << 12 | BIG)
        self._reload(self.high)

    def _command_12(self, a: int, b: int, _c: int, _d: int, _word: Word) -> None:
        for i in range(min(b, 512)):
            self._fetch(self.high)
            self._entry(self.at.split[a & 1], i, 0)

    def _command_13(self, a: int, _b: int, _c: int, _d: int, _word: Word) -> None:
        at = self.at
        for i in range(min(a, PAGES)):
            self._fetch(self.high)
            for p in range(ALIAS_WORDS):
                self._entry(ALIAS + i, p, self._page(ALIAS_WORDS * i + p) << 12 | TABLE)
            self._fetch(self.high)
            self._entry(at.l2 + (64 + i) // 512, (64 + i) % 512, (ALIAS + i) << 12 | TABLE)
        self._reload(self.high)

    def _command_14(self, a: int, b: int, _c: int, d: int, _word: Word) -> None:
        for i in list(range(a, a + b)) * d:  # its loop lies across both pages (recorded: two faults after each blow)
            self._read(self._alias(i), self.high)
            self._fetch(self.low)

    def _command_15(self, a: int, b: int, _c: int, d: int, _word: Word) -> None:
        for i in list(range(a, a + b)) * d:
            self._increment(self._alias(i), self.high)
            self._fetch(self.low)

    # ---- building blocks

    def _row(self, code: int, va: int, value: int = 0, size: int = 0) -> None:
        self.rows.append((code, va, value, size))

    def _take(self) -> list[Row]:
        rows, self.rows = self.rows, []
        return rows

    def _fetch(self, gfn: int) -> None:
        """Instructions of page `gfn`. Twice the same page in a row says nothing new and is one row."""
        row = (FETCH, gfn << 12, 0, 0)
        if not self.rows or self.rows[-1] != row:
            self.rows.append(row)

    def _touch(self, code: int, gfn: int) -> None:
        self._row(code, gfn << 12)

    def _read(self, va: int, code: int) -> None:
        """A load by an instruction of page `code`, which is fetched again if the load had to be tried again."""
        self._fetch(code)
        self._row(READ, va)
        self._fetch(code)

    def _increment(self, va: int, code: int) -> None:
        """A load, then a store, each its own instruction."""
        self._read(va, code)
        self._row(WRITE, va)
        self._fetch(code)

    def _reload(self, code: int) -> None:
        self._fetch(code)
        self._row(CR3, 0, self.at.root)

    def _entry(self, table: int, index: int, value: int, high_first: bool = False) -> None:
        """Store a whole entry: one store of 8 bytes, or two of 4 in the PAE guest."""
        va = table << 12 | index * 8
        if self.at.levels == 4:
            self._row(STORE, va, value, 8)
            return
        halves = [(va, value & 0xFFFFFFFF), (va + 4, value >> 32)]
        for at, part in reversed(halves) if high_first else halves:
            self._row(STORE, at, part, 4)

    def _change(self, table: int, index: int, value: int) -> None:
        """Load an entry, then store it changed, each its own instruction (recorded on the HAP road: two addresses)."""
        self._read(table << 12 | index * 8, self.high)
        self._entry(table, index, value)
        self._fetch(self.high)

    def _l1(self, k: int) -> tuple[int, int]:
        return self.at.split[k // 512], k % 512

    def _page(self, i: int) -> int:
        return self.region + i % PAGES

    @staticmethod
    def _alias(i: int) -> int:
        return ALIAS_VA + (i << 21) + (i % ALIAS_WORDS << 12)
