"""
Which files of a workspace match some glob patterns, and their copies.

An agent has made the workspace: links that lead in circles, folders that nobody may read, trees deeper than a path can
say. No link is followed, nothing recurses, and what cannot be read is left behind and told: whatever it leaves, its run
can be put on record. It refuses to know where copies go.
"""

from __future__ import annotations

import errno
import os
import stat
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Rest = frozenset[tuple[str, ...]]  # of each pattern, its parts that are to match yet

_CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def find_matching(root: str, patterns: Sequence[str], on_unread: Callable[[str, OSError], None]) -> Iterator[str]:
    """
    Give the paths of the regular files under `root` that match: `*` and `?` within one name, `**` over any number.

    A pattern that matches a folder means all that is in it. `on_unread` is told of folders that cannot be read.
    """
    split = (tuple(part for part in pattern.split("/") if part not in ("", ".")) for pattern in patterns)
    folders = [("", _closed(parts for parts in split if parts))]
    while folders:
        folder, rest = folders.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as found:
                entries = [(e.name, e.is_dir(follow_symlinks=False), e.is_file(follow_symlinks=False)) for e in found]
        except OSError as error:
            on_unread(folder, error)
            continue
        for name, is_folder, is_file in entries:
            left = _after(rest, name)
            path = os.path.join(folder, name)
            if is_folder and left:
                folders.append((path, left))
            elif is_file and () in left:
                yield path


def _closed(rest: Iterable[tuple[str, ...]]) -> Rest:
    """Add to what is left of patterns what is left where a leading `**` stands for nothing."""
    closed: set[tuple[str, ...]] = set()
    for parts in rest:
        closed.add(parts)
        while parts and parts[0] == "**":
            parts = parts[1:]
            closed.add(parts)
    return frozenset(closed)


def _after(rest: Rest, name: str) -> Rest:
    """Give what is left of the patterns below an entry of this name; () is a pattern that matched."""
    after = []
    for parts in rest:
        if not parts or parts[0] == "**":
            after.append(parts)
        elif fnmatchcase(name, parts[0]):
            after.append(parts[1:])
    return _closed(after)


def open_source(path: str) -> int:
    """
    Open a regular file for reading and give its descriptor.

    Raises:
        OSError: it cannot be read, or is something else by now.
    """
    fd = os.open(path, _READ)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "it is no regular file", path)


def copy(source: int, target: str) -> None:
    """
    Copy an open file; its holes stay holes, so that a sparse one fills no disk.

    Raises:
        OSError: the disk refuses.
    """
    size = os.fstat(source).st_size
    fd = os.open(target, _WRITE, 0o600)
    try:
        for at, end in _extents(source, size):
            while at < end and (piece := os.pread(source, min(_CHUNK, end - at), at)):
                at += os.pwrite(fd, piece, at)
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Give from where to where a file holds data."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            raise
        at = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, min(at, size)
