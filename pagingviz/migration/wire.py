"""What goes over the link between two hosts, in bytes, and how long that takes. The contents of pages do not matter here.

Source of the format: Xen docs/specs/libxc-migration-stream.pandoc, tools/libs/guest/xg_sr_stream_format.h.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pagingviz.scenario.scenario import Scenario

PAGE = 4096
BATCH = 1024  # MAX_BATCH_SIZE: entries in one PAGE_DATA record
SLOTS = 256  # up to so many pages in a round, the guest runs between any two of them
RECORD_HEADER = 8
PAGE_DATA = RECORD_HEADER + 8  # what a record of pages costs beside its entries
ENTRY = 8  # type and pfn of a page
CHECKPOINT = RECORD_HEADER
ZERO_PAGE = 1  # a byte says that all the others are zero, too (QEMU: RAM_SAVE_FLAG_ZERO)
FREQUENCY = 2_400  # cycles of the guest's processor in a microsecond

# Bytes of a recorded stream that are not records of pages: headers, vCPU and platform state. 17 streams have these sizes
# exactly; in a PV stream two of the 8191 entries have no page (tests/migration/test_migration_recordings.py).
STATE = {"hap": 4208, "shadow": 4040, "pv": 5640}


def chunk(planned: int) -> int:
    """Pages that are handed to the link at once in a round of `planned` pages: never more than a batch."""
    return max(1, min(BATCH, planned // SLOTS))


def stream_bytes(pfns: int, data: int, records: int, state: int) -> int:
    """Bytes of a whole stream: `pfns` entries in `records` records, `data` of them with a page, `state`: all the rest."""
    return pfns * ENTRY + data * PAGE + records * PAGE_DATA + state


@dataclass(frozen=True)
class Link:
    """The network link between two hosts. bandwidth: MB/s (bytes a µs); latency (one way), overhead (of a page): cycles.

    channels: links like this one, side by side, among which pages are dealt out (QEMU migration/multifd.c).
    """

    bandwidth: int
    latency: int
    overhead: int
    channels: int = 1

    def cycles(self, size: int, pages: int = 0, rate: int = 0) -> int:
        """Cycles that `size` bytes with `pages` pages among them take; `rate`: MB/s, less than the bandwidth."""
        return -(-size * FREQUENCY // (rate or self.whole)) + -(-pages * self.overhead // self.channels)

    @property
    def page(self) -> int:
        """Cycles that one page takes."""
        return self.cycles(PAGE + ENTRY, 1)

    @property
    def main(self) -> Link:
        """One channel alone: what is not dealt out goes on it."""
        return self if self.channels == 1 else replace(self, channels=1)

    @property
    def whole(self) -> int:
        """MB/s of all channels together."""
        return self.bandwidth * self.channels


def link_of(scenario: Scenario) -> Link:
    """The link of a scenario."""
    return Link(scenario.bandwidth, scenario.latency * FREQUENCY, scenario.page_overhead * FREQUENCY // 1000, scenario.channels)


def seconds(cycles: int) -> float:
    """Cycles of the guest's processor as seconds."""
    return cycles / (FREQUENCY * 1e6)
