"""
What a deployment is, in the words that people ask for: sync, health, conditions, the next action and when.

Pure. Everything is derived from facts that carry their own times, so that a look never has to write, and one
status stands for each deployment wherever it is shown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from agent_haymaker.lean import dataclass, field
from reconciler.model.finding import OUT_OF_SYNC, LeftAlone, Verdict
from reconciler.model.observed import RunPhase, short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.inventory import Entry
    from reconciler.model.finding import Finding
    from reconciler.model.observed import Observed


class Health(StrEnum):
    PROGRESSING = "Progressing"
    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"
    MISSING = "Missing"
    UNKNOWN = "Unknown"


STUCK = "DependencyNotMet"  # the reason of one that waits for what will not come by itself


OVER_BUDGET = "BudgetExceeded"
REVERTED = "Reverted"  # the reason of one that runs the last healthy digest, since its manifest's failed


class Sync(StrEnum):
    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    UNKNOWN = "Unknown"


CONDITIONS = ("Ready", "Reconciling", "Progressing", "GoalMet", "BudgetOK")


@dataclass(frozen=True, slots=True)
class Condition:
    """One fact with its reason. `status` is "True", "False" or "Unknown"; `since` is in seconds since the epoch."""

    type: str
    status: str
    reason: str
    message: str
    since: float | None
    generation: int

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.type, "status": self.status, "reason": self.reason, "message": self.message,
            "lastTransitionTime": self.since, "observedGeneration": self.generation,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Status:
    """The one status of a deployment. `next_action` says what haymaker does next, and `due_in` in how many seconds."""

    health: Health
    sync: Sync
    reason: str
    message: str
    next_action: str = ""
    due_in: float | None = None
    conditions: tuple[Condition, ...] = field(default=())


def describe(
    seen: Observed,
    entry: Entry,
    finding: Finding | None = None,
    *,
    left: LeftAlone | None = None,
    fleet_reason: str = "",
    edited: bool = False,
) -> Status:
    """
    Give the status of a deployment as just observed.

    Without `finding` (nobody read the manifests) sync is what the last pass left, or Unknown in doubt and where a
    manifest was `edited` since.
    `left` is what the plan says where it leaves the deployment alone: the next action is the plan's, not the finding's.
    `fleet_reason` is why its fleet's manifests are not all in force.
    """
    if finding is None:
        left = left_behind(entry)
    health, reason, message = _health(seen, entry, left or left_behind(entry))
    if finding is not None and finding.verdict in (Verdict.GIVEN_UP, Verdict.IN_DOUBT, Verdict.OVER_BUDGET):
        health = Health.UNKNOWN if finding.verdict is Verdict.IN_DOUBT else Health.DEGRADED
        reason, message = finding.verdict.value, finding.reason
    sync = Sync.UNKNOWN if edited and finding is None else _sync(seen, finding, left)
    if fleet_reason and not message:
        message = fleet_reason
    action = _NEXT[Verdict.REVERTED] if reason == REVERTED else ""
    if seen.under_way:
        action = _UNDER_WAY[seen.under_way][2]
    elif finding is not None:
        action = _next(finding.verdict, left)
        if finding.verdict is Verdict.SETTLED and action == _NEXT[Verdict.SETTLED]:
            action = _while_it_runs(seen)
    elif sync is Sync.OUT_OF_SYNC and left is not None:
        action = _next(left.verdict, left)
        message = _out_of_sync(message, left)
    due = finding.wait if finding is not None else None
    status = Status(health, sync, reason, message, action, due)
    return Status(health, sync, reason, message, action, due, _conditions(seen, entry, status, left))


def judge(seen: Observed, entry: Entry, *, edited: bool = False) -> tuple[Health, Sync, str, str]:
    """Give health, sync, reason and message alone: what a table of ten thousand shows."""
    left = left_behind(entry)
    health, reason, message = _health(seen, entry, left)
    sync = Sync.UNKNOWN if edited else _sync(seen, None, left)
    return health, sync, reason, _out_of_sync(message, left) if left and sync is Sync.OUT_OF_SYNC else message


def left_behind(entry: Entry) -> LeftAlone | None:
    """Give why the last pass left an entry other than its manifest asks, None where it agrees."""
    behind = entry.behind
    return LeftAlone(entry.name, Verdict(behind["verdict"]), behind["reason"], behind["blocked"]) if behind else None


def _out_of_sync(message: str, left: LeftAlone) -> str:
    """Give the message of what is not as its manifest says, with the reason."""
    return message if left.reason in message else f"{message.removesuffix(' as declared')}; out of sync: {left.reason}"


def _sync(seen: Observed, finding: Finding | None, left: LeftAlone | None) -> Sync:
    if seen.doubt or (finding is not None and finding.verdict is Verdict.UNKNOWN):
        return Sync.UNKNOWN
    if seen.under_way:
        return Sync.OUT_OF_SYNC
    if finding is None:
        return Sync.OUT_OF_SYNC if seen.held or left is not None else Sync.SYNCED
    is_invalid = left is not None and left.verdict is Verdict.INVALID
    return Sync.OUT_OF_SYNC if is_invalid or finding.verdict in OUT_OF_SYNC else Sync.SYNCED


def _health(seen: Observed, entry: Entry, left: LeftAlone | None) -> tuple[Health, str, str]:
    if seen.doubt:
        return Health.UNKNOWN, "Doubt", seen.doubt
    if seen.under_way:
        return Health.PROGRESSING, *_UNDER_WAY[seen.under_way][:2]
    if seen.suspended:
        return Health.SUSPENDED, "Suspended", "suspend: true; haymaker leaves it alone"
    match seen.phase:
        case RunPhase.RUNNING if seen.overrun:
            return Health.DEGRADED, OVER_BUDGET, f"its budget is spent, and its run goes on: {seen.overrun}"
        case RunPhase.RUNNING if seen.overtime:
            return Health.DEGRADED, "Timeout", seen.overtime
        case RunPhase.RUNNING if seen.stalled:
            return Health.STALLED, "Stalled", seen.stalled
        case RunPhase.STOPPED if seen.stalled and not seen.stopped:
            return Health.STALLED, "Stalled", f"it was stopped: {seen.stalled}"
        case RunPhase.RUNNING if seen.held:
            held = f"{short(seen.held)} failed and is held ({seen.held_why})"
            return Health.DEGRADED, REVERTED, f"{held}; {short(seen.digest)}, the last healthy one, runs instead"
        case RunPhase.RUNNING if seen.service:
            return Health.HEALTHY, "Running", "running as declared"
        case RunPhase.RUNNING:
            return Health.PROGRESSING, "Running", "its run goes on"
        case RunPhase.UNREACHABLE:
            return Health.UNKNOWN, "Unreachable", "its engine cannot say whether it runs"
        case RunPhase.NONE if seen.stopped:
            return Health.HEALTHY, "Stopped", "stopped as declared"
        case RunPhase.NONE | RunPhase.STOPPED if seen.refused:
            return Health.DEGRADED, OVER_BUDGET, f"it is not started: {seen.refused}"
        case RunPhase.NONE | RunPhase.STOPPED if seen.stuck:
            return Health.DEGRADED, STUCK, f"it is not started: {seen.stuck}"
        case RunPhase.NONE if left is not None and left.verdict in (Verdict.UNRESOLVED, Verdict.FAILED):
            return Health.DEGRADED, left.verdict.value, f"it is not started: {left.reason}"
        case RunPhase.NONE:
            reason = left.reason if left is not None else entry.waits
            return Health.PROGRESSING, "Waiting", reason or "it was not started yet"
        case RunPhase.STOPPED:
            text = "stopped as declared" if seen.stopped else "it is stopped"
            return (Health.HEALTHY if seen.stopped else Health.PROGRESSING), "Stopped", text
        case RunPhase.LOST:
            return Health.UNKNOWN, "InDoubt", f"its run is gone: {seen.exit_text}"
        case RunPhase.ENDED:
            return _ended(seen, entry)


def _ended(seen: Observed, entry: Entry) -> tuple[Health, str, str]:
    if seen.start_failed:
        return Health.DEGRADED, "StartFailed", seen.exit_text
    if seen.over_budget:
        return Health.DEGRADED, OVER_BUDGET, f"its run ended, its budget was spent: {seen.over_budget}"
    if seen.service:
        again = f", {seen.failures} failed runs in a row" if seen.failures > 1 else ""
        again += f"; {short(seen.held)} failed before it and is held" if seen.held else ""
        return Health.DEGRADED, "Failed", f"its process ended ({seen.ending}){again}"
    if not seen.recorded:
        return Health.PROGRESSING, "Ended", f"its run ended ({seen.ending}); the next pass records it"
    if not seen.succeeded:
        return Health.DEGRADED, "Failed", f"its run failed ({seen.ending})"
    if seen.goal_met is False:
        failed = [str(c["name"]) for c in (entry.run.checks if entry.run else ()) if c.get("passed") is False]
        return Health.DEGRADED, "ChecksFailed", f"it ended with exit code 0, and its checks failed: {', '.join(failed)}"
    return Health.HEALTHY, "Completed", "completed, its checks passed" if seen.goal_met else "completed"


def _next(verdict: Verdict, left: LeftAlone | None) -> str:
    """Say what haymaker does next: what the verdict calls for, unless the plan holds it back."""
    if left is None:
        return _NEXT[verdict]
    if left.verdict not in _CALLS_FOR_A_START:
        return _NEXT[left.verdict]
    if left.blocked:
        return "nothing, until what it waits for is mended or its manifest changes"
    return f"{_NEXT[verdict]}, once it need not wait"


def _while_it_runs(seen: Observed) -> str:
    """Say for how long nothing is done about a live run, and what it has to keep to meanwhile."""
    terms = ["runs"] if seen.service else []
    if seen.stalls_at is not None:
        from datetime import UTC, datetime

        until = datetime.fromtimestamp(seen.stalls_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        terms.append(f"makes progress before {until} (run.progressDeadline)")
    if seen.capped:
        terms.append("keeps to its budget")
    until_its_end = "nothing" if seen.service else "nothing, until its run ends"
    return f"{until_its_end}, as long as it {' and '.join(terms)}" if terms else until_its_end


_CALLS_FOR_A_START = (Verdict.HALTED, Verdict.DRIFTED)  # what is left all the same with one of these waits

_NEXT: Mapping[Verdict, str] = {
    Verdict.MISSING: "create it",
    Verdict.DRIFTED: "replace it",
    Verdict.UNRECORDED: "record the end of its run",
    Verdict.UNWANTED: "stop it",
    Verdict.HALTED: "start it",
    Verdict.FAILED: "start it again",
    Verdict.BACKING_OFF: "start it again",
    Verdict.OUTDATED: "update it in place",
    Verdict.WAITING_FOR_END: "replace it when its run has ended",
    Verdict.ORPHANED: "delete it, if prune is on",
    Verdict.UNKNOWN: "nothing, until the doubt is cleared",
    Verdict.IN_DOUBT: "nothing, until a person decides: set the annotation haymaker/restartedAt to run it again",
    Verdict.GIVEN_UP: "nothing, until its manifest changes or has another haymaker/restartedAt",
    Verdict.REVERTING: "run the last healthy digest instead",
    Verdict.REVERTED: "nothing, until its manifest has another digest",
    Verdict.OVER_BUDGET: "nothing, until its budget allows a run",
    Verdict.UNRESOLVED: "nothing, until what its env refers to is there",
    Verdict.HELD: "nothing, as its policy says",
    Verdict.CONFLICTED: "nothing, until one fleet gives it up",
    Verdict.PROTECTED: "nothing, until a manifest says protect: false",
    Verdict.INVALID: "nothing, until its manifest is mended",
    Verdict.SUSPENDED: "nothing, until suspend is false",
    Verdict.OVERSPENT: "end its run, since its budget is spent",
    Verdict.OVERTIME: "end its run, since its timeout is over",
    Verdict.OVERDUE: "end its run, as its run.onStalled says",
    Verdict.STALLED: "nothing, until it goes on, its manifest changes or has another haymaker/restartedAt",
    Verdict.COMPLETED: "nothing, until its manifest changes or has another haymaker/restartedAt",
    Verdict.SETTLED: "nothing",
    Verdict.IDLE: "nothing, until desiredState is running",
}


_UNDER_WAY = {  # by the verb: the reason, the message, and what is next
    "stop": ("Stopping", "its stop has begun", "end its run"),
    "delete": ("Deleting", "its deletion has begun", "end its run and clean up"),
}


def _conditions(seen: Observed, entry: Entry, status: Status, left: LeftAlone | None) -> tuple[Condition, ...]:
    since = seen.ended_at or seen.started_at or entry.created_at or None
    generation = seen.generation

    def condition(kind: str, value: bool | None, reason: str, message: str, at: float | None = since) -> Condition:
        text = "Unknown" if value is None else str(value)
        return Condition(kind, text, reason, message, at, generation)

    ready = None if status.health is Health.UNKNOWN else status.health is Health.HEALTHY
    out_of_sync = None if status.sync is Sync.UNKNOWN else status.sync is Sync.OUT_OF_SYNC
    running = seen.phase is RunPhase.RUNNING
    action = status.next_action or "nothing to do"
    if left is not None and out_of_sync:
        action += f" ({left.reason})"
    return (
        condition("Ready", ready, status.reason, status.message),
        condition("Reconciling", out_of_sync, status.sync.value, action),
        condition("Progressing", running and not seen.service and not seen.stalled, status.reason, status.message),
        _goal_condition(seen, entry, condition),
        _budget_condition(seen, left, condition),
    )


def _budget_condition(seen: Observed, left: LeftAlone | None, condition: Callable[..., Condition]) -> Condition:
    refused = left.reason if left is not None and left.verdict is Verdict.OVER_BUDGET else ""
    exceeded = seen.refused or seen.over_budget or seen.overrun or refused
    reason = OVER_BUDGET if exceeded else "NotExceeded"
    return condition("BudgetOK", not exceeded, reason, exceeded or "no budget keeps it from running")


def _goal_condition(seen: Observed, entry: Entry, condition: Callable[..., Condition]) -> Condition:
    checks = entry.run.checks if entry.run else ()
    if seen.goal_met is None and seen.stuck:
        return condition("GoalMet", None, STUCK, seen.stuck)
    if seen.goal_met is None:
        return condition("GoalMet", None, "NotChecked", "no check has decided it")
    passed = sum(1 for c in checks if c.get("passed"))
    unchecked = sum(1 for c in checks if c.get("passed") is None)
    text = f"{passed} of {len(checks) - unchecked} checks passed"
    text += f", {unchecked} {'criterion' if unchecked == 1 else 'criteria'} not checked" if unchecked else ""
    return condition("GoalMet", seen.goal_met, "ChecksPassed" if seen.goal_met else "ChecksFailed", text)
