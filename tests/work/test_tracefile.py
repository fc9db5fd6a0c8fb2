"""Trace files from strangers: what is read, and one sentence for everything that is not."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagingviz.scenario.scenario import Scenario, ScenarioError
from pagingviz.work import npz as npz_reader
from pagingviz.work import tracefile
from pagingviz.work.programs import Programs, find_trace
from pagingviz.work.tracefile import fingerprint, open_trace, read_trace
from tests.work.tracefiles import good, npz, zipped

FETCH, READ, WRITE = 0, 1, 2


def npy(array):
    """Bytes of a .npy."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header(header: str, body=b"") -> bytes:
    """A .npy whose header is this text."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def members(**changes):
    """(name, bytes) of each member of a good trace; bytes given replace a member."""
    parts = {name: npy(array) for name, array in good().items()} | changes
    return [(f"{name}.npy", data) for name, data in parts.items()]


def refused(data) -> str:
    """The one sentence with which bytes are refused."""
    with pytest.raises(ScenarioError) as caught:
        read_trace(data, "their.npz")
    text = str(caught.value)
    assert text.startswith("The trace file 'their.npz' ") and text.endswith(".") and "\n" not in text and len(text) < 250
    return text


@pytest.mark.parametrize("compressed", [True, False])
def test_a_genuine_file(compressed):
    trace = read_trace(npz(compressed), "x")
    assert trace.name == "tiny"
    assert trace.pages.tolist() == [0x400, 0x401, 0x7FFF]
    assert trace.writable.tolist() == [False, False, True]
    assert trace.executable.tolist() == [True, False, False]
    assert trace.events.tolist() == [4 << 32, 1 << 8 | 1, 1 << 32 | 2 << 8 | 2, 69999 << 32 | 1 << 8 | 1]
    assert trace.accesses == 70008


def test_meta_is_optional_and_its_name_only_a_name():
    assert read_trace(npz(meta=None), "label").name == "label"
    assert read_trace(npz(meta=np.array('{"name": "\\u001b[2J"}')), "label").name == "label"
    assert read_trace(npz(meta=np.array('{"name": 5}')), "label").name == "label"


def test_count_may_have_either_width():
    assert read_trace(npz(count=np.array([1, 1, 1, 65535], np.uint16), meta=None), "x").accesses == 65538


# --- not an .npz at all


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b"hello, I am a text file called trace.npz\n" * 99,
        b"\x93NUMPY",
        pickle.dumps([1]),
        b"\x7fELF" * 50,
        b"PK\x05\x06" + bytes(18),
    ],
    ids=["empty", "two bytes", "text", "npy", "pickle", "program", "empty zip"],
)
def test_another_kind_of_file(data):
    assert "is not an .npz file" in refused(data)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated(part):
    data = npz()
    assert "damaged or cut short" in refused(data[: int(len(data) * part)])


def test_changed_byte_is_noticed():
    data = bytearray(npz(compressed=False))
    at = data.index(np.array([0x400, 0x401], np.uint64).tobytes())
    data[at] ^= 1
    assert "damaged" in refused(bytes(data))


@settings(max_examples=150)
@given(st.data())
def test_random_damage_is_refused_or_harmless(data):
    raw = bytearray(npz(compressed=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_trace(bytes(raw), "x")
    except ScenarioError as error:
        assert "\n" not in str(error)


# --- hostile


class Bomb:
    """Leaves a mark when it is unpickled."""

    went_off = False

    def __reduce__(self):
        return (setattr, (Bomb, "went_off", True))


def test_a_pickle_is_never_read():
    objects = np.array([Bomb()], object)
    assert "pickle" in refused(npz(page=objects))
    assert "pickle" in refused(npz(meta=objects))
    refused(npz(extra=objects))
    refused(zipped(members(pages=pickle.dumps(Bomb()))))
    refused(zipped([*members(), ("evil.pkl", pickle.dumps(Bomb()))]))
    structured = npy(np.zeros(1, [("a", "O"), ("b", "u8")]))
    assert "pickle" in refused(zipped(members(page=structured)))
    assert not Bomb.went_off


def test_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    data = zipped(members(page=npy(np.zeros(160 << 20, np.uint8)), kind=npy(np.zeros(100 << 20, np.uint8))))
    assert len(data) < 1 << 20
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    assert "would unpack to 260 MiB; at most 256 MiB" in refused(data)


def test_zip_bomb_that_lies_about_its_size():
    honest = zipped(members(page=npy(np.zeros(64 << 20, np.uint8))))
    size, claim = struct.pack("<I", (64 << 20) + 128), struct.pack("<I", 256)
    assert honest.count(size) == 2
    assert "damaged" in refused(honest.replace(size, claim))


def test_a_huge_file_is_not_even_opened():
    assert "at most 64 MiB" in refused(b"PK\x03\x04" + bytes(npz_reader.MAX_FILE))


def test_a_directory_of_very_many_parts():
    assert "too many parts" in refused(zipped([(f"{i}.npy", b"") for i in range(100)]))


def test_a_header_that_claims_terabytes():
    header = "{'descr': '<u2', 'fortran_order': False, 'shape': (1000000000000,), }"
    assert "size is not what its header says" in refused(zipped(members(page=with_header(header, b"1234"))))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{",
        "(" * 5000,
        "[]",
        "{'descr': '<u2'}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<u2', 'fortran_order': False, 'shape': ('a',), }",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (4,), }",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (4,), 'x': __import__('os')}",
        "{'descr': [], 'fortran_order': False, 'shape': (4,), }",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (4,), }",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (0, -4), }",
    ],
)
def test_broken_headers(header):
    refused(zipped(members(page=with_header(header, bytes(8)))))


def test_names_that_are_not_part_of_a_trace():
    assert "which is not part of a trace" in refused(zipped([*members(), ("../../etc/passwd", b"x")]))
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zipped([*members(), ("page.npy", npy(good()["page"]))])
    assert "which is not part of a trace" in refused(twice)


def test_encrypted_and_exotic_compression():
    data = bytearray(zipped(members()))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    assert "encrypted or packed" in refused(bytes(data))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        for name, part in members():
            archive.writestr(name, part)
    assert "encrypted or packed" in refused(file.getvalue())


# --- wrong content


@pytest.mark.parametrize("name", ["pages", "page", "kind", "count"])
def test_missing_array(name):
    assert f"'{name}' is missing" in refused(npz(**{name: None}))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("pages", np.array([1, 2, 3], np.int64)),
        ("pages", np.array([1, 2, 3], ">u8")),
        ("pages", np.array([1.0, 2.0, 3.0])),
        ("pages", np.array([[1, 2, 3]], np.uint64)),
        ("pages", np.uint64(5)),
        ("page", np.array([0, 1, 2, 1], np.uint32)),
        ("page", np.array([0, 1, 2, 1], np.int16)),
        ("kind", np.array([0, 1, 2, 1], np.int8)),
        ("kind", np.array([0, 1, 1, 1], bool)),
        ("kind", np.array(["a", "b", "c", "d"])),
        ("count", np.array([1, 1, 1, 1], np.uint8)),
        ("count", np.array([1, 1, 1, 1], np.uint64)),
        ("count", np.array([1, 1, 1, 1], "M8[s]")),
        ("count", np.zeros(4, [("a", "u4")])),
    ],
)
def test_wrong_types(name, array):
    assert f"must hold '{name}' as a list of uint" in refused(npz(**{name: array}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"page": np.array([0, 1, 3, 1], np.uint16)}, "event on page number 3, but only 3 pages"),
        ({"pages": np.array([2, 1, 3], np.uint64)}, "not sorted"),
        ({"pages": np.array([1, 1, 3], np.uint64)}, "not sorted"),
        ({"pages": np.array([1 << 35, 1 << 36, 1 << 40], np.uint64)}, "no access in a program's half of the address space"),
        ({"kind": np.array([0, 1, 3, 1], np.uint8)}, "kind 3"),
        ({"count": np.array([5, 0, 3, 70000], np.uint32)}, "no access"),
        ({"count": np.array([5, 1, 2, 70001], np.uint32)}, "add up to 70009"),
        ({"count": np.array([5, 1, 2], np.uint32)}, "one of each"),
        ({"kind": np.array([0, 1, 2, 1, 1], np.uint8)}, "one of each"),
        ({"pages": np.array([], np.uint64)}, "empty"),
        ({"page": np.array([], np.uint16), "kind": np.array([], np.uint8), "count": np.array([], np.uint16)}, "empty"),
        ({"meta": np.array("not json")}, "'meta'"),
        ({"meta": np.array("[1]")}, "'meta'"),
        ({"meta": np.array("[" * 9999)}, "'meta'"),
        ({"meta": np.array("{" + " " * 70000 + "}")}, "'meta'"),
        ({"meta": np.array([1, 2])}, "'meta'"),
        ({"meta": np.array('{"recorded_accesses": "many"}')}, "'many' accesses"),
    ],
)
def test_wrong_values(changes, words):
    assert words in refused(npz(**changes))


def test_too_many_events(monkeypatch):
    monkeypatch.setattr(tracefile, "MAX_EVENTS", 3)
    assert "4 events; at most 3" in refused(npz())


# --- accesses outside the user half


VSYSCALL = 0xFFFFFFFFFF600


@pytest.mark.parametrize("outer", [1 << 35, VSYSCALL, 2**64 - 1])
def test_second_reading_16_accesses_outside_the_user_half_are_left_out_counted_and_told(outer):
    data = npz(pages=np.array([0x400, 0x401, outer], np.uint64))
    trace = read_trace(data, "x")
    assert trace.pages.tolist() == [0x400, 0x401] and trace.accesses == 70006
    assert trace.events.tolist() == [4 << 32, 1 << 8 | 1, 69999 << 32 | 1 << 8 | 1]
    assert trace.notice == (
        f"tiny: 2 of 70,008 accesses are left out: they lie outside the user half of the address space (page {outer:#x})."
    )
    key = fingerprint(data)
    assert Programs(Scenario(trace=key, frames=64), {key: data}).notices == (trace.notice,)
    assert read_trace(npz(), "x").notice == ""


# --- lackey's text


def test_second_reading_16_one_line_of_lackey_is_taken():
    trace = read_trace(b" S 00602264,1\n", "one.txt")
    assert (trace.pages.tolist(), trace.events.tolist(), trace.name) == ([0x602], [WRITE], "one.txt")
    assert trace.writable.tolist() == [True] and trace.executable.tolist() == [False]


def test_second_reading_16_a_text_of_lackey_tells_of_the_vsyscall_page():
    trace = read_trace(b"==7== Lackey\n\nI  04000a30,3\r\n L ffffffffff600010,8\n M 1ffefff000,4\n", "t")
    assert trace.pages.tolist() == [0x4000, 0x1FFEFFF]
    assert trace.notice.startswith("t: 1 of 3 accesses is left out: it lies outside the user half")


def test_runs_of_lackeys_text_are_merged_by_kind_and_ordered_by_their_first_access():
    text = b"I  1000,3\n L 5000,8\nI  1003,3\nI  2000,1\n L 5ffe,4\nI  1000,1\n"
    trace = read_trace(text, "t")
    assert trace.pages.tolist() == [1, 2, 5, 6]
    rows = [(int(e >> 8) & 0xFFFFFF, int(e) & 7, int(e >> 32) + 1) for e in trace.events.tolist()]
    assert rows == [(0, FETCH, 2), (2, READ, 2), (1, FETCH, 1), (3, READ, 1), (0, FETCH, 1)]
    assert trace.accesses == 7, "the read at 0x5ffe is on both pages"


@pytest.mark.parametrize("line", [b" X 1000,1", b" S zzz,1", b" S 1000", b"S 1000;1", b"\xff\xfe"])
def test_a_line_that_is_no_access_is_named(line):
    assert "has line 2," in refused(b" S 1000,1\n" + line + b"\n")


# --- uploads


def test_fingerprint_is_sha256():
    assert fingerprint(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_upload_is_found_by_its_sha256():
    data = npz()
    key = fingerprint(data)
    work = Programs(Scenario(trace=key, frames=64), {key: data})
    assert work.processes[0].name == "tiny"
    assert work.processes[0].source == key
    assert find_trace(key, {key: data}) is find_trace(key, {key: data}), "unpacked once while in use"
    assert open_trace(data, "other name") is find_trace(key, {key: data})


def test_link_to_an_upload_that_is_not_here_asks_for_the_file():
    with pytest.raises(ScenarioError, match=f"sha256 {'ab' * 32} is not on this server: please give its file"):
        Programs(Scenario(trace="ab" * 32), {})


def test_trace_with_more_pages_than_the_guest_is_told_the_size():
    data = npz(
        pages=np.arange(5000, dtype=np.uint64),
        page=np.arange(5000, dtype=np.uint16),
        kind=np.zeros(5000, np.uint8),
        count=np.ones(5000, np.uint16),
        meta=None,
    )
    key = fingerprint(data)
    with pytest.raises(ScenarioError, match="set frames=5056"):
        Programs(Scenario(trace=key), {key: data})
    assert Programs(Scenario(trace=key, frames=5056), {key: data}).processes[0].pages.size == 5000
