"""
What loading remembers between passes, so that it costs what changed. Losing it costs time and nothing else.

One JSON file per folder. An entry holds while its files' inode, size and times are what they were; a file that was
modified a moment before it was read is not vouched for. Garbage, another version, a read-only disk: no cache, no error.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.manifest.trees import Listing
from reconciler.model import FleetPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model import Desired
    from reconciler.manifest.problems import Flaw
    from reconciler.manifest.trees import Stamp
    from reconciler.manifest.workloads import WorkloadDeclaration

Record = dict[str, Any]


@dataclass(slots=True)
class Entry:
    """What one file said when it was last read, kept only where nothing was wrong with it."""

    stamp: Stamp | None
    sha256: str
    blob: str  # as git names its content
    deployments: dict[str, Record] = field(default_factory=dict)
    workloads: list[Record] = field(default_factory=list)
    fleet: Record | None = None
    flaws: list[Flaw] = field(default_factory=list)  # warnings

    def names(self) -> list[str]:
        return list(self.deployments)

    def add(self, desired: Desired, context: str, references: list[str]) -> None:
        self.deployments[desired.name] = {
            "workload": desired.workload, "context": context, "refs": references, "desired": desired,
        }  # fmt: skip

    def load_desired(self, file: str, folder: Folder) -> dict[str, Desired]:
        return {name: record["desired"] for name, record in self.deployments.items()}


@dataclass(slots=True)
class Folder:
    """A folder as one pass read it."""

    files: dict[str, Entry] = field(default_factory=dict)
    references: dict[str, tuple[Stamp, str]] = field(default_factory=dict)  # absolute path -> stamp, sha256
    listing: Listing = field(default_factory=Listing)
    fleet: FleetPolicy = FleetPolicy()
    workloads: dict[str, WorkloadDeclaration] = field(default_factory=dict)
    installed: dict[str, str] = field(default_factory=dict)  # name -> key, of the installed workloads in use
    desired: dict[str, Desired] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)
    broken: frozenset[str] = frozenset()
    sums: list[tuple[str, str]] = field(default_factory=list)  # file, sha256

    def entry_for(self, file: str, stamp: Stamp | None) -> Entry | None:
        entry = self.files.get(file)
        if entry is None or stamp is None:
            return None
        return entry if stamp in (entry.stamp, (entry.blob,)) else None


def write_quietly(path: Path, content: bytes) -> None:
    """Replace a cache file whole, or leave things as they are."""
    draft = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(draft, path)
    except OSError:
        if draft is not None:
            with contextlib.suppress(OSError):
                os.unlink(draft)
