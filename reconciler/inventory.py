"""
The inventory: what each fleet deployed, under which ids, from which spec, and how its latest run stands.

One checkpoint file per fleet plus the journal after it make the truth; `load_inventory` puts them together and
never writes. Ownership, protection and deletion policy are copied in here when applied, so that they outlive
the manifest that declared them. A fleet whose checkpoint cannot be read is kept and reported as doubt.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DoubtError
from agent_haymaker.lean import dataclass, field, replace
from agent_haymaker.records import read_record, write_record
from reconciler.journal import START, Position, read_tail

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = 1


@dataclass(frozen=True, slots=True)
class Run:
    """The latest run of a deployment. Times are seconds since the epoch."""

    key: str
    attempt: int
    handle: Mapping[str, Any] | None = None  # as its engine gave it
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    exit_signal: int | None = None
    exit_reason: str = ""  # exited, signaled, timeout, stopped, lost
    exit_text: str = ""
    recorded: bool = False
    start_failed: bool = False
    goal_met: bool | None = None
    checks: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return _without_defaults(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Run:
        return cls(**{**record, "checks": tuple(record.get("checks", ()))})


@dataclass(frozen=True, slots=True)
class Entry:
    """One deployment. `desired` is the whole desired state as applied, in JSON text: its last good spec."""

    name: str
    id: str
    fleet: str
    generation: int
    digest: str
    desired: str = ""
    settings: str = ""
    source: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    protect: bool = False
    deletion_policy: str = "Delete"
    suspended: bool = False
    stopped: bool = False
    service: bool = False
    failures: int = 0
    created_at: float = 0.0
    waits: str = ""  # why it has no run yet, as the last pass put it
    identity: tuple[int, ...] = ()  # inode, size and mtime_ns of its state record, as written
    run: Run | None = None

    def to_json(self) -> dict[str, Any]:
        record = _without_defaults(self)
        if self.run is not None:
            record["run"] = self.run.to_json()
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Entry:
        run = record.get("run")
        return cls(
            **{**record, "run": Run.from_json(run) if run else None, "identity": tuple(record.get("identity", ()))}
        )


def _without_defaults(record: Run | Entry) -> dict[str, Any]:
    """Give the fields that say something; most entries have few."""
    blank: Run | Entry = _BLANK_RUN if isinstance(record, Run) else _BLANK_ENTRY
    return {
        name: value
        for name in blank.__slots__
        if (value := getattr(record, name)) != getattr(blank, name) or name in _ALWAYS
    }


_BLANK_RUN = Run("", 0)
_BLANK_ENTRY = Entry("", "", "", 0, "")
_ALWAYS = frozenset({"key", "attempt", "name", "id", "fleet", "generation", "digest"})


@dataclass(frozen=True, slots=True)
class Intent:
    """An effect that a pass meant to make and did not report the end of."""

    name: str
    verb: str
    key: str  # of the run it meant to start, "" for others
    entry: Entry | None  # what the inventory was to hold afterwards


@dataclass(slots=True)
class FleetRecord:
    """A fleet's own facts beside its entries."""

    name: str
    root: str = ""  # the folder it was applied from
    revision: dict[str, Any] = field(default_factory=dict)
    declared: int = 0  # deployments declared at the last pass


