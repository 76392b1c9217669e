"""
The state record of a deployment, as the seed's tools and other people's workloads read it; and its history.

`state/<id>.json` is for readers: what haymaker decides on is in the inventory. What haymaker stamps stands under
`metadata["haymaker"]`; whatever else a workload keeps in its record stays as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DoubtError
from agent_haymaker.records import encode_record, open_regular, platform_error, read_record, read_regular, write_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.inventory import Entry, Run

SCHEMA_VERSION = 1
HISTORY_BYTES = 1024 * 1024


def iso(seconds: float | None) -> str | None:
    """Give a time as the seed's records hold it: ISO 8601, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def status_of(entry: Entry) -> tuple[str, str]:
    """Give the seed's status and phase of an entry."""
    run = entry.run
    if run is None:
        return ("stopped", "stopped") if entry.stopped else ("pending", "waiting" if entry.waits else "pending")
    if run.handle is not None and not run.recorded:
        return "running", "running"
    if run.exit_reason == "stopped":
        return "stopped", "stopped"
    if run.start_failed:
        return "failed", "not started"
    if run.exit_code == 0 and run.exit_reason != "timeout":
        return ("failed", "checks failed") if run.goal_met is False else ("completed", "completed")
    return "failed", "lost" if run.exit_reason == "lost" else "failed"


def state_path(home: Path, deployment_id: str) -> Path:
    return home / "state" / f"{deployment_id}.json"


def state_record(home: Path, entry: Entry, *, workload: str, config: dict[str, Any]) -> bytes:
    """
    Give the record of an entry as it is to stand on disk, with what others keep in the one that stands there now.

    Raises:
        DoubtError: that one cannot be read, so nothing may be written over it.
    """
    path = state_path(home, entry.id)
    run = entry.run
    status, phase = status_of(entry)
    record: dict[str, Any] = {}
    if entry.identity:  # a record that was never written is not there to be read
        with contextlib.suppress(FileNotFoundError):
            record = read_record(path)
    ended = iso(run.ended_at) if run else None
    metadata = {**record.get("metadata", {}), "haymaker": _stamp(entry)}
    if run is not None and run.handle is not None:
        metadata["agent_dir"] = str(home / "agents" / entry.id)
        metadata["agent_pid"] = dict(run.handle.get("token", {})).get("pid")
    record |= {
        "schema_version": SCHEMA_VERSION,
        "deployment_id": entry.id,
        "workload_name": workload,
        "status": status,
        "phase": phase,
        "started_at": iso(run.started_at if run else None),
        "stopped_at": ended if status == "stopped" else None,
        "completed_at": ended if status in ("completed", "failed") else None,
        "config": config,
        "metadata": metadata,
        "error": _error(run) if status == "failed" else None,
    }
    return encode_record(record)


def _error(run: Run | None) -> str | None:
    if run is None:
        return None
    failed = [str(c["name"]) for c in run.checks if c.get("passed") is False]
    return f"checks failed: {', '.join(failed)}" if failed and run.exit_code == 0 else run.exit_text


def _stamp(entry: Entry) -> dict[str, Any]:
    stamp = entry.to_json(spec=False)
    for inside in ("desired", "identity"):
        stamp.pop(inside, None)
    return stamp


def remove_state(home: Path, deployment_id: str) -> None:
    """Remove a record. One that is gone already is no error."""
    path = state_path(home, deployment_id)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise platform_error(error, "remove the record", path) from error


# ---- history ----------------------------------------------------------------------------------------------


def history_line(entry: Entry, *, event: str, at: float, commit: str) -> dict[str, Any]:
    """Give what is remembered of an entry: `event` is ended, removed or orphaned, `at` in seconds since the epoch."""
    line: dict[str, Any] = {"at": iso(at), "event": event, "id": entry.id, "generation": entry.generation}
    if commit:
        line["commit"] = commit
    run = entry.run
    if run is not None:
        line["key"] = run.key
    if run is not None and event == "ended":
        line |= {
            "attempt": run.attempt,
            "digest": entry.digest,
            "started_at": iso(run.started_at),
            "ended_at": iso(run.ended_at),
            "exit": run.exit_text,
            "exit_code": run.exit_code,
            "status": status_of(entry)[0],
            "goal_met": run.goal_met,
            "checks": [dict(c) for c in run.checks],
        }
    return line


def move_history(home: Path, old: str, new: str) -> None:
    """Let a renamed deployment keep what is remembered of it."""
    source, target = home / "history" / f"{old}.jsonl", home / "history" / f"{new}.jsonl"
    try:
        kept = read_regular(source)
        with contextlib.suppress(FileNotFoundError):
            kept += read_regular(target)
        write_record(target, kept, durable=False)
        source.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise platform_error(error, "move the history", source) from error


def append_history(home: Path, name: str, line: dict[str, Any]) -> None:
    """Add one line to what is remembered of a name; it outlives the deployment, and is bounded."""
    path = home / "history" / f"{name}.jsonl"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fd = open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)
        try:
            os.write(fd, json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
            long = os.fstat(fd).st_size > HISTORY_BYTES
        finally:
            os.close(fd)
        if long:
            lines = read_regular(path).splitlines(keepends=True)
            write_record(path, b"".join(lines[len(lines) // 2 :]), durable=False)
    except OSError as error:
        raise platform_error(error, "write the history", path) from error


def read_history(home: Path, name: str) -> Iterator[dict[str, Any]]:
    """Give what is remembered of a name, oldest first, each run once."""
    path = home / "history" / f"{name}.jsonl"
    try:
        lines = read_regular(path).splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise DoubtError(f"the history cannot be read: {error.strerror}", where=str(path)) from error
    latest: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines):
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                # A pass that was killed after this line writes it again: the later one stands.
                latest[f"{record.get('event')} {record.get('key') or number}"] = record
    yield from latest.values()
