"""
What is remembered of a name: every run that ended, every deletion and renaming. It outlives the deployment.

`history/<name>.jsonl` is for readers; nothing is decided on it. It refuses to know what runs now.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DoubtError
from agent_haymaker.lean import dataclass
from agent_haymaker.records import open_regular, platform_error, read_regular, write_record
from reconciler.records import iso, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from reconciler.inventory import Entry

HISTORY_BYTES = 1024 * 1024
ID_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Gone:
    """What became of a deployment that is no more. `at` is ISO 8601 in UTC, "" where nobody noted it."""

    name: str
    event: str  # removed, orphaned, renamed
    at: str = ""
    id: str = ""
    to: str = ""  # its name today, of a renamed one
    last_run: dict[str, Any] | None = None


def history_line(entry: Entry, *, event: str, at: float, commit: str) -> dict[str, Any]:
    """
    Give what is remembered of an entry: `event` is ended, removed or orphaned, `at` in seconds since the epoch.

    A run that ended has the commit that it was started from, any other event `commit`, that of the pass.
    """
    line: dict[str, Any] = {"at": iso(at), "event": event, "id": entry.id, "generation": entry.generation}
    if of := entry.run.commit if entry.run is not None and event == "ended" else commit:
        line["commit"] = of
    if sources := secret_sources(entry):
        line["secrets"] = sources
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
        if run.said:
            line["reason"] = run.said
        if run.usage is not None:
            line["usage"] = dict(run.usage)
    return line


def secret_sources(entry: Entry) -> dict[str, Any]:
    """
    Give where the values of an entry's secrets come from, never the values; {} where it has none.

    `env` is that of a spec, `folder` what its relative paths are of. Of a command only that it is one is kept: a look
    never runs it, and its words may say more than is to outlive the deployment.
    """
    env = [
        {"name": item["name"], "valueFrom": {"command": []} if "command" in source else source}
        for item in entry.desired.get("spec", {}).get("env", ())
        if (source := item.get("valueFrom"))
    ]
    return {"env": env, "folder": str(entry.desired.get("recipe", {}).get("source_dir", ""))} if env else {}


def rename_history(home: Path, entry: Entry, new: str, *, at: float) -> None:
    """Let a renamed deployment keep what is remembered of it, and leave a note of that under its old name."""
    source, target = home / "history" / f"{entry.name}.jsonl", home / "history" / f"{new}.jsonl"
    try:
        lines = _lines(source)
        notes = [line for line in lines if line.get("event") == "renamed"]
        moved = [line for line in lines if line.get("event") != "renamed"]
        source.parent.mkdir(mode=0o700, exist_ok=True)
        if moved:
            write_record(target, _encode(moved + _lines(target)), durable=False)
        # A pass that was killed after this does all of it again: then the note is there already.
        if not notes or (notes[-1].get("id"), notes[-1].get("to")) != (entry.id, new):
            notes.append({"at": iso(at), "event": "renamed", "id": entry.id, "generation": entry.generation, "to": new})
        write_record(source, _encode(notes), durable=False)
    except OSError as error:
        raise platform_error(error, "move the history", source) from error


def append_history(home: Path, name: str, line: dict[str, Any]) -> None:
    """Add one line to what is remembered of a name; it outlives the deployment, and is bounded."""
    path = home / "history" / f"{name}.jsonl"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fd = open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)
        try:
            os.write(fd, _encode([line]))
            long = os.fstat(fd).st_size > HISTORY_BYTES
        finally:
            os.close(fd)
        if long:
            lines = read_regular(path).splitlines(keepends=True)
            write_record(path, b"".join(lines[len(lines) // 2 :]), durable=False)
    except OSError as error:
        raise platform_error(error, "write the history", path) from error


def read_history(home: Path, name: str) -> list[dict[str, Any]]:
    """
    Give what is remembered of a name, oldest first, each run once.

    Raises:
        DoubtError: it cannot be read.
    """
    path = home / "history" / f"{name}.jsonl"
    if "/" in name or name.startswith("."):
        return []
    try:
        lines = _lines(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return []  # nothing was ever called so
        raise DoubtError(f"the history cannot be read: {error.strerror}", where=str(path)) from error
    # A pass that was killed after a line writes it again: the later one stands.
    return list({f"{line.get('event')} {line.get('key') or n}": line for n, line in enumerate(lines)}.values())


def next_generation(home: Path, name: str) -> int:
    """Give the generation that a new deployment of this name begins with: no number of a run is ever used again."""
    try:
        known = [line.get("generation") for line in read_history(home, name)]
    except DoubtError:  # the numbers may then repeat: no reason to start nothing
        return 1
    return 1 + max((number for number in known if isinstance(number, int)), default=0)


def run_numbers(keys: Iterable[str]) -> dict[str, str]:
    """
    Map each run's key, in the order given (oldest first), to the number that people use: generation and attempt, 2.1.

    Two deployments can have had the same ones (one was renamed to what the other was called); the older of them
    has the end of its id before it: af4bb341.2.1.
    """
    numbers: dict[str, str] = {}
    known = list(dict.fromkeys(keys))
    for key in reversed(known):
        _, deployment_id, generation, attempt = key.rsplit(".", 3)
        number = f"{generation}.{attempt}"
        numbers[key] = f"{deployment_id[-ID_LENGTH:]}.{number}" if number in numbers.values() else number
    return {key: numbers[key] for key in known}


def what_became(home: Path, wanted: str) -> Gone | None:
    """Tell what became of a name or an id, by what is remembered; None where it is unknown, or was not taken away."""
    name, lines = wanted, read_history(home, wanted)
    if not lines:
        name, _, suffix = wanted.rpartition("-")
        if len(suffix) == ID_LENGTH:
            lines = [line for line in read_history(home, name) if line.get("id") == wanted]
    if not lines or lines[-1].get("event") not in ("removed", "orphaned", "renamed"):
        return None
    last = lines[-1]
    to, seen = str(last.get("to") or ""), {name}
    while to and to not in seen:  # renamed again
        seen.add(to)
        further = read_history(home, to)
        to = str(further[-1]["to"]) if further and further[-1].get("event") == "renamed" else to
    runs = [line for line in lines if line.get("event") == "ended" and line.get("id") == last.get("id")]
    return Gone(
        name,
        str(last["event"]),
        str(last.get("at") or ""),
        str(last.get("id") or ""),
        to,
        runs[-1] if runs else None,
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    """Give the lines that can be read; none where there is no file."""
    try:
        raw = read_regular(path).splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in raw:
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                found.append(record)
    return found


def _encode(lines: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for line in lines)
