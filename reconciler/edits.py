"""
Was what declares a deployment edited after haymaker last read it? Told by the times of files, for a few stats each.

Nothing is parsed: an edit may turn out to change nothing. Reading the manifests is `why`'s and `plan`'s.
"""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from reconciler.inventory import Entry

_KERNEL_TICK_SECONDS = 0.01  # the clock that stamps files may be as much behind


def note_whole_pass(home: Path, fleet: str, began: float) -> None:
    """Remember when a pass over all of a fleet's folder began; where the disk refuses, looks know less."""
    path = home / "fleets" / f"{fleet}.looked"
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600))
        os.utime(path, (began, began))


def reading_of(entry: Entry, files: Iterable[str], began: float) -> dict[str, Any]:
    """Give what the state record says of an entry: its manifest, the `files` that names, and when they were read."""
    manifest = os.path.join(entry.root, entry.source.rpartition(":")[0])
    return {"read_at": began, "files": [manifest, *sorted(files)]}


def find_edits(home: Path, fleet: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the files behind a state record that were written, replaced or taken away since they were last read."""
    metadata = record.get("metadata")
    reading = metadata.get("manifests") if isinstance(metadata, dict) else None
    if not isinstance(reading, dict):
        return ()
    try:
        read_at, files = float(reading["read_at"]), [str(file) for file in reading["files"]]
    except (KeyError, TypeError, ValueError):
        return ()
    with contextlib.suppress(OSError):
        read_at = max(read_at, os.stat(home / "fleets" / f"{fleet}.looked").st_mtime)
    return tuple(file for file in files if _written(file) > read_at - _KERNEL_TICK_SECONDS)


def _written(file: str) -> float:
    """Give when a file last changed, in seconds since the epoch: its content, or what stands under its name."""
    try:
        found = os.stat(file)
    except FileNotFoundError:
        return float("inf")
    except OSError:
        return 0.0
    return max(found.st_mtime, found.st_ctime)
