"""Sentences that were found wrong when all were read against the machine: (where it was said, what it said, what is true)."""

WRONG = (
    ("card of a frame", "its bit is set by a store or an A/D update", "the hypervisor's writes and devices set bits, too"),
    ("card of a superpage's entry", "its splinters take a whole page, also in a 32-bit guest", "there they take two"),
    ("card of a guest's entry", "its table lost its shadow at a blow", "recycling and unshadowing take shadows, too"),
    (
        "notes of `borrowed`",
        "log-dirty brings a pool of Xen's minimum size",
        "it has the 96 pages of the scenario, which sets no floor",
    ),
    (
        "notes of `forks`",
        "the first store of a fork lets an L1 table go out of sync",
        "the parent's table is out of sync before the fork",
    ),
    ("notes of `idle`", "size and commands are those of `blackboard`", "only the pool is the same"),
    ("notes of `ledger`", "a blow destroys about a hundred shadows", "about thirty"),
    ("notes of `thrash`", "shadow faults stop when the pool has grown", "they fall from about 90 in 500 ticks to a handful"),
    ("sentence of a tick", "all that a full pool unpins is a root", "Xen pins the L3 shadows of a 64-bit guest, too"),
    (
        "sentence of a tick",
        "a PV guest's context switch: CR3 is loaded without an exit",
        "two operations of a hypercall, one for each root",
    ),
    (
        "sentence of a tick",
        "the domain has crashed for want of a page, also after a bug of the guest's kernel",
        "the two ends have a sentence each",
    ),
    (
        "sentence of a tick",
        "PEEK changes nothing, also with PML",
        "the logs are emptied first: pages are marked, and may be written",
    ),
    ("sentence of a tick", "CLEAN reads and clears the bits and then marks what was logged", "what was logged is marked first"),
    (
        "sentence of a tick",
        "the shadow pool is set to N pages, behind EPT and NPT too",
        "that pool is the HAP pool, and gives back free pages only",
    ),
    (
        "sentence of a tick",
        "another domain's mapping ends and the dirty bit is set, also while log-dirty is off",
        "then no bit is set",
    ),
    (
        "sentence of a tick",
        "a PV guest's pool goes back when log-dirty ends",
        "all but the pages of the bitmap's tree, which is freed after it",
    ),
    ("sentence of a tick", "the guest does nothing visible, at an INVLPG", "the event is named"),
    ("sentence of a tick", "a guest given entry by entry switches to 'guest' when it loads CR3", "it loads CR3"),
    (
        "card of a nested entry",
        "an entry that leads to a table is a piece of a split leaf",
        "it was made by the split, and leads to the pieces",
    ),
    (
        "page Guest page tables",
        "every mapping of a shadowed table is read-only, each store to it is emulated",
        "not of an L1 table that goes out of sync",
    ),
    (
        "page EPT / NPT, page Live migration",
        "each frame written costs one exit a round, with PML too",
        "with PML none, but for superpages and full logs",
    ),
    ("notes of `combined`", "after CLEAN HAP has only lost its rights to write", "reads, too, meet the poisoned root first"),
    (
        "page Translation",
        "INVEPT for AMD too, and after each change of EPT",
        "AMD gives another ASID; resolving a misconfiguration flushes nothing",
    ),
    (
        "sentence of a round",
        "the next round sends again what CLEAN has found, also pages that had not been sent yet",
        "it sends those for the first time",
    ),
    (
        "sentence of a round",
        "during a round the guest dirtied so many pages, those that had not been sent yet among them",
        "only what CLEAN has found was dirtied",
    ),
    (
        "caption of the wire",
        "idle, while the state of vCPUs and platform crosses before the first page (post-copy)",
        "the state is on its way",
    ),
    (
        "legend of the pool",
        "a cross: the page was recycled in this tick, also where CLEAN has destroyed its shadow",
        "a shadow in it was destroyed, for whatever reason",
    ),
    (
        "tooltip of PEEK",
        "PEEK changes nothing, also with PML",
        "the bits stay set, but the processors' logs are emptied into the bitmap first",
    ),
    (
        "table PEEK and CLEAN",
        "with log-dirty off both are refused; write access stays",
        "only a second ENABLE is refused: CLEAN throws all shadows away, or poisons the root, all the same",
    ),
    (
        "table PEEK and CLEAN",
        "a CLEAN that fails for want of a page clears the bits and takes write access away",
        "it changes nothing",
    ),
    (
        "sentence of a tick",
        "a CLEAN with log-dirty off blows all shadows away, also with clean=revoke",
        "then it searches them",
    ),
    (
        "page Dirty bitmap, logs",
        "OFF flushes the processors' logs, and then the bits are set",
        "it flushes them and sets no bit any more",
    ),
    (
        "page Shadow pool",
        "only the shadow road recycles its pool",
        "a PV guest's pool is recycled as well, while log-dirty is on",
    ),
    (
        "page Live migration, what it costs",
        "ENABLE and each CLEAN throw all shadows away, of a PV guest and with clean=revoke, too",
        "a PV guest has none before ENABLE; with clean=revoke they stay and are searched",
    ),
    (
        "greeting",
        "a small guest and its hypervisor; the oldest shadows go when no page is free",
        "the guest of a scenario may be large, or have no hypervisor; they go when too few pages are free",
    ),
    (
        "help of `floor`",
        "the pool has Xen's own minimum size",
        "from ENABLE on, or when a command sets it; before that it has the size of the scenario",
    ),
    (
        "card of a guest's entry",
        "the shadow gives what the entry gives, also where it is still read-only after OFF; a frame is not dirty yet, also "
        "where another address has dirtied it",
        "the next store exits, and makes it writable",
    ),
    (
        "card of a migrated frame",
        "the destination has the last version, also after a failover of Remus; a lost guest's frames are waited for",
        "the backup has that of the last checkpoint; nobody waits any more",
    ),
)
