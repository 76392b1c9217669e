"""
What counts as a change of a deployment, and how to say it. Pure: a spec in, a digest or a few words out.

A spec is `Desired.spec`. Two digests are taken of it: `spec_digest` over everything that an agent must be started
again for, `in_place_digest` over the rest. What is at its default is left out of both, so that a field that a later
haymaker adds changes no digest; the version in front is for the day when the rule itself must change.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from reconciler.manifest.units import format_duration, format_size
from reconciler.model.desired import RESTARTED_AT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.model.desired import Desired
    from reconciler.model.lazyjson import Json
    from reconciler.model.observed import Observed

DIGEST_VERSION = "1"

_DURATIONS = frozenset({
    "run.timeout", "run.progressDeadline", "run.terminationGracePeriod", "run.backoff.duration",
    "run.backoff.maxDuration", "run.limits.cpuTime", "artifacts.retention.maxAge",
})  # fmt: skip
_SIZES = frozenset({"run.limits.memory", "artifacts.retention.maxBytes"})
_IN_PLACE_RUN = ("restartPolicy", "backoffLimit", "backoff", "terminationGracePeriod", "sideEffects")
_IN_PLACE = ("update", "success", "artifacts", "dependsOn", "deletionPolicy", "protect", "budget")
_STALL_RUN = ("progressDeadline", "onStalled")
_SWITCHES = ("desiredState", "suspend", "renamedFrom")  # each has a verdict of its own
TASK_PROGRESS_SECONDS = 900.0  # a task's run.progressDeadline where its manifest has none; a service then has none
_NOT_SHOWN = frozenset({"inPlaceConfig"})
_LONG = 60


def spec_digest(spec: Json, *, restarted_at: str = "") -> str:
    """
    Return "1:<sha256>" over everything in a normalised spec whose change needs a new run.

    `restarted_at` is the annotation haymaker/restartedAt. Paths do not count, contents do: moving a manifest with
    its files is no change. Of an environment reference its name counts, never its value; of a secret's file,
    and of a ./ word of its command, the last part of the path.
    """
    in_place = set(spec.get("inPlaceConfig", ()))
    files: dict[str, str] = spec.get("files", {})
    workload = spec["workload"]
    run = spec["run"]
    counted: dict[str, Any] = {
        "workload": workload["name"],
        "code": workload.get("code", ""),
        "config": {
            key: _plain(value) for key, value in spec["config"].items() if key not in in_place and key not in files
        },
        "files": files,
        "goal": (spec.get("goal") or {}).get("sha256"),
        "env": sorted(_env_words(item) for item in spec.get("env", ())),
        "mode": run["mode"] if run["mode"] != "task" else None,
        "timeout": run.get("timeout"),
        "limits": {key: value for key, value in (run.get("limits") or {}).items() if value is not None},
        "restartedAt": restarted_at,
    }
    return f"{DIGEST_VERSION}:{_sha256({key: value for key, value in counted.items() if value})}"


def in_place_digest(desired: Desired) -> str:
    """
    Return the digest of what applies without a restart: labels, protection, policies, checks, artifacts.

    Neither `suspend`, `desiredState` nor `renamedFrom` counts: each has a verdict of its own.
    """
    return desired.settings or settings_digest(desired.spec, desired.labels, desired.annotations)


def settings_digest(spec: Json, labels: dict[str, str], annotations: dict[str, str]) -> str:
    """Return what `in_place_digest` gives, from the parts."""
    config = spec["config"]
    counted: dict[str, Any] = {
        "labels": labels,
        "annotations": {key: value for key, value in annotations.items() if key != RESTARTED_AT},
        "config": {key: _plain(config[key]) for key in spec.get("inPlaceConfig", ()) if key in config},
        "run": {key: spec["run"].get(key) for key in _IN_PLACE_RUN},
    }
    counted["run"] |= _stall_settings(spec["run"])
    counted.update((key, spec.get(key)) for key in _IN_PLACE)
    return f"{DIGEST_VERSION}:{_sha256({key: value for key, value in counted.items() if value})}"


def _stall_settings(run: Json) -> dict[str, Any]:
    """Give what is not at its default of the fields that came after the first digests were taken."""
    usual = {"progressDeadline": None if run["mode"] == "service" else TASK_PROGRESS_SECONDS, "onStalled": "report"}
    given = {"progressDeadline": run.get("progressDeadline") or None, "onStalled": run.get("onStalled")}
    return {key: _plain(value) for key, value in given.items() if value != usual[key]}


def changes_of(want: Desired, seen: Observed, *, anew: bool = True) -> tuple[str, ...]:
    """
    Say field by field what a deployment takes over from its manifest; without `anew`, while its digest stays as it is.
    """
    changes = diff_specs(seen.spec, want.spec) if seen.spec else ()  # what it was applied with may be lost
    annotations = want.annotations
    if not anew and seen.digest != want.digest:
        in_place = tuple(want.spec.get("inPlaceConfig", ()))
        asked = {key: value for key, value in seen.annotations.items() if key == RESTARTED_AT}
        annotations = {key: value for key, value in annotations.items() if key != RESTARTED_AT} | asked
        changes = tuple(change for change in changes if _applies_in_place(change.partition(" ")[0], in_place))
    return (*changes, *_diff_words("labels", seen.labels, want.labels),
            *_diff_words("annotations", seen.annotations, annotations))  # fmt: skip


def _applies_in_place(path: str, in_place_config: tuple[str, ...]) -> bool:
    top, _, rest = path.partition(".")
    field = rest.partition(".")[0].partition("[")[0]
    match top:
        case "run":
            return field in (*_IN_PLACE_RUN, *_STALL_RUN)
        case "config":
            return field in in_place_config
        case _:
            return top.partition("[")[0] in (*_IN_PLACE, *_SWITCHES)


def _diff_words(kind: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [
        _change(f"{kind}.{key}", old.get(key), new.get(key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def diff_specs(old: Json, new: Json) -> tuple[str, ...]:
    """
    Say field by field what differs between two normalised specs, as "config.workers 10 → 25", sorted by field.

    Durations and sizes read as in a manifest. A long text, a file's content and an environment value are
    "(changed)": a plan is no place for them.
    """
    old, new = dict(old), dict(new)
    before, after = dict(_leaves(old)), dict(_leaves(new))
    changes = []
    for path in sorted(before.keys() | after.keys()):
        had, has = before.get(path), after.get(path)
        if _plain(had) != _plain(has):
            changes.append(_change(path, had, has))
    return tuple(dict.fromkeys(changes))


def _change(path: str, had: Any, has: Any) -> str:
    if path.endswith(".sha256") or path.startswith(("env.", "files.")):
        shown = path.removesuffix(".sha256").removesuffix(".value")
        if path.startswith("files."):
            file = path.removeprefix("files.")
            shown = file if "/" in file else f"config.{file} content"  # a skill is known by its path
        word = "(added)" if had is None else "(removed)" if has is None else "(changed)"
        return f"{shown} {word}"
    before, after = _word(path, had), _word(path, has)
    if max(len(before), len(after)) > _LONG or "\n" in before + after:
        return f"{path} (changed)"
    return f"{path} {before} → {after}"


def _word(path: str, value: Any) -> str:
    if value is None:
        return "none"
    if (path in _DURATIONS or path.endswith("].timeout")) and isinstance(value, int | float):
        return format_duration(value)
    if path in _SIZES and isinstance(value, int):
        return format_size(value)
    if isinstance(value, str):
        return value if value and value.isprintable() and value.strip() == value else json.dumps(value)
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Walk to the leaves; an item of a list that has a name is known by it, any other by its place."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            if path or key not in _NOT_SHOWN:
                yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, item in enumerate(value):
            name = item.get("name", index) if isinstance(item, dict) else index
            if isinstance(item, dict) and "name" in item:
                item = {key: inner for key, inner in item.items() if key != "name"}
            yield from _leaves(item, f"{path}.{name}" if path == "env" else f"{path}[{name}]")
    elif value not in ({}, [], None):
        yield path, value


def _env_words(item: Json) -> list[str]:
    source = item.get("valueFrom")
    if not source:
        return [item["name"], "value", item.get("value") or ""]
    [(kind, reference)] = source.items()
    if kind == "command":
        reference = [word.rsplit("/", 1)[-1] if word.startswith(("./", "../")) else word for word in reference]
    return [item["name"], kind, str(reference).rsplit("/", 1)[-1] if kind == "file" else str(reference)]


def _plain(value: Any) -> Any:
    """Make equal what means the same: 10.0 is 10, a tuple is a list."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _sha256(value: Any) -> str:
    import hashlib  # a pass in which nothing changed takes no digest, and loads no OpenSSL

    return hashlib.sha256(_ENCODER.encode(value).encode()).hexdigest()
