"""
The inventory: what each fleet deployed, under which ids, from which spec, and how its latest run stands.

One checkpoint file per fleet plus the journal after it make the truth; `load_inventory` puts them together and
never writes. Ownership, protection and deletion policy are copied in here when applied, so that they outlive
the manifest that declared them. A fleet whose checkpoint cannot be read is kept and reported as doubt.
"""

from __future__ import annotations

import json
import os
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DoubtError
from agent_haymaker.lean import dataclass, field, replace
from agent_haymaker.records import platform_error
from reconciler.journal import START, Position, read_tail
from reconciler.model.lazyjson import LazyJson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from reconciler.model.desired import Desired

OVERRUN = "budget"
NAMED_CHARACTERS = 60  # of a check's name, by which it is found in what its agent said: that may be cut short
NO_JSON = LazyJson()


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
    exit_reason: str = ""  # exited, signaled, timeout, stopped, budget (stopped for its overrun), lost
    exit_text: str = ""
    recorded: bool = False
    start_failed: bool = False
    stalled: str = ""  # in what way it made no progress, where it was stopped for that
    overrun: str = ""  # what it used beyond its caps, where it was stopped for that
    goal_met: bool | None = None
    checks: tuple[Mapping[str, Any], ...] = ()
    caps: Mapping[str, float] = field(default_factory=dict)  # what it may use: turns, tokens, cost_usd
    usage: Mapping[str, Any] | None = None  # what it used, as `usage.Usage` says it; None where it said nothing
    said: str = ""  # why it ended so, in its agent's own words
    commit: str = ""  # that it was started from, with "-dirty" where its manifest may be another; "" without git

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself, with exit code 0."""
        return self.exit_code == 0 and self.exit_reason not in ("timeout", OVERRUN)

    def to_json(self) -> dict[str, Any]:
        return _without_defaults(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Run:
        return cls(**{**record, "checks": tuple(record.get("checks", ()))})


def failed_checks(checks: Iterable[Mapping[str, Any]], said: str) -> tuple[list[str], bool]:
    """
    Name the checks that failed, but for those that its agent's own words name; and tell whether those name one.

    An agent knows the criteria of its goal, which are sentences; it does not know the manifest's checks.
    """
    failed = [check for check in checks if check.get("passed") is False]
    named = [c for c in failed if "where" in c and " ".join(str(c["name"]).split())[:NAMED_CHARACTERS] in said]
    return [str(check["name"]) for check in failed if check not in named], bool(named)


@dataclass(frozen=True, slots=True)
class Entry:
    """One deployment. `desired` is the whole desired state as applied: its last good spec."""

    name: str
    id: str
    fleet: str
    generation: int
    digest: str
    desired: LazyJson = NO_JSON
    workload: str = ""
    settings: str = ""
    source: str = ""
    root: str = ""  # the folder that it was applied from
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    protect: bool = False
    deletion_policy: str = "Delete"
    suspended: bool = False
    stopped: bool = False
    service: bool = False
    progress_deadline: float | None = None  # seconds
    failures: int = 0
    was_healthy: bool = False  # see revert.was_healthy; of this digest, and only where update.autoRevert asks
    fallback: str = ""  # the digest to go back to, kept; "" where there is none
    held: Mapping[str, Any] = field(default_factory=dict)  # digest, reason and at, while that one runs instead
    created_at: float = 0.0
    depends_on: tuple[tuple[str, str], ...] = ()  # name and condition of each
    waits: str = ""  # why it has no run yet, as the last pass put it
    behind: Mapping[str, Any] = field(default_factory=dict)  # verdict, reason, blocked: as `find_behind` puts them
    identity: tuple[int, ...] = ()  # inode, size and mtime_ns of its state record, as written
    run: Run | None = None

    def to_json(self, *, spec: bool = True) -> dict[str, Any]:
        """Give the entry as JSON; without `spec` the desired state is only said to exist."""
        record = _without_defaults(self)
        if self.run is not None:
            record["run"] = self.run.to_json()
        if self.desired:
            record["desired"] = self.desired.text if spec else True
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Entry:
        """Rebuild what `to_json` gave."""
        made = {**record, "identity": tuple(record.get("identity", ()))}
        if "depends_on" in record:
            made["depends_on"] = tuple((str(name), str(condition)) for name, condition in record["depends_on"])
        if record.get("run"):
            made["run"] = Run.from_json(record["run"])
        if "desired" in record:
            made["desired"] = LazyJson(record["desired"])
        return cls(**made)


def _without_defaults(record: Run | Entry) -> dict[str, Any]:
    """Give the fields that say something; most entries have few."""
    names, blanks, values_of = _RUN_FIELDS if isinstance(record, Run) else _ENTRY_FIELDS
    return {name: value for name, blank, value in zip(names, blanks, values_of(record), strict=True) if value != blank}


def _fields(blank: Run | Entry) -> tuple[tuple[str, ...], tuple[Any, ...], Callable[[Any], tuple[Any, ...]]]:
    always = {"key", "attempt", "name", "id", "fleet", "generation", "digest"}
    names = tuple(name for name in blank.__slots__ if name != "desired")
    values_of = attrgetter(*names)
    blanks = tuple(None if n in always else v for n, v in zip(names, values_of(blank), strict=True))
    return names, blanks, values_of


_RUN_FIELDS = _fields(Run("", 0))
_ENTRY_FIELDS = _fields(Entry("", "", "", 0, ""))


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
    budget: Mapping[str, Any] = field(default_factory=dict)  # the fleet's own
    prices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # model -> as its Fleet says


@dataclass(slots=True)
class Inventory:
    """Everything deployed under one HAYMAKER_HOME, by name. Names are unique across its fleets."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    fleets: dict[str, FleetRecord] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    doubts: dict[str, DoubtError] = field(default_factory=dict)  # fleet -> why its checkpoint cannot be read
    position: Position = START
    damaged: int = 0  # unreadable journal lines after the checkpoints
    changed: set[str] = field(default_factory=set)  # fleets whose checkpoint is behind

    def fleet(self, name: str) -> FleetRecord:
        """Give what is known of a fleet: nothing but its name, of one that nobody applied."""
        return self.fleets.get(name) or FleetRecord(name)

    def known_ids(self) -> set[str]:
        """Give the id of every deployment that it holds, or that a pass is about to make."""
        begun = {intent.entry.id for intent in self.intents.values() if intent.entry is not None}
        return begun | {entry.id for entry in self.entries.values()}

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
                self.intend(
                    Intent(
                        record["name"], record["verb"], record.get("key", ""), Entry.from_json(entry) if entry else None
                    )
                )
            case "started":
                intended = self.intents[record["name"]].entry
                assert intended is not None, "only what was intended can have started"
                run = Run.from_json(record["run"])
                self.take(record["name"], replace(intended, run=run, identity=tuple(record["identity"])))
            case "result":
                entry = record.get("entry")
                self.take(record["name"], Entry.from_json(entry) if entry else None, record.get("removes", ""))
            case "fleet":
                fleet = self.fleets.setdefault(record["fleet"], FleetRecord(record["fleet"]))
                fleet.root = record.get("root", fleet.root)
                fleet.revision = record.get("revision", fleet.revision)
                fleet.declared = record.get("declared", fleet.declared)
                fleet.budget = record.get("budget", fleet.budget)
                fleet.prices = record.get("prices", fleet.prices)
                self.changed.add(fleet.name)
            case _:
                pass

    def intend(self, intent: Intent) -> None:
        """Note an effect that is about to be made."""
        self.intents[intent.name] = intent

    def take(self, name: str, entry: Entry | None, removes: str = "") -> None:
        """Note what came of it: the entry as it is now, and the name that is held no more."""
        self.intents.pop(name, None)
        old = self.entries.get(name)
        if entry is not None:
            self.put(entry)
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
        from reconciler.checkpoint import write_checkpoint

        self.folder.mkdir(mode=0o700, exist_ok=True)
        for name in sorted(self.fleets if everything else self.changed & self.fleets.keys()):
            if name in self.doubts:
                continue
            entries = [e for e in self.entries.values() if e.fleet == name]
            write_checkpoint(self.folder / f"{name}.json", self.fleets[name], entries, position)
        self.changed.clear()


