"""
The lock that dies with its holder, and who holds it.

Stdlib only; looks at what runs take no lock and load none of this.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Self

from agent_haymaker.errors import LockedError, PlatformError
from agent_haymaker.records import open_regular, platform_error

if TYPE_CHECKING:
    from pathlib import Path

_NO_FLOCK = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


class FileLock:
    """
    An OS lock on the file `path`: one holder on this host, and it ends with the holder's process.

    The holder writes its pid, its command and the time into the file, for whoever has to wait. The file stays
    when the lock is released, since removing it would let two processes hold "the same" lock. `command`
    defaults to the program's name and its subcommand; further arguments may hold secrets and are left out.
    """

    def __init__(self, path: Path, *, timeout_seconds: float = 0, command: str | None = None) -> None:
        self.path = path
        self._timeout_seconds = timeout_seconds
        self._command = command
        self._fd: int | None = None

    @property
    def is_held(self) -> bool:
        """True where this object holds the lock."""
        return self._fd is not None

    def acquire(self, timeout_seconds: float = 0) -> None:
        """
        Take the lock, waiting up to `timeout_seconds` for its holder.

        Raises:
            LockedError: somebody else has it still; names the holder.
            PlatformError: the file cannot be opened, or its filesystem has no such locks.
        """
        if self._fd is not None:
            raise RuntimeError("this FileLock is held already")
        deadline = time.monotonic() + timeout_seconds
        try:
            fd = open_regular(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        except OSError as error:
            raise platform_error(error, "open the lock", self.path) from error
        try:
            pause = 0.002
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise self._locked(fd) from None
                    time.sleep(min(pause, left))
                    pause = min(pause * 2, 0.05)
            # The name is for people: a full disk must not stop what the lock protects, such as a cleanup.
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
                os.pwrite(fd, json.dumps(self._holder()).encode(), 0)
        except OSError as error:
            os.close(fd)
            if error.errno in _NO_FLOCK:
                raise PlatformError(
                    "this filesystem has no flock, so two haymakers could not be kept apart",
                    where=str(self.path),
                    fix="set HAYMAKER_HOME to a folder on a local disk",
                ) from error
            raise platform_error(error, "take the lock", self.path) from error
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Give the lock back. Nothing happens where it is not held."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
            os.close(fd)

    def __enter__(self) -> Self:
        self.acquire(self._timeout_seconds)
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _holder(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "command": self._command or _own_command(),
            "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    def _locked(self, fd: int) -> LockedError:
        return LockedError(
            f"the lock is held by {_told(fd)}", where=str(self.path), fix="wait until it has ended, or stop it"
        )


def holder_of(path: Path) -> str | None:
    """
    Tell who holds the lock at `path`, in words; None where nobody does. It takes no lock that anybody could meet.

    Raises:
        OSError: the file is there and cannot be looked at.
    """
    try:
        fd = open_regular(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _told(fd)
    finally:
        os.close(fd)  # lets go of the lock too
    return None


def _told(fd: int) -> str:
    try:
        holder = json.loads(os.pread(fd, 4096, 0))
        return f"`{holder['command']}` (pid {int(holder['pid'])}) since {holder['since']}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"


def _own_command() -> str:
    program = os.path.basename(sys.argv[0]) if sys.argv else "python"  # argv[0] may be ""
    subcommand = sys.argv[1] if len(sys.argv) > 1 else ""
    return f"{program} {subcommand}" if subcommand.isalpha() and len(subcommand) < 20 else program or "python"
