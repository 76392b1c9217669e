"""
How a client reaches the shim of a HAYMAKER_HOME: is one there, a connected socket, one question asked and answered.

Synchronous, and small: what a look needs. Effects go through `shim_client`.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from agent_haymaker import processes
from agent_haymaker.engines import claims
from agent_haymaker.errors import TryAgain

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from typing import Any

PROTOCOL = 1
SUSPECT_AFTER = 1.0  # seconds without an answer, after which it is looked whether the shim can answer at all
_LONGEST_PATH = 100  # of a socket's address: 108 bytes on Linux, 104 elsewhere


class ShimSuspended(TryAgain):
    """The shim is there and was sent SIGSTOP: whoever waits would wait for ever."""

    def __init__(self, home: str, pid: int) -> None:
        self.pid = pid
        super().__init__(
            f"the shim of the local engine is suspended and answers nobody; `kill -CONT {pid}` wakes it",
            where=home,
            fix="wake it, then run the command again",
        )


_holder: tuple[int, str] | None = None


def hello(*, fence: bool) -> dict[str, object]:
    """Return the first request of a connection. All fenced connections of one process are one holder's."""
    global _holder
    if _holder is None or _holder[0] != os.getpid():
        _holder = (os.getpid(), os.urandom(8).hex())
    return {"op": "hello", "v": PROTOCOL, "fence": _holder[1] if fence else None}


def is_shim_there(home: str) -> bool:
    """
    Tell whether a shim, or a child that one has not finished making, holds the lock of this `engines/local`.

    Raises:
        OSError: the lock is there and cannot be looked at.
    """
    try:
        fd = os.open(f"{home}/{claims.LOCK}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)  # lets go of the lock too
    return False


def connect(home: str) -> socket.socket:
    """
    Return a blocking socket connected to the shim.

    Raises:
        OSError: no shim listens.
    """
    import socket  # most looks ask no shim

    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path = f"{home}/{claims.SOCKET}"
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            link.connect(path)
        elif sys.platform == "linux":
            folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                link.connect(f"/proc/self/fd/{folder}/{claims.SOCKET}")
            finally:
                os.close(folder)
        else:
            from tempfile import TemporaryDirectory

            with TemporaryDirectory(dir="/tmp", prefix="hay") as short:  # 0700, and short is the point
                os.symlink(home, f"{short}/l")
                link.connect(f"{short}/l/{claims.SOCKET}")
    except BaseException:
        link.close()
        raise
    return link


def peer_of(link: socket.socket) -> int:
    """Give the pid of the process that listens at the other end, or 0 where this system does not tell."""
    import socket

    try:
        if sys.platform == "linux":
            return int.from_bytes(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)
        return link.getsockopt(0, 2)  # SOL_LOCAL, LOCAL_PEERPID
    except OSError:
        return 0


def why_silent(home: str, pid: int) -> TryAgain:
    """Give the error of a shim that does not answer, and what a person can do about it."""
    if pid and processes.is_suspended(pid):
        return ShimSuspended(home, pid)
    return TryAgain(
        f"the shim of the local engine ({f'pid {pid}' if pid else 'its pid is unknown'}) does not answer",
        where=home,
        fix="the host may be very busy: run the command again; its agents survive it if it is killed",
    )


def ask(
    home: str, question: Mapping[str, object], *, fence: bool, timeout_seconds: float = 5.0
) -> dict[str, Any] | None:
    """
    Ask the shim one question; None when there is no shim (any more).

    Raises:
        TryAgain: there is one, and it did not answer in time, or is suspended (at once).
    """
    deadline = time.monotonic() + timeout_seconds
    patience, pid = SUSPECT_AFTER, 0
    while True:
        try:
            with connect(home) as link:
                pid = peer_of(link)
                link.settimeout(max(0.01, min(patience, deadline - time.monotonic())))
                requests = ({**hello(fence=fence), "id": 0}, {**question, "id": 1})
                link.sendall(b"".join(json.dumps(request).encode() + b"\n" for request in requests))
                answers = _lines(link)
                first, second = next(answers, None), next(answers, None)
                if first is not None and second is not None:
                    return second
        except TimeoutError:
            silent = why_silent(home, pid)
            if isinstance(silent, ShimSuspended):
                raise silent from None
            patience = timeout_seconds
        except OSError:
            pass
        if not is_shim_there(home):
            return None
        if time.monotonic() >= deadline:
            raise why_silent(home, pid)
        time.sleep(0.005)  # it is just starting, or just ending


def _lines(link: socket.socket) -> Iterator[dict[str, Any]]:
    inbox = b""
    while part := link.recv(1 << 16):
        *lines, inbox = (inbox + part).split(b"\n")
        for line in lines:
            yield json.loads(line)
