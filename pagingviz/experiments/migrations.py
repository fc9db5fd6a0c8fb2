"""Whole migrations, from start to end, as reports; and the same guest migrated on every road, for comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from pagingviz.arch import costs
from pagingviz.migration.run import NEVER, Migration
from pagingviz.migration.state import ABORTED, DONE, Round
from pagingviz.migration.wire import FREQUENCY
from pagingviz.reading.rounds import parts
from pagingviz.scenario.fields import MAX_TICK, ScenarioError, format_do
from pagingviz.scenario.roads import ROADS
from pagingviz.scenario.scenario import Scenario
from pagingviz.story.migration import given_up
from pagingviz.story.text_table import text_table
from pagingviz.timeline.simulation import Simulation

FORMS = tuple(  # title, fields: every road that has a hypervisor, in each of its forms
    (title, {"road": road.name, **fields}) for road in ROADS.values() if road.hypervisor for title, fields in road.forms
)
LOGGING = ("enable", "peek", "clean", "off")  # while it migrates, only the toolstack gives these commands
STRIDE = 1 << 20


def with_migration(scenario: Scenario) -> Scenario:
    """The scenario with a migration: Xen's pre-copy where it has none, without other commands that read or switch the log."""
    if scenario.migrate != "no":
        return scenario
    others = tuple(command for command in scenario.commands if command.name not in LOGGING)
    return scenario.replace(migrate="precopy", clean_every=0, do=format_do(others))


def migration_of(sim: Simulation) -> Migration:
    """The migration of a simulation that has one."""
    assert sim.migration
    return sim.migration


def over(sim: Simulation) -> bool:
    """Whether nothing is left to do for the migration."""
    return migration_of(sim).state.next >= NEVER


def migrate(scenario: Scenario, files: Mapping[str, bytes] | None = None) -> Simulation:
    """Run a scenario until its migration is over."""
    sim = Simulation(with_migration(scenario), files)
    while not over(sim):
        if sim.tick >= MAX_TICK:
            raise ScenarioError(f"The migration is not over after {MAX_TICK:,} ticks.")
        sim.run(min(STRIDE, MAX_TICK - sim.tick))
    return sim


def report(sim: Simulation) -> dict[str, Any]:
    """The outcome of a migration as plain data: the JSON of `python -m pagingviz migrate`. Times in microseconds."""
    sc, mig = sim.scenario, migration_of(sim)
    st = mig.state
    exits: Counter[str] = Counter()
    for r in st.rounds:
        exits.update(r.exits)
    return {
        "scenario": sc.name,
        "road": sc.road,
        "hap": sc.hap,
        "pml": sc.pml,
        "seed": sc.seed,
        "migrate": sc.migrate,
        "policy": sc.policy,
        "outcome": st.phase,
        "stop": st.stop,
        "why": st.why,
        "ticks": sim.tick,
        "rounds": [_round(r) for r in st.rounds],
        "calls": [dict(zip(("iteration", "total_written", "dirty_count", "decision"), c, strict=True)) for c in st.calls],
        "readings": st.readings,
        "pages": st.total_sent,
        "bytes": st.bytes,
        "exits": dict(exits),
        "guest_ticks": sum(r.ticks for r in st.rounds),
        "slowdown": slowdown(sim),
        "downtime": us(st.downtime),
        "pause": {part: us(cycles) for part, cycles in parts(mig).items()},
        "total": us(st.ended - st.began),
        "checkpoints": st.checkpoints,
        "faults": sum(r.faults for r in st.rounds),
        "left": {"pages": st.left, "time": us(st.left * mig.link.page), "text": given_up(sim)} if st.phase == ABORTED else None,
        "destination_equals_source": st.phase == DONE and bool(st.equal),
        "frames": mig.frames,
    }


def us(cycles: int) -> float:
    """Cycles as microseconds, to a nanosecond."""
    return round(cycles / FREQUENCY, 3)


def _round(r: Round) -> dict[str, Any]:
    return {
        "number": r.number,
        "kind": r.kind,
        "planned": r.planned,
        "sent": r.sent,
        "data": r.data,
        "skipped": r.skipped,
        "dirtied": r.dirtied,
        "needless": r.needless,
        "bytes": r.bytes,
        "ticks": r.ticks,
        "began": us(r.began),
        "time": us(r.ended - r.began),
        "rate": r.rate,
        "throttle": r.throttle,
        "faults": r.faults,
        "stall": us(r.stall),
        "exits": dict(r.exits),
    }


