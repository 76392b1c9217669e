"""
The planner: everything desired and everything observed → the numbered actions that make them agree.

Pure, and the only planner: `plan`, `apply`, `--dry-run`, `--wait` and saved plans all show or execute what this
returns. Same arguments, same plan. It never asks the user: what destroys something carries `needs_consent`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from agent_haymaker.lean import replace
from reconciler.classify import (
    IN_PLACE,
    can_revert,
    classify,
    differs_in_place,
    failures_after,
    needs_another_run,
    what_differs,
)
from reconciler.digest import changes_of
from reconciler.draft import Draft
from reconciler.model.finding import Verdict
from reconciler.model.observed import BUDGET_SPENT_CODE, RunPhase
from reconciler.model.plan import Plan, Verb
from reconciler.order import by_dependency, find_renames
from reconciler.removals import Removals, plan_removals
from reconciler.revert import in_force
from reconciler.starts import note_stuck, plan_create, plan_replace, plan_revert, plan_start

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from reconciler.budget import Purse
    from reconciler.model.desired import Desired, FleetPolicy
    from reconciler.model.finding import Finding
    from reconciler.model.observed import Observed


def make_plan(
    want: Mapping[str, Desired],
    seen: Mapping[str, Observed],
    *,
    policy: FleetPolicy,
    now: float,
    removals: Removals | None = None,
    broken: Mapping[str, str] | None = None,
    kept: Container[str] = (),
    only: Container[str] | None = None,
    purse: Purse | None = None,
    unresolved: Mapping[str, str] | None = None,
) -> Plan:
    """
    Decide what to do. `broken` maps a name whose manifest is wrong, and that has no last good spec, to the reason;
    `kept` are names whose manifest is wrong too, and for which `want` holds the last good one.

    `seen` may hold deployments of other fleets: they matter only where `want` claims one of their names. With
    `only`, the others are looked at (for what waits for them) and left as they are. Without `purse` there is no budget.
    `unresolved` says of those that cannot start for it which value of their env is not to be had.
    """
    removals = removals or Removals()
    renamed = find_renames(want, seen, policy.name)
    want = in_force(want, seen, renamed)
    draft = Draft(want, seen, policy, now, purse.copy() if purse is not None else None, unresolved or {})
    taken = frozenset(renamed.values())
    for name in by_dependency(want):
        note_stuck(draft, want[name])
        if only is not None and name not in only:
            continue
        if name in kept:
            draft.leave(name, Verdict.INVALID, "its manifest is wrong; the last good one stays in force", blocked=True)
        _plan_one(draft, want[name], seen.get(name), renamed.get(name))
    for name, reason in sorted((broken or {}).items()):
        if only is not None and name not in only:
            continue
        draft.leave(name, Verdict.INVALID, reason, blocked=True)
    gone = [n for n in sorted(seen) if n not in want and n not in taken and n not in (broken or {})]
    if only is not None:
        gone = [n for n in gone if n in only]
    plan_removals(draft, [n for n in gone if seen[n].fleet == policy.name or n in removals.former], removals)
    draft.left.sort(key=lambda item: item.name)
    recheck = min(draft.waits, default=None)
    return Plan(policy.name, tuple(draft.actions), tuple(draft.left), recheck, tuple(draft.notes))


def _plan_one(draft: Draft, want: Desired, seen: Observed | None, old_name: str | None) -> None:
    after: tuple[int, ...] = ()
    if old_name is not None:
        seen = draft.seen[old_name]
        if not seen.doubt and seen.phase is not RunPhase.UNREACHABLE:
            number = draft.add(Verb.RENAME, want.name, f"renamedFrom names {old_name}", old_name=old_name)
            after = (number,)
        else:
            draft.leave(old_name, Verdict.UNKNOWN, seen.doubt or "its engine cannot say whether it runs", blocked=True)
    _plan_pair(draft, want, seen, after)


def _plan_pair(draft: Draft, want: Desired, seen: Observed | None, after: tuple[int, ...]) -> None:
    """Turn one finding into actions; `after` are this deployment's own earlier actions in this plan."""
    policy = draft.policy
    found = classify(want, seen, fleet=policy.name, now=draft.now, self_heal=policy.self_heal)
    _plan_finding(draft, want, seen, found, after)
    # What holds a run back holds none of what needs no run: above all the end of a protection.
    if seen is not None and found.verdict not in (Verdict.UNKNOWN, Verdict.CONFLICTED, Verdict.SUSPENDED):
        own = [a for a in draft.actions if a.name == want.name]
        acts = any(a.verb not in (Verb.RECORD, Verb.RENAME) for a in own)
        if not acts and differs_in_place(want, seen):
            reason, changes = what_differs(want, seen, IN_PLACE), changes_of(want, seen, anew=False)
            # Of two that act on one deployment at once, the one would undo what the other has written.
            draft.add(Verb.UPDATE, want.name, reason, after=tuple(a.number for a in own), changes=changes)


