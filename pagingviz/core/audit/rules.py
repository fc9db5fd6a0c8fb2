"""The rules that the audit checks: each has a name, one plain sentence for when it is broken, and where it comes from.

Import it as `rules`: a kernel reports rules.LOST_WRITE. The constants are the numbers of the rules in an audit's result.
"S 11" and "H 14" are rules of the manual (manual/rules.md); functions are Xen's, of arch/x86/mm/.
"""

from dataclasses import dataclass

from pagingviz.arch.words import U

CODE_BITS = U(8)  # of an audit's result hold the number of the rule; the bits above them say where it is broken


@dataclass(frozen=True)
class Rule:
    """One rule. `sentence`: what is wrong when it is broken; source: rules of the manual and functions of Xen."""

    name: str
    sentence: str
    source: str


RULES = [Rule("", "", "")]  # by number; 0 stands for no broken rule


def _rule(name, sentence, source):
    """Enter a rule into the table and give its number."""
    RULES.append(Rule(name, sentence, source))
    return U(len(RULES) - 1)


FREE_LIST = _rule("FREE_LIST", "the free list does not hold exactly the free pages", "S 18")
POOL_SIZE = _rule("POOL_SIZE", "free pages, shadows, monitor tables and snapshots do not add up to total_pages", "S 18")
HASH = _rule(
    "HASH", "a shadow is missing from its hash chain, or stands in a wrong one", "S 21; shadow/common.c: sh_hash_audit_bucket"
)
SHADOW_FLAG = _rule("SHADOW_FLAG", "a frame's shadow flag and the hash disagree", "S 21")
REFERENCES = _rule("REFERENCES", "a reference count is not parents + loaded slots + pin", "S 20")
PINNED_LIST = _rule("PINNED_LIST", "a pinned page may not be pinned, or the pinned list is broken", "S 22")
GUEST_NOT_PRESENT = _rule("GUEST_NOT_PRESENT", "a shadow entry is present although the guest's entry is not", "S 1, S 9")
RIGHTS = _rule("RIGHTS", "a shadow entry gives other rights than the guest's entry", "S 4; shadow/multi.c: sh_audit_l1_table")
TARGET = _rule(
    "TARGET", "a shadow entry points to the wrong frame or shadow", "S 6; shadow/multi.c: sh_audit_l1_table, sh_audit_l2_table"
)
TYPECOUNT = _rule("TYPECOUNT", "a frame's writable typecount is not the number of its writable shadow mappings", "S 12")
TABLE_WRITABLE = _rule("TABLE_WRITABLE", "a shadowed page table is mapped writable", "S 11")
CLEAN_WRITABLE = _rule("CLEAN_WRITABLE", "log-dirty is on and a frame is mapped writable with its bit clear", "S 29, H 14")
DIRTY_COUNT = _rule("DIRTY_COUNT", "dirty_count is not the number of bits set", "S 32, H 9")
LOST_WRITE = _rule("LOST_WRITE", "a frame was stored to since the last CLEAN and its bit is clear: a lost write", "S 30, H 2")
TLB_TRANSLATION = _rule(
    "TLB_TRANSLATION", "the TLB holds a translation that the guest's tables do not give", "SDM vol. 3, 4.10"
)
TLB_STORE = _rule("TLB_STORE", "the TLB lets a store through that must be trapped", "S 29, H 26")
NESTED_TARGET = _rule("NESTED_TARGET", "an EPT leaf maps the wrong machine frame", "H 23")
LOGDIRTY_WRITABLE = _rule("LOGDIRTY_WRITABLE", "an EPT leaf of type ram_logdirty is writable", "H 15")
SHARES = _rule(
    "SHARES", "a page's share count is not the number of page-table entries that map it", "the guest kernel's own count"
)
GUEST_NOT_ACCESSED = _rule(
    "GUEST_NOT_ACCESSED", "a shadow entry is present although the guest's entry has not been accessed", "S 2"
)
GUEST_NOT_DIRTY = _rule("GUEST_NOT_DIRTY", "a leaf of the shadow is writable while the guest's D bit is clear", "S 3")
SUPERPAGE_OR_GLOBAL = _rule("SUPERPAGE_OR_GLOBAL", "a shadow entry has the superpage bit or the global bit", "S 5")
SPLINTERS = _rule(
    "SPLINTERS",
    "an entry in the shadow of a superpage has flags that no superpage can give",
    "S 7; shadow/multi.c: make_fl1_shadow",
)
UPPER_FLAGS = _rule("UPPER_FLAGS", "a shadow entry above level 1 has its A or D bit clear", "S 8")
NOT_EMPTY = _rule("NOT_EMPTY", "a guest entry is not present and its shadow entry is not empty", "S 9")
OUT_OF_SYNC = _rule(
    "OUT_OF_SYNC",
    "an out-of-sync frame is not one L1 with one shadow in one place of one vCPU's table",
    "S 13; shadow/oos.c: sh_oos_audit (master)",
)
FIXUPS = _rule("FIXUPS", "an out-of-sync frame has a writable mapping that is not remembered", "S 14")
NEVER_OUT_OF_SYNC = _rule("NEVER_OUT_OF_SYNC", "a frame is out of sync although that is switched off", "S 15")
SNAPSHOT = _rule("SNAPSHOT", "an entry in the shadow of an out-of-sync table is not what the snapshot gives", "S 17")
SHADOW_PAGES = _rule("SHADOW_PAGES", "a shadow does not have the pages that its type costs", "S 19")
LOADED = _rule("LOADED", "a vCPU's slot does not hold the live shadow of what its CR3 names", "S 24")
PV_TYPECOUNT = _rule(
    "PV_TYPECOUNT", "a PV guest's frame has a type count that is not the number of its uses", "x86/mm.c: get_page_type"
)
PV_TYPE = _rule("PV_TYPE", "a PV guest's frame is used as something else than its type says", "x86/mm.c: get_page_type")


def rule_of(result):
    """The rule that an audit's result names: a Rule, with empty texts when nothing is broken."""
    return RULES[int(result) & (1 << int(CODE_BITS)) - 1]


def where(result):
    """Where the rule is broken: the number of a pool page, a frame, a virtual page or a vCPU, or a count that is wrong."""
    return int(result) >> int(CODE_BITS)
