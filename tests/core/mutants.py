"""Kernels with one rule broken on purpose, run as plain Python. Prints JSON: what noticed each of them.

A process of its own, started with PAGINGVIZ_PLAIN=1: compiled kernels could not be patched. Two tables: for each of the forty
properties one mutant, which that property's own test must fail; and mutants that run a small work, for the roads.
"""

import json
import sys

from pagingviz.arch import x86, xen
from pagingviz.arch.words import ONE, ZERO, U
from pagingviz.core import access, control, guest, logdirty
from pagingviz.core.build.jit import PLAIN
from pagingviz.core.nested import exits, npt, p2m, pml, walk
from pagingviz.core.pv import roots, updates
from pagingviz.core.shadow import (
    emulate,
    entries,
    faults,
    oos,
    pool,
    propagate,
    recycle,
    shadows,
    validation,
    vtlb,
    writeable,
)
from pagingviz.core.walk import page_walk, tlb
from pagingviz.experiments.breaking import afterwards, broken, given, refuse, skip, with_register, without
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.core import (
    test_ept_leaves,
    test_executable_superpages,
    test_gib,
    test_log_dirty_off,
    test_nested_pae,
    test_pml,
    test_properties,
    test_properties_pool,
    test_pv_ring_three,
)
from tests.core import test_properties_in_time as in_time
from tests.core.mutations import (
    FOUR,
    TWO_LEVELS,
    accessed_anyway,
    as_if_allowed,
    beforehand,
    counted_twice,
    destroyed_though_loaded,
    everything_stays,
    first_shadow_only,
    head_only,
    less_than_everything,
    loaded_roots_first,
    one_page_for_all,
    only_the_way,
    only_while_logging,
    other_switches,
    reference_for_each_pin,
    result,
    retyped_anyway,
    same,
    second_reference,
    shadow_the_child,
    uncounted,
    unless_pinned,
    upgrade,
    with_what_there_is,
)

OF_PROPERTY = {  # number: (module, kernel, how it is broken), and the arguments of the property's test
    1: (validation, "validate", skip, FOUR),
    2: (propagate, "_copied", result(lambda e: e | x86.P), FOUR),
    3: (propagate, "propagate_l1", given(lambda s, c, a, e, w: (s, c, a, e | x86.D, w)), FOUR),
    4: (propagate, "_copied", result(lambda e: e | x86.RW), {"flags": 0x61}),
    5: (propagate, "propagate_upper", result(lambda e: e | x86.PSE), FOUR),
    6: (propagate, "propagate_l1", result(lambda e: e ^ U(1 << 12) if e else e), FOUR),
    7: (page_walk, "judge", afterwards(less_than_everything), FOUR),
    8: (propagate, "propagate_upper", result(lambda e: e & ~x86.D), FOUR),
    9: (entries, "set_l1", given(lambda s, c, a, at, e: (s, c, a, at, e or U(1 << 12))), FOUR),
    10: (propagate, "propagate_upper", result(lambda e: e | x86.RW | x86.US if e else e), FOUR),
    11: (writeable, "remove_write_access", refuse, FOUR),
    12: (entries, "_write_l1", lambda _: uncounted, FOUR),
    13: (oos, "_hash_add", without(oos, "_resync"), {"levels": 4, "vcpus": 1}),
    14: (entries, "strip_remembered", refuse, FOUR),
    15: (faults, "page_fault", as_if_allowed, FOUR),
    16: (oos, "resync_all", given(lambda s, c, a, k, this, others: (s, c, a, k, False, others)), FOUR),
    17: (oos, "note_snapshot", skip, FOUR),
    18: (pool, "free_append", skip, {"levels": 4, "oos": 1}),
    19: (pool, "release", beforehand(head_only), TWO_LEVELS),
    20: (shadows, "get_ref", afterwards(second_reference), {}),
    21: (shadows, "hash_delete", skip, {}),
    22: (shadows, "pinnable", lambda kernel: lambda s, kind: kind == xen.SH_L3 or kernel(s, kind), FOUR),
    23: (shadows, "pin", unless_pinned, {"vcpus": 1}),
    24: (shadows, "unpin", afterwards(destroyed_though_loaded), {}),
    25: (recycle, "_prealloc", loaded_roots_first, {}),
    26: (recycle, "_prealloc", without(recycle, "unhook"), TWO_LEVELS),
    27: (shadows, "pin", beforehand(reference_for_each_pin), FOUR),
    28: (recycle, "blow", without(recycle, "unhook"), {"levels": 4, "vcpus": 1}),
    29: (faults, "_prefetch", with_register("log_dirty", ZERO), FOUR),
    30: (emulate, "hypervisor_write", without(logdirty, "mark"), {"levels": 4, "oos": 1}),
    31: (logdirty, "clear", skip, {}),
    32: (logdirty, "mark", afterwards(counted_twice), {}),
    33: (propagate, "propagate_l1", given(lambda s, c, a, e, w: (s, c, a, e, True)), {}),
    34: (recycle, "blow", skip, {}),
    35: (logdirty, "clear", afterwards(lambda s, a: logdirty.free_tree(s, a)), {}),
    36: (control, "_enable", afterwards(other_switches), {"road": "shadow"}),
    37: (control, "_off", afterwards(upgrade), FOUR),
    38: (faults, "page_fault", result(lambda r: r ^ ONE if r & x86.FAULT else r), FOUR),
    39: (page_walk, "walk", accessed_anyway, FOUR),
    40: (validation, "_validate_upper", beforehand(shadow_the_child), {"levels": 4, "oos": 0}),
}

