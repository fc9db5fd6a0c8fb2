"""The slow model against what is known independently of it.

Golden scenarios of real Xen, the rules of the x86 walk, and the law that a guest cannot tell which road it runs on."""

import random
from collections import OrderedDict

import numpy as np
import pytest

from tests.model import EXIT, FETCH, FORK, READ, WRITE, Op
from tests.model.config import COW, NX, A, D, P, U, W, frame, index
from tests.model.invariants import broken_rule
from tests.model.small import BASE, changes, machine, shadow_leaf, table_of, touch
from tests.model.tlb import TlbEntry, TlbLevel
from tests.model.walk import Mode, PageFault, guest_walk

# ---- golden scenarios of Xen's shadow code, out-of-sync tables off ----


def test_g1_cold_read_builds_three_shadows_and_prefetches():
    m = machine()
    for vpn in range(BASE, BASE + 40):
        touch(m, vpn, WRITE)
    m.command("blow")
    moved = touch(m, BASE)
    assert moved["shadow_fault"] == 1 and moved["shadow_alloc"] == moved["shadow_hash_inserts"] == 3
    assert sum(shadow_leaf(m, vpn) & P for vpn in range(BASE, BASE + 40)) == 32


def test_g2_write_to_a_clean_page_faults_once_more():
    m = machine()
    touch(m, BASE)
    assert not shadow_leaf(m, BASE) & W
    moved = touch(m, BASE, WRITE)
    assert moved["shadow_fault"] == 1 and "shadow_alloc" not in moved
    assert shadow_leaf(m, BASE) & W
    assert m.word(table_of(m, BASE, 1), index(BASE << 12, 1)) & D


def test_g3_log_dirty_read_then_write():
    m = machine()
    touch(m, BASE, WRITE)
    gfn = frame(m.word(table_of(m, BASE, 1), index(BASE << 12, 1)))
    m.command("enable")
    touch(m, BASE)
    assert shadow_leaf(m, BASE) & P and not shadow_leaf(m, BASE) & W and gfn not in m.log.bits
    assert touch(m, BASE, WRITE)["shadow_fault"] == 1
    assert shadow_leaf(m, BASE) & W and gfn in m.log.bits
    assert "shadow_fault" not in touch(m, BASE, WRITE)
    assert len(m.log.tree) == 4  # the first mark allocates exactly four pages


def test_g5_every_store_to_a_shadowed_l1_is_emulated_and_two_zeros_unshadow_it():
    m = machine()
    touch(m, BASE)
    l1 = table_of(m, BASE, 1)
    entry = m.word(l1, index(BASE << 12, 1))
    for slot in (7, 8):
        moved = changes(m, lambda slot=slot: m.guest.store(l1, slot, entry))
        assert moved["shadow_fault_emulate_write"] == moved["shadow_validate_gl1e_calls"] == 1
    assert "shadow_early_unshadow" not in changes(m, lambda: m.guest.store(l1, 7, 0))
    moved = changes(m, lambda: m.guest.store(l1, 8, 0))
    assert moved["shadow_early_unshadow"] == moved["shadow_unshadow"] == moved["shadow_up_pointer"] == 1
    assert not m.road.is_page_table(m.p2m[l1])
    assert m.guest.store(l1, 9, 0)  # now an ordinary page: the store goes straight to memory


def test_g6_store_to_an_l2_is_validated_and_links_only_shadowed_children():
    m = machine()
    touch(m, BASE)
    l2, l1 = table_of(m, BASE, 2), table_of(m, BASE, 1)
    sl2 = m.road.lookup(m.p2m[l2], 9)
    moved = changes(m, lambda: m.guest.store(l2, 500, 60 << 12 | P | W | U | A))
    assert moved["shadow_validate_gl2e_calls"] == 1 and m.road.entry(sl2, 500) == 0
    m.guest.store(l2, 501, l1 << 12 | P | W | U | A)
    child = m.road.lookup(m.p2m[l1], 7)
    assert frame(m.road.entry(sl2, 501)) == child and m.road.entry(sl2, 501) & P
    assert m.road.pages[child].refcount == 2


def test_g7_processes_larger_than_the_pool_recycle_the_least_recently_loaded_root():
    m, order = machine(pool=16), [0, 1, 2, 3, 4]
    for p in order * 2:
        touch(m, BASE, READ, p)
    for p in order * 3:
        lru = [m.gfn_of[m.road.pages[s].key] for s in reversed(m.road.pinned)]
        seen = len(m.events)
        moved = touch(m, BASE, READ, p)
        victims = [e[4] for e in m.events[seen:] if e[1] == "PREALLOC_UNPIN"]
        assert moved["shadow_prealloc_1"] >= 1 and victims == lru[: len(victims)] and victims
        assert m.crashed == 0 and "shadow_prealloc_2" not in moved