def _plan_finding(draft: Draft, want: Desired, seen: Observed | None, found: Finding, after: tuple[int, ...]) -> None:
    name, reason = want.name, found.reason
    match found.verdict:
        case Verdict.UNKNOWN | Verdict.CONFLICTED | Verdict.IN_DOUBT:
            draft.leave(name, found.verdict, reason, blocked=True)
        case (
            Verdict.GIVEN_UP
            | Verdict.HELD
            | Verdict.STALLED
            | Verdict.OVER_BUDGET
            | Verdict.REVERTED
            | Verdict.UNRESOLVED
        ):
            if found.wait is not None:
                draft.waits.append(found.wait)
            draft.leave(name, found.verdict, reason, blocked=True)
        case Verdict.SUSPENDED:
            if seen is not None and not seen.suspended:
                changes = changes_of(want, seen, anew=False)
                draft.add(Verb.UPDATE, name, IN_PLACE, after=after, changes=changes or ("suspend false → true",))
            draft.leave(name, found.verdict, reason)
        case Verdict.MISSING:
            plan_create(draft, want, after)
        case Verdict.DRIFTED:
            assert seen is not None
            plan_replace(draft, want, seen, reason, after)
        case Verdict.UNRECORDED:
            assert seen is not None
            _plan_record(draft, want, seen, reason, after)
        case Verdict.UNWANTED:
            assert seen is not None
            changes = changes_of(want, seen, anew=False)
            draft.stop(name, _cause(reason, changes), after=after, changes=changes)
        case Verdict.OVERDUE:
            assert seen is not None
            _plan_end_of_stalled(draft, want, seen, reason, after)
        case Verdict.OVERSPENT:
            assert seen is not None
            _plan_end_of_spender(draft, want, seen, reason, after)
        case Verdict.OVERTIME:
            assert seen is not None
            _plan_end_of_overtime(draft, want, seen, reason, after)
        case Verdict.REVERTING:
            assert seen is not None
            plan_revert(draft, want, seen, reason, after)
        case Verdict.OUTDATED:
            assert seen is not None
            draft.add(Verb.UPDATE, name, reason, after=after, changes=changes_of(want, seen))
        case Verdict.FAILED | Verdict.HALTED:
            assert seen is not None
            changes = changes_of(want, seen)
            plan_start(draft, want, _cause(reason, changes), after, changes=changes)
        case Verdict.BACKING_OFF:
            assert found.wait is not None
            draft.waits.append(found.wait)
            draft.leave(name, found.verdict, reason)
        case Verdict.WAITING_FOR_END | Verdict.IDLE | Verdict.COMPLETED | Verdict.SETTLED:
            if found.wait is not None:
                draft.waits.append(found.wait)
            draft.leave(name, found.verdict, reason)
        case Verdict.INVALID | Verdict.PROTECTED | Verdict.ORPHANED:
            raise AssertionError(f"{found.verdict} needs no manifest, and {name} has one")
        case _ as never:
            assert_never(never)


def _cause(reason: str, changes: tuple[str, ...]) -> str:
    """Give why a run is stopped or started; a desiredState that changed stands among the changes."""
    return "the manifest changed" if any(change.startswith("desiredState ") for change in changes) else reason


def _plan_record(draft: Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
    checks = " and run its checks" if want.has_checks and not want.service and seen.phase is RunPhase.ENDED else ""
    number = draft.add(Verb.RECORD, want.name, f"{reason}; write it down{checks}", after=after)
    recorded = replace(seen, recorded=True, failures=failures_after(want, seen))
    drifted = seen.digest != want.digest and not want.stopped
    # The checks' verdict decides what comes next, and only the next pass knows it.
    # So does what a run says that may have ended for its budget.
    undecided = checks or seen.exit_code == BUDGET_SPENT_CODE
    if (undecided and not drifted) or want.stopped:
        return
    if drifted or needs_another_run(want, recorded):
        _plan_pair(draft, want, recorded, (number,))


def _plan_end_of_stalled(draft: Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
    number = draft.stop(want.name, reason, after=after, stalled=True)
    if want.on_stalled == "restart" or can_revert(want, seen):
        ended = replace(seen, phase=RunPhase.STOPPED, recorded=True, ended_at=draft.now, exit_text="it stalled")
        _plan_pair(draft, want, replace(ended, failures=failures_after(want, ended)), (number,))


def _plan_end_of_spender(draft: Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
    cause, changes = f"its budget is spent: {reason}", changes_of(want, seen, anew=False)
    number = draft.stop(want.name, cause, after=after, overspent=seen.overrun, changes=changes)
    if seen.digest != want.digest:
        ended = replace(seen, phase=RunPhase.ENDED, recorded=True, overrun="", over_budget=seen.overrun)
        _plan_pair(draft, want, replace(ended, ended_at=draft.now, failures=failures_after(want, ended)), (number,))


def _plan_end_of_overtime(draft: Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
    number = draft.stop(want.name, reason, after=after, overtime=True)
    ended = replace(seen, phase=RunPhase.ENDED, overtime="", succeeded=False, exit_text="stopped at its timeout")
    _plan_pair(draft, want, replace(ended, ended_at=draft.now), (number,))
