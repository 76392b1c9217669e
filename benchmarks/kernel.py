"""
What the kernel knows of our processes: which there are, when each was exec'd, what each holds and burns. Linux only.

Ours are the sleepers with this run's own argument, and the shims of this run's own folders; nobody else is looked at
closely, and nobody else is ever signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONNECTOR = 11  # NETLINK_CONNECTOR
_EXEC = 2
_HEADER = struct.Struct("=IHHII" + "IIIIHH")  # nlmsghdr, cn_msg
_EVENT = struct.Struct("=IIQII")  # what, cpu, nanoseconds since boot, pid, thread group
_FORCED_BUFFER = 33  # SO_RCVBUFFORCE


def command_of(pid: int) -> list[str]:
    """Give the argv of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def with_argument(argument: str) -> list[int]:
    """Give the processes that have exactly this argument."""
    return [pid for pid in pids() if argument in command_of(pid)[1:]]


def below(folder: Path) -> list[int]:
    """Give the processes that were given a path inside `folder`."""
    return [pid for pid in pids() if any(a.startswith(f"{folder}/") for a in command_of(pid))]


def pss_bytes(pid: int) -> int:
    """Give the proportional set size: private memory, and a fair share of what is shared."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0]) * 1024
    return 0


def resident_and_private_bytes(pid: int) -> tuple[int, int]:
    """Give what of a process is in memory, and how much of that no other process shares."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        found[name] = int(value.split()[0]) * 1024
    return found["Rss"], found["Private_Clean"] + found["Private_Dirty"]


def children_of(pid: int) -> list[int]:
    """Give the children of a process."""
    found = []
    for child in pids():
        with contextlib.suppress(OSError):
            if int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(child)
    return found


def cpu_seconds(pid: int) -> float:
    """Give what a process has run so far, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def end(found: Iterable[int], *, within_seconds: float = 60.0) -> int:
    """Kill processes by pid and wait until they are gone; give how many are left."""
    left = set(found)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + within_seconds
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if command_of(pid)}
        time.sleep(0.02)
    return len(left)


class Execs:
    """
    When processes were exec'd, told by the kernel's process events, which needs root; else by their start times.

    Events wait in the socket's buffer while the measured command runs, so that watching costs it nothing.
    """

    def __init__(self) -> None:
        self._link: socket.socket | None = None
        try:
            link = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _CONNECTOR)
            link.bind((0, 1))
            link.setsockopt(socket.SOL_SOCKET, _FORCED_BUFFER, 256 << 20)
            listen = struct.pack("=I", 1)
            link.send(_HEADER.pack(_HEADER.size + len(listen), 3, 0, 0, 0, 1, 1, 0, 0, len(listen), 0) + listen)
            link.setblocking(False)
            self._link = link
        except OSError:
            self._link = None

    @property
    def how(self) -> str:
        return "the kernel's process events" if self._link else "process start times, to 10 ms"

    def drain(self) -> dict[int, int]:
        """Give pid → monotonic nanoseconds of its latest exec since the last call."""
        times: dict[int, int] = {}
        while self._link is not None:
            try:
                message = self._link.recv(4096)
            except BlockingIOError:
                break
            if len(message) >= _HEADER.size + _EVENT.size:
                what, _, at, _, pid = _EVENT.unpack_from(message, _HEADER.size)
                if what == _EXEC:
                    times[pid] = at
        return times

    def last(self, ours: Iterable[int]) -> int:
        """Give the monotonic nanoseconds at which the last of these processes was exec'd."""
        times = self.drain()
        return max(times[pid] if pid in times else _started_ns(pid) for pid in ours)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()


def _started_ns(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    since_boot = int(fields[19]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return since_boot - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns())
