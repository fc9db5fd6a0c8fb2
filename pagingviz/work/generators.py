"""Kernels that write operations: the time-slicer, one filler per kind of entry, and the alias table of zipf.

An operation is a u64 word, vpn<<12 | slot<<5 | vma_x<<4 | vma_w<<3 | kind (arch/operation.py), and a u32 credit. Event e of a
process is a pure function of its seed and e: there is no state, so any tick can be computed alone. `runs` (u64, three
columns) is what the time-slicer found for one entry in the chunk: first index, length, number of the first event. `par`
(u64) holds a generator's numbers: key of its random stream, op word of its page 0, percent of writes, then its own;
they travel in an array because numba takes microseconds to look at each scalar argument.
"""

import numpy as np

from pagingviz.arch import operation, x86
from pagingviz.arch.splitmix import GOLDEN, MIX1, MIX2
from pagingviz.arch.words import ONE, TWO, ZERO, U
from pagingviz.core.build.jit import entry, jit

_B12, _B27, _B30, _B31, _B32 = U(12), U(27), U(30), U(31), U(32)
_LOW32 = U(0xFFFFFFFF)
_FF, _B8 = U(0xFFFFFF), U(8)
_HUNDRED, _THREE = U(100), U(3)
_SLOT = U(1 << 5)  # one process slot further, in an op word


