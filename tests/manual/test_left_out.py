"""What the model leaves out is listed: every rule of Xen, QEMU or the processor that somebody could look for in vain."""

import pytest

from pagingviz.manual.left_out import LEFT_OUT, PAGES

MUST_BE_LISTED = {  # words of the entry: the page that lists it
    "holes in a guest's memory": "ept-npt",
    "page-table isolation of PV guests (XPTI) and their PCIDs": "guest-tables",
    "a changed memory type": "ept-npt",
    "a guest that is itself a hypervisor": "ept-npt",
    "altp2m": "ept-npt",
    "nested tables that the IOMMU walks too": "ept-npt",
    "two vCPUs that meet the same misconfiguration": "ept-npt",
    "the buffer that holds back what the guest sends": "source",
    "COLO": "source",
    "xl migrate --debug": "source",
    "dirty limit": "source",
    "a TLB of its own for instructions": "machine",
    "a processor without VPID or ASID": "machine",
    "map cache": "machine",
}


@pytest.mark.parametrize("words", MUST_BE_LISTED)
def test_what_is_left_out_is_listed_once(words):
    [item] = [item for item in LEFT_OUT if words in item.what]
    assert item.pages[0] == MUST_BE_LISTED[words] and set(item.pages) <= set(PAGES)
    assert item.where and item.why.endswith(".") and item.why[0].isupper()
