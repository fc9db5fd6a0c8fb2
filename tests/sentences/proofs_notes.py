"""What makes the notes of the scenarios true: {scenario: {number of the note: (what is compared, comparison)}}.

A note that only tells what to press or asks a question has None. A comparison gets `at`: at(tick, **fields) is the scenario's
simulation at a tick.
"""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.arch.words import NONE
from pagingviz.reading import shadows
from pagingviz.scenario.scenario import load
from tests.sentences.moments import pinned
from tests.sentences.notes_reading import (
    At,
    back_again,
    both_change,
    card_of_the_root,
    destroyed,
    empty_roots,
    emulated,
    emulations,
    exits,
    halted,
    hypercalls_only,
    made_when_touched,
    moved,
    never_both,
    new_memory,
    out_of_sync_until_a_switch,
    pages_of,
    recycles,
    resynced_by_a_switch,
    round_of,
    same_guest,
    shadow_is_faster,
    shadow_pages,
    shadows_of,
    share,
    stored_to_tables,
    storms,
    unpinned_is_the_oldest,
    walk,
    writable_tables,
)
from tests.sentences.proofs_notes_migration import MIGRATION_NOTES
from tests.sentences.proofs_notes_nested import NESTED_NOTES

__all__ = ["NOTES", "At"]