@jit
def mix(x):
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014): u64 to u64, a bijection."""
    x = (x ^ (x >> _B30)) * MIX1
    x = (x ^ (x >> _B27)) * MIX2
    return x ^ (x >> _B31)


@entry
def stream_key(seed, slot):
    """Start of the random stream of process `slot`: streams of different slots or seeds share no pattern."""
    return mix(seed ^ mix((slot + ONE) * GOLDEN))


@jit
def access_kind(r, write):
    """WRITE for `write` percent of the random words r, else READ; the product parts it from the two halves of r."""
    return x86.WRITE if (((r * GOLDEN) >> _B32) * _HUNDRED) >> _B32 < write else x86.READ


@entry
def slice_runs(runs, t0, n, quantum, turns, in_round):
    """Time slices of one entry within ticks t0..t0+n. Returns how many rows of `runs` are filled.

    Slot t // quantum of the schedule belongs to the entry when slot % turns is in `in_round` (u64, ascending). Its events
    are numbered over its own slices only. `runs` needs one row for every slot that the ticks touch.
    """
    found = ZERO
    end = t0 + n
    mine = U(in_round.size)
    lap = t0 // quantum // turns
    while lap * turns * quantum < end:
        for j in range(in_round.size):
            first = (lap * turns + in_round[j]) * quantum
            low, high = max(first, t0), min(first + quantum, end)
            if low < high:
                runs[found, 0] = low - t0
                runs[found, 1] = high - low
                runs[found, 2] = (lap * mine + U(j)) * quantum + (low - first)
                found += ONE
        lap += ONE
    return found


@entry
def fill_trace(op, credit, runs, found, events, page_op):
    """Recorded program: `events` u64 = (count-1)<<32 | page<<8 | kind; `page_op` u64 = op word of each page, kind 0."""
    size = U(events.size)
    for k in range(found):
        at, e = runs[k, 0], runs[k, 2] % size
        for i in range(at, at + runs[k, 1]):
            event = events[e]
            op[i] = page_op[(event >> _B8) & _FF] | (event & U(7))
            credit[i] = event >> _B32
            e += ONE
            if e == size:
                e = ZERO


@entry
def fill_uniform(op, credit, runs, found, par):
    """Every one of `pages` pages equally often (to 2^-32)."""
    key, base, write, pages = par[0], par[1], par[2], par[3]
    for k in range(found):
        at, x = runs[k, 0], key + runs[k, 2] * GOLDEN
        for i in range(at, at + runs[k, 1]):
            r = mix(x)
            op[i] = base + ((((r >> _B32) * pages) >> _B32) << _B12) + access_kind(r, write)
            credit[i] = ZERO
            x += GOLDEN


@entry
def fill_zipf(op, credit, runs, found, par, table):
    """Page k in proportion to 1/(k+1)^exponent by the alias method (Walker 1977); `table` from `alias_table`."""
    key, base, write, pages = par[0], par[1], par[2], U(table.size)
    for k in range(found):
        at, x = runs[k, 0], key + runs[k, 2] * GOLDEN
        for i in range(at, at + runs[k, 1]):
            r = mix(x)
            page = ((r >> _B32) * pages) >> _B32
            cell = table[page]
            if (r & _LOW32) >= cell >> _B32:
                page = cell & _LOW32
            op[i] = base + (page << _B12) + access_kind(r, write)
            credit[i] = ZERO
            x += GOLDEN


@entry
def fill_sequential(op, credit, runs, found, par):
    """Pages in order, `repeat` accesses each, for ever."""
    key, base, write, pages, repeat = par[0], par[1], par[2], par[3], par[4]
    for k in range(found):
        at, e = runs[k, 0], runs[k, 2]
        page, again = e // repeat % pages, e % repeat
        x = key + e * GOLDEN
        for i in range(at, at + runs[k, 1]):
            op[i] = base + (page << _B12) + access_kind(mix(x), write)
            credit[i] = ZERO
            x += GOLDEN
            again += ONE
            if again == repeat:
                again = ZERO
                page += ONE
                if page == pages:
                    page = ZERO


@entry
def fill_hotcold(op, credit, runs, found, par):
    """`percent` of the accesses go to the first `hot` pages, the others to the rest, when there is a rest."""
    key, base, write, pages, hot, percent = par[0], par[1], par[2], par[3], par[4], par[5]
    cold = pages - hot
    for k in range(found):
        at, x = runs[k, 0], key + runs[k, 2] * GOLDEN
        for i in range(at, at + runs[k, 1]):
            r = mix(x)
            if cold == ZERO or ((r & _LOW32) * _HUNDRED) >> _B32 < percent:
                page = ((r >> _B32) * hot) >> _B32
            else:
                page = hot + (((r >> _B32) * cold) >> _B32)
            op[i] = base + (page << _B12) + access_kind(r, write)
            credit[i] = ZERO
            x += GOLDEN


@entry
def fill_fork(op, credit, runs, found, par):
    """A process that forks again and again: `par` is the parent's, the child has the next slot.

    One cycle of 3*pages+2 events: the parent touches each page in order; FORK; 2*pages accesses at random pages, eight
    by the parent and eight by the child in turn, so that both break copy-on-write; EXIT of the child.
    """
    key, base, write, pages = par[0], par[1], par[2], par[3]
    cycle = _THREE * pages + TWO
    for k in range(found):
        at, e = runs[k, 0], runs[k, 2]
        x, phase = key + e * GOLDEN, e % cycle
        for i in range(at, at + runs[k, 1]):
            r = mix(x)
            if phase < pages:
                op[i] = base + (phase << _B12) + access_kind(r, write)
            elif phase == pages:
                op[i] = base + operation.FORK
            elif phase == cycle - ONE:
                op[i] = base + _SLOT + operation.EXIT
            else:
                child = ((phase - pages - ONE) >> _THREE) & ONE
                op[i] = base + child * _SLOT + ((((r >> _B32) * pages) >> _B32) << _B12) + access_kind(r, write)
            credit[i] = ZERO
            x += GOLDEN
            phase += ONE
            if phase == cycle:
                phase = ZERO


@entry
def fill_idle(op, credit, runs, found, par):
    """Halted: IDLE, no page."""
    word = par[1] + operation.IDLE
    for k in range(found):
        for i in range(runs[k, 0], runs[k, 0] + runs[k, 1]):
            op[i] = word
            credit[i] = ZERO


@entry
def _alias(weight, scaled, stack, table):
    """Fill `table` by Vose's (1991) construction, in integers. All arrays are u64 of one size; two are scratch.

    Neither the sum of `weight` nor a weight times the number of pages may pass 2^63.
    """
    n = U(weight.size)
    total = ZERO
    for i in range(weight.size):
        total += weight[i]
    shift = ZERO  # thresholds are ratios to `total`, taken on its 31 leading bits so that they fit a word
    while total >> shift >= U(1 << 31):
        shift += ONE
    small, large = ZERO, n  # one array, two stacks: small columns from the front, large ones from the back
    for i in range(weight.size):
        scaled[i] = weight[i] * n
        if scaled[i] < total:
            stack[small] = U(i)
            small += ONE
        else:
            large -= ONE
            stack[large] = U(i)
    while small > ZERO and large < n:
        small -= ONE
        poor, rich = stack[small], stack[large]
        threshold = min(((scaled[poor] >> shift) << _B32) // (total >> shift), _LOW32)
        table[poor] = threshold << _B32 | rich
        scaled[rich] -= total - scaled[poor]
        if scaled[rich] < total:
            large += ONE
            stack[small] = rich
            small += ONE
    for j in range(small):
        table[stack[j]] = _LOW32 << _B32 | stack[j]
    for j in range(large, n):
        table[stack[j]] = _LOW32 << _B32 | stack[j]


def alias_table(pages: int, hundredths: int) -> np.ndarray:
    """Alias table of zipf: u64 (pages,), threshold<<32 | other page; the same bits on every machine.

    `pow` of different C libraries differs in the last bit, so k^exponent is made of square roots and products, which
    IEEE 754 rounds exactly (the exponent is rounded to 24 binary places), and the rest is integers.
    """
    rank = np.arange(1, pages + 1, dtype=np.float64)
    whole, part = divmod((hundredths << 24) // 100, 1 << 24)
    power, root = rank**0, rank
    for _ in range(whole):
        power = power * rank
    for bit in range(23, -1, -1):
        root = np.sqrt(root)
        if part >> bit & 1:
            power = power * root
    weight = np.floor((1 << 40) / power).astype(np.uint64)
    table = np.empty(pages, np.uint64)
    _alias(weight, np.empty_like(weight), np.empty_like(weight), table)
    return table
