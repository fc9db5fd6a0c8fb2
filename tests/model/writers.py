"""sh_remove_write_access (Xen mm/shadow/common.c): find the writable mappings of a frame, and take their write access away.

There is no reverse map. The addresses at which known kernels have their tables are tried first, then the shadow where the last
one was found, then every L1 shadow.
"""

from .config import W, frame, index
from .kinds import FL1S, GUESS_FOUND, GUESSES, L1S, WRMAP
from .walk import complete

VADDR = (1 << 48) - 1
LOWMEM = 0x38000  # frames a 32-bit Linux maps directly: 896 MiB


def guesses(levels, level, va, gfn):
    """[(address, number of the counter)] in Xen's order. level: of the table in the walk that led here (0: a resync);
    va: address of that walk."""
    out, low = [], va & VADDR
    if levels == 2:
        if level == 1:
            out.append((0xC0000000 + (va >> 10), 1))  # Windows 2003's linear map
        if gfn < LOWMEM:
            out.append((0xC0000000 + gfn * 4096, 4))  # Linux' low memory
        if level == 1:
            out.append((0xBFC00000 + (low >> 10), 6))  # FreeBSD's linear map
    elif levels == 3:
        if level in (1, 2):
            out.append(({1: 0xC0000000 + (va >> 9), 2: 0xC0600000 + (va >> 18)}[level], 2))
        if gfn < LOWMEM:
            out.append((0xC0000000 + gfn * 4096, 4))
        if level in (1, 2):
            out.append(({1: 0xBF800000 + (low >> 9), 2: 0xBFDFC000 + (low >> 18)}[level], 6))
    else:
        if level in (1, 2, 3):
            out.append(
                (
                    {
                        1: 0xFFFFF68000000000 + (low >> 9),
                        2: 0xFFFFF6FB40000000 + (low >> 18),
                        3: 0xFFFFF6FB7DA00000 + (low >> 27),
                    }[level],
                    3,
                )
            )
        for base in (0xFFFF880000000000, 0xFFFF810000000000, 0x0000010000000000, 0xFFFFFE0000000000):
            out.append((base + gfn * 4096, 4))  # Linux' direct map through the ages; Solaris
        if level in (1, 2, 3):
            out.append(
                (
                    {
                        1: 0xFFFF800000000000 + (low >> 9),
                        2: 0xFFFF804000000000 + (low >> 18),
                        3: 0xFFFF804020000000 + (low >> 27),
                    }[level],
                    6,
                )
            )
        out.append((0xFFFFFF0000000000 + gfn * 4096, 6))
    return out


class Writers:
    """Part of the shadow road."""

    def remove_write_access(self, gmfn, level, va):
        """True when there was one. level 0: on behalf of a resync."""
        m, curr = self.m, self.m.current
        if self.is_page_table(gmfn) and gmfn not in self.may_write or not self.typecount.get(gmfn):
            return False
        self.flag(WRMAP)
        m.count("shadow_writeable")
        if self.shopt & GUESSES and curr is not None:
            for address, number in guesses(curr.levels, level, va, m.gfn_of[gmfn]):
                if self.guess(curr, address, gmfn):
                    m.count(f"shadow_writeable_h_{number}")
                if not self.typecount.get(gmfn):
                    self.flag(GUESS_FOUND)
                    return True
            before = self.typecount[gmfn]
            if curr.last_writeable is not None and self.pages[curr.last_writeable].type in L1S | FL1S:
                self.clear_writable(curr.last_writeable, gmfn)
            if self.typecount.get(gmfn, 0) != before:
                m.count("shadow_writeable_h_5")
            if not self.typecount.get(gmfn):
                return True
        m.event("WRMAP_BF", gfn=m.gfn_of[gmfn])
        m.count("shadow_writeable_bf" if level else "shadow_writeable_bf_1")
        for smfn in [s for chain in self.buckets for s in chain]:
            if self.pages[smfn].type in L1S | FL1S and self.clear_writable(smfn, gmfn):
                break
        if self.typecount.get(gmfn):
            m.domain_crash()
        return True

    def may_be_written(self, gmfn):
        """Whether some entry maps the frame writable."""
        return bool(self.typecount.get(gmfn))

    def revoke_all(self):
        """What CLEAN does with clean=revoke instead of a blow.

        Every frame that may be written is searched for in every L1 shadow, one frame after the other, until nothing maps it
        writable.
        """
        m = self.m
        for gfn in range(m.config.frames):
            gmfn = m.p2m[gfn]
            if not self.may_be_written(gmfn):
                continue
            m.count("frames_revoked")
            for smfn in [s for chain in self.buckets for s in chain]:
                if self.pages[smfn].type in L1S | FL1S and self.clear_writable(smfn, gmfn):
                    break
        m.flush_tlbs()

    def guess(self, curr, gva, gmfn):
        """sh_guess_wrmap: if gmfn is mapped writable at this address of the loaded shadow, take that away."""
        leaf = (steps := self.path(curr, gva))[-1]
        if not complete(steps) or not leaf.entry & W or frame(leaf.entry) != gmfn:
            return False
        self.set_l1e(leaf.table, leaf.slot, leaf.entry & ~W)
        self.flag(GUESS_FOUND)
        return True

    def clear_writable(self, sl1, gmfn):
        """sh_rm_write_access_from_l1: take W from the mappings of gmfn in one L1 shadow, in order of slots.

        True when none is left anywhere; the search ends there.
        """
        m, curr, chain = self.m, self.m.current, self.pages[sl1].chain
        m.count("shadows_searched")
        looked_at, done = 512 * len(chain), False
        for page, slot, entry in self.present(sl1):
            if entry & W and frame(entry) == gmfn:
                self.set_l1e(page, slot, entry & ~W)
                m.count("entries_stripped")
                if self.shopt & GUESSES and curr is not None:
                    curr.last_writeable = sl1
                if not self.may_be_written(gmfn):
                    looked_at, done = 512 * chain.index(page) + slot + 1, True
                    break
        m.count("entries_searched", looked_at)
        return done

    def remove_write_access_at(self, gmfn, page, slot):
        """sh_rm_write_access_from_sl1p: take W from one remembered entry, unless it has become something else since."""
        m, curr = self.m, self.m.current
        if page not in self.pages or self.pages[page].type not in L1S | FL1S:
            return
        if curr is not None:
            curr.pagetable_dying = gmfn in self.dying
        entry = self.entry(page, slot)
        if entry & 3 != 3 or frame(entry) != gmfn:
            m.count("shadow_writeable_h_8")
            return
        self.set_l1e(page, slot, entry & ~W)
        m.count("shadow_writeable_h_7")


__all__ = ["Writers", "guesses", "index"]
