"""Programs of the tests that need kernels as plain Python: a compiled one can neither be mutated nor its lines counted."""

import json
import os
import subprocess
import sys
from pathlib import Path

from waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[1]


def answer(program, *arguments):
    """The JSON that a file of tests/ prints, run with PAGINGVIZ_PLAIN=1. AssertionError with what it wrote when it fails."""
    quiet = {"PAGINGVIZ_PLAIN": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore::RuntimeWarning"}
    process = subprocess.run(
        [sys.executable, ROOT / "tests" / program, *arguments],
        cwd=ROOT,
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,  # some are a minute's work
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)
