"""
The ledger: what every run used, one line each, in a file for each month of `usage/`. It outlives the deployments.

A run's key is its identity: a pass that was killed after a line writes the line again, and it counts once. What is
older than the last two months is folded to a line for each day, deployment and model, so that the ledger stays small.
Only the holder of the pass lock writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DoubtError
from agent_haymaker.records import open_regular, platform_error, read_regular, sync_dir, write_record
from reconciler.usage import Charge, Usage, merge, told_by_event, told_by_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from agent_haymaker.engines import Engine, Handle
    from reconciler.inventory import Entry, Run

FOLDER = "usage"
WHOLE_MONTHS = 3  # this one and the two before keep a line for each run
RESULT, EVENTS = "result.json", "events.jsonl"
RESULT_BYTES = 1024 * 1024
TAIL_BYTES = 256 * 1024


def read_usage(engine: Engine, handle: Handle) -> Usage | None:
    """Give what a run says that it used so far, None where it says nothing that can be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError), engine.open_file(handle, RESULT) as file:
        record = json.loads(file.read(RESULT_BYTES))
        if isinstance(record, dict) and (told := told_by_result(record)) is not None:
            return told
    return _last_told(engine, handle)[0]


def read_live_usage(engine: Engine, handle: Handle) -> Usage | None:
    """Give what a live run says that it used so far, None where it says nothing, or that it is about to end for it."""
    told, is_ending = _last_told(engine, handle)
    return None if is_ending else told


def _last_told(engine: Engine, handle: Handle) -> tuple[Usage | None, bool]:
    """Give the last report among the events of a run, and whether its agent says there that it ends by itself."""
    with contextlib.suppress(OSError), engine.open_file(handle, EVENTS) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        for line in reversed(file.read(TAIL_BYTES).split(b"\n")):
            if b'"usage"' in line and (told := told_by_event(record := _object(line))) is not None:
                return told, record.get("ending") is True
    return None, False


def charge_of(entry: Entry, run: Run, used: Usage) -> Charge:
    """Give the line of a run that was started."""
    assert run.started_at is not None, "what was not started used nothing"
    unpriced = int(used.cost_usd is None)
    return Charge(
        run.started_at, entry.fleet, entry.name, used, run.key, entry.labels, unpriced=unpriced, caps=run.caps
    )


def append_charges(home: Path, charges: Sequence[Charge], *, open_keys: Iterable[str] = ()) -> None:
    """
    Add lines; they survive a kill and a power cut. `open_keys` are of runs whose end is not on record yet.

    Raises:
        PlatformError: the disk refuses.
    """
    folder = home / FOLDER
    by_month: dict[str, list[Charge]] = {}
    for charge in charges:
        by_month.setdefault(month_of(charge.at), []).append(charge)
    for month, lines in sorted(by_month.items()):
        path = folder / f"{month}.jsonl"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            is_new = not path.exists()
            fd = open_regular(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)
            try:
                os.write(fd, _after_a_torn_line(fd) + _encode(lines))
                os.fsync(fd)
            finally:
                os.close(fd)
            if is_new:
                sync_dir(folder)
                _fold_old(folder, frozenset(open_keys))
        except OSError as error:
            raise platform_error(error, "write the ledger", path) from error


def read_charges(home: Path, *, since: float = 0.0) -> dict[str, Charge]:
    """
    Give what runs that were started at `since` or later used, each run once; folded ones have a key of their own.

    Raises:
        DoubtError: a file of the ledger cannot be read.
    """
    found: dict[str, Charge] = {}
    first = month_of(since)
    for path in _months(home / FOLDER):
        if path.stem < first:
            continue
        for number, charge in enumerate(_read(path)):
            if charge.at >= since:
                found[charge.key or f"{path.stem} {number}"] = charge
    return found


def month_of(at: float) -> str:
    """Give the month of a time, in UTC: 2026-11."""
    return time.strftime("%Y-%m", time.gmtime(at))


def day_of(at: float) -> str:
    """Give the day of a time, in UTC: 2026-11-22."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def _fold_old(folder: Path, open_keys: frozenset[str]) -> None:
    """Fold each month but the newest to a line for each day, deployment and model. An open run keeps its line."""
    for path in _months(folder)[:-WHOLE_MONTHS]:
        groups: dict[tuple[Any, ...], list[Charge]] = {}
        lines = list({c.key or n: c for n, c in enumerate(_read(path))}.values())
        for charge in lines:
            apart = charge.key if charge.key in open_keys else ""
            labels = tuple(sorted(charge.labels.items()))
            group = (day_of(charge.at), charge.fleet, charge.name, charge.usage.model, labels, apart)
            groups.setdefault(group, []).append(charge)
        if len(groups) < len(lines):
            write_record(path, _encode([merge(group) for group in groups.values()]))


def _months(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.suffix == ".jsonl" and not p.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DoubtError(f"the ledger cannot be read: {error.strerror}", where=str(folder)) from error


def _read(path: Path) -> list[Charge]:
    """Give the lines that can be read: a torn one is none, since nothing was said of its run's end then."""
    try:
        raw = read_regular(path)
    except OSError as error:
        fix = "mend it or move it away: until then nothing can be said about budgets"
        raise DoubtError(f"the ledger cannot be read: {error.strerror}", where=str(path), fix=fix) from error
    found = []
    for line in raw.split(b"\n"):
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            found.append(Charge.from_json(_object(line)))
    return found


def _after_a_torn_line(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return b"\n" if size and os.pread(fd, 1, size - 1) != b"\n" else b""


def _object(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _encode(charges: Iterable[Charge]) -> bytes:
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    return b"".join(encode(charge.to_json()).encode() + b"\n" for charge in charges)
