"""
Whether a live run makes progress, by what its agent leaves behind. Looks only, and reads no more than it must.

`events.jsonl` in the workspace is the heartbeat: each line is a step, unless it says `"progress": false`, as the goal
agent's do about a tool call that was made before. Where there is none, the growth of the log counts. What cannot be
read proves nothing, and nothing is done on its account.
"""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from agent_haymaker.engines import Engine

EVENTS = "events.jsonl"
LOG = "agent.log"
PIECE = 4 * 1024
MOST_BYTES = 4 * 1024 * 1024  # so much without one new step is a loop, whenever it began

_NO_FILE = (errno.ENOENT, errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENXIO)  # or a link, a pipe, a folder


class Stall(NamedTuple):
    """`text` says in what way a run stalled, "" where it does not; `due` is when it will count as stalled."""

    text: str
    due: float


def find_stall(engine: Engine, workspace: str, *, started_at: float, deadline: float, now: float) -> Stall:
    """Tell whether a run has made no progress for `deadline` seconds. All times are seconds since the epoch."""
    since = now - deadline
    try:
        written, last = _last_progress(engine, workspace, since)
    except OSError:
        return Stall("", now + deadline)
    last = max(started_at, min(last, now))
    if last > since:
        return Stall("", last + deadline)
    from reconciler.manifest.units import format_duration

    how = "it repeats itself" if written > since else "it is silent"
    return Stall(f"no progress within its run.progressDeadline of {format_duration(deadline)}: {how}", last + deadline)


def _last_progress(engine: Engine, workspace: str, since: float) -> tuple[float, float]:
    """Give when the agent last wrote, and when it last did something new; the latter is exact only after `since`."""
    try:
        with engine.open_live(workspace, EVENTS) as file:
            found = os.fstat(file.fileno())
            is_old = found.st_mtime <= since  # nothing in it can be younger
            return found.st_mtime, found.st_mtime if is_old else _last_step(file, found, since)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
    try:
        with engine.open_live(workspace, LOG) as file:
            written = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        written = 0.0
    return written, written


def _last_step(file: BinaryIO, found: os.stat_result, since: float) -> float:
    """Read backwards to the last line that is a step, or to where lines are older than `since`."""
    end, rest = found.st_size, b""
    while end > 0 and found.st_size - end < MOST_BYTES:
        start = max(0, end - PIECE)
        file.seek(start)
        lines = (file.read(end - start) + rest).split(b"\n")
        rest = lines.pop(0) if start else b""
        for line in reversed(lines):
            event = _event(line)
            if event is None:
                continue
            at = _seconds(event.get("at"), found.st_mtime)
            if event.get("progress") is not False or at <= since:
                return at if event.get("progress") is not False else since
        end = start
    return since


def _event(line: bytes) -> dict[str, object] | None:
    """Give an event; None for a line that is torn or none."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _seconds(at: object, otherwise: float) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(str(at)).timestamp()
    except (ValueError, OverflowError, OSError):
        return otherwise
