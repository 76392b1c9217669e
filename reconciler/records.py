"""
The state record of a deployment, as the seed's tools and other people's workloads read it; and its history.

`state/<id>.json` is for readers: what haymaker decides on is in the inventory. What haymaker stamps stands under
`metadata["haymaker"]`; whatever else a workload keeps in its record stays as it is.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from agent_haymaker.engines import Handle
from agent_haymaker.records import encode_record, platform_error, read_record
from reconciler.inventory import OVERRUN, Entry, Run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA_VERSION = 1
HISTORY_BYTES = 1024 * 1024


def iso(seconds: float | None) -> str | None:
    """Give a time as the seed's records hold it: ISO 8601, UTC."""
    if seconds is None:
        return None
    from datetime import UTC, datetime  # what only looks tells no times in this form

    return datetime.fromtimestamp(seconds, UTC).isoformat()


def status_of(entry: Entry) -> tuple[str, str]:
    """Give the seed's status and phase of an entry."""
    run = entry.run
    if run is None:
        return ("stopped", "stopped") if entry.stopped else ("pending", "waiting" if entry.waits else "pending")
    if run.handle is not None and not run.recorded:
        return "running", "running"
    if run.exit_reason == "stopped":
        return "stopped", "stalled" if run.stalled else "stopped"
    if run.start_failed:
        return "failed", "not started"
    if run.succeeded:
        return ("failed", "checks failed") if run.goal_met is False else ("completed", "completed")
    return "failed", {"lost": "lost", OVERRUN: "budget spent"}.get(run.exit_reason, "failed")


def state_path(home: Path, deployment_id: str) -> Path:
    return home / "state" / f"{deployment_id}.json"


def record_ids(home: Path) -> list[str]:
    """
    Give the id of every deployment that has a state record, in no order.

    Raises:
        PlatformError: the folder cannot be read.
    """
    try:
        return [file[:-5] for file in os.listdir(home / "state") if file.endswith(".json") and file[0] != "."]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise platform_error(error, "read the state records", home / "state") from error


def state_record(
    home: Path, entry: Entry, *, workload: str, config: dict[str, Any], reading: dict[str, Any] | None = None
) -> bytes:
    """
    Give the record of an entry as it is to stand on disk, with what others keep in the one that stands there now.

    `reading` is what `edits.reading_of` gives, where its manifest was read in this pass.

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
    metadata = {**metadata_of(record), "haymaker": _stamp(entry)}
    if reading is not None:
        metadata["manifests"] = reading
    if run is not None and run.handle is not None:
        metadata["agent_dir"] = str(home / "agents" / entry.id)
        metadata["agent_pid"] = dict(run.handle.get("token", {})).get("pid")
        if "sdk" in config:
            metadata["sdk"] = config["sdk"]
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


def metadata_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what a record keeps under `metadata`, {} where that is no object."""
    metadata = record.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def stamped_entry(record: Mapping[str, Any], deployment_id: str) -> Entry | None:
    """Give the entry that a record is stamped with, or None where it is not as haymaker writes it for this id."""
    try:
        stamp = dict(metadata_of(record)["haymaker"])
        stamp.pop("desired", None)  # never in a stamp
        entry = Entry.from_json(stamp)
        run = entry.run
        if run is not None and run.handle is not None and Handle.from_json(run.handle).to_json() != run.handle:
            return None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    is_sound = _is_like(entry, _NO_ENTRY) and (run is None or _is_like(run, _NO_RUN))
    return entry if is_sound and entry.id == deployment_id == record.get("deployment_id") else None


_NO_ENTRY, _NO_RUN = Entry("", "", "", 0, ""), Run("", 0)
_OR_NOTHING = {"handle": dict, "usage": dict, "exit_code": int, "exit_signal": int, "goal_met": bool, "run": Run}
_LONGEST = 1e12  # seconds: no time and no span that haymaker writes is beyond it


def _is_like(made: Entry | Run, blank: Entry | Run) -> bool:
    """Tell whether each field is of the kind that it has in a blank one; what is None there may be a number."""
    for name in made.__slots__:
        value: Any = getattr(made, name)
        like: Any = getattr(blank, name)
        kind: Any = _OR_NOTHING.get(name, float) if like is None else type(like)
        if value is None and like is None:
            continue
        if kind is float and type(value) is int:
            kind = int
        if type(value) is not kind or (kind in (int, float) and not -_LONGEST < value < _LONGEST):
            return False
    return True


def says_what_was_written(record: Mapping[str, Any], entry: Entry) -> bool:
    """Tell whether a record holds what haymaker wrote of its entry; what else stands in it is its workload's."""
    from json import dumps  # for a record that somebody touched

    same = dumps(metadata_of(record).get("haymaker"), sort_keys=True) == dumps(_stamp(entry), sort_keys=True)
    return same and record.get("status") == status_of(entry)[0]


def remove_state(home: Path, deployment_id: str) -> None:
    """Remove a record. One that is gone already is no error."""
    path = state_path(home, deployment_id)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise platform_error(error, "remove the record", path) from error
