"""
Where a start cannot go on with what its agent was doing: one line for the plan. Pure.

Agents with an `sdk` keep its session in their workspace, and one that is started there again goes on in it. Who carries
out steps has none; a task's new generation begins in an empty workspace; and a session belongs to one goal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model.observed import RunPhase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model.desired import Desired
    from reconciler.model.lazyjson import Json
    from reconciler.model.observed import Observed
    from reconciler.model.plan import Plan

_STEPS = "script"


def session_notes(plan: Plan, want: Mapping[str, Desired], seen: Mapping[str, Observed]) -> list[str]:
    """Give a line for each start of this plan that begins anew what a run before it had not finished."""
    former = {a.name: a.old_name for a in plan.actions if a.old_name}
    notes = []
    for action in plan.actions:
        old = seen.get(former.get(action.name, action.name))
        if action.starts and old is not None and (why := _why_anew(want[action.name], old)):
            notes.append(f"{action.name}: {why}")
    return notes


def _why_anew(want: Desired, old: Observed) -> str:
    before, now = _sdk(old.spec), _sdk(want.spec)
    met = old.phase is RunPhase.ENDED and old.succeeded
    if not before or old.started_at is None or met or old.phase is RunPhase.NONE:
        return ""
    if old.digest == want.digest:
        return f"sdk {_STEPS} has no session to resume: its steps begin again" if now == _STEPS else ""
    if before == _STEPS:
        return ""
    if not want.service:
        return "its session is not resumed: a new generation of a task begins in an empty workspace"
    changed = "sdk" if before != now else "goal" if _goal(old.spec) != _goal(want.spec) else ""
    return f"its session is not resumed: its {changed} changed" if changed else ""


def _sdk(spec: Json) -> str:
    sdk = (spec.get("config") or {}).get("sdk")
    return sdk if isinstance(sdk, str) else ""


def _goal(spec: Json) -> object:
    return (spec.get("goal") or {}).get("sha256")
