"""More ways to break a kernel on purpose than those of the page What if (pagingviz/experiments/breaking.py)."""

from pagingviz.arch import x86, xen
from pagingviz.arch.words import NONE, ONE, TWO, ZERO, U
from pagingviz.core.nested import p2m, split
from pagingviz.core.shadow import (
    entries,
    links,
    pool,
    recycle,
    shadows,
    writeable,
)
from pagingviz.core.walk import page_walk

# ---- ways to break a kernel


def same(kernel):
    """Nothing is broken."""
    return kernel


def result(change):
    """The kernel with its result changed."""
    return lambda kernel: lambda *arguments: change(kernel(*arguments))


def beforehand(act):
    """act(*arguments), and then the kernel."""

    def mutate(kernel):
        def mutant(*arguments):
            act(*arguments)
            return kernel(*arguments)

        return mutant

    return mutate


def one_page_for_all(kernel):
    """vmx_domain_enable_pml with a page that the logs of all vCPUs share."""

    def mutant(s, cpus, a):
        on = kernel(s, cpus, a)
        for vcpu in range(1, s.vcpus if on else 1):
            recycle.free_p2m(s, a, s.pml_page[vcpu])
            s.pml_page[vcpu] = s.pml_page[0]
        return on

    return mutant


def with_what_there_is(_kernel):
    """vmx_domain_enable_pml for which it is enough that one vCPU has a page."""

    def mutant(s, cpus, a):
        s.pml_page[:] = recycle.alloc_p2m(s, cpus[0], a, NONE)
        for vcpu in range(1, s.vcpus):
            page = recycle.alloc_p2m(s, cpus[vcpu], a, NONE)
            if page != NONE:
                s.pml_page[vcpu] = page
        s.ept_ad = ONE
        return True

    return mutant


def only_while_logging(kernel):
    """The kernel while log-dirty is on, else nothing."""
    return lambda s, *arguments: kernel(s, *arguments) if s.log_dirty else None


def retyped_anyway(_kernel):
    """resolve_misconfig that computes the rights of every leaf anew, also of one that keeps its type."""

    def mutant(s, entry):
        kind = xen.P2M_RAM_LOGDIRTY if s.global_logdirty else xen.P2M_RAM_RW
        return p2m.leaf_entry(s, page_walk.frame(entry), kind, entry & x86.EPT_SP)

    return mutant


def as_if_allowed(kernel):
    """The kernel as it is while tables may go out of sync."""

    def mutant(s, *arguments):
        switches, s.shopt = s.shopt, s.shopt | xen.SHOPT_OUT_OF_SYNC
        answer = kernel(s, *arguments)
        s.shopt = switches
        return answer

    return mutant


def only_the_way(_kernel):
    """ept_split_super_page that leaves the children beside the way as they are."""

    def mutant(s, c, a, at, gfn, event):
        e, level = a[at], split.level_of(s, a, at)
        child = e if level > TWO else p2m.leaf_entry(s, page_walk.frame(e), xen.P2M_RAM_LOGDIRTY, ZERO)
        a[at] = p2m.table_entry(s, split.table_of(s, c, a, child, level - ONE, split.first_frame(gfn, level)))
        split.record_split(s, a, event, gfn, page_walk.frame(a[at]), level, ONE)
        return level == TWO or mutant(s, c, a, p2m.find_leaf(s, a, gfn), gfn, event)

    return mutant


def unless_pinned(kernel):
    """sh_pin that leaves a shadow where it is on the list."""
    return lambda s, a, page: None if a[s.o_ppin + page] else kernel(s, a, page)


def loaded_roots_first(kernel):
    """_shadow_prealloc that does not look at the pinned list."""

    def mutant(s, *arguments):
        ends, s.pin_head, s.pin_tail = (s.pin_head, s.pin_tail), NONE, NONE
        done = kernel(s, *arguments)
        s.pin_head, s.pin_tail = ends
        return done

    return mutant


# ---- what is done besides


def everything_stays(tags, values, live):
    """A change of a PV guest's mode that keeps all translations."""
    for way in range(tags.size):
        if tags[way] >> x86.TLB_GEN_SHIFT == live:
            tags[way] += ONE << x86.TLB_GEN_SHIFT


def uncounted(s, c, a, at, new):
    """Write a level-1 entry without the typecount."""
    a[at] = new


def less_than_everything(s, c, *_):
    if c.w_size == TWO:
        c.w_l1e &= ~x86.US


def head_only(s, a, page):
    a[s.o_pmore + page] = NONE


def second_reference(s, a, page, *_):
    a[s.o_pref + page] += ONE


def reference_for_each_pin(s, a, page):
    if a[s.o_ppin + page]:
        a[s.o_pref + page] += ONE


def destroyed_though_loaded(s, c, a, page):
    if a[s.o_ptype + page] == xen.SH_L4:
        shadows.destroy(s, c, a, page)


def counted_twice(s, *_):
    s.dirty_count += ONE


def other_switches(s, *_):
    s.shopt ^= U(8)


def upgrade(s, cpus, a):
    """Make every read-only shadow entry of a data page writable."""
    for page in range(s.pool_cap):
        if a[s.o_ptype + page] == xen.SH_L1:
            for i in range(512):
                at = pool.entry_at(s, U(page), U(i))
                if a[at] & x86.P and not shadows.is_page_table(s, a, pool.gfn_of(s, a, page_walk.frame(a[at]))):
                    entries.set_l1(s, cpus[0], a, at, a[at] | x86.RW)


def accessed_anyway(kernel):
    """A guest walk that sets A on its way, also when it then fails."""

    def mutant(s, c, a, gva, kind, user):
        answer = kernel(s, c, a, gva, kind, user)
        if answer & x86.FAULT:
            for level in range(int(c.levels), int(max(c.w_missing, ONE)) - 1, -1):
                if c.w_ent[level - 1] & x86.P:
                    page_walk.set_ad(s, c, a, U(level), gva, x86.READ)
        return answer

    return mutant


def shadow_the_child(s, c, a, at, gent, level, levels):
    kind = xen.TYPE_OF_LEVEL[levels, level - ONE]
    if gent & x86.P and shadows.find(s, a, a[s.o_p2m + page_walk.frame(gent)], kind) == NONE:
        writeable.remove_write_access(s, c, a, page_walk.frame(gent), level - ONE, ZERO)
        links.make_shadow(s, c, a, page_walk.frame(gent), kind)


def first_shadow_only(_kernel):
    """A search that believes the first L1 shadow it meets to be the only one."""

    def mutant(s, c, a, mfn, gfn):
        pages = [int(p) for p in range(int(s.pool_cap)) if xen.SH_LEVEL[int(a[s.o_ptype + U(p)])] == ONE]
        if pages:
            writeable._strip_all(s, c, a, U(pages[0]), mfn, gfn)

    return mutant


FOUR, TWO_LEVELS = {"levels": 4}, {"levels": 2}
