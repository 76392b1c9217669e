"""
What a running agent leaves behind for others to read: its log, its events, its transcript, its result.

The log is for people and goes to stdout; losing a line of it harms nothing. `events.jsonl` is the heartbeat: one
line as it happens, written at once. `transcript.jsonl` is the conversation with a model, over all runs in this
workspace. `result.json` is the verdict, whole or absent. Secrets that are known are masked before anything is written.
It refuses to judge.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time

from agent_haymaker.records import write_record
from haymaker_goal_agent.masking import Mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

EVENTS = "events.jsonl"
RESULT = "result.json"
TRANSCRIPT = "transcript.jsonl"
FOLDER = ".agent"
"""Where an agent keeps what is nobody's business but its own: its session, its SDK's files, its inbox's past."""
VERSION = 1


class Journal:
    """
    Writes into a workspace. What an earlier run left under the same names goes first.

    `is_unsure` is set by whoever lets another program write to the log: it may stop in the middle of a line.
    """

    def __init__(self, workspace: Path, environ: Mapping[str, str]) -> None:
        """
        Raises:
            OSError: the workspace cannot be written to.
        """
        self._workspace = workspace
        self._mask = Mask(environ)
        self._transcript = -1
        self.is_unsure = False
        for name in (RESULT, EVENTS):
            (workspace / name).unlink(missing_ok=True)
        (workspace / FOLDER).mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._events = os.open(workspace / EVENTS, flags, 0o600)
        self._log = _reopened_stdout()

    def say(self, *lines: str) -> None:
        """Write lines to the log. They begin at the start of a line, however a step left it."""
        text = self.masked("".join(f"{line}\n" for line in lines))
        if not self._is_at_line_start():
            text = f"\n{text}"
        self.is_unsure = False
        with contextlib.suppress(OSError):
            _write(1, text)

    def event(self, kind: str, **facts: Any) -> None:
        """
        Append one event, stamped with the time.

        Raises:
            OSError: the disk refuses.
        """
        _write(self._events, self._line(type=kind, **facts))

    def converse(self, role: str, **facts: Any) -> None:
        """
        Append to the transcript what `role` said or did.

        Raises:
            OSError: the disk refuses, or something else stands in its place.
        """
        if self._transcript < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._transcript = os.open(self._workspace / TRANSCRIPT, flags, 0o600)
        _write(self._transcript, self._line(role=role, **facts))

    def result(self, record: dict[str, Any]) -> None:
        """
        Write the verdict.

        Raises:
            PlatformError: the disk refuses.
        """
        write_record(self._workspace / RESULT, self.masked({"schema_version": VERSION, **record}))

    def masked(self, value: Any) -> Any:
        """Give a JSON value with every known secret in its texts masked."""
        return self._mask.over(value)

    def _line(self, **facts: Any) -> str:
        record = {"v": VERSION, "at": timestamp(time.time()), **self.masked(facts)}
        return json.dumps(record, ensure_ascii=False, default=str) + "\n"

    def _is_at_line_start(self) -> bool:
        if self._log is not None:
            with contextlib.suppress(OSError):
                size = os.fstat(self._log).st_size
                return size == 0 or os.pread(self._log, 1, size - 1) == b"\n"
        return not self.is_unsure


def write_refusal(workspace: Path, record: dict[str, Any], environ: Mapping[str, str]) -> None:
    """
    Write the verdict of a run that came to nothing, without a journal; the secrets of `environ` are masked.

    Raises:
        PlatformError: the disk refuses.
    """
    write_record(workspace / RESULT, Mask(environ).over({"schema_version": VERSION, **record}))


def timestamp(seconds: float) -> str:
    """Give a moment as UTC, to the millisecond: 2026-03-14T09:26:53.589Z."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


def _write(fd: int, text: str) -> None:
    rest = text.encode("utf-8", "replace")
    while rest:
        rest = rest[os.write(fd, rest) :]


def _reopened_stdout() -> int | None:
    """A second descriptor that can read what stdout holds, where that is a file."""
    with contextlib.suppress(OSError):
        if stat.S_ISREG(os.fstat(1).st_mode):
            return os.open("/dev/fd/1", os.O_RDONLY | os.O_CLOEXEC)
    return None
