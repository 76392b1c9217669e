"""
What a shim writes into claims: a line that the disk refuses is kept and tried again, in the order it came.

Part of the shim: standard library only.
"""

from __future__ import annotations

import os

from agent_haymaker.engines import claims

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Line:
    """One line: for which claim, whether it is the end of a run, and why the disk refused it."""

    __slots__ = ("content", "is_end", "key", "why")

    def __init__(self, key: str, content: dict[str, Any], *, is_end: bool) -> None:
        self.key = key
        self.content = content
        self.is_end = is_end
        self.why = ""


class Lines:
    """The lines of all runs. `home` is a descriptor of `engines/local`; `complain` writes to the shim's log."""

    def __init__(self, home: int, complain: Callable[[str], None]) -> None:
        self.pending: list[Line] = []  # refused by the disk, in the order they came
        self.ended: list[str] = []  # keys whose end was just written; whoever tells of them clears it
        self._home = home
        self._complain = complain
        self._unsynced: list[str] = []

    @property
    def are_on_disk(self) -> bool:
        return not (self.pending or self._unsynced)

    def write(self, key: str, content: dict[str, Any], *, is_end: bool = False) -> None:
        """Append to a claim, behind whatever of it still waits."""
        line = Line(key, content, is_end=is_end)
        if any(waiting.key == key for waiting in self.pending) or not self._append(line):
            self.pending.append(line)

    def _append(self, line: Line) -> bool:
        try:
            claims.append(self._home, line.key, line.content)
        except FileNotFoundError:
            pass  # forgotten meanwhile: nobody wants it
        except OSError as error:
            why = os.strerror(error.errno or 0)
            if why != line.why:  # else it is said twice a second
                line.why = why
                self._complain(f"{line.key}: {why}; kept, to be written later")
            return False
        if line.is_end:
            self._unsynced.append(line.key)
            self.ended.append(line.key)
        return True

    def write_pending(self) -> None:
        """Try again what the disk refused."""
        refused: list[Line] = []
        for line in self.pending:
            if any(waiting.key == line.key for waiting in refused) or not self._append(line):
                refused.append(line)
        self.pending = refused

    def sync_some(self, count: int = 16) -> bool:
        """Bring some ends to the disk; True while more wait. They were readable before: this is for a power cut."""
        for key in self._unsynced[:count]:
            try:
                fd = claims.open_for_reading(self._home, key)
            except OSError:
                continue
            try:
                os.fsync(fd)
            except OSError as error:
                self._complain(f"{key}: {error.strerror}")
            finally:
                os.close(fd)
        del self._unsynced[:count]
        return bool(self._unsynced)
