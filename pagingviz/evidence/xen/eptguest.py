"""The second program of the recordings: it obeys the commands of the first, and seven more, and keeps its layout.

It ran under Bochs, on EPT and on that emulator's NPT, and once more on QEMU's. Its idle loop, command 5 and the end of every
command lie in page 0x103, all other commands in 0x104, the table of commands, read at each, in 0x105. Every command but 5 is
called, so its return address is stored on the stack. A second vCPU has a stack, a status page and a control page of its own.
What follows was read off the recordings' instruction pointers and exits.
"""

from __future__ import annotations

from dataclasses import replace

from pagingviz.arch import x86
from pagingviz.evidence.xen.guest import CR, FETCH, READ, REGION, TABLE, WRITE, Guest, Row, Word
from pagingviz.evidence.xen.script import Step

SECOND = 2  # as the build of a program (play.py: BUILDS): this one
RET_AT = 0x800  # where in a page commands 18 to 21 have their RET
_PAE_HYPERCALL = 0x111
_STACK_1, _STATUS_1, _CONTROL_1 = 0x118, 0x122, 0x123  # of vCPU 1


class EptGuest(Guest):
    """As Guest. `vcpu`: which vCPU's part of the program this is; rows of vCPU 1 say so."""

    small_chunks = ()

    def __init__(self, kind: str, vcpu: int = 0) -> None:
        super().__init__(kind)
        self.vcpu = vcpu
        if kind == "pae":
            self.at = replace(self.at, hypercall=_PAE_HYPERCALL)
        if vcpu:
            self.at = replace(self.at, stack=_STACK_1, status=_STATUS_1, control=_CONTROL_1)
        self.low = self.high = 0x104

    @property
    def where(self) -> str:
        return "it is the second program, whose idle loop lies in page 0x103"

    def own(self, gfn: int) -> bool:
        return super().own(gfn) or gfn in (_STACK_1, _STATUS_1, _CONTROL_1)

    # ---- what it does

    def idle(self, place: str = "top") -> list[Row]:
        """From `place` to the next yield: `yield` behind the last one, `call` at the call of it, else at the loop's top."""
        rows = self.resume(place)
        return [*rows, *self._to_the_yield()]

    def resume(self, place: str) -> list[Row]:
        """From `place`, as in idle, up to where it sees whether there is a command in the control page."""
        at, rows = self.at, []
        if place == "call":
            rows = self._to_the_yield()
        if place in ("call", "yield"):
            self._fetch(at.hypercall)
            self._touch(READ, at.stack)  # the return pops
        self._fetch(self.loop)
        self._touch(READ, at.control)
        return rows + self._take()

    def first_reference(self) -> list[Row]:
        """The first thing that the processor reads when it goes on from a yield: the top entry of its tables.

        It is read here as data, with paging off, since nothing else that a walk does has happened at its first exit.
        """
        at = self.at
        first = at.root if at.levels == 4 else at.l2
        self._row(CR, 0, self.cr)
        self._touch(READ, first)
        self._row(CR, 0, self.cr | int(x86.CR_PG))
        return self._take()

    def _to_the_yield(self) -> list[Row]:
        self._fetch(self.loop)
        self._touch(WRITE, self.at.stack)
        self._fetch(self.at.hypercall)
        return self._take()

    def finish(self) -> list[Row]:
        self._fetch(self.loop)
        self._touch(WRITE, self.at.status)
        return self._take()

    def command(self, step: Step, word: Word) -> list[Row]:
        a, b, c, d, _ = step.args
        self._read(self.dispatch << 12, self.loop)
        if step.number == 5:
            self._reload(self.loop)
            return self._take()
        self._touch(WRITE, self.at.stack)
        self._fetch(self.high)
        getattr(self, f"_command_{step.number}")(a, b, c, d, word)
        self._touch(READ, self.at.stack)
        return self._take()

    def _take(self) -> list[Row]:
        rows = super()._take()
        return [(*row, 0, self.vcpu) for row in rows] if self.vcpu else rows

    def _command_3(self, _a: int, _b: int, _c: int, _d: int, _word: Word) -> None:
        at = self.at
        for half, table in enumerate(at.split):
            for i in range(512):
                self._entry(table, i, (REGION + 512 * half + i) << 12 | TABLE)
        for half, table in enumerate(at.split):
            self._entry(at.l2, 8 + half, table << 12 | TABLE)
        self._reload(self.high)

    def _command_16(self, a: int, b: int, c: int, _d: int, _word: Word) -> None:
        for i in range(b):
            self._read((a + i * c) << 12, self.high)

    def _command_17(self, a: int, b: int, c: int, _d: int, _word: Word) -> None:
        for i in range(b):
            self._store((a + i * c) << 12)

    def _command_18(self, a: int, b: int, c: int, _d: int, _word: Word) -> None:
        for i in range(b):
            self._run((a + i * c) << 12)

    def _command_19(self, a: int, b: int, c: int, _d: int, _word: Word) -> None:
        for i in range(b):
            self._store((a + i * c) << 12 | RET_AT)

    def _command_20(self, a: int, b: int, c: int, _d: int, _word: Word) -> None:
        for i in range(b):
            self._run(self._page(a + i * c) << 12)

    def _command_21(self, a: int, b: int, c: int, _d: int, _word: Word) -> None:
        for i in range(b):
            self._store(self._page(a + i * c) << 12 | RET_AT)

    def _command_22(self, a: int, b: int, c: int, _d: int, _word: Word) -> None:
        for i in range(b):
            self._store(self._page(a + i * c) << 12)

    # ---- building blocks

    def _store(self, va: int) -> None:
        """A store without a load before it."""
        self._fetch(self.high)
        self._row(WRITE, va)
        self._fetch(self.high)

    def _run(self, page: int) -> None:
        """A call of the RET in the page at address `page`: its return address is pushed, and popped again."""
        self._fetch(self.high)
        self._touch(WRITE, self.at.stack)
        self._row(FETCH, page | RET_AT)
        self._touch(READ, self.at.stack)
        self._fetch(self.high)
