"""Plain and compiled kernels are the same engine: what a mutant shows about the one holds for the other.

Run as a program it prints the digests of some machines: the test does so in a process with PAGINGVIZ_PLAIN=1 and compares.
"""

import json
import random

import pytest

from tests.core.raw import BASE, DIRECT, FRAME
from tests.core.raw_guests import COMMANDS, world
from tests.support.plainly import answer

MACHINES = [
    (levels, road, vcpus, shopt)
    for levels in (4, 3, 2)
    for road, vcpus, shopt in (("bare", 1, 511), ("hap", 2, 511), ("shadow", 1, 511), ("shadow", 2, 511), ("shadow", 1, 0))
]


def digest(levels, road, vcpus, shopt):
    """Digest of a machine after 150 operations of all kinds, its guest's flushes often forgotten."""
    r, roots, spots = world(levels, road, 48, vcpus, shopt=shopt)
    r.audited = False
    luck = random.Random(levels * 1000 + vcpus)
    for _ in range(150):
        v, spot = luck.randrange(vcpus), luck.choice(spots)
        act = luck.choices(range(7), (6, 6, 6, 1, 2, 1, 1))[0]
        if act < 2:
            (r.read, r.write)[act](spot, user=luck.randrange(2), vcpu=v)
        elif act == 2:
            table = r.table(BASE, luck.choice((1, 1, 2)), roots[0])
            value = luck.randrange(90, 120) << 12 | luck.randrange(128)
            r.store(table, r.tables.index(BASE, 1) + luck.randrange(4), value * luck.randrange(2), vcpu=v)
        elif act == 3:
            r.cr3(luck.choice(roots), vcpu=v)
        elif act == 4:
            r.invlpg(spot, vcpu=v)
        elif act == 5:
            r.fetch(DIRECT[levels] + luck.randrange(128) * FRAME, user=0, vcpu=v)
        else:
            r.do(luck.choice(COMMANDS))
    assert not r.s.crashed
    return r.m.digest()


@pytest.mark.slow
def test_plain_and_compiled_kernels_give_the_same_machine():
    plain, compiled = answer("core.test_plain"), [digest(*machine) for machine in MACHINES]
    assert [m for m, a, b in zip(MACHINES, plain, compiled, strict=True) if a != b] == []
    assert len(set(plain)) == len(MACHINES)


if __name__ == "__main__":
    print(json.dumps([digest(*machine) for machine in MACHINES]))