NOTES = (
    NESTED_NOTES
    | MIGRATION_NOTES
    | {
        "blackboard": {
            0: ("the digest of tick 2796 before and after going on and back", back_again),
            1: ("CR3 loads of 4,000 ticks", lambda at: moved(at(400), 4000)["cr3_loads"] == 100),
            2: ("`shadow_prealloc_1` with log-dirty and without", recycles),
            3: ("CLEAN, guest faults and stores to tables of ticks 2800 to 3000", new_memory),
            4: (
                "the shadows after the CLEAN of tick 2800, and shadows made by the faults after it",
                lambda at: (
                    empty_roots(s := at(2800))
                    and s.run_to_event("SHADOW_FAULT", 100)
                    and moved(s, 100)["shadow_fault"] > 5
                    and not empty_roots(s)
                ),
            ),
            5: None,
        },
        "blow": {
            1: ("the shadows at tick 60000", lambda at: empty_roots(at(60_000)) and at(60_000).machine.sys[0].pin_head == NONE),
            2: ("shadow faults of 200 ticks each", lambda at: (s := storms(at))[0] == max(s) and s[0] > 2 * s[-1] > 0),
            3: ("the guest with the blows and without", lambda at: same_guest(at(61_000), at(61_000, do=""))),
            4: (
                "`blows` and `cleans`",
                lambda at: (c := at(20_000, clean_every=5000, do="enable@100").counters())["blows"] >= c["cleans"] > 2,
            ),
            5: (
                "exits, TLB misses and references of 5,000 ticks, through shadows and behind EPT",
                lambda at: shadow_is_faster(
                    *(moved(at(150_000, work="uniform:3000", do="", road=r), 5000) for r in ("shadow", "hap"))
                ),
            ),
        },
        "borrowed": {
            1: (
                "no shadow before tick 3000, and 4 references without a second translation",
                lambda at: not shadows.in_use(at(2999).machine),
            ),
            2: (
                "stores to tables against hypercalls and what stands for them; types of frames",
                lambda at: hypercalls_only(at) and never_both(at),
            ),
            3: (
                "the pool's size, the loaded root and shadow faults after tick 3000",
                lambda at: (
                    shadows.pool_size((s := at(3001)).machine) == 96 < shadows.pool_size(at(3001, floor=1).machine)
                    and bool(shadows.loaded_by(s.machine))
                    and moved(s, 300)["shadow_fault_fixed"] > 10
                ),
            ),
            4: ("the shadows after a CLEAN", lambda at: empty_roots(at(4500))),
            5: (
                "the pool after OFF: all free, and no larger than the tree was; the guest with log-dirty and without",
                lambda at: (
                    (s := at(9001)).machine.sys[0].total_pages == s.machine.sys[0].free_pages <= 8
                    and same_guest(s, at(9001, do=""))
                ),
            ),
        },
        "combined": {
            1: ("references of the shadow's walk", lambda at: len(walk(at(690)).references) == 4),
            2: ("references under HAP", lambda at: len(walk(at(690, road="hap")).references) == 24),
            3: (
                "the walk after CLEAN",
                lambda at: (w := walk(at(700))).end.kind == "exit" and len(w.references) == 1,
            ),
            4: (
                "the price of a shadow fault in references, and from tick 2000 on faults through shadows and exits behind EPT",
                lambda at: (
                    at.scenario.cost_shadow_fault == 200 * at.scenario.cost_reference
                    and moved(at(2000, do=""), 2000)["shadow_fault"] > 0
                    and not exits(moved(at(2000, do="", road="hap"), 2000))
                ),
            ),
            5: (
                "references of both walks",
                lambda at: [len(walk(at(690, road=r)).references) for r in ("shadow", "hap")] == [4, 24],
            ),
        },
        "expensive": {
            1: ("pages of an l1_32 shadow", lambda at: pages_of(at(900), xen.SH_L1_32) == 2),
            2: ("pages of an l2_32 shadow", lambda at: pages_of(at(900), xen.SH_L2_32) == 4),
            3: ("pages of an fl1_32 shadow", lambda at: pages_of(at(900), xen.SH_FL1_32) == 2),
            4: (
                "pages of shadows against shadowed tables",
                lambda at: (
                    int(np.count_nonzero((k := (s := at(900)).machine.view("ptype")) < 13) - np.count_nonzero(k == 0))
                    > int(shadows.shadowed_tables(s.machine).sum())
                ),
            ),
            5: (
                "pages of shadows against shadowed tables, and of the shadow of one large page",
                lambda at: (
                    shadow_pages(s := at(900)) == 14
                    and int(shadows.shadowed_tables(s.machine).sum()) == 4
                    and pages_of(s, xen.SH_FL1_32) == 2
                ),
            ),
        },
        "forks": {
            1: (
                "stores that are emulated at a fork, and tables out of sync before it; the same with oos=0",
                lambda at: emulated(at(300)) < emulated(at(300, oos=0)) and at(300).counters()["shadow_unsync"] > 0,
            ),
            2: (
                "the error code of the fault of a COW_BREAK",
                lambda at: (
                    (s := at(300)).run_to_event("COW_BREAK", 5000)
                    and all(int(c) & 1 for c in s.events()["detail"][s.events()["kind"] == ev.GUEST_PF])
                ),
            ),
            3: (
                "frames that an exit frees",
                lambda at: (
                    (s := at(300)).run_to_event("EXIT", 20_000) and np.count_nonzero(s.events()["kind"] == ev.FRAME_FREE) > 3
                ),
            ),
        },
        "idle": {
            1: ("the digest of two ticks while it is halted", lambda at: halted(at(1590))),
            2: ("dirty bits at the end of rounds", lambda at: at(8000 - 1).machine.sys[0].dirty_count < 40),
            3: (
                "pool, frames and rounds of both scenarios, and the ticks from one CLEAN to the next",
                lambda at: (
                    at.scenario.pool == (other := load("blackboard")).pool
                    and other.frames < at.scenario.frames < 1.5 * other.frames
                    and round_of(at) == 2 * round_of(At("blackboard"))
                ),
            ),
        },
        "lecture": {
            1: ("dirty frames at the end of a round", lambda at: at(199_999).machine.sys[0].dirty_count > 1000),
            2: (
                "dirty frames with 5 and with 80 percent of writes",
                lambda at: at(199_999, write=5).machine.sys[0].dirty_count < at(199_999, write=80).machine.sys[0].dirty_count,
            ),
            3: ("splits on the hap road", lambda at: at(60_000, road="hap", superpages=1).counters()["p2m_split"] > 0),
        },
        "ledger": {
            1: None,
            2: (
                "shadows destroyed by a CLEAN, and entries that a search looks at",
                lambda at: (
                    25 < destroyed(at(34_999)) < 40 and moved(at(34_999, clean="revoke"), 2)["entries_searched"] > 1_000_000
                ),
            ),
            3: (
                "shadow faults of the round after",
                lambda at: moved(at(35_000), 4999)["shadow_fault"] > moved(at(35_000, clean="revoke"), 4999)["shadow_fault"],
            ),
            4: None,
            5: ("the guest on both roads", lambda at: same_guest(at(36_000), at(36_000, clean="revoke"))),
        },
        "programs": {
            1: None,
            2: (
                "pages of gzip and of the compiler",
                lambda at: [p.pages.size for p in at(0).work.processes][::3] == [108, 1845],
            ),
            3: (
                "shadow faults and the guest with 40 pages and with 56",
                lambda at: (
                    (a := at(22_500, pool=40)).counters()["shadow_fault"] > 1.2 * (b := at(22_500)).counters()["shadow_fault"]
                    and same_guest(a, b)
                ),
            ),
            4: ("the guest on both roads", lambda at: same_guest(at(22_500, road="hap"), at(22_500))),
        },
        "protected": {
            1: (
                "stores through the direct map to each of the guest's tables, by the guest's tables alone",
                lambda at: stored_to_tables(at(2075, road="bare")),
            ),
            2: (
                "frames with a shadow that are mapped writable, and the events of tick 2075",
                lambda at: (
                    writable_tables(s := at(2075)) == 0
                    and (kinds := s.events()["kind"].tolist()).index(ev.WRMAP) < kinds.index(ev.PROMOTE)
                ),
            ),
            3: (
                "the right to store to tables out of sync, of which there are up to three, and that a CR3 load leaves none",
                lambda at: out_of_sync_until_a_switch(at(2000)),
            ),
            4: (
                "tables out of sync before a CR3 load, and those that it brings back",
                lambda at: resynced_by_a_switch(at(2075)),
            ),
            5: (
                "the same with oos=0, and the guest with oos=0 and oos=1",
                lambda at: (
                    writable_tables(s := at(2075, oos=0)) == 0
                    and not shadows.out_of_sync(s.machine).any()
                    and same_guest(at(5000), at(5000, oos=0))
                ),
            ),
        },
        "search": {
            1: ("frames revoked by the CLEAN", lambda at: moved(at(3999), 1)["frames_revoked"] > 100),
            2: None,
            3: None,
            4: (
                "pages in use after the CLEAN of each road, and the dirty frames",
                lambda at: (
                    shadows_of(at(4000)) > shadows_of(at(4000, clean="blow"))
                    and (at(3999).machine.dirty_bits() == at(3999, clean="blow").machine.dirty_bits()).all()
                ),
            ),
            5: None,
        },
        "sweep": {
            1: (
                "guest faults and stores of the first lap; stores emulated with oos=0 and with oos=1",
                lambda at: (
                    0.9 < (c := at(1400).counters())["guest_faults"] / max(1, c["pte_stores"]) <= 1.1
                    and emulations(at(1400, oos=0)) > 0.9 * c["pte_stores"] > 100 * emulations(at(1400))
                ),
            ),
            2: (
                "entries prefetched a fault after a CLEAN",
                lambda at: 1 < (m := moved(at(12_000), 5999))["prefetched"] / m["shadow_fault_fixed"] <= 31,
            ),
            3: ("pages of matmul", lambda at: at(0).work.processes[0].pages.size == 540 > 64),
            4: ("the guest on both roads", lambda at: same_guest(at(3000, road="bare"), at(3000))),
        },
        "thrash": {
            1: ("what the next PREALLOC_UNPIN takes", lambda at: unpinned_is_the_oldest(at(4000))),
            2: ("the guest with a pool that fits", lambda at: same_guest(at(5000), at(5000, pool=96))),
            3: (
                "shadow faults before and after the pool has grown, and when it shrinks",
                lambda at: (
                    moved(at(11_500), 500)["shadow_fault"] > 80 > 10 > moved(at(14_500), 500)["shadow_fault"]
                    and moved(at(20_000), 500)["shadow_fault"] > 80
                ),
            ),
        },
        "touched": {
            1: ("tables in use with a shadow at tick 11999", lambda at: share(at(11_999)) > 0.8),
            2: ("the same after the blow", lambda at: share(at(13_000)) < 0.5),
            3: (
                "what the guest did in each tick in which a shadow was made",
                lambda at: made_when_touched(at(12_000), 400),
            ),
        },
        "two-tables": {
            1: (
                "the card of the loaded root's page, and the guest's CR3",
                lambda at: (
                    (rows := card_of_the_root(s := at(300)))["loaded"] == "yes, in CR3 of vCPU 0"
                    and rows["shadows"] == f"gfn {int(s.machine.sys[0].cr3[0]):#x}"
                ),
            ),
            2: (
                "CR3 and the loaded root around a switch, the guest with log-dirty and without, and its shadows after ENABLE",
                lambda at: (
                    both_change(at(300))
                    and all(same_guest(at(tick), at(tick, do="")) for tick in (600, 900))
                    and empty_roots(at(600))
                    and not empty_roots(at(900))
                ),
            ),
            3: (
                "monitor tables of the pool",
                lambda at: int(np.count_nonzero(at(300).machine.view("ptype") == xen.SH_MONITOR)) == 1,
            ),
            4: (
                "the pinned list after a switch",
                lambda at: (
                    sorted(pinned((a := at(300)).machine)) == sorted(pinned((b := at(340)).machine))
                    and pinned(b.machine)[0] == int(b.machine.sys[0].cr3[0]) != int(a.machine.sys[0].cr3[0])
                ),
            ),
        },
        "updates": {
            1: (
                "EMULATE and VALIDATE of a tick",
                lambda at: (s := at(700)).run_to_event("EMULATE", 5000) and ev.VALIDATE in s.events()["kind"],
            ),
            2: ("the guest on the bare road", lambda at: same_guest(at(2000), at(2000, road="bare"))),
            3: ("`shadow_early_unshadow`", lambda at: at(3000).counters()["shadow_early_unshadow"] > 0),
            4: (
                "`shadow_unsync` with oos=1",
                lambda at: at(2000, oos=1).counters()["shadow_unsync"] > 0 == at(2000).counters()["shadow_unsync"],
            ),
        },
    }
)