_MODE = test_pv_ring_three.test_second_reading_4_a_change_of_mode_keeps_user_pages
OF_PML = {  # the test that must fail and its arguments, then what is broken
    "log not flushed before CLEAN": (
        test_pml.test_h7_h8_h9_what_peek_clean_and_off_do_to_the_log,
        {"superpages": 0},
        pml,
        "flush_all_logs",
        skip,
    ),
    "log emptied and not marked": (
        test_pml.test_h22_a_guest_that_only_reads_dirties_the_tables_it_walks,
        {},
        pml,
        "flush",
        without(logdirty, "mark"),
    ),
    "marked at OFF": (
        test_pml.test_second_reading_6_off_loses_what_is_logged,
        {},
        control,
        "_off",
        beforehand(pml.flush_all_logs),
    ),
    "one page for all logs": (
        test_pml.test_second_reading_6_the_log_takes_a_page_of_the_pool_for_each_vcpu,
        {"vcpus": 2},
        pml,
        "enable",
        one_page_for_all,
    ),
    "pages of the log kept": (
        test_pml.test_second_reading_6_the_log_takes_a_page_of_the_pool_for_each_vcpu,
        {"vcpus": 2},
        pml,
        "_free",
        skip,
    ),
    "a log without a page": (
        test_pml.test_second_reading_6_without_a_page_for_every_vcpu_there_is_write_protection,
        {"left": 1},
        pml,
        "enable",
        with_what_there_is,
    ),
    "rights computed anew though the type stays": (
        test_pml.test_second_reading_6_leaves_made_read_only_stay_so_when_the_log_comes_back,
        {},
        p2m,
        "recalculated",
        retyped_anyway,
    ),
    "walks that only read": (
        test_pml.test_h22_a_guest_that_only_reads_dirties_the_tables_it_walks,
        {},
        walk,
        "_reach_tables",
        with_register("ept_ad", ZERO),
    ),
}

OF_RING_3 = {  # the same, for a PV guest's change of mode, and for a PAE guest's top entries behind NPT
    "kernel pages stay in the TLB": (_MODE, {"logging": False}, tlb, "_keep_global", lambda _: everything_stays),
    "user pages go from the TLB": (_MODE, {"logging": False}, tlb, "_keep_global", skip),
    "PDPTEs from registers behind NPT": (
        test_nested_pae.test_second_reading_3_references_of_a_pae_walk,
        {"hap": "npt", "references": 19},
        page_walk,
        "begin",
        with_register("npt", ZERO),
    ),
}

