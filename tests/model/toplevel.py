"""Which shadow a vCPU has loaded: after a CR3 load, a change of the paging mode, an INVLPG (shadow/multi.c: sh_update_cr3)."""

from .config import CR_PG, P, frame, index
from .kinds import (
    FL1S,
    ROOT_OF,
)


class Toplevel:
    """The part of the shadow road that loads roots."""

    # ---- CR3, INVLPG ----
    def load_cr3(self, vcpu):
        """sh_update_cr3: load the root in the vCPU's CR3.

        The vCPU's own tables come back into sync. The new root has no writable mapping, and its shadow is found or made, held
        by the slot, and pinned. Then the other vCPUs' tables out of sync are brought up to date.
        """
        m = self.m
        self.resync_all(vcpu, skip=False, this=True, others=False)
        if vcpu.levels == 3:
            vcpu.pdptes = m.read_pdptes(vcpu.cr3)
            roots = [m.p2m.get(frame(e)) if e & P else None for e in vcpu.pdptes]
        else:
            roots = [m.mfn(vcpu.cr3 if m.cr & CR_PG else m.identity)]
        level = 4 if vcpu.levels == 4 else 2
        if any([self.remove_write_access(gmfn, level, 0) for gmfn in roots if gmfn is not None]):
            m.flush_tlbs()
        for slot, gmfn in enumerate(roots):
            self.set_toplevel(vcpu, slot, gmfn)
        vcpu.l3table = list(vcpu.slots) if vcpu.levels == 3 else [None] * 4
        if vcpu.levels == 2:
            vcpu.l3table = list(self.pages[vcpu.slots[0]].chain)
        vcpu.vtlb.clear()
        vcpu.last_ok = False
        self.resync_all(vcpu, skip=True, this=False, others=True)

    def set_toplevel(self, vcpu, slot, gmfn):
        """sh_set_toplevel_shadow: put the shadow of a root into a slot, and let go of the old one."""
        smfn, kind = None, ROOT_OF[vcpu.levels]
        if gmfn is not None:
            smfn = self.get_status(gmfn, kind)
            if smfn is None:
                self.prealloc(4 if vcpu.levels == 2 else 1)
                smfn = self.make(gmfn, kind)
            self.get_ref(smfn)
            self.pin(smfn)
        old, vcpu.slots[slot] = vcpu.slots[slot], smfn
        if old is not None:
            self.put_ref(old)

    def update_paging_modes(self):
        """sh_update_paging_modes on every vCPU: let go of the roots, bring all tables back into sync, load CR3 again.

        When the guest asks for it, each vCPU does it for itself.
        """
        before = self.m.cpu, self.m.current
        for vcpu in self.m.vcpus:
            self.m.cpu, self.m.current = vcpu, before[1] and vcpu
            for slot in range(4):
                old, vcpu.slots[slot] = vcpu.slots[slot], None
                if old is not None:
                    self.put_ref(old)
            vcpu.l3table = [None] * 4  # Xen's linear map is stale now, and no guess of ours uses it
            self.resync_all(vcpu, skip=False, this=True, others=True)
            vcpu.levels = self.m.guest_levels()
            if len(vcpu.monitor) != (1 if vcpu.levels == 4 else 3):
                old = vcpu.monitor
                self.make_monitor(vcpu)
                for smfn in reversed(old):
                    self.release(smfn)
            self.load_cr3(vcpu)
            self.m.flush_tlb(vcpu)
        self.m.cpu, self.m.current = before

    def invlpg(self, gva):
        """sh_invlpg: what the hardware must drop: "nothing", "page", or "all"."""
        m, v = self.m, self.m.cpu
        m.count("shadow_invlpg")
        v.vtlb.clear()
        v.last_ok = False
        steps = self.path(v, gva)
        at_l2 = next((s for s in steps if s.level == 2), None)
        if at_l2 is None or not at_l2.entry & P:
            return "nothing"
        sl1 = self.pages[frame(at_l2.entry)]
        if sl1.type in FL1S:
            return "all"
        if sl1.key in self.out_of_sync:
            self.set_l1e(frame(at_l2.entry), index(gva, 1), 0)
        return "page"
