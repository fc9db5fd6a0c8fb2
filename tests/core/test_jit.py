"""Compiled kernels are never stale, and can be cached wherever the app may have to live.

Most of these run a tiny engine of one kernel in a folder of its own, with the real jit.py, in fresh processes.
"""

import ast
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pagingviz"
JIT = PACKAGE / "core/build/jit.py"
TINY = {
    "pagingviz/__init__.py": "",
    "pagingviz/arch/numbers.py": "import numpy as np\nFACTOR = np.uint64(3)\n",
    "pagingviz/core/__init__.py": "",
    "pagingviz/core/build/__init__.py": "",
    "pagingviz/arch/__init__.py": "",
    "pagingviz/core/helper.py": (
        "from pagingviz.core.build.jit import jit\nfrom pagingviz.arch.numbers import FACTOR\n\n"
        "@jit\ndef scale(x):\n    return x * FACTOR\n"
    ),
    "pagingviz/core/tiny.py": (
        "from pagingviz.core.helper import scale\nfrom pagingviz.core.build.jit import entry\n\n"
        "@entry\ndef kernel(x):\n    return scale(x)\n"
    ),
}
# Prints the cache folder, the kernel's answer, and whether the kernel was loaded (1) or compiled (0).
ASK = """
import numpy as np
from pagingviz.core.build import jit
from pagingviz.core.tiny import kernel
with jit.compiling():
    answer = int(kernel(np.uint64(7)))
print(jit.CACHE, answer, sum(kernel.stats.cache_hits.values()))
"""


@pytest.fixture
def engine(tmp_path):
    """A folder with the tiny engine; its caches go below it."""
    for name, text in TINY.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copy(JIT, tmp_path / "pagingviz/core/build/jit.py")
    return tmp_path


def start(engine: Path, code: str = ASK, stdin: int | None = None, **environment: str) -> subprocess.Popen:
    """Run `code` beside the tiny engine with a clean environment; caches go below engine/cache unless told."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "PAGINGVIZ_", "XDG_"))}
    clean |= {"XDG_CACHE_HOME": str(engine / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=engine, env=clean | environment, stdin=stdin, stdout=subprocess.PIPE, text=True
    )


def answer(process: subprocess.Popen) -> tuple[Path, int, int]:
    """What ASK printed: cache folder, the kernel's answer, 1 when it was loaded from the cache."""
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    folder, value, hits = output.split()
    return Path(folder), int(value), int(hits)


def test_an_edit_in_another_file_reaches_the_kernel(engine):
    folder, value, loaded = answer(start(engine))
    assert (value, loaded) == (21, 0)
    assert folder.parent == engine / "cache/pagingviz"
    assert answer(start(engine)) == (folder, 21, 1), "nothing changed: loaded, not compiled"
    layout = engine / "pagingviz/arch/numbers.py"
    layout.write_text(layout.read_text().replace("3", "5"))
    edited, value, loaded = answer(start(engine))
    assert (value, loaded) == (35, 0), "numba alone would have loaded 21"
    assert edited != folder


def test_every_real_engine_file_is_in_the_name_of_the_folder(tmp_path):
    """An edit in any file of the engine changes the name, and so does a compile switch; a page's edit does not."""
    shutil.copytree(PACKAGE, tmp_path / "pagingviz", ignore=shutil.ignore_patterns("traces", "__pycache__"))
    code = """
import os
from pathlib import Path
from pagingviz.core.build import jit
files = sorted(path for path in Path("pagingviz").rglob("*.py"))
before = jit.cache_key()
os.environ["NUMBA_BOUNDSCHECK"] = "1"
print("NUMBA_BOUNDSCHECK" if jit.cache_key() != before else "")
del os.environ["NUMBA_BOUNDSCHECK"]
for path in files:
    text = path.read_bytes()
    path.write_bytes(text + b"\\n")
    print(path if jit.cache_key() != before else "")
    path.write_bytes(text)
assert jit.cache_key() == before
"""
    process = start(tmp_path, code, PAGINGVIZ_PLAIN="1")
    changed = set(process.communicate(timeout=PATIENCE)[0].split())
    engine = {str(path.relative_to(PACKAGE.parent)) for path in kernel_files()} | {"pagingviz/core/build/jit.py"}
    assert process.returncode == 0
    assert engine | {"NUMBA_BOUNDSCHECK"} <= changed
    assert "pagingviz/boards/palette.py" not in changed, "a colour is no reason to compile"