def test_g8_one_process_larger_than_the_pool_is_unhooked_whole():
    m = machine(pool=16, frames=256, zone=128)
    pages = [BASE + 512 * k for k in range(24)]
    for vpn in pages:
        touch(m, vpn, WRITE)
    assert m.counters["shadow_prealloc_2"] >= 1 and m.crashed == 0
    while True:
        moved = touch(m, pages[m.now % 24])
        if "shadow_prealloc_2" in moved:
            break
    live = [p.type for p in m.road.pages.values() if p.type in (7, 9, 11, 12)]
    assert sorted(live) == [7, 9, 11, 12]  # the root, and the path of the faulting page only


def test_g9_clean_unpins_the_root_and_the_next_cr3_load_frees_it():
    m = machine()
    for p in (1, 0):
        touch(m, BASE, WRITE, p)
    m.command("enable")
    m.command("clean")
    root = m.cpu.slots[0]
    assert not m.road.pinned and m.road.pages[root].refcount == 1 and not m.road.pages[root].entries
    touch(m, BASE, READ, 1)
    assert m.road.lookup(m.p2m[m.guest.roots[0]], 12) is None


def test_reloading_the_same_root_changes_nothing():
    m = machine()
    touch(m, BASE, WRITE)
    before = m.state()
    for _ in range(3):
        m.load_cr3(m.guest.roots[0])
    after = m.state()
    assert before["shadows"] == after["shadows"] and before["pool"]["pinned"] == after["pool"]["pinned"]


def test_write_access_is_found_by_guess_last_hit_and_brute_force():
    """The direct map where Xen guesses it: h_4. Moved as in Linux 4.20: a search of all shadows, then the last hit."""
    here, moved_away = machine(), machine(direct_map=0xFFFF_8880_0000_0000)
    for m in (here, moved_away):
        for k in range(6):
            touch(m, BASE + 512 * k, WRITE)
    assert here.counters["shadow_writeable_h_4"] == here.counters["shadow_writeable"] > 2
    assert "shadow_writeable_bf" not in here.counters
    assert "shadow_writeable_h_4" not in moved_away.counters
    assert moved_away.counters["shadow_writeable_bf"] == 1
    assert moved_away.counters["shadow_writeable_h_5"] == moved_away.counters["shadow_writeable"] - 1


def test_a_shadow_with_two_parents_survives_the_fast_unshadow_and_a_user_write_removes_it():
    m = machine()
    touch(m, BASE)
    touch(m, BASE + 512)  # a second L1, whose frame the user is about to map
    l2, l1, mine = table_of(m, BASE, 2), table_of(m, BASE + 512, 1), table_of(m, BASE, 1)
    m.guest.store(l2, 501, l1 << 12 | P | W | U | A)
    moved = changes(m, lambda: [m.guest.store(l1, slot, 0) for slot in (1, 2)])
    assert moved["shadow_early_unshadow"] == moved["shadow_unshadow_bf"] == 1 and m.road.is_page_table(m.p2m[l1])
    m.guest.store(mine, 9, l1 << 12 | P | W | U)
    version = m.version[l1]
    moved = touch(m, BASE + 9, WRITE)
    assert moved["shadow_fault_emulate_failed"] == moved["shadow_unshadow"] == 1 and moved["shadow_fault"] == 2
    assert not m.road.is_page_table(m.p2m[l1]) and m.version[l1] == version + 1 and m.crashed == 0
    assert broken_rule(m) == ""


def test_two_idle_vcpus_hold_the_root():
    m = machine(vcpus=3)
    root = m.cpu.slots[0]
    assert m.road.pages[root].refcount == 4  # three slots and the pin
    assert [p.type for p in m.road.pages.values()][:4] == [14, 12, 14, 14]
    touch(m, BASE, WRITE, 1)
    assert m.road.pages[root].refcount >= 3 and broken_rule(m) == ""


# ---- EPT ----


def entries(m):
    """{(pool page, slot): word} of the present entries of the nested tables."""
    tables = {page: np.frombuffer(row, np.uint64).tolist() for page, row in m.state()["ept"].items()}
    return {(page, slot): word for page, row in tables.items() for slot, word in enumerate(row) if word}


