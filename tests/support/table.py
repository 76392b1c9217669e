"""
Whose a process is, by the environment that it carries: who shows none just now is waited for.

In the middle of an exec a process has no environment yet. On its way out it has none any more, and is not dead for a
while: whoever took it for nobody's would find it gone while haymaker says, rightly, that it runs.
"""

from __future__ import annotations

import time
from pathlib import Path

from agent_haymaker import processes

_EXITING = 0x4
_SECONDS = 30.0


def environ_of(pid: int) -> dict[str, str]:
    """The environment of a live process; empty for the dead, for a kernel thread, and for somebody else's process."""
    until = time.monotonic() + _SECONDS
    while not (environ := processes.read_environ(pid, until=until)) and _is_exiting(pid) and time.monotonic() < until:
        time.sleep(0.001)
    return environ or {}


def _is_exiting(pid: int) -> bool:
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return False
    return state not in "ZX" and bool(int(fields[5]) & _EXITING)