def imports(path: Path) -> set[str]:
    """Dotted names that a file of the package imports anywhere, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def kernel_files() -> set[Path]:
    """The files with kernels, and those they import names from: all a compiled kernel can depend on."""
    with_kernels = {path for path in PACKAGE.rglob("*.py") if path != JIT and has_kernel(path)}
    assert with_kernels, "no kernel found: this test looks for functions decorated with @jit, @entry or @by_address"
    names = [name.split(".") for path in with_kernels for name in imports(path)]
    used = {PACKAGE.parent.joinpath(*name).with_suffix(".py") for name in names if name[0] == "pagingviz"}
    return with_kernels | {path for path in used if path.is_file()}


def has_kernel(path: Path) -> bool:
    """Whether a file has a function decorated with @jit, @entry or @by_address."""
    return any(
        isinstance(node, ast.FunctionDef) and {ast.unparse(d) for d in node.decorator_list} & {"jit", "entry", "by_address"}
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_python_calls_entries_only():
    """An inner kernel has no wrapper for Python: calling it there would crash the process (core/build/jit.py: from_python)."""
    inner = {
        ".".join([*path.relative_to(PACKAGE.parent).with_suffix("").parts, node.name])
        for path in (PACKAGE / "core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and {ast.unparse(d) for d in node.decorator_list} & {"jit", "by_address"}
    }
    assert len(inner) > 300
    outside = [path for path in PACKAGE.rglob("*.py") if PACKAGE / "core" not in path.parents]
    assert not [(path.name, name) for path in outside for name in imports(path) & inner]


def test_a_home_that_cannot_be_written_is_no_obstacle(engine):
    """Where the home takes no folder (/dev/null does not, not even from root) the temp folder serves, twice."""
    temp = engine / "temp"
    temp.mkdir()
    unwritable = {"HOME": "/dev/null", "XDG_CACHE_HOME": "", "TMPDIR": str(temp)}
    folder, value, loaded = answer(start(engine, **unwritable))
    assert (value, loaded) == (21, 0)
    assert temp in folder.parents
    assert answer(start(engine, **unwritable)) == (folder, 21, 1)


def test_an_explicit_folder_is_the_parent(engine):
    folder, value, _ = answer(start(engine, NUMBA_CACHE_DIR=str(engine / "mine")))
    assert value == 21
    assert folder.parent == engine / "mine"


def test_two_processes_compiling_at_once(engine):
    """Both answer rightly; the one that waits loads what the other has compiled."""
    answers = [answer(process) for process in [start(engine), start(engine)]]
    assert [value for _, value, _ in answers] == [21, 21]
    assert sorted(loaded for *_, loaded in answers) == [0, 1]


def test_two_processes_that_do_not_wait_for_each_other(engine):
    impatient = ASK.replace("with jit.compiling():", "if True:")
    answers = [answer(process) for process in [start(engine, impatient) for _ in range(2)]]
    assert [value for _, value, _ in answers] == [21, 21]
    assert answer(start(engine))[1:] == (21, 1), "what they left behind is whole"


def test_plain_python_on_request(engine):
    code = "import sys; from pagingviz.core.tiny import kernel; print(int(kernel(7)), 'numba' in sys.modules)"
    output, _ = start(engine, code, PAGINGVIZ_PLAIN="1").communicate(timeout=PATIENCE)
    assert output.split() == ["21", "False"]


def test_only_old_caches_of_ours_are_removed(engine):
    parent = engine / "cache/pagingviz"
    old, young, foreign = (parent / name for name in ("kernels-" + "a" * 20, "kernels-" + "b" * 20, "someone-elses"))
    for folder in (old, young, foreign):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    long_ago = time.time() - 31 * 86400
    os.utime(old, (long_ago, long_ago))
    os.utime(foreign, (long_ago, long_ago))
    folder, *_ = answer(start(engine))
    assert {path.name for path in parent.iterdir()} == {folder.name, young.name, foreign.name}


# A numba of a version that nobody has tried, and what it says about options that it does not know.
UNTRIED = """
import sys
import numba
numba.version_info = numba.version_info._replace(short=(9, 9))
sys.stderr = sys.stdout
njit = numba.njit
def refusing(*kernel, **options):
    if unknown := {refused} & options.keys():
        raise KeyError(f"Unrecognized options: {{unknown}}.")
    return njit(*kernel, **options)
