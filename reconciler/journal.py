"""
The journal: what was intended, what came of it, what happened. Append-only JSON lines in numbered segments.

Lines wait in memory until a commit, which writes them together. An intent is on disk before its effect, the result
after it: a reader that finds an intent without a result knows that a pass died in between, and asks the engine what
became of it. A line that a crash tore is no line: its effect cannot have begun, since the intent was never committed.

It refuses to know what an intent or an entry means. Only the holder of the pass lock appends.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import PlatformError
from agent_haymaker.lean import dataclass, field
from agent_haymaker.records import mending, open_regular, platform_error, read_regular, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEGMENT_BYTES = 16 * 1024 * 1024
KEPT_SEGMENTS = 4
SUFFIX = ".jsonl"

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the journal: everything before it is known to whoever holds it."""

    segment: int = 0
    offset: int = 0

    def to_json(self) -> list[int]:
        return [self.segment, self.offset]

    @classmethod
    def from_json(cls, value: object) -> Position:
        match value:
            case [int(segment), int(offset)]:
                return cls(segment, offset)
            case _:
                raise ValueError("a journal position is [segment, offset]")


START = Position()


@dataclass(slots=True)
class Tail:
    """What was read after a position. `damaged` counts lines that are not JSON objects (a torn last one is none)."""

    records: list[dict[str, Any]] = field(default_factory=list)
    end: Position = START
    damaged: int = 0


def _segments(folder: Path) -> list[int]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise platform_error(error, "read the journal", folder) from error
    return sorted(int(n[: -len(SUFFIX)]) for n in names if n.endswith(SUFFIX) and n[: -len(SUFFIX)].isdigit())


def _unreadable(path: Path, error: OSError) -> PlatformError:
    fix = mending(unreadable(path, error), "what runs is found out without it")
    return PlatformError(f"could not read the journal: {error.strerror or error}", where=str(path), fix=fix)


def _path(folder: Path, segment: int) -> Path:
    return folder / f"{segment:08d}{SUFFIX}"


def read_tail(folder: Path, start: Position) -> Tail:
    """
    Give the records after `start`, in order. Never writes.

    Raises:
        PlatformError: the journal cannot be read.
    """
    tail = Tail(end=start)
    for segment in _segments(folder):
        if segment < start.segment:
            continue
        offset = start.offset if segment == start.segment else 0
        path = _path(folder, segment)
        try:
            with os.fdopen(open_regular(path), "rb") as lines:
                size = os.fstat(lines.fileno()).st_size
                if size > offset:
                    lines.seek(offset)
                    _parse(lines.read(size - offset), tail)
        except OSError as error:
            raise _unreadable(path, error) from error
        tail.end = Position(segment, max(size, offset))
    return tail


def _parse(content: bytes, tail: Tail) -> None:
    for line in content.split(b"\n")[:-1]:  # what follows the last line break is torn, or nothing
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            tail.records.append(record)
        elif line.strip(b"\0 "):
            tail.damaged += 1


def read_backwards(folder: Path) -> Iterator[dict[str, Any]]:
    """Give every readable record, newest first; costs what is consumed, a segment at a time."""
    for segment in reversed(_segments(folder)):
        tail = Tail()
        try:
            _parse(read_regular(_path(folder, segment)) + b"\n", tail)
        except OSError as error:
            raise _unreadable(_path(folder, segment), error) from error
        yield from reversed(tail.records)


class Journal:
    """
    The one writer. Make it under the pass lock; `close` it before the lock goes.

    `after` is how far it was read: where files of it are gone or were cut, nothing is written before that, since no
    reader would look there.
    """

    def __init__(self, folder: Path, after: Position = START) -> None:
        import threading  # whoever only reads needs none

        self._folder = folder
        self._after = after
        self._fd = -1
        self._segment = 0
        self._size = 0
        self._dirty = False
        self._waiting: list[bytes] = []
        self._lock = threading.Lock()  # one task appends while a thread commits

    @property
    def position(self) -> Position:
        """The end of what is written, where the next record will stand. Lines that wait are written first."""
        self._flush()
        return Position(self._segment, self._size)

    @property
    def is_long(self) -> bool:
        """True where this segment is past its size."""
        return self._size >= SEGMENT_BYTES

    def append(self, record: dict[str, Any]) -> None:
        """Take one record up; after `commit` it survives a kill and a power cut."""
        line = _encode(record).encode() + b"\n"
        with self._lock:
            self._waiting.append(line)

    def commit(self) -> None:
        """
        Put everything appended so far on disk.

        Raises:
            PlatformError: it could not be written whole; nothing of what waited stays, and it is not tried again.
        """
        self._flush()
        if self._dirty:
            self._dirty = False
            try:
                fdatasync(self._fd)
            except OSError as error:
                self._dirty = True
                raise platform_error(error, "sync the journal", _path(self._folder, self._segment)) from error

    def _flush(self) -> None:
        self._open()
        with self._lock:
            lines, self._waiting = b"".join(self._waiting), []
        if not lines:
            return
        try:
            written = os.write(self._fd, lines)
            if written < len(lines):
                os.write(self._fd, lines[written:])  # says why: usually no space
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            raise platform_error(error, "write the journal", _path(self._folder, self._segment)) from error
        self._size += len(lines)
        self._dirty = True

    def rotate(self) -> None:
        """Begin a new segment and drop the oldest. Call it when every fleet's checkpoint is fresh."""
        self.close()
        for old in _segments(self._folder)[: -KEPT_SEGMENTS + 1]:
            _path(self._folder, old).unlink(missing_ok=True)
        self._create(self._segment + 1)

    def close(self) -> None:
        """Commit, and let go of the file, also where the disk refuses."""
        try:
            if self._waiting or self._dirty:
                self.commit()
        finally:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _open(self) -> None:
        if self._fd >= 0:
            return
        existing = _segments(self._folder)
        if not existing or existing[-1] < self._after.segment:
            self._create(self._after.segment + 1)
            return
        self._create(existing[-1])
        if existing[-1] == self._after.segment and self._size < self._after.offset:
            os.close(self._fd)
            self._create(self._after.segment + 1)
        if self._size:
            # A kill or a power cut may have torn the last line: end it, so that the next one stands alone.
            last = os.pread(self._fd, 1, self._size - 1)
            if last != b"\n":
                os.write(self._fd, b"\n")
                self._size += 1

    def _create(self, segment: int) -> None:
        path = _path(self._folder, segment)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = open_regular(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)
            self._size = os.fstat(self._fd).st_size
        except OSError as error:
            raise platform_error(error, "open the journal", path) from error
        self._segment = segment


def fdatasync(fd: int) -> None:
    """Sync a file's content; where the host has no fdatasync, sync all of it."""
    getattr(os, "fdatasync", os.fsync)(fd)