def test_enable_and_clean_poison_one_root_entry_and_leave_the_leaves():
    m = machine("hap", frames=1024, zone=64)
    before = entries(m)
    m.command("enable")
    changed = {key for key, entry in entries(m).items() if entry != before[key]}
    assert changed == {(0, 0)}


@pytest.mark.parametrize("superpages", [0, 1])
def test_exits_of_one_clean_interval(superpages):
    """One misconfiguration per 2 MiB region touched, one violation per frame written; the first splits a superpage."""
    m = machine("hap", frames=1024, zone=64, superpages=superpages)
    for k in range(20):
        touch(m, BASE + k, WRITE)
    m.command("enable")
    for _ in range(2):
        m.command("clean")
        moved = changes(m, lambda: [touch(m, BASE + k) for k in range(20)])
        assert moved["ept_misconfig"] == 1 and "ept_violation" not in moved and not m.log.bits
        moved = changes(m, lambda: [touch(m, BASE + k, WRITE) for k in range(20) for _ in range(2)])
        assert "ept_misconfig" not in moved and moved["ept_violation"] == m.log.dirty_count == 20
    leaves = [e for e in entries(m).values() if e >> 7 & 1]
    assert len(leaves) == superpages  # of the two superpages one was written, hence split
    m.command("off")
    assert not m.road.tree_pages and changes(m, lambda: touch(m, BASE, WRITE)).get("ept_violation") is None


# ---- the walk (Intel SDM vol. 3, 4.5 to 4.8) ----


def tables(*entries):
    """Four tables 1..4 in a row from the root with these flags in slot 0; the leaf maps frame 5."""
    words = {level + 1: (level + 2) << 12 | flags for level, flags in enumerate(entries)}
    return lambda table, slot: words[table] if slot == 0 else 0


ALL = P | W | U


@pytest.mark.parametrize(
    "flags, kind, user, error",
    [
        ((ALL, ALL, ALL, 0), WRITE, True, 2 | 4),  # not present: P clear
        ((ALL, ALL, 0, ALL), FETCH, False, 16),
        ((P | U, ALL, ALL, 0), WRITE, True, 2 | 4),  # a hole below wins over a missing right above
        ((P | U, ALL, ALL, ALL), WRITE, True, 1 | 2 | 4),
        ((ALL, P | U, ALL, ALL), WRITE, False, 1 | 2),  # CR0.WP: the supervisor obeys too
        ((ALL, ALL, P | W, ALL), READ, True, 1 | 4),
        ((ALL | NX, ALL, ALL, ALL), FETCH, True, 1 | 4 | 16),  # NX on any level
    ],
)
def test_error_codes(flags, kind, user, error):
    with pytest.raises(PageFault) as caught:
        guest_walk(Mode(4, 9, 40), 1, None, 0, kind, user, tables(*flags))
    assert caught.value.error == error


def test_accessed_and_dirty_only_after_success_and_dirty_only_in_the_leaf():
    m = machine("bare")
    touch(m, BASE)
    chain = [(table_of(m, BASE, level), index(BASE << 12, level)) for level in (4, 3, 2, 1)]
    assert all(m.word(*at) & A and not m.word(*at) & D for at in chain)
    versions = [m.version[t] for t, _ in chain]
    touch(m, BASE, WRITE)
    assert [bool(m.word(*at) & D) for at in chain] == [False, False, False, True]
    assert [m.version[t] - v for (t, _), v in zip(chain, versions, strict=True)] == [0, 0, 0, 1]
    m.set_word(*chain[3], m.word(*chain[3]) & ~(A | P))
    with pytest.raises(PageFault):
        m.cpu.tlb.flush()
        m.access(BASE << 12, READ, True)
    assert not m.word(*chain[3]) & A


def test_tlb_level_is_a_true_lru():
    level, sets, draw = TlbLevel(4, 3), [OrderedDict() for _ in range(4)], random.Random(2)
    for stamp in range(1, 2000):
        vpn = draw.randrange(40)
        found, lru = level.find(vpn), sets[vpn % 4]
        assert (found is not None) == (vpn in lru)
        if found:
            found.stamp = stamp
            lru.move_to_end(vpn)
            continue
        level.fill(TlbEntry(vpn, vpn, True, True, False, stamp))
        lru[vpn] = True
        if len(lru) > 3:
            lru.popitem(last=False)


# ---- the guest ----


