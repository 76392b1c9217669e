"""What a Fleet gives its deployments: the defaults laid under their specs, and the policy they must satisfy."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.manifest.models import DeploymentSpec

if TYPE_CHECKING:
    from reconciler.manifest.validate import Declared
    from reconciler.model.lazyjson import Json


@dataclass(frozen=True, slots=True)
class FleetView:
    """What of the Fleet bears on a deployment."""

    defaults: dict[str, Any] = field(default_factory=dict)  # as written
    folder: str = ""  # where the Fleet stands, absolute
    source: str = ""  # its file, relative to the folder given to `-f`
    require_checks: bool = False
    allowed: tuple[str, ...] | None = None
    require_budget: bool = False
    caps_cost: bool = False  # the fleet's own budget has a maxCostUSD
    priced: tuple[str, ...] = ()  # the models whose price it tells

    @classmethod
    def of(cls, record: Json, root: str, file: str) -> FleetView:
        """Give what bears on deployments of a `fleet_record`, whose Fleet stands in `file` of the folder `root`."""
        allowed, policy = record["allowed"], record["policy"]
        return cls(
            record["defaults"], os.path.dirname(os.path.join(root, file)), file, record["require_checks"],
            tuple(allowed) if allowed is not None else None, record["require_budget"],
            "maxCostUSD" in policy["budget"], tuple(sorted(policy["prices"])),
        )  # fmt: skip

    def key(self) -> str:
        words = json.dumps([getattr(self, name) for name in self.__slots__], sort_keys=True)
        return hashlib.sha256(words.encode()).hexdigest()[:24]


def merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay one spec over another: maps merge, anything else replaces. What is left empty replaces nothing."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            result[key] = merge(below, value)
        elif value is not None:
            result[key] = value
    return result


def rebase(defaults: dict[str, Any], folder: str, to: str) -> dict[str, Any]:
    """Rewrite the paths that a Fleet's defaults name, so that they hold in a manifest of the folder `to`."""
    if not defaults or folder == to:
        return defaults

    def moved(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: moved(item, f"{key}.{name}") for name, item in value.items()}
        if isinstance(value, list):
            return [moved(item, key) for item in value]
        is_path = isinstance(value, str) and (
            key in (".env.valueFrom.file", ".success.checks.file.jsonSchema")
            or (key == ".env.valueFrom.command" and value.startswith(("./", "../")))
        )
        return os.path.relpath(os.path.join(folder, value), to) if is_path else value

    result: dict[str, Any] = moved(defaults, "")
    return result


def fleet_record(declared: Declared) -> Json:
    """Return what a Fleet says, in the form that the cache keeps."""
    spec = declared.spec
    sync, limits = spec["sync"], spec["limits"]
    return {
        "line": declared.line,
        "policy": {
            "name": declared.name,
            "interval": sync["interval"],
            "prune": sync["prune"],
            "self_heal": sync["selfHeal"],
            "allow_empty": sync["allowEmpty"],
            "max_deletions": sync["maxDeletions"],
            "max_running": limits["maxRunning"],
            "max_starts_per_pass": limits["maxStartsPerPass"],
            "budget": _said(spec["budget"] or {}),
            "prices": {model: _said(price) for model, price in spec["prices"].items()},
        },
        "defaults": declared.raw.get("defaults") or {},
        "require_checks": spec["policy"]["requireChecks"],
        "require_budget": spec["policy"]["requireBudget"],
        "allowed": spec["policy"]["allowedWorkloads"],
    }


def _said(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if value is not None}


def default_spec() -> dict[str, Any]:
    """Return a normalised spec in which everything is at its default, where there is one."""
    spec = DeploymentSpec.model_validate({"workload": "none"}).model_dump(by_alias=True)
    spec["run"]["restartPolicy"] = "Never"
    return {key: value for key, value in spec.items() if key != "workload"} | {
        "files": {}, "inPlaceConfig": []
    }  # fmt: skip
