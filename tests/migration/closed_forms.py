"""Works for which arithmetic and probability theory say how a migration goes."""

from pagingviz.migration import wire
from tests.migration.finished import warmth

LARGE = {"direct_map_pages": "large"}  # few page tables: the work has nearly all of the guest


def uniform(pages, seed=1, **fields):
    """Uniform accesses to `pages` pages, all met by a store before the migration begins."""
    share = fields.setdefault("write", 100)
    return LARGE | {"work": f"uniform:{pages}", "seed": seed, "migrate_at": warmth(pages, share or 100)} | fields


def sweep(pages, repeat, **fields):
    """A store to the next of `pages` pages every `repeat` ticks; all have been met before the migration begins."""
    return LARGE | {"work": f"sequential:{pages}:{repeat}", "write": 100, "migrate_at": pages * repeat} | fields


def fixed(sim):
    """Cycles of a pause that do not depend on pages: suspend, state, latency, resume; at most."""
    mig = sim.migration
    records = -(-mig.frames // wire.BATCH)
    size = wire.STATE["hap"] + wire.CHECKPOINT + records * wire.PAGE_DATA
    return mig.table["suspend"] + mig.table["resume"] + mig.link.latency + mig.link.cycles(size) + 2 * mig.op
