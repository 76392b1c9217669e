"""
Whether a deployment may be what it is: its workload is there and allowed, its version fits, its budget can be kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.budget import CAPS
from reconciler.manifest.validate import nearest, show
from reconciler.manifest.workloads import GOAL_RUNTIME

if TYPE_CHECKING:
    from reconciler.manifest.defaults import FleetView
    from reconciler.manifest.validate import Declared
    from reconciler.manifest.workloads import WorkloadDeclaration

TELL_THEIR_COST = ("script", "claude")  # of the SDKs of goal agents; whatever has no `sdk` must tell it by itself


def usable(declared: Declared, workload: WorkloadDeclaration | None, known: list[str]) -> bool:
    """Note why a deployment's workload cannot run, if it cannot."""
    name = declared.spec["workload"]["name"]
    if workload is None:
        near = nearest(name, known)
        fix = f"did you mean '{near}'?" if near else "declare it in a workload.yaml of this folder, or install it"
        declared.complain(f"there is no workload '{name}'", fix, "workload")
    elif workload.problem:
        declared.complain(
            f"workload '{name}' cannot be used: {workload.problem}", "correct or reinstall it", "workload"
        )
    elif not workload.command and workload.type == "prompt":
        declared.complain(
            f"workload '{name}' is of type prompt, and {GOAL_RUNTIME}, which runs those, is not installed",
            "install agent-haymaker again", "workload",
        )  # fmt: skip
    elif why := workload.unrunnable:
        declared.complain(f"workload '{name}' {why}", "give its workload.yaml a command: [...]", "workload")
    else:
        return True
    return False


def check_workload(declared: Declared, fleet: FleetView, workload: WorkloadDeclaration, wanted: str) -> None:
    """Note where the fleet does not allow the workload, or its version is not one of those wanted ("": any)."""
    allowed = fleet.allowed
    if allowed is not None and workload.name not in allowed:
        declared.complain(
            f"the fleet allows no workload '{workload.name}'",
            "add it to spec.policy.allowedWorkloads of the Fleet, or use another", "workload",
        )  # fmt: skip
    if wanted:
        _check_version(declared, workload, wanted)


def _check_version(declared: Declared, workload: WorkloadDeclaration, wanted: str) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

    path = ("workload", "version")
    try:
        fits = SpecifierSet(wanted).contains(Version(workload.version), prereleases=True)
    except InvalidSpecifier:
        declared.complain(f"{show(wanted)} is not a version range", "write one such as '>=0.2,<0.3'", *path)
    except InvalidVersion:
        declared.complain(
            f"workload '{workload.name}' has the version {show(workload.version)}, "
            "which cannot be compared",
            "correct the version in its workload.yaml", *path,
        )  # fmt: skip
    else:
        if not fits:
            declared.complain(
                f"workload '{workload.name}' is {workload.version}, not {wanted}",
                "install a version that fits, or correct the range", *path,
            )  # fmt: skip


def check_budget(
    declared: Declared, fleet: FleetView, workload: WorkloadDeclaration, spec: dict[str, Any], config: dict[str, Any]
) -> None:
    """Note a budget that the fleet requires and that is missing, and one of dollars where nobody tells the cost."""
    budget = spec["budget"] or {}
    if fleet.require_budget and not any(budget.get(cap) for cap in CAPS):
        declared.complain("the fleet requires a budget", f"set one of {', '.join(CAPS)}", "budget")
    sdk, model = config.get("sdk"), config.get("model")
    capped = budget.get("maxCostUSD") is not None or fleet.caps_cost
    plans = sdk != "script" and config.get("plan_with_model") is True
    tells = sdk in TELL_THEIR_COST and not plans
    if not capped or not isinstance(sdk, str) or tells or config.get("prices"):
        return
    if sdk not in (workload.config_schema.get("sdk") or {}).get("enum", (sdk,)):
        return  # there is no such SDK, and that is said
    if not model:
        declared.complain(
            f"its cost has a budget, and {'planning for ' if plans else ''}sdk '{sdk}' does not tell what it costs",
            "name the model in config.model, and its price in the Fleet's spec.prices", "budget", "maxCostUSD",
        )  # fmt: skip
    elif model not in fleet.priced:
        declared.complain(
            f"its cost has a budget, and nobody says what model '{model}' costs",
            f"add it to the Fleet: spec.prices: {{{model}: {{inputPerMTok: ..., outputPerMTok: ...}}}}",
            "budget", "maxCostUSD",
        )  # fmt: skip
