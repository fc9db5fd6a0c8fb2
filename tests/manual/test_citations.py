"""Citations of Xen: each name is in the file and version that the list of sources claims for it, and a citation says which."""

import json

import pytest

from pagingviz.manual import sources
from tests.manual.look_up import INDEX, how, of_xen

FOUND = json.loads(INDEX.read_text("utf-8"))


@pytest.mark.parametrize("source", of_xen(), ids=lambda source: source.title.rpartition("/")[2])
def test_second_reading_23_every_listed_name_is_in_the_versions_that_it_is_listed_under(source):
    found = FOUND[source.title]
    assert set(found) == source.names | {""}, "run tests/manual/look_up.py on a clone of Xen"
    assert any(there == "defined" for there in found[""].values()), "no version has this file"
    for name in source.names:
        claimed = {source.only[name]} if name in source.only else set(sources.VERSIONS)
        for version in sources.VERSIONS:
            wanted = "used" if name in source.used else "defined"
            assert (found[name][version] == wanted) == (version in claimed), (name, version, found[name])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flush.c: guest_flush_tlb_mask", "is in 0 sources"),
        ("grant_table.c: put_mfn", "is in 0 sources"),
        ("hvm/dm.c: hvm_track_dirty_vram", "is in 0 sources"),
        ("shadow/oos.c: sh_unsync", "is in master only, which the citation does not say"),
        ("shadow/oos.c (sh_unsync, 4.17)", "is in master only"),
        ("x86/traps.c: do_page_fault (master)", "is in 4.17 only"),
    ],
)
def test_second_reading_23_a_citation_of_a_name_that_is_not_there_is_found(text, words):
    [said] = sources.problem(text)
    assert words in said


@pytest.mark.parametrize(
    "text",
    [
        "flushtlb.c: guest_flush_tlb_mask",
        "grant_table.c: unmap_common, gnttab_mark_dirty",
        "hvm/dm.c: track_dirty_vram",
        "shadow/oos.c: sh_unsync (master)",
        "shadow/oos.c (sh_unsync, master)",
        "multi.c (sh_unhook_*_mappings)",
    ],
)
def test_second_reading_23_a_good_citation_passes(text):
    assert list(sources.problem(text)) == []


def test_a_name_is_defined_where_its_body_is_and_used_elsewhere():
    text = "/* x(; */ #define A 1\nstatic int f(int a)\n/* ; */\n{\n    g(1);\n}\nint h(void);\nenum e {\n    B,\n};\n"
    assert [how(text, name) for name in ("f", "g", "h", "B", "z")] == ["defined", "used", "used", "defined", "absent"]
    assert how("#define A 1\n", "A") == how("PERFCOUNTER(A, 1)\n", "A") == "defined"
