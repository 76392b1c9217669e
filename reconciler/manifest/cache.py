"""
What loading remembers between passes, so that it costs what changed. Losing it costs time and nothing else.

One JSON file per folder. An entry holds while its files' inode, size and times are what they were; a file that was
modified a moment before it was read is not vouched for. Garbage, another version, a read-only disk: no cache, no error.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import TYPE_CHECKING, Any

from agent_haymaker.lean import dataclass, field
from agent_haymaker.records import read_regular
from reconciler.manifest.codec import decode_desired, decode_shape, encode_desired, encode_shape
from reconciler.manifest.problems import Flaw
from reconciler.manifest.quietly import write_quietly
from reconciler.manifest.trees import Listing, Stamp, is_settled
from reconciler.model.desired import FleetPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.manifest.trees import Tree
    from reconciler.manifest.workloads import WorkloadDeclaration
    from reconciler.model.desired import Desired
    from reconciler.model.lazyjson import Json

VERSION = 4
CACHE_BYTES = 1 << 30  # what is larger was not written here
_STAMP, _BLOB, _DEPLOYMENTS, _WORKLOADS, _FLEET, _FLAWS = range(6)  # of a file's record


@dataclass(slots=True)
class Kept:
    """One deployment of an entry: what it was resolved against, and what came of it, decoded when asked for."""

    workload: str
    context: str
    references: list[str]  # absolute paths
    desired: Desired | None = None
    record: list[Any] | None = None


@dataclass(slots=True)
class Entry:
    """What one file said when it was last read, kept only where nothing was wrong with it."""

    stamp: Stamp | None
    blob: str  # as git names its content
    deployments: dict[str, Kept] = field(default_factory=dict)
    workloads: list[Json] = field(default_factory=list)
    fleet: Json | None = None
    flaws: list[Flaw] = field(default_factory=list)  # warnings


@dataclass(slots=True)
class Reference:
    """A file that a manifest names, or a folder that was looked into, as it was then; no stamp: it was not there."""

    stamp: Stamp | None
    sha256: str
    blob: str

    def is_same(self, stamp: Stamp | None) -> bool:
        return stamp == self.stamp or stamp == [self.blob]


@dataclass(slots=True)
class Folder:
    """A folder as one pass read it."""

    files: dict[str, Entry] = field(default_factory=dict)
    references: dict[str, Reference] = field(default_factory=dict)  # by absolute path
    listing: Listing = field(default_factory=Listing)
    fleet: FleetPolicy = field(default_factory=FleetPolicy)
    workloads: dict[str, WorkloadDeclaration] = field(default_factory=dict)
    installed: dict[str, str] = field(default_factory=dict)  # name -> key, of the installed workloads in use
    desired: dict[str, Desired] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)
    broken: frozenset[str] = frozenset()
    revision: str = ""
    file_count: int = 0
    is_whole: bool = False  # every file has its entry: nothing is wrong, and nothing is younger than its stamp can tell

    # As it stands in the cache: what is not asked for is not made.
    raw: dict[str, list[Any]] = field(default_factory=dict)
    shapes: list[list[Any]] = field(default_factory=list)

    def entry_for(self, file: str, stamp: Stamp | None) -> Entry | None:
        """Return what is known of a file, if it is as it was."""
        entry, raw = self.files.get(file), self.raw.get(file)
        if entry is not None:
            known = (entry.stamp, [entry.blob])
        elif raw is not None:
            known = (raw[_STAMP], [raw[_BLOB]])
        else:
            return None
        return self.last_entry(file) if stamp is not None and stamp in known else None

    def last_entry(self, file: str) -> Entry | None:
        """Return what a file said when it was last read, whatever became of it."""
        if file in self.files:
            return self.files[file]
        raw = self.raw.get(file)
        if raw is None:
            return None
        stamp, blob, deployments, workloads, fleet, flaws = raw
        kept = {name: self._kept(item) for name, item in deployments.items()}
        return Entry(stamp, blob, kept, workloads or [], fleet, [Flaw(**flaw) for flaw in flaws or ()])

    def _kept(self, record: list[Any]) -> Kept:
        workload, context = self.shapes[record[1]][0][:2]
        return Kept(workload, context, record[2], None, record)

    def desire(self, root: str, file: str, name: str, kept: Kept) -> Desired:
        if kept.desired is None:
            assert kept.record is not None
            kept.desired = decode_desired(name, file, root, kept.record, self.shapes[kept.record[1]])
        return kept.desired

    def take_over(self, other: Folder, root: str) -> None:
        """Know what `other` knows, which may be another process's reading."""
        for file in other.raw.keys() | other.files.keys():
            entry = other.last_entry(file)
            assert entry is not None
            for name, kept in entry.deployments.items():
                other.desire(root, file, name, kept)
            self.files[file] = entry
        self.references.update(other.references)

    def is_current(self, listing: Listing, tree: Tree, home: Path | None, *, write: bool) -> bool:
        """Say whether everything that this folder came from is as it was."""
        raw = self.raw
        if not self.is_whole or listing.flaws or not len(listing.files) == len(raw) == self.file_count:
            return False
        for file, stamp in listing.files:
            known = raw.get(file)
            if known is None or stamp is None or (stamp != known[_STAMP] and stamp != [known[_BLOB]]):
                return False
        if any(not reference.is_same(tree.stamp(path)) for path, reference in self.references.items()):
            return False
        if self.installed:
            from reconciler.manifest.workloads import installed_workloads

            found = installed_workloads(home, write=write)
            return all(name in found and found[name].key() == key for name, key in self.installed.items())
        return True

    def has_flaws(self) -> bool:
        return any(raw[_FLAWS] for raw in self.raw.values())

    def replay(self, root: str) -> None:
        """Give every deployment of every entry: what a pass over unchanged files comes to."""
        shapes = self.shapes
        found = {
            name: decode_desired(name, file, root, record, shapes[record[1]])
            for file, raw in self.raw.items()
            for name, record in raw[_DEPLOYMENTS].items()
        }
        self.desired = {name: found[name] for name in sorted(found)}
        self.flaws = [Flaw(**flaw) for raw in self.raw.values() for flaw in raw[_FLAWS] or ()]


