"""
Starts, in a plan: the first one, the next one, a replacement, a way back; and what holds each of them up.

Pure. That a start is due is decided in `plan`; here, whether it may go ahead: its dependencies, the limits of its
fleet, its budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.lean import dataclass
from reconciler.dependencies import HOLDS, Outlook, outlook
from reconciler.digest import changes_of, diff_specs
from reconciler.model.finding import Verdict
from reconciler.model.observed import RunPhase, short
from reconciler.model.plan import Verb
from reconciler.revert import stand_in

if TYPE_CHECKING:
    from reconciler.budget import Answer
    from reconciler.draft import Draft
    from reconciler.model.desired import Dependency, Desired
    from reconciler.model.observed import Observed


def plan_create(draft: Draft, want: Desired, after: tuple[int, ...]) -> None:
    if want.stopped:
        draft.add(Verb.CREATE, want.name, "no deployment holds this name; declared stopped", after=after)
        return
    gate = _gate(draft, want)
    if gate.waits:
        draft.add(Verb.CREATE, want.name, "no deployment holds this name", after=after, waits=gate.waits)
        if gate.verdict is not Verdict.HALTED:
            draft.leave(want.name, gate.verdict, gate.waits, blocked=True)
        return
    number = draft.add(Verb.CREATE, want.name, "no deployment holds this name", after=(*after, *gate.more), starts=True)
    _reserve(draft, want.name, number, gate)


def plan_start(draft: Draft, want: Desired, reason: str, after: tuple[int, ...], *, replaces: bool = False,
                reverts: str = "", changes: tuple[str, ...] = ()) -> None:  # fmt: skip
    gate = _gate(draft, want)
    if gate.waits:
        _leave_waiting(draft, want, gate, gate.verdict, reason if replaces else "")
        return
    number = draft.add(
        Verb.START, want.name, reason, after=(*after, *gate.more), starts=True, replaces=replaces, reverts=reverts,
        changes=changes,
    )  # fmt: skip
    _reserve(draft, want.name, number, gate)


def plan_replace(draft: Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
    of_spec, changes = diff_specs(seen.spec, want.spec), changes_of(want, seen)
    goal = want.spec.get("goal") or {}
    if of_spec == ("goal (changed)",) and goal.get("file"):
        reason = f"{goal['file']} changed since it was deployed"
    elif of_spec and all(change.startswith("workload.") for change in of_spec):
        reason = f"its workload {want.workload} changed since it was deployed"
    if seen.phase is RunPhase.RUNNING:
        # What waits for something else first keeps its old run until then: a gap helps nobody.
        gate = _gate(draft, want, replacing=True)
        if gate.waits:
            verdict = gate.verdict if gate.verdict is not Verdict.HALTED else Verdict.DRIFTED
            _leave_waiting(draft, want, gate, verdict, reason)
            return
        after = (draft.stop(want.name, reason, after=after, replaces=True, changes=changes),)
    plan_start(draft, want, reason, after, replaces=True, changes=changes)


def _leave_waiting(draft: Draft, want: Desired, gate: _Gate, verdict: Verdict, change: str) -> None:
    """Leave what its gate holds back; `change` is why it would be replaced, "" where it would only be started."""
    reason = f"{change}; it waits: {gate.waits}" if change and not gate.blocked else gate.waits
    draft.leave(want.name, verdict, reason, blocked=gate.blocked)


def plan_revert(draft: Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
    assert seen.kept is not None, "whoever reverts knows to what"
    back = stand_in(want, seen.kept)
    cause = f"{reason}; {short(want.digest)} is held, and {short(back.digest)}, the last healthy one, runs instead"
    plan_start(draft, back, cause, after, replaces=True, reverts=reason, changes=changes_of(back, seen))


@dataclass(frozen=True, slots=True)
class _Gate:
    """What a start waits for ("" for nothing), whether a person has to act; what it follows, and what it may use."""

    waits: str = ""
    blocked: bool = False
    verdict: Verdict = Verdict.HALTED
    more: tuple[int, ...] = ()
    answer: Answer | None = None


def _gate(draft: Draft, want: Desired, *, replacing: bool = False) -> _Gate:
    more: list[int] = []
    for dependency in want.depends_on:
        found = _outlook(draft, dependency)
        if found.reason:
            return _Gate(found.reason, found.never)
        if dependency.name in draft.starting:
            more.append(draft.starting[dependency.name])
    if reason := draft.unresolved.get(want.name):
        return _Gate(reason, blocked=True, verdict=Verdict.UNRESOLVED)
    limits = draft.policy
    if limits.max_running is not None and draft.live - (1 if replacing else 0) >= limits.max_running:
        return _Gate(f"the fleet's limits.maxRunning is {limits.max_running}, and {draft.live} run")
    if limits.max_starts_per_pass is not None and draft.starts >= limits.max_starts_per_pass:
        draft.waits.append(0.0)
        return _Gate(f"the fleet's limits.maxStartsPerPass is {limits.max_starts_per_pass}")
    answer = None
    if draft.purse is not None:
        answer = draft.purse.admit(want.name, want.spec.get("budget") or {}, formerly=want.renamed_from)
        if answer.refusal:
            if answer.wait is not None:
                draft.waits.append(answer.wait)
            return _Gate(answer.refusal, blocked=True, verdict=Verdict.OVER_BUDGET)
    return _Gate(more=tuple(more), answer=answer)


def _outlook(draft: Draft, dependency: Dependency) -> Outlook:
    """Tell how a dependency stands; what this plan starts anew has yet to meet it."""
    name, condition = dependency.name, dependency.condition
    if name in draft.starting:
        return HOLDS if condition == "Started" else Outlook(f"{name} is not {condition} yet")
    return outlook(
        dependency, draft.want.get(name), draft.seen.get(name), stuck=draft.stuck.get(name, ""),
        fleet=draft.policy.name, now=draft.now, self_heal=draft.policy.self_heal,
    )  # fmt: skip


def note_stuck(draft: Draft, want: Desired) -> None:
    """Remember why a deployment will not be started, for those that depend on it."""
    found = (_outlook(draft, needed) for needed in want.depends_on)
    reason = next((o.reason for o in found if o.never), "")
    if reason:
        draft.stuck[want.name] = reason


def _reserve(draft: Draft, name: str, number: int, gate: _Gate) -> None:
    draft.starting[name] = number
    if draft.purse is not None and gate.answer is not None:
        draft.purse.reserve(name, gate.answer.caps)
        draft.notes += gate.answer.warnings
    draft.live += 1
    draft.starts += 1
