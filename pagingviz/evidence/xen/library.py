"""The recordings that come with the package (pagingviz/evidence/recordings/), and the model held against each, computed once.

What one is, and what its family is and is not, stands in recording.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from pagingviz.evidence.xen.compare import Report, Texts, compare, known_differences
from pagingviz.evidence.xen.memory import memory_of
from pagingviz.evidence.xen.on_bochs import ON_BOCHS
from pagingviz.evidence.xen.recording import Recording
from pagingviz.scenario.fields import one_of

FOLDER = Path(__file__).resolve().parents[1] / "recordings"
_ON_QEMU = (
    Recording(
        "pt",
        "Page-table writes, 64-bit",
        "pt.ld",
        "hvm64",
        "trace_pt_shadow.jsonl",
        "trace_pt_shadow.csv",
        "perf_pt_shadow.txt",
        about="Superpages are split, entries changed with and without flushes: out of sync.",
    ),
    Recording(
        "pt-boot2",
        "Page-table writes, second boot",
        "pt.ld",
        "hvm64",
        csv="trace_ptb_shadow.csv",
        about="The same script after another boot, with the guest rebuilt: its code lies on other pages.",
    ),
    Recording(
        "pt-oos0",
        "Page-table writes, oos=0",
        "pt.ld",
        "hvm64",
        "trace_pt_oos0_shadow.jsonl",
        "trace_pt_oos0_shadow.csv",
        "perf_pt_oos0_shadow.txt",
        {"oos": "0"},
        "No table may go out of sync: every store to one is emulated.",
    ),
    Recording(
        "pt-pae",
        "Page-table writes, PAE guest",
        "pt.ld",
        "pae",
        "trace_pt_pae_shadow.jsonl",
        "trace_pt_pae_shadow.csv",
        "perf_pt_pae_shadow.txt",
        about="Three levels: one entry is two stores, and Xen emulates both in one exit.",
    ),
    Recording(
        "trace",
        "Log-dirty rounds, 64-bit",
        "trace.ld",
        "hvm64",
        "trace_shadow.jsonl",
        "trace_shadow.csv",
        "perf_shadow.txt",
        about="Reads, writes, splits and flushes, each round ended by a CLEAN.",
    ),
    Recording(
        "pae",
        "Log-dirty rounds, PAE guest",
        "pae.ld",
        "pae",
        "trace_pae_shadow.jsonl",
        "trace_pae_shadow.csv",
        "perf_pae_shadow.txt",
        about="The same kind of rounds with three-level tables.",
    ),
    Recording(
        "sweep",
        "Sweep of 75 log-dirty readings",
        "sweep.ld",
        "hvm64",
        "sweep_shadow.jsonl",
        about="From one page to all of the region, strides, reads: bitmap, dirty_count and fault_count of every round.",
    ),
    Recording(
        "sweep-boot2",
        "Sweep, second boot",
        "sweep.ld",
        "hvm64",
        "sweep_boot2_shadow.jsonl",
        about="The same sweep after another boot, with the guest rebuilt.",
    ),
    Recording(
        "trace-pv",
        "Log-dirty rounds, PV guest",
        "trace.ld",
        "pv64",
        "trace_pv.jsonl",
        "trace_pv.csv",
        "perf_pv.txt",
        about="Shadows are there only for log-dirty: each round fills them in again by faults.",
        road="pv",
    ),
    Recording(
        "sweep-pv",
        "Sweep, PV guest",
        "sweep.ld",
        "pv64",
        "sweep_pv.jsonl",
        about="The guest's own tables are never written behind its back: its stack and status page, no more.",
        road="pv",
    ),
    Recording(
        "sweep-pv-boot2",
        "Sweep, PV guest, second boot",
        "sweep.ld",
        "pv64",
        "sweep_boot2_pv.jsonl",
        about="The same sweep after another boot, with the guest rebuilt: its region begins two pages later.",
        road="pv",
    ),
    Recording(
        "trace-hap",
        "Log-dirty rounds, HAP (NPT)",
        "trace.ld",
        "hvm64",
        "trace_hap.jsonl",
        "trace_hap.csv",
        "perf_hap.txt",
        about="Two exits for a page that is written, one for a page that is only read.",
        road="hap",
    ),
    Recording(
        "sweep-hap",
        "Sweep, HAP (NPT)",
        "sweep.ld",
        "hvm64",
        "sweep_hap.jsonl",
        about="The guest's own page tables are dirty in every round: the processor walks them as stores.",
        road="hap",
    ),
    Recording(
        "sweep-hap-boot2",
        "Sweep, HAP, second boot",
        "sweep.ld",
        "hvm64",
        "sweep_boot2_hap.jsonl",
        about="The same sweep on nested tables after another boot, with the guest rebuilt.",
        road="hap",
    ),
)
RECORDINGS = _ON_QEMU + ON_BOCHS
NAMES = tuple(recording.name for recording in RECORDINGS)


def recording(name: str) -> Recording:
    """The recording of that name; ScenarioError when there is none."""
    if name not in NAMES:
        raise one_of("The recording", name, NAMES)
    return RECORDINGS[NAMES.index(name)]


@cache
def text(file: str) -> str:
    """The text of one file of the recordings."""
    return (FOLDER / file).read_text(encoding="utf-8")


def texts(r: Recording) -> Texts:
    """The texts of its files."""
    against, trace, perf, hw, dumps = (text(file) if file else None for file in (r.jsonl, r.csv, r.perf, r.hw, r.dumps))
    return Texts(against, trace, perf, hw, dumps, Path(r.jsonl).stem.rpartition("_")[2], memory_of(r.script))


def comparison(name: str, progress: Callable[[int, int], None] | None = None) -> Report:
    """The model held against a recording: seconds of work. `progress` hears how far it is, see compare."""
    r = recording(name)
    return compare(
        text(r.script), r.guest, r.scenario, texts(r), known_differences({Path(file).name for file in r.files}), progress
    )