@dataclass(slots=True)
class Inventory:
    """Everything deployed under one HAYMAKER_HOME, by name. Names are unique across its fleets."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    fleets: dict[str, FleetRecord] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)  # fleet -> why its checkpoint cannot be read
    position: Position = START
    damaged: int = 0  # unreadable journal lines after the checkpoints
    changed: set[str] = field(default_factory=set)  # fleets whose checkpoint is behind

    def by_name_or_id(self, wanted: str) -> Entry | None:
        entry = self.entries.get(wanted)
        if entry is not None:
            return entry
        return next((e for e in self.entries.values() if e.id == wanted), None)

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take one journal record in. Unknown types are for other readers."""
        match record.get("type"):
            case "intent":
                entry = record.get("entry")
                self.intents[record["name"]] = Intent(
                    record["name"], record["verb"], record.get("key", ""), Entry.from_json(entry) if entry else None
                )
            case "started":
                intended = self.intents.pop(record["name"]).entry
                assert intended is not None, "only what was intended can have started"
                run = Run.from_json(record["run"])
                self.put(replace(intended, run=run, identity=tuple(record["identity"])))
            case "result":
                self._take(record["name"], record.get("entry"), record.get("removes"))
            case "fleet":
                fleet = self.fleets.setdefault(record["fleet"], FleetRecord(record["fleet"]))
                fleet.root = record.get("root", fleet.root)
                fleet.revision = record.get("revision", fleet.revision)
                fleet.declared = record.get("declared", fleet.declared)
                self.changed.add(fleet.name)
            case _:
                pass

    def _take(self, name: str, entry: Mapping[str, Any] | None, removes: str | None) -> None:
        self.intents.pop(name, None)
        old = self.entries.get(name)
        if entry is not None:
            self.put(Entry.from_json(entry))
        elif removes == name and old is not None:
            del self.entries[name]
            self.changed.add(old.fleet)
        if removes and removes != name:
            gone = self.entries.pop(removes, None)
            if gone is not None:
                self.changed.add(gone.fleet)

    def put(self, entry: Entry) -> None:
        self.entries[entry.name] = entry
        self.fleets.setdefault(entry.fleet, FleetRecord(entry.fleet))
        self.changed.add(entry.fleet)

    def checkpoint(self, position: Position, *, everything: bool = False) -> None:
        """
        Write the checkpoint of each fleet that changed, as of `position` in the journal.

        Nothing is written while an intent is open: the journal before it still says something that no
        checkpoint can.

        Raises:
            PlatformError: the disk refuses; the journal still holds everything.
        """
        if self.intents:
            return
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for name in sorted(self.fleets if everything else self.changed & self.fleets.keys()):
            if name in self.doubts:
                continue
            fleet = self.fleets[name]
            entries = {e.name: e.to_json() for e in self.entries.values() if e.fleet == name}
            write_record(
                self.folder / f"{name}.json",
                {
                    "schema_version": VERSION,
                    "fleet": name,
                    "root": fleet.root,
                    "revision": fleet.revision,
                    "declared": fleet.declared,
                    "journal": position.to_json(),
                    "entries": entries,
                },
            )
        self.changed.clear()


def load_inventory(home: Path, *, specs: bool = True) -> Inventory:
    """
    Give what is deployed: every fleet's checkpoint, and the journal after it. Never writes.

    Without `specs` a desired state is cut down to its workload's name where that is quicker: enough for a table.

    Raises:
        PlatformError: the journal or the folder cannot be read.
    """
    folder = home / "fleets"
    inventory = Inventory(folder)
    starts: list[Position] = []
    for name in _fleet_names(folder):
        try:
            starts.append(_load_fleet(inventory, folder / f"{name}.json", name, specs=specs))
        except DoubtError as doubt:
            inventory.doubts[name] = f"{doubt.where}: {doubt.what}"
    # Replaying a record that a checkpoint already holds gives the same entry again; the oldest position is safe.
    tail = read_tail(home / "journal", min(starts, key=lambda p: (p.segment, p.offset), default=START))
    inventory.changed.clear()
    for record in tail.records:
        try:
            inventory.apply(record)
        except (KeyError, TypeError, ValueError, AttributeError):
            tail.damaged += 1
    inventory.position = tail.end
    inventory.damaged = tail.damaged
    return inventory


def _fleet_names(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(n[:-5] for n in names if n.endswith(".json") and not n.startswith("."))


def _load_fleet(inventory: Inventory, path: Path, name: str, *, specs: bool) -> Position:
    record = (None if specs else _read_without_specs(path)) or read_record(path, newest=VERSION)
    try:
        position = Position.from_json(record["journal"])
        entries = [Entry.from_json(e) for e in record["entries"].values()]
        fleet = FleetRecord(name, str(record["root"]), dict(record["revision"]), int(record["declared"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DoubtError(
            f"the inventory of fleet {name} is not as haymaker writes it ({type(error).__name__}: {error})",
            where=str(path),
            fix="restore it from a backup; until then nothing of this fleet is touched",
        ) from error
    inventory.fleets[name] = fleet
    for entry in entries:
        inventory.entries[entry.name] = entry
    return position


def _read_without_specs(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint with its desired states cut short, or give None for whatever is not plainly one."""
    try:
        first, *pieces = path.read_bytes().split(_SPEC)
        short = [first]
        for piece in pieces:
            # Inside the text every quote is escaped, and it ends with its brace.
            text, ended, rest = piece.partition(b'}"')
            if not ended or not text.startswith(b"{"):
                return None
            workload = text.rpartition(_WORKLOAD)[2]
            short.append(b"".join((b"{", _WORKLOAD, workload, ended, rest)))
        record = json.loads(_SPEC.join(short))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("schema_version") == VERSION else None


_SPEC, _WORKLOAD = b'"desired": "', b'\\"workload\\":\\"'


def desired_text(record: Mapping[str, Any]) -> str:
    """Give the canonical text of a desired state, as `Entry.desired` keeps it."""
    return _canonical(record)


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def with_run(entry: Entry, **changes: Any) -> Entry:
    """Give the entry with its run changed."""
    assert entry.run is not None, f"{entry.name} has no run"
    return replace(entry, run=replace(entry.run, **changes))