def test_fork_shares_frames_and_a_write_copies_one():
    m = machine("bare")
    for k in range(4):
        touch(m, BASE + k, WRITE)
    m.tick(Op(0, kind=FORK))
    slot = index(BASE << 12, 1)
    parent, child = m.word(table_of(m, BASE, 1), slot), m.word(table_of(m, BASE, 1, 1), slot)
    assert parent & COW and not parent & W and frame(child) == frame(parent) and not child & (A | D)
    touch(m, BASE, WRITE, 1)
    assert m.guest.faults[-1] == (BASE << 12, P | 2 | 4)
    copied = m.word(table_of(m, BASE, 1, 1), slot)
    assert frame(copied) != frame(parent) and copied & W and m.guest.share[frame(parent)] == 1
    free = len(m.guest.data_stack) + len(m.guest.table_stack)
    m.tick(Op(1, kind=EXIT))
    assert len(m.guest.data_stack) + len(m.guest.table_stack) == free + 5  # root, three tables, the copied frame
    touch(m, BASE, WRITE)
    assert m.word(table_of(m, BASE, 1), slot) & W and not m.word(table_of(m, BASE, 1), slot) & COW


def test_commands_fall_due_and_clean_repeats_itself():
    m = machine(commands=((2, "enable", None), (2, "enable", None), (9, "off", None)), clean_every=3)
    for k in range(12):
        touch(m, BASE + k, WRITE)
    want = [(2, "enable"), (3, "clean"), (6, "clean"), (9, "clean"), (9, "off")]  # the CLEAN ends tick 9, then OFF
    assert [(e[0], e[6]) for e in m.events if e[1] == "COMMAND"] == want
    assert [e[0] for e in m.events if e[1] == "IGNORED"] == [2] and m.log.round == 3 and not m.log.tree


def test_a_crashed_machine_stands_still():
    starved = machine(pool=4)  # monitor table, root, and two pages where a fault wants three
    assert not starved.crashed
    bug = machine("bare")
    for m, code, op in ((starved, 1, Op(0, BASE, WRITE)), (bug, 2, Op(0, BASE, WRITE, vma_w=0))):
        m.tick(op)
        assert m.crashed == code
        stopped = m.state()
        m.tick(op)
        m.command("flush")
        assert m.state() == stopped


def random_ops(seed, n):
    """A seeded mix of accesses of three processes and a forked child; page rights are a function of the page."""
    draw, child_lives = random.Random(seed), False
    span = draw.choice([6, 20, 40])
    for _ in range(n):
        if draw.random() < 0.06:
            child_lives = not child_lives
            yield Op(2, kind=FORK) if child_lives else Op(3, kind=EXIT)
            continue
        proc = draw.choice([0, 0, 1, 2] + [3] * child_lives)
        page = draw.randrange(span)
        vma_w, vma_x = int(page % 3 > 0), int(page % 4 == 0)
        kind = draw.choice([READ] + [WRITE] * 2 * vma_w + [FETCH] * vma_x)
        yield Op(proc, BASE + page * draw.choice([1, 1, 512]), kind, vma_w, vma_x, draw.randrange(3))


COMMANDS = [
    ("enable", None),
    ("clean", None),
    ("clean", None),
    ("peek", None),
    ("off", None),
    ("blow", None),
    ("flush", None),
    ("pool", 17),
    ("pool", 50),
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_a_guest_cannot_tell_its_road(seed):
    """Same operations, different commands a road: same versions, faults, A/D bits and tables. No mark is lost."""
    fields = {
        "frames": 512 if seed % 4 == 3 else 440,
        "zone": 200,
        "pool": (16, 24, 60)[seed % 3],
        "vcpus": 1 + seed % 2,
        "superpages": int(seed % 4 == 3),
        "direct_map": 0xFFFF_8800_0000_0000 if seed % 2 else 0xFFFF_8880_0000_0000,
    }
    models = [machine(road, **fields) for road in ("bare", "shadow", "hap")]
    draws = [random.Random(seed) for _ in models]
    for t, op in enumerate(random_ops(seed, 250)):
        for m, draw in zip(models, draws, strict=True):
            if m.config.road != "bare" and draw.random() < 0.08:
                m.command(*draw.choice(COMMANDS))
            m.tick(op)
            assert m.crashed == 0
            assert not m.log.missing()
            if t % 5 == 0:
                assert broken_rule(m) == ""
        if t % 10 == 9:
            bare, shadow, hap = (m.guest_state() for m in models)
            assert bare == shadow and bare == hap
