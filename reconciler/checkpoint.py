"""
The checkpoint file of a fleet: what every look needs in its first lines, the desired states after them.

The desired states are four fifths of it, and most looks want none: no JSON text holds a raw line break inside a string,
so the line that they begin on is found without reading either part. What deployments have in common is written
once, as a shape, and each entry is a row that names its shape.
"""

from __future__ import annotations

import json
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DoubtError
from agent_haymaker.lean import replace
from agent_haymaker.records import read_record_head, write_record
from reconciler.inventory import NO_JSON, Entry, FleetRecord, Run
from reconciler.journal import Position
from reconciler.model import LazyJson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reconciler.model import Json

VERSION = 2
_SPECS = b',\n"specs": '
_FIX = "restore it from a backup; until then nothing of this fleet is touched"

# A row is the number of a shape, then these fields, then the run. A shape is every other field that is not at its
# default, "desired" being whether there is a desired state: one that an entry gets later is shared by itself.
_OWN = ("id", "generation", "digest", "settings", "source", "failures", "created_at", "waits", "identity")
_SHARED = tuple(name for name in Entry.__slots__ if name not in {*_OWN, "name", "desired", "run"})
_own, _shared = attrgetter(*_OWN), attrgetter(*_SHARED)
_BLANKS = _shared(Entry("", "", "", 0, ""))
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def write_checkpoint(path: Path, fleet: FleetRecord, entries: Sequence[Entry], position: Position) -> None:
    """
    Write what a fleet holds as of `position` in the journal.

    Raises:
        PlatformError: the disk refuses; the old one stands.
    """
    shapes: dict[str, int] = {}
    rows: dict[str, list[Any]] = {}
    for entry in entries:
        shape = _encode(_shape_of(entry))
        run = entry.run.to_json() if entry.run is not None else None
        rows[entry.name] = [shapes.setdefault(shape, len(shapes)), *_own(entry), run]
    record = {
        "schema_version": VERSION,
        "fleet": fleet.name,
        "root": fleet.root,
        "revision": fleet.revision,
        "declared": fleet.declared,
        "budget": fleet.budget,
        "journal": position.to_json(),
    }
    head = (
        f'{json.dumps(record, ensure_ascii=False)[:-1]},\n"shapes": [{", ".join(shapes)}],\n"entries": {_encode(rows)}'
    )
    specs = ",\n".join(f"{json.dumps(e.name)}: {e.desired.text}" for e in entries if e.desired)
    write_record(path, b"".join((head.encode(), _SPECS, b"{", specs.encode(), b"}}\n")))


def read_checkpoint(path: Path, name: str) -> tuple[FleetRecord, list[Entry], Position]:
    """
    Give what the fleet `name` holds, and the position in the journal that it is as of.

    Raises:
        DoubtError: it cannot be read.
    """
    record, raw = read_record_head(path, _SPECS, newest=VERSION)
    if "specs" in record:  # somebody laid it out anew
        raw = json.dumps(record["specs"]).encode() + b"}"
    elif not raw.endswith(b"}}\n"):
        raise DoubtError("the inventory ends in the middle", where=str(path), fix=_FIX)
    shelf = _Shelf(raw, path)
    try:
        position = Position.from_json(record["journal"])
        budget = dict(record.get("budget", {}))
        fleet = FleetRecord(name, str(record["root"]), dict(record["revision"]), int(record["declared"]), budget)
        if record["schema_version"] == 1:
            entries = [_whole_entry(kept, shelf) for kept in record["entries"].values()]
        else:
            shapes = [
                {**shape, "depends_on": tuple((str(n), str(c)) for n, c in shape.get("depends_on", ()))}
                for shape in record["shapes"]
            ]
            entries = [_entry(known, row, shapes, shelf) for known, row in record["entries"].items()]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DoubtError(
            f"the inventory of fleet {name} is not as haymaker writes it ({type(error).__name__}: {error})",
            where=str(path),
            fix=_FIX,
        ) from error
    return fleet, entries, position


def _shape_of(entry: Entry) -> dict[str, Any]:
    kept = {n: v for n, v, blank in zip(_SHARED, _shared(entry), _BLANKS, strict=True) if v != blank}
    return {"desired": bool(entry.desired), **kept}


def _entry(name: str, row: list[Any], shapes: list[dict[str, Any]], shelf: _Shelf) -> Entry:
    number, *own, identity, run = row
    known = {**shapes[number], **dict(zip(_OWN[:-1], own, strict=True))}
    known["desired"] = _Shelved(shelf, name) if known["desired"] else NO_JSON
    return Entry(name=name, identity=tuple(identity), run=Run.from_json(run) if run else None, **known)


def _whole_entry(record: dict[str, Any], shelf: _Shelf) -> Entry:
    """Read an entry of version 1, which held each by itself."""
    is_desired = record.pop("desired", None)
    entry = Entry.from_json(record)
    return replace(entry, desired=_Shelved(shelf, entry.name)) if is_desired else entry


class _Shelf:
    """The desired states of one checkpoint, read when the first of them is asked for."""

    __slots__ = ("_path", "_raw", "_specs")

    def __init__(self, raw: bytes, path: Path) -> None:
        self._raw, self._path = raw, path
        self._specs: dict[str, Any] | None = None

    def spec(self, name: str) -> dict[str, Any]:
        """
        Give one desired state.

        Raises:
            DoubtError: they cannot be read.
        """
        try:
            if self._specs is None:
                self._specs = json.loads(self._raw.rstrip()[:-1])
            return dict(self._specs[name])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DoubtError(
                f"the desired state of {name} in this inventory cannot be read", where=str(self._path), fix=_FIX
            ) from error


class _Shelved(LazyJson):
    """A desired state that still stands on its shelf."""

    __slots__ = ("_name", "_shelf")

    def __init__(self, shelf: _Shelf, name: str) -> None:
        self._value = None
        self._shelf, self._name = shelf, name

    @property
    def text(self) -> str:
        from reconciler.inventory import desired_json

        return desired_json(self._parsed()).text

    def _parsed(self) -> Json:
        if self._value is None:
            self._value = self._shelf.spec(self._name)
        return self._value

    def __bool__(self) -> bool:
        return True
