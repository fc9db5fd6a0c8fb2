"""Live migration: a running guest goes to another host, round by round, between stretches in which it runs.

`Migration` (run.py) is the loop: it asks steps.py which step is due, and carries out the effects that the step yields
(effects.py). Steps are rules and change nothing: precopy.py (Xen's order), send.py (a batch), postcopy.py, remus.py, ending.py.
policy.py decides when to stop, wire.py counts bytes and time, destination.py is the other host.
"""

from pagingviz.migration.run import Migration
from pagingviz.migration.state import Round

__all__ = ["Migration", "Round"]
