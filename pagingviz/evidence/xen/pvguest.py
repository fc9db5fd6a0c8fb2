"""The recordings' program as a PV guest: the same source, built for a guest that asks the hypervisor instead of storing.

Every mapping is 4 KiB, pfn = va / 4096, tables as the domain builder left them. What follows was read off trace_pv.csv: page
0x107 holds a table of the first commands (a read of it begins each of them, also one that does nothing), a command that counts
leaves its count on the stack, and entries are changed by update_va_mapping, whose machine frame the guest looks up in a list.
Commands 1, 2, 4, 5 and 7 do something; of every other one, whatever its number, the guest writes only that it is done.
"""

from __future__ import annotations

from pagingviz.arch import operation, x86
from pagingviz.evidence.xen.eptguest import SECOND, EptGuest
from pagingviz.evidence.xen.guest import BIT_9, PAGES, READ, WRITE, XEN_WRITE, Guest, Layout, Row, Word
from pagingviz.evidence.xen.script import Step
from pagingviz.work.work import Shown

FIRST, COPIES = 0x110, 4  # first page of the region, 0x112 in the rebuilt program; L1 tables: 0 to 8 MiB
DOES = (1, 2, 4, 5, 7)  # the commands that do something
# The last command in the table. 9 as recorded: in trace_pv.csv command n, from 1 to 9, faults at 0x1076a0 + 8 n first, and
# commands 11 and 13 do not read the page. A program that was built anew may have a shorter one, since the entries behind
# command 7, the last that does something, lead nowhere: see the excerpt in tests/evidence/test_pv_search.py.
LAST_IN_TABLE = (9, 8, 7)
Build = int | tuple[int, int]  # the page by which a program is told, or a PV program's with its last command in the table
_MFN_LIST = 0x68  # where in start_info the address of the list stands
_PLAIN, _WRITTEN, _READ_ONLY = 0x27, 0x67, 0x25  # the domain builder's P RW US A; D once the guest has stored; its tables


class PvGuest(Guest):
    """As Guest. Entries of tables() hold pfns: the machine makes them machine frames, as the domain builder does.

    `last`: of LAST_IN_TABLE.
    """

    last = LAST_IN_TABLE[0]
    dispatch = 0x107
    cr = int(x86.CR_WP | x86.CR_NXE | x86.CR_PG)
    small_chunks = ()

    def __post_init__(self) -> None:
        self.region, self.loop = self.loop, 0x103
        end = self.region + PAGES  # then: status, control, the list of machine frames, start_info, two pages, the tables
        self.listed, self.start_info = end + 3, end + 0x13
        root = end + 0x16
        self.l1s = tuple(root + 3 + k for k in range(COPIES))
        self.at = Layout(4, self.l1s[0], root + 2, root, 0x106, 0x10D, (), end, end + 1, l3=root + 1)
        self.low = self.high = self.loop

    @property
    def where(self) -> str:
        return f"the region begins at page {self.region:#x}, and the table of commands ends with number {self.last}"

    def zone(self, _aliases: int) -> int:
        return 8 * (self.l1s[-1] // 8 + 1)

    def tables(self, _count: int = 0) -> dict[int, dict[int, int]]:
        at = self.at
        written = {*range(self.region, self.region + PAGES), at.stack, at.status, at.control}
        tables_of = {at.root, at.l3, at.l2, *self.l1s}
        flags = {page: _WRITTEN if page in written else _READ_ONLY if page in tables_of else _PLAIN for page in range(2048)}
        l1s = {frame: {i: 512 * k + i << 12 | flags[512 * k + i] for i in range(512)} for k, frame in enumerate(self.l1s)}
        return l1s | {
            at.l2: {k: frame << 12 | _WRITTEN for k, frame in enumerate(self.l1s)},
            at.l3: {0: at.l2 << 12 | _WRITTEN},
            at.root: {0: at.l3 << 12 | _WRITTEN},
        }

    def shown(self, _aliases: int) -> tuple[Shown, ...]:
        at = self.at
        upper = (
            Shown(f"L4 {at.root:x}", 4, at.root, 0, (0,)),
            Shown(f"L3 {at.l3:x}", 3, at.l3, 0, (0,)),
            Shown(f"L2 {at.l2:x}", 2, at.l2, 0, tuple(range(4))),
        )
        parts = (range(0x100, 0x200), range(512), range(0x130))
        return upper + tuple(
            Shown(f"L1 {frame:x}", 1, frame, 512 * k, tuple(part))
            for k, (frame, part) in enumerate(zip(self.l1s, parts, strict=False))
        )

    def own(self, gfn: int) -> bool:
        return gfn in range(0x100, self.region) or gfn in (self.at.status, self.at.control)

    def boot(self) -> list[Row]:
        """The tables are as the program has left them when it comes to its loop."""
        return []

    def command(self, step: Step, word: Word) -> list[Row]:
        """As Guest.command. What stands in no table is acknowledged at once, and what does nothing after a look at it."""
        if step.number <= self.last:
            self._read(self.dispatch << 12, self.low)
        if step.number in DOES:
            getattr(self, f"_command_{step.number}")(*step.args[:4], word)
        return self._take()

    def _command_1(self, a: int, b: int, c: int, d: int, word: Word) -> None:
        super()._command_1(a, b, c, d, word)
        self._touch(WRITE, self.at.stack)

    def _command_2(self, a: int, b: int, c: int, d: int, word: Word) -> None:
        super()._command_2(a, b, c, d, word)
        self._touch(WRITE, self.at.stack)

    def _command_4(self, a: int, b: int, c: int, d: int, word: Word) -> None:
        values: dict[int, int] = {}
        for i in range(b):
            page = self._page(a + i * c)
            table, index = self.l1s[page >> 9], page & 511
            values[page] = values.get(page, word(table, index)) ^ BIT_9
            self._read(self.start_info << 12 | _MFN_LIST, self.low)
            self._read((self.listed << 12) + 8 * page, self.low)
            self._call((int(operation.RAW_UPDATE_VA), page << 12, values[page], int(d != 0)))

    def _command_5(self, _a: int, _b: int, _c: int, _d: int, _word: Word) -> None:
        self._call((int(operation.RAW_FLUSH), 0, 0, 0))

    def _command_7(self, a: int, b: int, c: int, _d: int, _word: Word) -> None:
        for i in range(b):
            self._call((XEN_WRITE, self._page(a + i * c) << 12, 0, 0))

    def _call(self, row: Row) -> None:
        """A hypercall: through the stack and the hypercall page, and back."""
        self._fetch(self.low)
        self._touch(WRITE, self.at.stack)
        self._fetch(self.at.hypercall)
        self.rows.append(row)
        self._fetch(self.at.hypercall)
        self._touch(READ, self.at.stack)
        self._fetch(self.low)


def guest_of(kind: str, build: Build = 0) -> Guest:
    """The program of one kind of guest, of one of the builds of play.py; 0: as first built."""
    if build == SECOND:
        return EptGuest(kind)
    page, last = build if isinstance(build, tuple) else (build, LAST_IN_TABLE[0])
    if kind != "pv64":
        return Guest(kind, page or 0x103)
    guest = PvGuest(kind, page or FIRST)
    guest.last = last
    return guest