numba.njit = refusing
"""


def test_an_untried_numba_is_named_once_and_what_it_refuses_is_left_out(engine):
    """The kernel gives the same answer, in a cache folder of its own, and one sentence tells the user."""
    private = {"_nrt", "no_cfunc_wrapper", "no_cpython_wrapper"}
    folders = []
    for refused, loaded in ((set(), "0"), (private, "0"), (private, "1")):
        output, _ = start(engine, UNTRIED.format(refused=refused or "set()") + ASK).communicate(timeout=120)
        sentence, result = output.splitlines()
        assert "has not been tried with pagingviz (tried: 0." in sentence
        assert sentence.endswith("refuses _nrt, no_cfunc_wrapper, no_cpython_wrapper: kernels are slower." if refused else ").")
        folder, *rest = result.split()
        assert rest == ["21", loaded]
        folders.append(folder)
    assert folders[0] != folders[1] == folders[2]


# Windows: no fcntl, no user numbers, and msvcrt.locking, which gives up after a while.
MSVCRT = """
import fcntl, time
LK_LOCK, LK_UNLCK = 1, 0
log = open("locks", "a", buffering=1)
def locking(file, mode, count):
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB if mode == LK_LOCK else fcntl.LOCK_UN, count)
    except OSError:
        time.sleep(0.1)
        log.write("gave up\\n")
        raise
    log.write("locked\\n" if mode == LK_LOCK else "unlocked\\n")
"""
WINDOWS = "import msvcrt, os, sys; sys.modules['fcntl'] = None; del os.getuid, os.geteuid\n"


def test_on_windows_one_compiles_and_the_other_waits(engine):
    (engine / "msvcrt.py").write_text(MSVCRT)
    holds = "from pagingviz.core.build import jit\nwith jit.compiling():\n    print('held', flush=True); input()\n"
    first = start(engine, WINDOWS + holds, stdin=subprocess.PIPE)
    assert first.stdout.readline() == "held\n"
    second = start(engine, WINDOWS + ASK)
    end = time.monotonic() + 120
    while "gave up" not in (engine / "locks").read_text() and time.monotonic() < end:
        time.sleep(0.05)
    first.communicate("\n", timeout=120)
    folder, value, _ = answer(second)
    assert value == 21 and folder.parent == engine / "cache/pagingviz"
    locks = (engine / "locks").read_text().split("\n")
    assert "gave up" in locks, "the second one has asked while the first one held it"
    assert [line for line in locks if line in ("locked", "unlocked")] == ["locked", "unlocked"] * 2


def test_on_windows_a_home_that_cannot_be_written_is_no_obstacle(engine):
    (engine / "msvcrt.py").write_text(MSVCRT)
    temp = engine / "temp"
    temp.mkdir()
    folder, value, _ = answer(start(engine, WINDOWS + ASK, HOME="/dev/null", XDG_CACHE_HOME="", TMPDIR=str(temp)))
    assert (folder.parent, value) == (temp / "pagingviz", 21)
