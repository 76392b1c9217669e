"""
The processes of this machine as parents and children, and a signal that reaches the one that was seen.

It refuses to know which of them are an agent's. Stdlib only where /proc tells.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

LINUX = sys.platform == "linux"


def processes_of_linux() -> dict[int, list[tuple[int, int, bool]]]:
    """Map each parent to its children: pid, start time in clock ticks since boot, whether it is dead already."""
    parents: dict[int, list[tuple[int, int, bool]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(name)):
            dead = fields[0] in (b"Z", b"X")
            parents.setdefault(int(fields[1]), []).append((int(name), int(fields[19]), dead))
    return parents


def _stat(pid: str | int) -> list[bytes] | None:
    """The fields of /proc/PID/stat from the third on; the second may hold blanks and parentheses."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(fd, 4096).rpartition(b")")[2].split() or None
    except OSError:  # it ended while we looked
        return None
    finally:
        os.close(fd)


def processes_by_psutil(groups: set[int]) -> dict[int, list[tuple[int, int, bool]]]:
    """As on Linux, in milliseconds; an orphan that is still in one of our `groups` counts as our child."""
    import psutil

    parents: dict[int, list[tuple[int, int, bool]]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            parent = process.ppid()
            if parent == 1 and os.getpgid(process.pid) in groups and os.getsid(process.pid) == os.getsid(0):
                parent = os.getpid()
            dead = process.status() == psutil.STATUS_ZOMBIE
            parents.setdefault(parent, []).append((process.pid, int(process.create_time() * 1000), dead))
    return parents


def send(pid: int, started: int, number: int) -> None:
    """Signal a process if it still is the one that was seen. That it has gone is success."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if not LINUX:
            os.kill(pid, number)
            return
        fd = os.pidfd_open(pid)
        try:
            fields = _stat(pid)  # read behind the pidfd: from here on a reused pid cannot be meant
            if fields and int(fields[19]) == started:
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)
