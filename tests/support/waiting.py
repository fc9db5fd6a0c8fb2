"""The one limit of all waiting in the tests.

A test waits for a state and never asserts how long it took: the machine may be busy with other things. The limit only ends a
wait for what never comes. Work is stated in counts (bytes, lines, entries, events); seconds belong to `make bench`.
"""

import os
import time

PATIENCE = float(os.environ.get("PAGINGVIZ_PATIENCE", 600))  # seconds


def until(there, between=lambda: time.sleep(0.05)) -> bool:
    """Call `between` until `there()` is true. False when it is not within PATIENCE seconds."""
    end = time.monotonic() + PATIENCE
    while not there():
        if time.monotonic() > end:
            return False
        between()
    return True
