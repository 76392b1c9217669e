"""
Read the end of a run's log and what comes after it, across a rotation, for the cost of what is read.

Synchronous on purpose: a look at a log needs no event loop. It refuses to know where a log lies: `open_log` opens it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from reconciler.redact import MASK, Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE = 64 * 1024
LOG = "agent.log"
OLDER = "agent.log.1"


class LogReader:
    """Reads one run's log. `open_log` takes a file name and raises OSError where there is none."""

    def __init__(self, open_log: Callable[[str], BinaryIO], secrets: list[str]) -> None:
        self._open = open_log
        self._redactor = Redactor(secrets)
        self._file: BinaryIO | None = None
        self._inode = 0

    @property
    def has_log(self) -> bool:
        """True once a log was found."""
        return self._file is not None

    @property
    def written_at(self) -> float:
        """When the log was last written to, in seconds since the epoch; 0 where there is none."""
        return os.fstat(self._file.fileno()).st_mtime if self._file is not None else 0.0

    def tail(self, lines: int) -> Iterator[bytes]:
        """Give the last `lines` lines, those of a rotated log included where this one has too few."""
        self._reopen()
        if self._file is None:
            return
        end = self._file.seek(0, os.SEEK_END)
        start, missing = _line_start(self._file, end, lines)
        if missing > 0:
            yield from self._older(missing)
        yield from self._between(self._file, start, end)
        self._file.seek(end)

    def more(self) -> Iterator[bytes]:
        """Give what was written since."""
        if self._file is None:
            self._reopen()
        if self._file is None:
            return
        size = os.fstat(self._file.fileno()).st_size
        if size < self._file.tell():  # rotated by copy and truncation
            self._file.seek(0)
        yield from self._rest()
        if self._was_replaced():
            self._reopen()
            yield from self._rest()

    def end(self) -> bytes:
        """Give what was held back, when nothing follows."""
        if self._file is not None:
            self._file.close()
        return self._redactor.end()

    def _older(self, lines: int) -> Iterator[bytes]:
        try:
            with self._open(OLDER) as file:
                end = file.seek(0, os.SEEK_END)
                start, _ = _line_start(file, end, lines)
                yield from self._between(file, start, end)
        except OSError:
            return

    def _between(self, file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
        """Give the bytes of a range, redacted; a secret that begins before the range is masked too."""
        before = max(0, start - self._redactor.longest)
        file.seek(before)
        head = file.read(min(end - before, start - before + self._redactor.longest))
        skip = start - before
        over = [to for at, to in self._redactor.spans(head) if at < skip < to]
        if over:
            skip = max(over)
            yield MASK
        yield self._redactor.feed(head[skip:])
        left = end - before - len(head)
        while left > 0 and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield self._redactor.feed(piece)

    def _rest(self) -> Iterator[bytes]:
        while self._file is not None and (piece := self._file.read(PIECE)):
            yield self._redactor.feed(piece)

    def _reopen(self) -> None:
        try:
            file = self._open(LOG)
        except OSError:
            return
        if self._file is not None:
            self._file.close()
        self._file, self._inode = file, os.fstat(file.fileno()).st_ino

    def _was_replaced(self) -> bool:
        try:
            with self._open(LOG) as now:
                return os.fstat(now.fileno()).st_ino != self._inode
        except OSError:
            return False


def _line_start(file: BinaryIO, end: int, lines: int) -> tuple[int, int]:
    """Give where the last `lines` lines before `end` begin, and how many of them the file does not have."""
    if lines <= 0:
        return end, 0
    wanted, position = lines, end
    first = True
    while position > 0:
        size = min(PIECE, position)
        position -= size
        file.seek(position)
        piece = file.read(size)
        stop = len(piece)
        if first and piece.endswith(b"\n"):
            stop -= 1  # the last line's own end
        first = False
        while True:
            at = piece.rfind(b"\n", 0, stop)
            if at < 0:
                break
            wanted -= 1
            if wanted == 0:
                return position + at + 1, 0
            stop = at
    return 0, wanted - 1 if end else wanted