def load_inventory(home: Path) -> Inventory:
    """
    Give what is deployed: every fleet's checkpoint, and the journal after it. Never writes.

    Raises:
        PlatformError: the journal or the folder cannot be read.
    """
    from reconciler.checkpoint import read_checkpoint, with_fix  # a look at one deployment reads none

    folder = home / "fleets"
    inventory = Inventory(folder)
    starts: list[Position] = []
    for name in _fleet_names(folder):
        try:
            inventory.fleets[name], entries, position = read_checkpoint(folder / f"{name}.json", name)
            inventory.entries |= {entry.name: entry for entry in entries}
            starts.append(position)
        except DoubtError as doubt:
            inventory.doubts[name] = with_fix(doubt)
    # Replaying a record that a checkpoint already holds gives the same entry again; the oldest position is safe.
    oldest = min(starts, key=lambda p: (p.segment, p.offset), default=START)
    tail = read_tail(home / "journal", START if inventory.doubts else oldest)
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
    except OSError as error:
        raise platform_error(error, "read the inventory", folder) from error
    return sorted(n[:-5] for n in names if n.endswith(".json") and not n.startswith("."))


def applied(entry: Entry) -> Desired:
    """Give what an entry was applied with: its last good spec."""
    from reconciler.model.desired import Desired  # a look at what runs needs none

    # What applies in place may have been taken over since, while the rest was held back.
    return replace(
        Desired.from_json(entry.desired), name=entry.name, settings=entry.settings, labels=dict(entry.labels),
        protect=entry.protect, deletion_policy=entry.deletion_policy,
    )  # fmt: skip


def desired_json(record: Mapping[str, Any]) -> LazyJson:
    """Give a whole desired state as `Entry.desired` keeps it."""
    return LazyJson(_canonical(record))


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