_FETCH = test_executable_superpages.test_second_reading_1_a_fetch_while_log_dirty_is_on
OF_EPT = {  # the same, for superpages that are not executable, for entries, INVEPT, and commands with log-dirty off
    "superpages executable": (_FETCH, {"pml": 0}, p2m, "leaf_entry", with_register("exec_sp", ONE)),
    "only the leaf of the fetch": (
        test_executable_superpages.test_second_reading_1_a_gib_goes_wholly_to_4_kib_leaves,
        {},
        p2m,
        "split",
        only_the_way,
    ),
    "a fetch marks the page": (
        _FETCH,
        {"pml": 0},
        exits,
        "_shatter",
        beforehand(lambda s, c, a, gfn: logdirty.mark(s, c, a, gfn, xen.MK_STORE)),
    ),
    "the TLB lets a fetch through": (
        test_executable_superpages.test_second_reading_1_what_the_tlb_knows_of_a_superpage_is_not_executable,
        {},
        access,
        "attempt",
        afterwards(lambda s, c, *_: c.__setitem__("n_exec", ONE)),
    ),
    "a fetch without pages hangs": (
        test_executable_superpages.test_second_reading_1_without_pages_for_the_split_xen_crashes_the_domain,
        {},
        exits,
        "_shatter",
        afterwards(lambda s, *_: s.__setitem__("crashed", xen.HUNG)),
    ),
    "guest memory types": (
        test_ept_leaves.test_second_reading_8_ipat_is_set_in_every_leaf_of_ram_and_in_no_other_entry,
        {"pml": 0},
        p2m,
        "leaf_entry",
        result(lambda e: e & ~x86.EPT_IPAT),
    ),
    "A and D preset": (
        test_ept_leaves.test_second_reading_8_a_and_d_are_never_set_without_them,
        {},
        p2m,
        "leaf_entry",
        with_register("ad_bits", x86.EPT_A | x86.EPT_D),
    ),
    "an INVEPT after a misconfiguration": (
        test_ept_leaves.test_an_invept_follows_what_takes_rights_away_or_splits_and_no_misconfiguration,
        {"pml": 0},
        p2m,
        "resolve_misconfig",
        afterwards(lambda s, a, gfn: p2m.invept(s, a)),
    ),
    "a CLEAN while off is refused": (
        test_log_dirty_off.test_second_reading_5_a_clean_while_off_still_blows_all_shadows,
        {},
        control,
        "clean",
        only_while_logging,
    ),
    "an OFF while off changes the types": (
        test_log_dirty_off.test_second_reading_5_on_hap_all_types_become_log_dirty_and_off_does_not_undo_it,
        {"hap": "ept"},
        control,
        "_off",
        beforehand(lambda s, cpus, a: s.__setitem__("log_dirty", ONE)),
    ),
}

_SPLIT = test_gib.test_one_store_splits_what_the_rule_says
OF_GIB = {  # the same, for 1 GiB leaves
    "EPT splits only the way": (_SPLIT, {"kind": "ept"}, p2m, "split", only_the_way),
    "NPT's children a frame apart": (
        _SPLIT,
        {"kind": "npt"},
        npt,
        "table_of",
        given(lambda s, c, a, child, level, gfn: (s, c, a, child, ONE, gfn)),
    ),
    "a page of the pool is enough": (
        test_gib.test_a_pool_that_cannot_give_the_pages_hangs_the_guest,
        {"kind": "ept", "left": 516, "found": {1: 0, 2: 0, 3: 1}},
        p2m,
        "enough",
        given(lambda s, pages: (s, ONE)),
    ),
}

