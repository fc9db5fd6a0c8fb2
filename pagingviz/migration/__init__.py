"""Live migration: a running guest is moved to another host, round by round. A state machine between runs of the guest.

`Migration` (run.py) is the loop of Xen's toolstack, and what others do in its place; policy.py decides when to stop, wire.py
counts bytes and time, destination.py is the other host. It knows the machine and its commands, no screens and no clock.
"""

from pagingviz.migration.run import Migration
from pagingviz.migration.state import Round

__all__ = ["Migration", "Round"]
