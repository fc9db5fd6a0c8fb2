"""How kernels are compiled, and where the compiled code is stored. No other module decides either.

numba's own disk cache looks only at the file that holds a kernel: not at constants and helpers from other files, not
at the compile flags (both measured). So the cache folder is named after a hash of everything a kernel can depend on; an
edit anywhere in the engine, another numba, another flag means another folder, never stale code.

Environment: NUMBA_CACHE_DIR (parent of the folders, instead of the user's cache folder), PAGINGVIZ_PLAIN=1 (kernels
stay plain Python: slow, for debugging), NUMBA_BOUNDSCHECK and the other NUMBA_* switches (a folder for each value).
"""

import contextlib
import functools
import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

PLAIN = os.environ.get("PAGINGVIZ_PLAIN") == "1"

# `_nrt` is private to numba: without reference counting of arrays the kernels are up to 1.7 times faster, and an
# allocation inside a kernel becomes a compile error. With a numba that refuses it the kernels do without: see `accepted`.
# C code never calls a kernel: without the wrapper for that, compiling takes a fifth less time (41 to 33 s CPU).
# Most kernels are called by kernels only, and become part of their code: without a wrapper for Python and a file of their own,
# and with a few called through their address (core/build/by_address.py), compiling takes a fifth less again.
OPTIONS = {"nogil": True, "_nrt": False, "no_cfunc_wrapper": True}
INNER = OPTIONS | {"no_cpython_wrapper": True}
TESTED = ((0, 62), (0, 68))  # the first and the last numba that the engine was tried with: requirements.txt has these bounds

KEEP_DAYS = 30
PACKAGE = Path(__file__).resolve().parents[2]
_FOLDER = re.compile(r"kernels-[0-9a-f]{20}")


def sources() -> list[Path]:
    """The files whose text can reach a compiled kernel, in a fixed order. Not all need exist."""
    rooms = ("arch", "core", "machine")
    files = [path for room in rooms for path in sorted((PACKAGE / room).rglob("*.py"))]
    return [*files, *filter(Path.is_file, [PACKAGE / "work/generators.py"])]


def cache_key() -> str:
    """20 hex digits that change with any engine source, numba or Python version, and compile flag."""
    import numba

    switches = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_") and k != "NUMBA_CACHE_DIR")
    digest = hashlib.sha256(repr((numba.__version__, sys.version, sorted(INNER.items()), switches)).encode())
    for path in sources():
        text = path.read_bytes()
        digest.update(f"\0{path.relative_to(PACKAGE)}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()[:20]


def _usable(folder: Path) -> bool:
    """Make `folder` if needed; true when it is ours and writable.

    Cached code is executed, so a stranger's folder is refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def _parents():
    """Folders that may hold the cache, best first. One that NUMBA_CACHE_DIR names is taken without any check."""
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(given).absolute()
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    own = [Path(home) / "pagingviz"] if os.path.isabs(home) and not given else []  # XDG: a relative path does not count
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""  # on Windows users have no number, but each a temp folder
    yield from filter(_usable, [*own, Path(tempfile.gettempdir()) / f"pagingviz{user}"])


def _drop_old(parent: Path, keep: Path) -> None:
    """Remove the folders of other hashes that no process has opened for KEEP_DAYS."""
    oldest = time.time() - KEEP_DAYS * 86400
    for folder in parent.iterdir():
        try:
            if folder != keep and _FOLDER.fullmatch(folder.name) and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another process is tidying up too


def cache_folder() -> Path:
    """The folder for this engine's compiled kernels, made and marked as used just now."""
    for parent in _parents():
        folder = parent / f"kernels-{cache_key()}"
        if _usable(folder):
            os.utime(folder)  # in use today
            _drop_old(parent, folder)
            return folder
    return Path(tempfile.mkdtemp(prefix="pagingviz-"))


@contextlib.contextmanager
def compiling():
    """Hold this while calling kernels for the first time: one process compiles, the others wait and then load.

    Saves the second process its seconds of work, and keeps numba's per-kernel index from being written by two at once.
    """
    if CACHE is None:
        yield
        return
    with open(CACHE / "lock", "a") as file, _locked(file.fileno()):
        yield


@contextlib.contextmanager
def _locked(file: int):
    """Hold the lock of an open file (its descriptor) alone. A process that dies gives it back."""
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed
        yield
        return
    os.lseek(file, 0, os.SEEK_SET)  # Windows locks bytes, from the position on, also those that are not there
    while True:
        with contextlib.suppress(OSError):  # it gives up after ten tries, one a second
            msvcrt.locking(file, msvcrt.LK_LOCK, 1)
            break
    try:
        yield
    finally:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)


def accepted(options: dict[str, bool]) -> dict[str, bool]:
    """Those of the compile options that this numba takes. Without the others kernels compute the same, more slowly.

    Options are tried out only with a version outside of TESTED, and then a warning is logged.
    """
    if TESTED[0] <= numba.version_info.short <= TESTED[1]:
        return options
    taken = {name: value for name, value in options.items() if _compiles({name: value})}
    first, last = (".".join(map(str, version)) for version in TESTED)
    refused = f", and it refuses {', '.join(sorted(options.keys() - taken))}: kernels are slower" if taken != options else ""
    logging.getLogger("pagingviz").warning(
        f"numba {numba.__version__} has not been tried with pagingviz (tried: {first} to {last}){refused}."
    )
    return taken


def _compiles(options: dict[str, bool]) -> bool:
    """Whether numba compiles an empty kernel with these options."""
    try:
        numba.njit(**options)(lambda: None).compile(())
    except Exception:  # a KeyError today, but this is about the versions to come
        return False
    return True


if PLAIN:
    CACHE = None

    def jit(kernel):
        """PAGINGVIZ_PLAIN=1: leave the kernel as it is."""
        return kernel

    entry = from_python = jit

else:
    import numba

    INNER = accepted(INNER)
    OPTIONS = {name: value for name, value in INNER.items() if name in OPTIONS}
    CACHE = cache_folder()
    # Read by numba when a kernel is decorated. Not put into the environment: a child would nest its folder in ours.
    numba.config.CACHE_DIR = str(CACHE)

    def jit(kernel):
        """Compile `kernel` into the kernels that call it. Python cannot call it: see `entry`."""
        return numba.njit(**INNER)(kernel)

    def entry(kernel):
        """A kernel that Python calls: compiled at the first call with each combination of types, or loaded from CACHE."""
        return numba.njit(cache=True, **OPTIONS)(kernel)

    @functools.cache
    def from_python(kernel):
        """A kernel that only kernels call, compiled once more so that Python can call it.

        A kernel that is called through its address is in CACHE without a wrapper for Python. numba would load that, because its
        cache does not look at the flags; so this one is not written to the cache.
        """
        if hasattr(kernel, "kernel"):
            return numba.njit(**OPTIONS)(kernel.kernel.py_func)
        return entry(kernel.py_func)