SMALL = load("blackboard").replace(
    frames=128,
    pool=40,
    trace="",
    work="fork:5,hotcold:12",
    order="",
    quantum=30,
    write=60,
    clean_every=10,
    do="enable@20",
    oos=0,
)
LOOKS = (19, 27, 45, 70, 80, 100, 110, 140)  # audits as plain Python are slow
ON_A_ROAD = {  # road, then the kernel (module, name) and what becomes of it
    "none, shadow": ("shadow", control, "clean", same),
    "none, hap": ("hap ept", control, "clean", same),
    "no flush after CLEAN, shadow": ("shadow", recycle, "blow", without(recycle, "flush_all")),
    "no flush after CLEAN, hap": ("hap ept", control, "change_type_global", without(p2m, "flush_all")),
    "no blow": ("shadow", recycle, "blow", skip),
    "no poison": ("hap ept", p2m, "_poison", skip),
    "no mark, shadow": ("shadow", logdirty, "mark", skip),
    "no mark, hap": ("hap ept", logdirty, "mark", skip),
    "A and D bits not marked": ("shadow", vtlb, "walk_and_mark", without(logdirty, "mark")),
    "prefetch writable": ("shadow", faults, "_prefetch", with_register("log_dirty", ZERO)),
    "write access left": ("shadow", faults, "remove_write_access", refuse),
    "no validation": ("shadow", validation, "validate", skip),
    "reference kept": ("shadow", shadows, "put_ref", skip),
    "none, revoke": ("shadow revoke", control, "clean", same),
    "no search": ("shadow revoke", writeable, "_brute_force", skip),
    "one shadow searched": ("shadow revoke", writeable, "_brute_force", first_shadow_only),
    "no flush after the search": ("shadow revoke", writeable, "revoke_all", without(writeable, "flush_all")),
    "no search, pv": ("pv revoke", writeable, "_brute_force", skip),
    "none, npt": ("hap npt", control, "clean", same),
    "no flush after CLEAN, npt": ("hap npt", control, "change_type_global", without(p2m, "flush_all")),
    "no poison, npt": ("hap npt", npt, "postpone", skip),
    "no mark, npt": ("hap npt", logdirty, "mark", skip),
    "retyped without a mark, npt": ("hap npt", exits, "_handle_npf", without(logdirty, "mark")),
    "none, pml": ("hap pml", control, "clean", same),
    "no flush after CLEAN, pml": ("hap pml", control, "change_type_global", without(p2m, "flush_all")),
    "D set and not logged": ("hap pml", walk, "_log", lambda _: lambda *_: True),
    "none, pv": ("pv", control, "clean", same),
    "no flush after CLEAN, pv": ("pv", recycle, "blow", without(recycle, "flush_all")),
    "no blow, pv": ("pv", recycle, "blow", skip),
    "no mark, pv": ("pv", logdirty, "mark", skip),
    "hypercall without its shadow": ("pv", updates, "_write", without(updates, "validate")),
    "writable use not counted": ("pv", updates, "_hold_page", lambda _: lambda *_: True),
    "use not ended": ("pv", updates, "_put_page", skip),
    "old table kept": ("pv", updates, "drop", skip),
    "no flush between kernel and user": ("pv", roots, "_load", without(roots.tlb, "flush")),
    "direct map left writable": ("pv", guest, "protect", skip),
}


def property_test(number):
    """The test of a property."""
    every = vars(test_properties) | vars(test_properties_pool) | vars(in_time)
    return next(test for name, test in every.items() if name.startswith(f"test_property_{number:02}_"))


def noticed(test, module, name, mutate, arguments):
    """What the test says: the sentence of the audit or of its own assertion; "" when it says nothing."""
    with broken(module, name, mutate):
        try:
            test(**arguments)
        except AssertionError as error:
            return str(error).partition("\n")[0] or "its own assertion"
    return ""


def verdict(road):
    """[first broken rule or "", most frames stored to since a CLEAN whose bit was clear]. `road`: with npt, pml or revoke."""
    name, *more = road.split()
    fields = {"npt": {"hap": "npt"}, "pml": {"pml": 1}, "revoke": {"clean": "revoke"}, "ept": {"pml": 0}}
    simulation = Simulation(SMALL.replace(road=name, **{k: v for word in more for k, v in fields[word].items()}))
    rule, lost = "", 0
    for tick in range(1, LOOKS[-1] + 1):
        simulation.run(1)
        missing = simulation.machine.log_dirty()["missing"]
        if (tick in LOOKS or missing) and not rule:
            rule = simulation.audit()
        lost = max(lost, missing)
        if rule and lost:
            break
    return rule, lost


def main(*numbers):
    assert PLAIN
    found, wanted = {"properties": {}, "pml": {}, "ring 3": {}, "ept": {}, "gib": {}, "roads": {}}, [int(n) for n in numbers]
    for number, (module, name, mutate, arguments) in OF_PROPERTY.items():
        if not wanted or number in wanted:
            found["properties"][number] = noticed(property_test(number), module, name, mutate, arguments)
    for table, mutants in (("pml", OF_PML), ("ring 3", OF_RING_3), ("ept", OF_EPT), ("gib", OF_GIB)):
        for name, (test, arguments, module, kernel, mutate) in mutants.items():
            if not wanted:
                found[table][name] = noticed(test, module, kernel, mutate, arguments)
    for name, (road, module, attribute, mutate) in ON_A_ROAD.items():
        if not wanted:
            with broken(module, attribute, mutate):
                found["roads"][name] = verdict(road)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
