"""
Whether a live run makes progress, by what its agent leaves behind. Looks only, and reads no more than it must.

`events.jsonl` in the workspace is the heartbeat: each line is a step, unless it says `"progress": false`, as the goal
agent's do about a tool call that was made before. Where there is none, the growth of the log counts. What cannot be
read proves nothing, and nothing is done on its account.

All stamps are of the wall clock, which somebody may have set meanwhile: by how much since the run began is known, since
the kernel counts on. A stamp from before that is as much off.
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

SLACK = 2.0  # seconds that a recorded start may be beside the kernel's, without that the clock was set

_NO_FILE = (errno.ENOENT, errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENXIO)  # or a link, a pipe, a folder


class Stall(NamedTuple):
    """`text` says in what way a run stalled, "" where it does not; `due` is when it will count as stalled."""

    text: str
    due: float


def find_stall(
    engine: Engine, workspace: str, *, started_at: float, deadline: float, now: float, moved: float = 0.0
) -> Stall:
    """
    Tell whether a run has made no progress for `deadline` seconds. All times are seconds since the epoch.

    `moved` is by how much the clock was set since the run began; `started_at` is by the clock as it is now.
    """
    since = now - deadline
    try:
        written, last = _last_progress(engine, workspace, since, _Clock(now, moved if abs(moved) > SLACK else 0.0))
    except OSError:
        return Stall("", now + deadline)
    last = max(started_at, last)
    if last > since:
        return Stall("", last + deadline)
    from reconciler.manifest.units import format_duration

    how = "it repeats itself" if written > since else "it is silent"
    return Stall(f"no progress within its run.progressDeadline of {format_duration(deadline)}: {how}", last + deadline)


class _Clock(NamedTuple):
    now: float
    moved: float

    def read(self, stamp: float) -> float:
        """
        Give when it was, by the clock as it is now.

        A stamp may be from before the clock was set or from after it: the later of the two that is not in the future
        counts, so a run is called stalled too late sooner than too early.
        """
        return max((at for at in (stamp, stamp + self.moved) if at <= self.now), default=self.now)


def _last_progress(engine: Engine, workspace: str, since: float, clock: _Clock) -> tuple[float, float]:
    """Give when the agent last wrote, and when it last did something new; the latter is exact only after `since`."""
    try:
        with engine.open_live(workspace, EVENTS) as file:
            found = os.fstat(file.fileno())
            written = clock.read(found.st_mtime)
            is_old = written <= since  # nothing in it can be younger
            return written, written if is_old else _last_step(file, found.st_size, written, since, clock)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
    try:
        with engine.open_live(workspace, LOG) as file:
            written = clock.read(os.fstat(file.fileno()).st_mtime)
    except FileNotFoundError:
        written = 0.0
    return written, written


def _last_step(file: BinaryIO, size: int, written: float, since: float, clock: _Clock) -> float:
    """Read backwards to the last line that is a step, or to where lines are older than `since`."""
    end, rest = size, b""
    while end > 0 and size - end < MOST_BYTES:
        start = max(0, end - PIECE)
        file.seek(start)
        lines = (file.read(end - start) + rest).split(b"\n")
        rest = lines.pop(0) if start else b""
        for line in reversed(lines):
            event = _event(line)
            if event is None:
                continue
            stamp = _seconds(event.get("at"))
            at = written if stamp is None else clock.read(stamp)
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


def _seconds(at: object) -> float | None:
    from datetime import datetime

    try:
        return datetime.fromisoformat(str(at)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
