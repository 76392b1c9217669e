"""
The checkpoint file of a fleet: what every look needs in its first lines, the desired states after them.

The desired states are four fifths of it, and most looks want none: no JSON text holds a raw line break inside a string,
so the line that they begin on is found without reading either part. What deployments have in common is written
once, as a shape, and each entry is a row that names its shape.
"""

from __future__ import annotations

import errno
import json
import os
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DoubtError
from agent_haymaker.lean import replace
from agent_haymaker.records import mending, open_regular, parse_record, unreadable, write_record
from reconciler.inventory import NO_JSON, Entry, FleetRecord, Run
from reconciler.journal import Position
from reconciler.model.lazyjson import LazyJson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reconciler.model.lazyjson import Json

VERSION = 2
_SPECS = b',\n"specs": '
_END = b"}}\n"
_CHUNK, _LIMIT = 1 << 20, 1 << 30  # bytes

# A row is the number of a shape, then these fields, then the run. A shape is every other field that is not at its
# default, "desired" being whether there is a desired state: one that an entry gets later is shared by itself.
_OWN = ("id", "generation", "digest", "settings", "source", "failures", "created_at", "waits", "identity")
_SHARED = tuple(name for name in Entry.__slots__ if name not in {*_OWN, "name", "desired", "run"})
_own, _shared = attrgetter(*_OWN), attrgetter(*_SHARED)
_BLANKS = _shared(Entry("", "", "", 0, ""))
_ALL = (*_OWN, *_SHARED, "name", "desired", "run")
_in_order = itemgetter(*map(_ALL.index, Entry.__slots__))  # what `_ALL` names, as `Entry` takes it
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
        "prices": fleet.prices,
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
    head, shelf = _open(path)
    record = parse_record(head, path, newest=VERSION)
    if "specs" in record:  # somebody laid it out anew
        shelf.fill(record["specs"])
    try:
        position = Position.from_json(record["journal"])
        budget, prices = dict(record.get("budget", {})), dict(record.get("prices", {}))
        revision, declared = dict(record["revision"]), int(record["declared"])
        fleet = FleetRecord(name, str(record["root"]), revision, declared, budget, prices)
        if record["schema_version"] == 1:
            entries = [_whole_entry(kept, shelf) for kept in record["entries"].values()]
        else:
            shapes = [_read_shape(shape) for shape in record["shapes"]]
            entries = [_entry(known, row, shapes, shelf) for known, row in record["entries"].items()]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DoubtError(
            f"the inventory of fleet {name} is not as haymaker writes it ({type(error).__name__}: {error})",
            where=str(path),
        ) from error
    return fleet, entries, position


def with_fix(doubt: DoubtError) -> DoubtError:
    """Give the doubt that a checkpoint leaves, with how to mend it."""
    fix = mending(doubt, "the next apply takes over what the journal and the state records tell")
    return DoubtError(doubt.what, where=doubt.where, fix=f"{fix}. Until then nothing of this fleet is touched")


def _shape_of(entry: Entry) -> dict[str, Any]:
    kept = {n: v for n, v, blank in zip(_SHARED, _shared(entry), _BLANKS, strict=True) if v != blank}
    return {"desired": bool(entry.desired), **kept}


def _read_shape(shape: dict[str, Any]) -> tuple[bool, list[Any]]:
    """Give whether such entries have a desired state, and the value of each field that they share."""
    known = {**shape, "depends_on": tuple((str(n), str(c)) for n, c in shape.get("depends_on", ()))}
    is_desired = bool(known.pop("desired"))
    values = [known.pop(name, blank) for name, blank in zip(_SHARED, _BLANKS, strict=True)]
    if known:
        raise ValueError(f"{', '.join(known)} is no field of an entry")
    return is_desired, values


def _entry(name: str, row: list[Any], shapes: list[tuple[bool, list[Any]]], shelf: _Shelf) -> Entry:
    number, *own, identity, run = row
    is_desired, shared = shapes[number]
    desired = _Shelved(shelf, name) if is_desired else NO_JSON
    whole = (*own, tuple(identity), *shared, name, desired, Run.from_json(run) if run else None)
    if len(whole) != len(_ALL):
        raise ValueError(f"the row of {name} has {len(row)} values")
    return Entry(*_in_order(whole))


def _whole_entry(record: dict[str, Any], shelf: _Shelf) -> Entry:
    """Read an entry of version 1, which held each by itself."""
    is_desired = record.pop("desired", None)
    entry = Entry.from_json(record)
    return replace(entry, desired=_Shelved(shelf, entry.name)) if is_desired else entry


def _open(path: Path) -> tuple[bytes, _Shelf]:
    """
    Give what stands before the desired states, as a whole JSON object, and those where they stand.

    Raises:
        FileNotFoundError: there is no such file.
        DoubtError: it cannot be read, or ends in the middle.
    """
    try:
        shelf = _Shelf(open_regular(path), path)
        if os.fstat(shelf.fd).st_size > _LIMIT:
            raise OSError(errno.EFBIG, f"it is larger than {_LIMIT} bytes")
        head = bytearray()
        while chunk := os.read(shelf.fd, _CHUNK):
            seen = max(0, len(head) - len(_SPECS))
            head += chunk
            at = head.find(_SPECS, seen)
            if at >= 0:
                shelf.begin = at + len(_SPECS)
                del head[at:]
                head += b"}"
                break
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    if shelf.begin and not shelf.is_whole():
        raise DoubtError("the inventory ends in the middle", where=str(path))
    return bytes(head), shelf


class _Shelf:
    """The desired states of one checkpoint, read from its open file when the first of them is asked for."""

    __slots__ = ("_path", "_specs", "begin", "fd")

    def __init__(self, fd: int, path: Path) -> None:
        self.fd, self._path = fd, path
        self.begin = 0  # in bytes from the file's start
        self._specs: dict[str, Any] | None = None

    def __del__(self) -> None:
        os.close(self.fd)

    def is_whole(self) -> bool:
        return os.pread(self.fd, len(_END), max(0, os.fstat(self.fd).st_size - len(_END))) == _END

    def fill(self, specs: dict[str, Any]) -> None:
        self._specs = specs

    def spec(self, name: str) -> dict[str, Any]:
        """
        Give one desired state.

        Raises:
            DoubtError: they cannot be read.
        """
        try:
            if self._specs is None:
                size = os.fstat(self.fd).st_size
                self._specs = json.loads(os.pread(self.fd, size, self.begin).rstrip()[:-1])
            return dict(self._specs[name])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            what = f"the desired state of {name} in this inventory cannot be read"
            raise with_fix(DoubtError(what, where=str(self._path))) from error


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
