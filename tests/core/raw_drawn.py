"""Raw guests drawn from their number, played on any number of machines row by row."""

from tests.core.rawgen import random_guest

ROWS = 120
WP, SMEP, SMAP, NXE, AC, PSE, PG = 1, 2, 4, 8, 16, 64, 128
USUAL = WP | NXE | PSE | PG
KINDS = ["hvm64", "pae", "hvm32"]
SWITCHES = [USUAL] * 6 + [USUAL ^ WP, USUAL | SMEP | SMAP, USUAL ^ NXE, USUAL | SMAP | AC, 0, WP]


def make(shape, guest, seed, cr, big, tame=False, beyond=False):
    """(fields of a Pair, program) of a drawn guest. big: superpages."""
    shape = shape | {"guest": guest, "frames": 1100 if big else 160, "zone": 40, "cr": cr}
    shape["pool"] += shape["vcpus"] * (5 if guest == "hvm64" else 11)
    g = random_guest(seed, guest, shape["frames"], shape["zone"], shape["vcpus"], ROWS, cr, big, tame, beyond)
    return shape | {"tables": g.tables, "cr3": g.cr3, "program": g.program}, g.program


def play(pairs, rows, journal):
    """Rows and commands on all pairs, yielding after each, until one of them is over. Bare machines take no commands."""
    for t in range(rows):
        for at, (name, arg) in journal:
            if at == t:
                for pair in pairs:
                    if pair.model.config.road != "bare" or name == "dm":
                        pair.command(name, arg)
                yield t, name
        for pair in pairs:
            pair.step()
        if any(pair.over for pair in pairs):
            break
        yield t, "row"
    yield t, "end"


def drawn(r, kinds, switches):
    """(shape, kind, seed, CR bits, superpages, journal) from a random.Random: the same on every machine."""
    shape = {
        "vcpus": r.choice([1, 1, 2, 3]),
        "pool": r.choice([16, 24, 32, 48, 100]),
        "oos": r.choice([1, 1, 1, 0]),
        "shopt": r.choice([511, 511, 511, 511 ^ 1 << r.randrange(9), r.randrange(512)]),
        "xen": r.choice(["4.17", "master"]),
        "clean": r.choice(["blow", "blow", "revoke"]),
    }
    words = [(name, None) for name in ("enable", "enable", "clean", "peek", "off", "blow", "flush")]
    journal = [
        (r.randrange(ROWS), r.choice([*words, ("pool", r.randrange(20, 81)), ("dm", r.randrange(150) | r.randint(1, 8) << 32)]))
        for _ in range(r.choice([0, 0, 2, 5, 12]))
    ]
    return shape, r.choice(kinds), r.randrange(2**40), r.choice(switches), r.random() < 0.5, journal
