"""Xen's performance counters as `xenperf` prints them (`perf_*.txt`): label, total, one column a CPU.

The labels are Xen's (4.17 arch/x86/include/asm/perfc_defn.h); some mislead: "linux high" is h_5 (last hit), "sl1p" and
"sl1p failed" are h_7 and h_8 (out-of-sync fixups).
"""

from __future__ import annotations

import re

from pagingviz.arch.state import PV_COUNTERS
from pagingviz.scenario.fields import ScenarioError

LABELS = {
    "guest pagetable walks": "guest_walk",
    "calls to shadow_alloc": "shadow_alloc",
    "shadow_alloc flushed TLBs": "shadow_alloc_tlbflush",
    "calls to shadow_free": "shadow_free",
    "shadow recycles old shadows": "shadow_prealloc_1",
    "shadow recycles in-use shadows": "shadow_prealloc_2",
    "calls to shadow_fault": "shadow_fault",
    "shadow_fault fast path n/p": "shadow_fault_fast_gnp",
    "shadow_fault fast path mmio": "shadow_fault_fast_mmio",
    "shadow_fault fast path error": "shadow_fault_fast_fail",
    "shadow_fault guest bad gfn": "shadow_fault_bail_bad_gfn",
    "shadow_fault really guest fault": "shadow_fault_bail_real_fault",
    "shadow_fault emulates a write": "shadow_fault_emulate_write",
    "shadow_fault emulator fails": "shadow_fault_emulate_failed",
    "shadow_fault emulate stack write": "shadow_fault_emulate_stack",
    "shadow_fault emulate for CR0.WP=0": "shadow_fault_emulate_wp",
    "shadow_fault fast emulate": "shadow_fault_fast_emulate",
    "shadow_fault fast emulate failed": "shadow_fault_fast_emulate_fail",
    "shadow_fault handled as mmio": "shadow_fault_mmio",
    "shadow_fault fixed fault": "shadow_fault_fixed",
    "calls to shadow_validate_gl1e": "shadow_validate_gl1e_calls",
    "calls to shadow_validate_gl2e": "shadow_validate_gl2e_calls",
    "calls to shadow_validate_gl3e": "shadow_validate_gl3e_calls",
    "calls to shadow_validate_gl4e": "shadow_validate_gl4e_calls",
    "calls to shadow_hash_lookup": "shadow_hash_lookups",
    "shadow hash hit in bucket head": "shadow_hash_lookup_head",
    "shadow hash misses": "shadow_hash_lookup_miss",
    "calls to get_shadow_status": "shadow_get_shadow_status",
    "calls to shadow_hash_insert": "shadow_hash_inserts",
    "calls to shadow_hash_delete": "shadow_hash_deletes",
    "shadow removes write access": "shadow_writeable",
    "shadow writeable: 32b w2k3": "shadow_writeable_h_1",
    "shadow writeable: 32pae w2k3": "shadow_writeable_h_2",
    "shadow writeable: 64b w2k3": "shadow_writeable_h_3",
    "shadow writeable: linux low/solaris": "shadow_writeable_h_4",
    "shadow writeable: linux high": "shadow_writeable_h_5",
    "shadow writeable: FreeBSD": "shadow_writeable_h_6",
    "shadow writeable: sl1p": "shadow_writeable_h_7",
    "shadow writeable: sl1p failed": "shadow_writeable_h_8",
    "shadow writeable brute-force": "shadow_writeable_bf",
    "shadow writeable resync bf": "shadow_writeable_bf_1",
    "shadow removes all mappings": "shadow_mappings",
    "shadow rm-mappings brute-force": "shadow_mappings_bf",
    "shadow unshadows for fork/exit": "shadow_early_unshadow",
    "shadow unshadows a page": "shadow_unshadow",
    "shadow unshadow by up-pointer": "shadow_up_pointer",
    "shadow unshadow brute-force": "shadow_unshadow_bf",
    "shadow_get_page_from_l1e failed": "shadow_get_page_fail",
    "shadow checks gwalk": "shadow_check_gwalk",
    "shadow check inconsistent gwalk": "shadow_inconsistent_gwalk",
    "shadow flush tlb by removing write perm": "shadow_rm_write_flush_tlb",
    "shadow emulates invlpg": "shadow_invlpg",
    "shadow extra pt write": "shadow_em_ex_pt",
    "shadow extra non-pt-write op": "shadow_em_ex_non_pt",
    "shadow extra emulation failed": "shadow_em_ex_fail",
    "shadow OOS fixup adds": "shadow_oos_fixup_add",
    "shadow OOS fixup evictions": "shadow_oos_fixup_evict",
    "shadow OOS unsyncs": "shadow_unsync",
    "shadow OOS evictions": "shadow_unsync_evict",
    "shadow OOS resyncs": "shadow_resync",
    "calls to update_va_map": "calls_to_update_va",
    "calls to mmu_update": "calls_to_mmu_update",
    "calls to mmuext_op": "calls_to_mmuext_op",
    "mmu_updates of writable pages": "writable_mmu_updates",
    "writable pt emulations": "ptwr_emulations",
}
_NEVER = {  # counters that say something of the host: which shadows share a bucket, and when other processors were flushed
    "shadow_hash_lookup_head",
    "shadow_alloc_tlbflush",
}
_OF_HVM = {"guest_walk"}  # Xen also walks an HVM guest's tables for copies of its own; a PV guest's it reads directly
_ROW = re.compile(r"(?P<label>\S.*?)\s+T=\s*(?P<total>\d+)(?P<cpus>[\s\d]*)$")


def not_compared(road: str) -> set[str]:
    """Counters of a guest on that road that are read and not compared. On hap the tool's domain counts the PV ones, too."""
    return _NEVER | (set() if road == "pv" else _OF_HVM) | set(PV_COUNTERS if road == "hap" else ())


def read_perf(text: str) -> dict[str, int]:
    """Counter name -> count of the guest's CPU, the last column (the tool ran on another). Unknown labels are skipped."""
    counts = {}
    for line in text.splitlines():
        row = _ROW.match(line)
        if row and row["label"] in LABELS:
            columns = row["cpus"].split()
            counts[LABELS[row["label"]]] = int(columns[-1] if columns else row["total"])
    if not counts:
        raise ScenarioError("The file of performance counters has no line that is known: it needs what xenperf prints.")
    return counts