def cache_path(home: Path, tree: Tree) -> Path:
    """Give where a folder's cache stands. Two folders may meet there: then one is read anew."""
    return home / "cache" / f"{zlib.crc32(os.fsencode(f'{tree.root}/{tree.only}')):08x}.json"


def load_cache(path: Path, tree: Tree) -> Folder:
    """Return what was kept of this folder, or an empty one where there is nothing that can be used."""
    try:
        record = json.loads(read_regular(path, limit=CACHE_BYTES))
        if [record["version"], record["of"], record["code"]] != [VERSION, [tree.root, tree.only], _code_stamp()]:
            return Folder()
        return decode_folder(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return Folder()


def decode_folder(record: Json) -> Folder:
    """Give the folder that `encode_folder` described."""
    from reconciler.manifest.workloads import WorkloadDeclaration

    listing = record["listing"]
    return Folder(
        raw=record["files"],
        references={path: Reference(*kept) for path, kept in record["references"].items()},
        listing=Listing(ignores=listing["ignores"], verdicts=listing["verdicts"]),
        fleet=FleetPolicy(**record["fleet"]),
        workloads={made["name"]: WorkloadDeclaration.from_json(made) for made in record["workloads"]},
        installed=record["installed"],
        revision=record["revision"],
        file_count=len(record["files"]),
        is_whole=record["is_whole"],
        shapes=[decode_shape(shape, record["defaults"]) for shape in record["shapes"]],
    )


def save_cache(path: Path, tree: Tree, folder: Folder, started_ns: int, defaults: Json) -> None:
    """Keep what this pass read, as far as its stamps vouch for it; `started_ns` is when the pass began."""
    head = {"version": VERSION, "of": [tree.root, tree.only], "code": _code_stamp()}
    record = {**head, **encode_folder(folder, started_ns, defaults)}
    write_quietly(path, json.dumps(record, separators=(",", ":")).encode())


def encode_folder(folder: Folder, started_ns: int, defaults: Json) -> Json:
    """Describe what a pass read, as far as its stamps vouch for it."""
    numbers: dict[str, int] = {}  # a shape as text -> its place in the table
    shapes: list[list[Any]] = []
    files = {}
    for file, entry in folder.files.items():
        if entry.stamp is None or len(entry.stamp) == 1 or not is_settled(entry.stamp, started_ns):
            continue
        deployments = {}
        for name, kept in entry.deployments.items():
            desired = kept.desired
            assert desired is not None
            shape = encode_shape(desired, kept.context, defaults)
            number = numbers.setdefault(json.dumps(shape), len(shapes))
            if number == len(shapes):
                shapes.append(shape)
            deployments[name] = encode_desired(desired, number, kept.references, defaults)
        flaws = [
            {"what": flaw.what, "fix": flaw.fix, "file": flaw.file, "line": flaw.line, "column": flaw.column,
             "field": flaw.field, "name": flaw.name, "severity": flaw.severity}
            for flaw in entry.flaws
        ]  # fmt: skip
        files[file] = [entry.stamp, entry.blob, deployments, entry.workloads or 0, entry.fleet, flaws or 0]
    references = {
        name: [kept.stamp, kept.sha256, kept.blob]
        for name, kept in folder.references.items()
        if kept.stamp is None or is_settled(kept.stamp, started_ns)
    }
    ignores = {
        name: stamp
        for name, stamp in folder.listing.ignores.items()
        if stamp is not None and is_settled(stamp, started_ns)
    }
    calm = len(ignores) == len(folder.listing.ignores)
    fleet = folder.fleet
    return {
        "shapes": shapes,
        "defaults": defaults,
        "files": files,
        "references": references,
        "listing": {"ignores": ignores, "verdicts": folder.listing.verdicts if calm else {}},
        "fleet": {name: getattr(fleet, name) for name in fleet.__slots__},
        "workloads": [made.to_json() for made in folder.workloads.values()],
        "installed": folder.installed,
        "revision": folder.revision,
        "is_whole": folder.is_whole
        and calm
        and len(files) == folder.file_count
        and len(references) == len(folder.references),
    }


def _code_stamp() -> list[list[Any]]:
    """Return what changes when the code that reads manifests does: an upgrade takes no old answer for its own."""
    here = os.path.dirname(os.path.abspath(__file__))
    stamps = []
    with os.scandir(here) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                status = entry.stat()
                stamps.append([entry.name, status.st_size, status.st_mtime_ns])
    for name in ("load.py", "digest.py", "model/desired.py"):
        status = os.stat(os.path.join(os.path.dirname(here), name))
        stamps.append([name, status.st_size, status.st_mtime_ns])
    return sorted(stamps)
