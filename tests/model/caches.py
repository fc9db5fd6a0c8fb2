"""Paging-structure caches and the nested TLB of one vCPU. They change only how many references a walk makes."""

SIZES = {
    "pde": (4, 8),
    "pdpte": (2, 4),
    "pml4e": (1, 4),
    "nested_pde": (4, 8),
    "nested_pdpte": (2, 4),
    "nested_pml4e": (1, 4),
    "nested_tlb": (4, 8),
}
LINEAR, NESTED = (None, None, "pde", "pdpte", "pml4e"), (None, None, "nested_pde", "nested_pdpte", "nested_pml4e")  # by level


class Caches:
    """Each cache is {set: {way: [key, time of last use]}}."""

    def __init__(self):
        self.now = 0
        self.held = {name: {i: {} for i in range(sets)} for name, (sets, _) in SIZES.items()}

    def forget(self, nested):
        """A flush: of the caches of linear addresses, or with `nested` of those of guest-physical addresses."""
        for name in self.held:
            if name.startswith("nested") == nested:
                self.held[name] = {i: {} for i in self.held[name]}

    def knows(self, name, key):
        for entry in self.held[name][key % SIZES[name][0]].values():
            if entry[0] == key:
                entry[1] = self.now
                return True
        return False

    def learn(self, name, key):
        sets, ways = SIZES[name]
        mine = self.held[name][key % sets]
        empty = [w for w in range(ways) if w not in mine]
        way = empty[0] if empty else min(mine, key=lambda w: (mine[w][1], w))
        mine[way] = [key, self.now]

    def start(self, names, prefix, top, size):
        """Level of the first table to be read on the way to a leaf of level `size`; `prefix(level)`: the key of an entry."""
        known = [level for level in range(size + 1, top + 1) if self.knows_first(names, prefix, level, size)]
        level = known[0] - 1 if known else top
        for learnt in range(size + 1, level + 1):
            self.learn(names[learnt], prefix(learnt))
        return level

    def knows_first(self, names, prefix, level, size):
        """Whether the entry of `level` is held and none below it is (a lower one ends the search)."""
        below = any(self.peek(names[k], prefix(k)) for k in range(size + 1, level))
        return not below and self.knows(names[level], prefix(level))

    def peek(self, name, key):
        return any(entry[0] == key for entry in self.held[name][key % SIZES[name][0]].values())

    def nested(self, gfn, leaf_level):
        """References of the translation of a guest frame whose nested leaf is at `leaf_level`."""
        if self.knows("nested_tlb", gfn):
            return 0
        self.learn("nested_tlb", gfn)
        level = self.start(NESTED, lambda k: gfn >> 9 * (k - 1), 4, leaf_level)
        return level - leaf_level + 1

    def walk(self, vpn, tables, top, size, bits, depth, final):
        """References of a walk that has succeeded. `tables`: {level: guest frame}; `top` 0: nothing but `final` is looked up;
        `depth(gfn)`: level of its nested leaf, 0 where none is; None: no nested tables."""
        refs = 0
        if top:
            level = self.start(LINEAR, lambda k: vpn >> bits * (k - 1), top, size)
            refs = level - size + 1
            if depth:
                asked = [k for k in range(level, size - 1, -1) if k < level or level == top]
                refs += sum(self.nested(tables[k], depth(tables[k])) for k in asked if depth(tables[k]))
        if depth and depth(final):
            refs += self.nested(final, depth(final))
        return refs

    def contents(self):
        return {
            name: {(i, w): tuple(entry) for i, ways in sets.items() for w, entry in ways.items()}
            for name, sets in self.held.items()
        }
