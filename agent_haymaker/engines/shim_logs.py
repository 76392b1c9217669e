"""
Keeps each agent's log bounded: past a size it is copied to `<log>.1` and emptied in place.

The agent holds its log open for appending and is told nothing, so a rename would not help. What it writes between
the copy's end and the cut would be lost: the copy runs until it has caught up, which makes that instant short.
Logs that do not grow are looked at ever more seldom.

Part of the shim: standard library only.
"""

from __future__ import annotations

import contextlib
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_MAX_BYTES = 64 << 20
_SOONEST, _LATEST = 1.0, 64.0
_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_folder(root: int, path: str) -> tuple[int, str]:
    """
    Open the folder that a relative path ends in, following no symlink, and give it with the last name.

    The caller closes it. Folders that are missing are made.

    Raises:
        OSError: a part of the path is a symlink or no folder, or the disk refuses.
        ValueError: the path leaves `root`.
    """
    *folders, name = parts_of(path)
    here = os.dup(root)
    for folder in folders:
        try:
            try:
                inner = os.open(folder, _DIRECTORY, dir_fd=here)
            except FileNotFoundError:
                os.mkdir(folder, 0o700, dir_fd=here)
                inner = os.open(folder, _DIRECTORY, dir_fd=here)
        finally:
            os.close(here)
        here = inner
    return here, name


def parts_of(path: str) -> list[str]:
    """
    Split a relative path.

    Raises:
        ValueError: it is absolute or empty, or has an empty part, `.`, `..` or NUL in it.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ValueError(f"{path!r} is not a plain relative path")
    return parts


def move_aside(folder: int, name: str) -> None:
    """Rename a folder that stands where a file of ours should: the agent made it, and may want it back."""
    os.rename(name, f"{name[:200]}.{os.urandom(4).hex()}.odd", src_dir_fd=folder, dst_dir_fd=folder)


def open_log(root: int, path: str) -> int:
    """
    Open a log for appending; whatever else an earlier run left under its name gives way to a file of ours.

    Raises:
        OSError, ValueError: as `open_folder`.
    """
    folder, name = open_folder(root, path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        try:
            fd = os.open(name, flags, 0o600, dir_fd=folder)
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.set_blocking(fd, True)
                return fd
            os.close(fd)
        except OSError:
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISREG(mode):
                raise
            if stat.S_ISDIR(mode):
                move_aside(folder, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        fd = os.open(name, flags | os.O_EXCL, 0o600, dir_fd=folder)
        os.set_blocking(fd, True)
        return fd
    finally:
        os.close(folder)


class Log:
    """One log under watch."""

    __slots__ = ("_due", "_every", "_inode", "_max", "_path", "_root", "_size")

    def __init__(self, root: str, path: str, fd: int, max_bytes: int, now: float) -> None:
        self._root = root
        self._path = path
        self._inode = os.fstat(fd).st_ino
        self._max = max_bytes
        self._size = 0
        self._every = _SOONEST
        self._due = now + _SOONEST

    def look(self, now: float, complain: Callable[[str], None]) -> float:
        """Rotate the log if it is too long; return when to look again, in seconds of the monotonic clock."""
        if now < self._due:
            return self._due
        try:
            size = os.stat(f"{self._root}/{self._path}", follow_symlinks=False).st_size
            if size > self._max:
                self._rotate()
                size = 0
        except (OSError, ValueError) as error:
            complain(f"log {self._path} of {self._root}: {error}")
            size = self._size
        grown = abs(size - self._size) * 16 > self._max
        self._size = size
        self._every = _SOONEST if grown else min(self._every * 4, _LATEST)
        # Looks of many logs fall on the same instants, so that they wake the shim together.
        self._due = (now // self._every + 1) * self._every
        return self._due

    def _rotate(self) -> None:
        root = os.open(self._root, _DIRECTORY)
        try:
            folder, name = open_folder(root, self._path)
        finally:
            os.close(root)
        source = target = -1
        draft = f"{name}.1.draft"
        try:
            source = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            if os.fstat(source).st_ino != self._inode:
                return  # the agent put a file of its own there: not ours to cut
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            target = os.open(draft, flags, 0o600, dir_fd=folder)
            try:
                # An agent that writes faster than this copies is cut at twice the size.
                left = 2 * self._max
                while left > 0 and (part := os.read(source, _CHUNK)):
                    view = memoryview(part)
                    left -= len(part)
                    while view:
                        view = view[os.write(target, view) :]
            except OSError:
                os.unlink(draft, dir_fd=folder)
                raise
            os.ftruncate(source, 0)
            os.replace(draft, f"{name}.1", src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            for fd in (source, target, folder):
                if fd >= 0:
                    os.close(fd)