def slowdown(sim: Simulation) -> float:
    """Share of the guest's running time in the live rounds that exits took, 0 to 1."""
    mig = migration_of(sim)
    price = {name: costs.cycles(row, mig.table) for name, _, row in costs.CAUSES}
    live = [r for r in mig.state.rounds if r.kind == "live"]
    spent = sum(price[name] * n for r in live for name, n in r.exits.items())
    own = sum(r.ticks for r in live) * mig.op
    return round(spent / (spent + own), 4) if spent and sim.scenario.tracking == "costs" else 0.0


def side_by_side(
    scenario: Scenario, files: Mapping[str, bytes] | None = None, progress: Callable[[int, int], None] | None = None
) -> list[dict[str, Any]]:
    """The same work and seed on every road of FORMS: a report each, with `name`; with `error` where it cannot run.

    `progress` is called before each with how many are done and how many there are.
    """
    rows = []
    for done, (name, fields) in enumerate(FORMS):
        if progress:
            progress(done, len(FORMS))
        try:
            rows.append({"name": name, **report(migrate(with_migration(scenario).replace(**fields), files))})
        except ScenarioError as error:
            rows.append({"name": name, "error": str(error)})
    return rows


COLUMNS: tuple[tuple[str, Callable[[dict[str, Any]], Any]], ...] = (  # of the table of roads: heading, and what stands under it
    ("rounds", lambda r: len(r["rounds"])),
    ("pages", lambda r: f"{r['pages']:,}"),
    ("last round", lambda r: f"{r['rounds'][-1]['sent']:,}" if r["rounds"] else ""),
    ("MB", lambda r: f"{r['bytes'] / 1e6:,.2f}"),
    ("exits", lambda r: f"{sum(r['exits'].values()):,}"),
    ("guest slowed by", lambda r: f"{100 * r['slowdown']:.0f} %"),
    ("total ms", lambda r: f"{r['total'] / 1e3:,.2f}"),
    ("downtime ms", lambda r: f"{r['downtime'] / 1e3:,.3f}"),
    ("stopped because", lambda r: r["stop"] or r["why"]),
    ("equal", lambda r: "yes" if r["destination_equals_source"] else "NO" if r["outcome"] == DONE else r["outcome"]),
)


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of `side_by_side` for a reader: one road a row."""
    return [
        {"road": row["name"]}
        | ({"stopped because": row["error"]} if "error" in row else {heading: show(row) for heading, show in COLUMNS})
        for row in rows
    ]


def lines(r: dict[str, Any]) -> list[str]:
    """A report as text."""
    road = r["road"] + (f" ({r['hap']}{', PML' if r['pml'] else ''})" if ROADS[r["road"]].nested else "")
    out = [f"{r['scenario']}: road {road}, migrate {r['migrate']}, policy {r['policy']}, seed {r['seed']}: {r['outcome']}"]
    rounds = [("round", "", "sent", "skipped", "dirtied", "needless", "ms", "guest ticks", "exits")]
    for x in r["rounds"]:
        counts = (f"{x[name]:,}" for name in ("sent", "skipped", "dirtied", "needless"))
        exits = ", ".join(f"{n:,} {name}" for name, n in x["exits"].items()) or "none"
        rounds.append((str(x["number"]), x["kind"], *counts, f"{x['time'] / 1e3:,.3f}", f"{x['ticks']:,}", exits))
    out += [f"  {line}" for line in text_table(rounds, right={0, *range(2, 8)})]
    out += [f"  {what}" for what in (r["stop"] and f"stopped: {r['stop']}", r["why"]) if what]
    took = f"total {r['total'] / 1e3:,.3f} ms, downtime {r['downtime'] / 1e3:,.3f} ms"
    out.append(f"  {r['pages']:,} pages, {r['bytes']:,} bytes; {took}")
    if r.get("pause"):
        out.append("  of the downtime, ms: " + ", ".join(f"{part} {time / 1e3:,.3f}" for part, time in r["pause"].items()))
    return [*out, f"  {_end(r)}"]


def _end(r: dict[str, Any]) -> str:
    """How the two hosts compare at the end; nobody compares a destination that was given up."""
    if r.get("left"):
        return f"given up, and the destination thrown away: {r['left']['text']}"
    if r["outcome"] != DONE:
        return "neither host has all of the guest: nothing is compared"
    return "the destination " + ("equals the source" if r["destination_equals_source"] else "IS NOT THE SOURCE")


def compared(rows: list[dict[str, Any]]) -> list[str]:
    """The table of roads as text."""
    shown = table(rows)
    heads = ["road", *(heading for heading, _ in COLUMNS)]
    cells = [heads, *([str(row.get(head, "")) for head in heads] for row in shown)]
    return text_table(cells)
