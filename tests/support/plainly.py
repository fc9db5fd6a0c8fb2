"""Programs of the tests that need kernels as plain Python: a compiled one can neither be mutated nor its lines counted."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


def answer(module, *arguments):
    """What a module of tests/, given as `core.mutants`, prints as JSON when it is run with PAGINGVIZ_PLAIN=1.

    AssertionError with what it wrote when it fails.
    """
    quiet = {"PAGINGVIZ_PLAIN": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore::RuntimeWarning"}
    process = subprocess.run(
        [sys.executable, "-m", f"tests.{module}", *arguments],
        cwd=ROOT,
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,  # some are a minute's work
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)
