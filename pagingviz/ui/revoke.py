"""Below the dirty bitmap: the road not taken. CLEAN by searching all shadows, against blow and rebuild, counted."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pagingviz.arch import costs
from pagingviz.experiments import ledger, pool_size
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario
from pagingviz.story.counting import counted
from pagingviz.ui import session
from pagingviz.ui.jobs import finished, job

_LENGTHS = (200, 500, 1000, 2000, 5000, 10_000)
_WHY = """
Under HAP one table says which guest frames may be written. A shadow maps guest **virtual** addresses to machine frames, so
"take write access away from this frame" asks the question backwards: which entries lead to it? Xen keeps no list. It counts
writable mappings (the typecount) and can search: a guess where known kernels map their memory, the shadow of the last hit, then
every L1 shadow (`sh_remove_write_access`). For one page table that is cheap; for all of RAM it is one search for each frame,
with the guest paused. Throwing everything away (`shadow_blow_tables`) takes the same short time whatever was written, and loses
nothing but time: the guest's own tables hold the whole truth, and its faults bring back what it still needs. (One sweep over
all L1 shadows, frame or no frame, could do without the searches; Xen has none, and calls its way heavy-handed itself.)
"""
_ROWS = (  # label, counter, in the pause, in the rounds
    ("frames searched for", "frames_revoked", True, False),
    ("L1 shadows searched", "shadows_searched", True, True),
    ("entries looked at", "entries_searched", True, True),
    ("entries changed", "entries_stripped", True, True),
    ("shadows destroyed", "shadow_free", True, True),
    ("shadows made", "shadow_alloc", True, True),
    ("exits by page fault", "exits_page_fault", True, True),
    ("of these: entries filled in", "shadow_fault_fixed", True, True),
    ("exits by MOV CR3", "exits_cr3", True, True),
    ("exits by INVLPG", "exits_invlpg", True, True),
    ("TLB misses", "tlb_miss", True, True),
)


def road_not_taken() -> None:
    """The whole section. Draws nothing until there is a machine."""
    visit = session.current()
    if visit.player is None or visit.view.present:
        return
    with st.container(key="not-taken"):
        st.subheader("The road not taken")
        st.markdown(_WHY)
        if not road_of(visit.scenario).shadows:
            st.markdown(
                "There are shadows on the shadow road, and on the PV road while log-dirty is on: choose road=shadow in "
                "the sidebar to see both ledgers."
            )
            return
        try:
            scenario, ticks = _chosen(visit)
        except ScenarioError as error:
            st.error(str(error))
            return
        _ledgers(visit, scenario, ticks)


def _chosen(visit: session.Visit) -> tuple[Scenario, int]:
    """(scenario with the chosen pool and dirty rate, ticks of a round)."""
    now = visit.scenario
    pools, high = pool_size.sizes(now), now.pool
    left, middle, right = st.columns(3)
    pool = left.select_slider("Pages of the pool", pools, high, key=f"ledger-pool-{high}-{now.least_pool}")
    if now.generators:
        write = middle.slider("Percent of accesses that write", 0, 100, now.write, key=f"ledger-write-{now.write}")
    else:
        write = now.write
        middle.markdown("Recorded programs decide themselves what they write: the length of a round sets the dirty rate.")
    usual = min(_LENGTHS, key=lambda n: abs(n - (now.clean_every or ledger.ROUND)))
    ticks = right.select_slider("Ticks of a round", _LENGTHS, usual, key=f"ledger-ticks-{usual}")
    return now.replace(pool=pool, write=write, do="", clean_every=0), ticks


def _ledgers(visit: session.Visit, scenario: Scenario, ticks: int) -> None:
    """Both ledgers of what is chosen, and the sweep over dirty rates and over pool sizes through it."""
    files = dict(visit.files)
    one = job(
        ("ledger", scenario.to_json(), ticks, tuple(sorted(files))),
        "both ledgers",
        lambda progress: ledger.entry(scenario, ticks, files=files),
    )
    if not finished(one, "The work is run down both roads …", "ledger"):
        return
    here = one.result
    if here.crashed:
        st.markdown("In a pool of this size the domain dies for want of a page.")
        return
    st.markdown(_in_words(here))
    st.dataframe(_table(here), hide_index=True, height="content", key="ledger-table")
    used = ledger.priced(here.blow.run, here.blow.levels)
    rows = (f"{row.what} {row.cycles:,} ({row.source})" for row in costs.COSTS if row.key in used)
    st.caption(f"Cycles by the table of costs: {'; '.join(rows)}.")
    over = st.segmented_control("Where do they cross? Run both roads against", ("Dirty rate", "Pool size"), key="ledger-over")
    if over is None:
        return
    rate = over == "Dirty rate"
    wanted = ledger.rates(scenario, ticks) if rate else [(scenario.replace(pool=n), ticks) for n in pool_size.sizes(scenario)]
    work = job(
        ("ledgers", rate, scenario.to_json(), ticks, tuple(sorted(files))),
        "ledgers of both roads",
        lambda progress: ledger.sweep(wanted, files, progress),
    )
    if not finished(work, f"The work is run {2 * len(wanted)} times …", "ledgers"):
        return
    from pagingviz.ui import figures

    crossings = ledger.crossings(work.result)
    by = "pool" if not rate else "write" if scenario.generators else "ticks"
    st.plotly_chart(
        figures.ledger(work.result, by, here, crossings, session.theme(visit)),
        theme=None,
        key="ledger-curve",
        config=figures.config("road-not-taken"),
    )
    st.markdown(_crossover(work.result, crossings, by))


def _in_words(here: ledger.Entry) -> str:
    """What the two ledgers say, with their numbers."""
    blow, revoke = here.blow, here.revoke
    (stop_b, go_b), (stop_r, go_r) = blow.cycles(), revoke.cycles()
    frames, looked = revoke.pause["frames_revoked"], revoke.pause["entries_searched"]
    cheaper = "blow and rebuild is cheaper" if stop_b + go_b < stop_r + go_r else "searching is cheaper"
    same = blow.bits == revoke.bits and blow.guest == revoke.guest
    equal = "the same frames dirty at every CLEAN and the same guest at the end" if same else "different things: one is wrong"
    rounds, ticks = counted(ledger.ROUNDS, "CLEAN"), counted(here.ticks, "tick")
    entries, writable = counted(looked, "entry", "entries"), counted(frames, "writable frame")
    gone, faults = counted(blow.pause["shadow_free"], "shadow"), counted(blow.run["shadow_fault"], "shadow fault")
    return (
        f"{rounds}, each followed by {ticks}; both roads find {equal}. Searching looks at {entries} for {writable} while the "
        f"domain is **paused for {stop_r:,} cycles**; blow destroys {gone} in {stop_b:,}. Afterwards the emptied guest takes "
        f"{faults}, the other {revoke.run['shadow_fault']:,}. Pauses and rounds together are {stop_b + go_b:,} cycles "
        f"with blow and rebuild and {stop_r + go_r:,} with the search: {cheaper}.{_small(stop_b, stop_r)}"
    )


def _small(blow: int, search: int) -> str:
    """Where the pause of blow is the longer one, against what the page says above: why that is so here. In cycles."""
    if blow <= search:
        return ""
    return (
        f" In a guest this small the pause of blow is the longer one, {blow:,} cycles against {search:,}: hardly anything was "
        "written, so there is little to search for. The search grows with the frames that were written and the shadows that "
        "there are, blow with the shadows alone: scenario `ledger` shows it."
    )


def _table(here: ledger.Entry) -> list[dict[str, str]]:
    """Both ledgers, one row a thing that is counted."""
    sides = (("blow", here.blow), ("search", here.revoke))
    rows = []
    for label, name, paused, running in _ROWS:
        row = {"counted": f"{label} ({name})"}
        for heading, side in sides:
            row |= {
                f"{heading}: in the pauses": f"{side.pause[name]:,}" if paused else "",
                f"{heading}: in the rounds": f"{side.run[name]:,}" if running else "",
            }
        rows.append(row)
    row = {"counted": "cycles"}
    for heading, side in sides:
        stop, go = side.cycles()
        row |= {f"{heading}: in the pauses": f"{stop:,}", f"{heading}: in the rounds": f"{go:,}"}
    return [*rows, row]


def _crossover(entries: Sequence[ledger.Entry], crossings: Sequence[Sequence[ledger.Entry]], by: str) -> str:
    """Where the cheaper road changes."""
    unit = {"write": "% writes", "pool": " pages", "ticks": " ticks a round"}[by]
    if not crossings:
        alive = [e for e in entries if not e.crashed]
        always = bool(alive) and sum(alive[0].blow.cycles()) < sum(alive[0].revoke.cycles())
        return f"One road is cheaper everywhere on this line: {'blow and rebuild' if always else 'the search'}."
    a, b = crossings[0]
    return (
        f"**The crossover** lies between {getattr(a, by)}{unit} and {getattr(b, by)}{unit}. The search pays for frames "
        "times shadows, blow for what is touched again. Xen weighs nothing: its pause is short in every case."
    )
