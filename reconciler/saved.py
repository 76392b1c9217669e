"""
Saved plans: what was approved is what runs, or nothing runs.

A plan file holds the request, the plan's actions, and digests of the manifests and of the state it was made
from. `apply PLANFILE` makes the plan again and refuses when any of the three is another one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import StalePlanError, UsageError
from agent_haymaker.records import OTHER_OUT, read_regular, write_record
from reconciler.passes import Request
from reconciler.report import action_json

if TYPE_CHECKING:
    from reconciler.passes import Pass

VERSION = 1
KIND = "SavedPlan"


def save_plan(path: Path, done: Pass) -> None:
    """
    Write the plan of a pass to a file.

    Raises:
        UsageError: something else than a file stands there.
        PlatformError: the file cannot be written.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no regular file", fix="name a file that may be written or replaced")
    request = {**done.request.to_json(), "path": str(Path(done.request.path).absolute())}
    record = {"schema_version": VERSION, "kind": KIND, "request": request, **_digests(done)}
    write_record(path, json.dumps(record, indent=2, sort_keys=True) + "\n", elsewhere=OTHER_OUT)


def read_plan(path: Path) -> tuple[Request, dict[str, Any]]:
    """
    Give the request and the record of a saved plan.

    Raises:
        UsageError: the file is no saved plan.
    """
    fix = "make one with `haymaker plan -f DIR --out FILE`"
    try:
        record = json.loads(read_regular(path))
        if record["kind"] != KIND or record["schema_version"] != VERSION:
            raise ValueError("another kind or version")
        request = record["request"]
        wanted = Request(
            path=Path(request["path"]),
            prune=bool(request["prune"]),
            strict=bool(request["strict"]),
            only=tuple(request["only"]),
            selector=str(request["selector"]),
            delete=bool(request["delete"]),
        )
    except OSError as error:
        raise UsageError(f"the plan cannot be read: {error.strerror}", where=str(path), fix=fix) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError("this is not a plan that haymaker saved", where=str(path), fix=fix) from error
    return wanted, record


def require_fresh(path: Path, record: dict[str, Any], done: Pass) -> None:
    """
    Compare a saved plan with the plan as made now.

    Raises:
        StalePlanError: something moved in between; says what.
    """
    moved = [name for name, digest in _digests(done).items() if record.get(name) != digest]
    if moved:
        what = " and ".join(name.replace("_", " ") for name in moved)
        raise StalePlanError(
            f"the plan is stale: {what} changed after it was saved",
            where=str(path),
            fix=f"make and review a new one: `haymaker plan -f {done.request.path} --out {path}`",
        )


def _digests(done: Pass) -> dict[str, Any]:
    state = [
        [o.name, o.deployment_id, o.generation, o.attempt, o.phase, o.recorded, o.digest, o.settings, o.doubt]
        for o in sorted(done.seen.values(), key=lambda o: o.name)
        if o.fleet == done.plan.fleet
    ]
    return {
        "manifests": done.loaded.digest,
        "state": hashlib.sha256(json.dumps(state).encode()).hexdigest(),
        "actions": [action_json(a) for a in done.plan.actions],
    }
