"""
The planner: everything desired and everything observed → the numbered actions that make them agree.

Pure, and the only planner: `plan`, `apply`, `--dry-run`, `--wait` and saved plans all show or execute what this
returns. Same arguments, same plan. It never asks the user: what destroys something carries `needs_consent`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from agent_haymaker.lean import dataclass, field, replace
from reconciler.classify import can_revert, classify, failures_after, needs_another_run
from reconciler.dependencies import HOLDS, Outlook, outlook
from reconciler.digest import diff_specs
from reconciler.model import BUDGET_SPENT_CODE, Action, LeftAlone, Plan, RunPhase, Verb, Verdict, short
from reconciler.order import by_dependency, find_renames
from reconciler.revert import in_force, stand_in

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from reconciler.budget import Answer, Purse
    from reconciler.model import Dependency, Desired, FleetPolicy, Observed


@dataclass(frozen=True, slots=True)
class Removals:
    """Whether this pass may remove what no manifest declares. `refusal` says why not; "" permits."""

    refusal: str = "prune is off"
    partial: bool = False  # only a part of the folder was read: that the rest is not declared there is no news
    unlimited: bool = False  # `delete -f`: maxDeletions guards against accidents, and this is the opposite of one
    cause: str = "no manifest declares it"
    elsewhere: Mapping[str, str] = field(default_factory=dict)  # name -> the other folder that it was applied from


@dataclass(slots=True)
class _Draft:
    """The plan while it is being made."""

    want: Mapping[str, Desired]
    seen: Mapping[str, Observed]
    policy: FleetPolicy
    now: float
    purse: Purse | None = None
    actions: list[Action] = field(default_factory=list)
    left: list[LeftAlone] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    starting: dict[str, int] = field(default_factory=dict)  # name -> number of the action that starts it
    stuck: dict[str, str] = field(default_factory=dict)  # name -> why what it depends on will not come by itself
    live: int = 0
    starts: int = 0

    def add(
        self, verb: Verb, name: str, cause: str, *, after: tuple[int, ...] = (), changes: tuple[str, ...] = (),
        replaces: bool = False, starts: bool = False, stalled: bool = False, overspent: str = "",
        reverts: str = "", needs_consent: bool = False, old_name: str = "",
    ) -> int:  # fmt: skip
        number = len(self.actions) + 1
        flags = (replaces, starts, stalled, overspent)
        self.actions.append(Action(number, verb, name, cause, after, *flags, reverts, needs_consent, old_name, changes))
        return number

    def leave(self, name: str, verdict: Verdict, reason: str, *, blocked: bool = False) -> None:
        self.left.append(LeftAlone(name, verdict, reason, blocked))


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
) -> Plan:
    """
    Decide what to do. `broken` maps a name whose manifest is wrong, and that has no last good spec, to the reason;
    `kept` are names whose manifest is wrong too, and for which `want` holds the last good one.

    `seen` may hold deployments of other fleets: they matter only where `want` claims one of their names. With
    `only`, the others are looked at (for what waits for them) and left as they are. Without `purse` there is no budget.
    """
    removals = removals or Removals()
    renamed = find_renames(want, seen, policy.name)
    want = in_force(want, seen, renamed)
    draft = _Draft(want, seen, policy, now, purse.copy() if purse is not None else None)
    live = (RunPhase.RUNNING, RunPhase.UNREACHABLE)
    draft.live = sum(1 for o in seen.values() if o.fleet == policy.name and o.phase in live)
    taken = frozenset(renamed.values())
    for name in by_dependency(want):
        _note_stuck(draft, want[name])
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
    _plan_removals(draft, [n for n in gone if seen[n].fleet == policy.name], removals)
    draft.left.sort(key=lambda item: item.name)
    recheck = min(draft.waits, default=None)
    return Plan(policy.name, tuple(draft.actions), tuple(draft.left), recheck, tuple(draft.notes))


def _plan_one(draft: _Draft, want: Desired, seen: Observed | None, old_name: str | None) -> None:
    after: tuple[int, ...] = ()
    if old_name is not None:
        seen = draft.seen[old_name]
        if not seen.doubt and seen.phase is not RunPhase.UNREACHABLE:
            number = draft.add(Verb.RENAME, want.name, f"renamedFrom names {old_name}", old_name=old_name)
            after = (number,)
        else:
            draft.leave(old_name, Verdict.UNKNOWN, seen.doubt or "its engine cannot say whether it runs", blocked=True)
    _plan_pair(draft, want, seen, after)


def _plan_pair(draft: _Draft, want: Desired, seen: Observed | None, after: tuple[int, ...]) -> None:
    """Turn one finding into actions; `after` are this deployment's own earlier actions in this plan."""
    policy = draft.policy
    found = classify(want, seen, fleet=policy.name, now=draft.now, self_heal=policy.self_heal)
    name, reason = want.name, found.reason
    match found.verdict:
        case Verdict.UNKNOWN | Verdict.CONFLICTED | Verdict.IN_DOUBT:
            draft.leave(name, found.verdict, reason, blocked=True)
        case Verdict.GIVEN_UP | Verdict.HELD | Verdict.STALLED | Verdict.OVER_BUDGET | Verdict.REVERTED:
            if found.wait is not None:
                draft.waits.append(found.wait)
            draft.leave(name, found.verdict, reason, blocked=True)
        case Verdict.SUSPENDED:
            if seen is not None and not seen.suspended:
                draft.add(Verb.UPDATE, name, reason, after=after, changes=("suspend false → true",))
            draft.leave(name, found.verdict, reason)
        case Verdict.MISSING:
            _plan_create(draft, want, after)
        case Verdict.DRIFTED:
            assert seen is not None
            _plan_replace(draft, want, seen, reason, after)
        case Verdict.UNRECORDED:
            assert seen is not None
            _plan_record(draft, want, seen, reason, after)
        case Verdict.UNWANTED:
            draft.add(Verb.STOP, name, reason, after=after)
            draft.live -= 1
        case Verdict.OVERDUE:
            assert seen is not None
            _plan_end_of_stalled(draft, want, seen, reason, after)
        case Verdict.OVERSPENT:
            assert seen is not None
            _plan_end_of_spender(draft, want, seen, reason, after)
        case Verdict.REVERTING:
            assert seen is not None
            _plan_revert(draft, want, seen, reason, after)
        case Verdict.OUTDATED:
            assert seen is not None
            changes = _in_place_changes(want, seen)
            draft.add(Verb.UPDATE, name, reason, after=after, changes=changes)
        case Verdict.FAILED | Verdict.HALTED:
            assert seen is not None
            _plan_start(draft, want, reason, after)
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


def _plan_create(draft: _Draft, want: Desired, after: tuple[int, ...]) -> None:
    if want.stopped:
        draft.add(Verb.CREATE, want.name, "no deployment holds this name; declared stopped", after=after)
        return
    gate = _gate(draft, want)
    if gate.waits:
        draft.add(Verb.CREATE, want.name, f"no deployment holds this name; it waits: {gate.waits}", after=after)
        if gate.verdict is Verdict.OVER_BUDGET:
            draft.leave(want.name, gate.verdict, gate.waits, blocked=True)
        return
    number = draft.add(Verb.CREATE, want.name, "no deployment holds this name", after=(*after, *gate.more), starts=True)
    _count_start(draft, want.name, number, gate)


def _plan_start(draft: _Draft, want: Desired, reason: str, after: tuple[int, ...], *, replaces: bool = False,
                reverts: str = "", changes: tuple[str, ...] = ()) -> None:  # fmt: skip
    gate = _gate(draft, want)
    if gate.waits:
        _leave_waiting(draft, want, gate, gate.verdict, reason if replaces else "")
        return
    number = draft.add(
        Verb.START, want.name, reason, after=(*after, *gate.more), starts=True, replaces=replaces, reverts=reverts,
        changes=changes,
    )  # fmt: skip
    _count_start(draft, want.name, number, gate)


def _plan_replace(draft: _Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
    changes = diff_specs(seen.spec, want.spec) or (reason,)
    goal = want.spec.get("goal") or {}
    if changes == ("goal (changed)",) and goal.get("file"):
        reason = f"{goal['file']} changed since it was deployed"
    elif all(change.startswith("workload.") for change in changes):
        reason = f"its workload {want.workload} changed since it was deployed"
    if seen.phase is RunPhase.RUNNING:
        # What waits for something else first keeps its old run until then: a gap helps nobody.
        gate = _gate(draft, want, replacing=True)
        if gate.waits:
            verdict = gate.verdict if gate.verdict is Verdict.OVER_BUDGET else Verdict.DRIFTED
            _leave_waiting(draft, want, gate, verdict, reason)
            return
        number = draft.add(Verb.STOP, want.name, reason, after=after, replaces=True, changes=changes)
        draft.live -= 1
        after = (number,)
    _plan_start(draft, want, reason, after, replaces=True, changes=changes)


def _leave_waiting(draft: _Draft, want: Desired, gate: _Gate, verdict: Verdict, change: str) -> None:
    """Leave what its gate holds back; `change` is why it would be replaced, "" where it would only be started."""
    reason = f"{change}; it waits: {gate.waits}" if change and not gate.blocked else gate.waits
    draft.leave(want.name, verdict, reason, blocked=gate.blocked)


def _plan_revert(draft: _Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
    assert seen.kept is not None, "whoever reverts knows to what"
    back = stand_in(want, seen.kept)
    cause = f"{reason}; {short(want.digest)} is held, and {short(back.digest)}, the last healthy one, runs instead"
    changes = diff_specs(seen.spec, back.spec)
    _plan_start(draft, back, cause, after, replaces=True, reverts=reason, changes=changes)


def _plan_record(draft: _Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
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


def _plan_end_of_stalled(draft: _Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
    number = draft.add(Verb.STOP, want.name, reason, after=after, stalled=True)
    draft.live -= 1
    if want.on_stalled == "restart" or can_revert(want, seen):
        ended = replace(seen, phase=RunPhase.STOPPED, recorded=True, ended_at=draft.now, exit_text="it stalled")
        _plan_pair(draft, want, replace(ended, failures=failures_after(want, ended)), (number,))


def _plan_end_of_spender(draft: _Draft, want: Desired, seen: Observed, reason: str, after: tuple[int, ...]) -> None:
    number = draft.add(Verb.STOP, want.name, f"its budget is spent: {reason}", after=after, overspent=seen.overrun)
    draft.live -= 1
    if seen.digest != want.digest:
        ended = replace(seen, phase=RunPhase.ENDED, recorded=True, overrun="", over_budget=seen.overrun)
        _plan_pair(draft, want, replace(ended, ended_at=draft.now, failures=failures_after(want, ended)), (number,))


@dataclass(frozen=True, slots=True)
class _Gate:
    """What a start waits for ("" for nothing), whether a person has to act; what it follows, and what it may use."""

    waits: str = ""
    blocked: bool = False
    verdict: Verdict = Verdict.HALTED
    more: tuple[int, ...] = ()
    answer: Answer | None = None


def _gate(draft: _Draft, want: Desired, *, replacing: bool = False) -> _Gate:
    more: list[int] = []
    for dependency in want.depends_on:
        found = _outlook(draft, dependency)
        if found.reason:
            return _Gate(found.reason, found.never)
        if dependency.name in draft.starting:
            more.append(draft.starting[dependency.name])
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


def _outlook(draft: _Draft, dependency: Dependency) -> Outlook:
    """Tell how a dependency stands; what this plan starts anew has yet to meet it."""
    name, condition = dependency.name, dependency.condition
    if name in draft.starting:
        return HOLDS if condition == "Started" else Outlook(f"{name} is not {condition} yet")
    return outlook(
        dependency, draft.want.get(name), draft.seen.get(name), stuck=draft.stuck.get(name, ""),
        fleet=draft.policy.name, now=draft.now, self_heal=draft.policy.self_heal,
    )  # fmt: skip


def _note_stuck(draft: _Draft, want: Desired) -> None:
    """Remember why a deployment will not be started, for those that depend on it."""
    found = (_outlook(draft, needed) for needed in want.depends_on)
    reason = next((o.reason for o in found if o.never), "")
    if reason:
        draft.stuck[want.name] = reason


def _count_start(draft: _Draft, name: str, number: int, gate: _Gate) -> None:
    draft.starting[name] = number
    if draft.purse is not None and gate.answer is not None:
        draft.purse.reserve(name, gate.answer.caps)
        draft.notes += gate.answer.warnings
    draft.live += 1
    draft.starts += 1


def _in_place_changes(want: Desired, seen: Observed) -> tuple[str, ...]:
    changes = list(diff_specs(seen.spec, want.spec))
    for kind, old, new in (
        ("labels", seen.labels, want.labels),
        ("annotations", seen.annotations, want.annotations),
    ):
        changes.extend(
            f"{kind}.{key} {old.get(key, 'none')} → {new.get(key, 'none')}"
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key)
        )
    return tuple(changes)


def _plan_removals(draft: _Draft, gone: list[str], removals: Removals) -> None:
    condemned: list[str] = []
    strangers = [name for name in gone if name in removals.elsewhere]
    if strangers:
        folders = sorted({removals.elsewhere[name] for name in strangers})
        draft.notes.append(
            f"left alone: {', '.join(strangers)}, applied from {', '.join(folders)} as fleet {draft.policy.name} too. "
            "For two fleets, give this folder a Fleet with another metadata.name; if it replaces that folder, "
            "pass --prune"
        )
    for name in gone:
        if name in removals.elsewhere:
            draft.leave(name, Verdict.ORPHANED, f"it was applied from {removals.elsewhere[name]}")
            continue
        found = classify(None, draft.seen[name], fleet=draft.policy.name, now=draft.now)
        if found.verdict is not Verdict.ORPHANED:
            draft.leave(name, found.verdict, found.reason, blocked=True)
        elif removals.refusal:
            reason = f"{found.reason}; {removals.refusal}"
            draft.leave(name, found.verdict, reason, blocked=not removals.partial)
        else:
            condemned.append(name)
    allowed = _max_deletions(
        draft.policy.max_deletions, sum(1 for o in draft.seen.values() if o.fleet == draft.policy.name)
    )
    if len(condemned) > allowed and not removals.unlimited:
        share = draft.policy.max_deletions
        limit = f"{len(condemned)} removals, and the fleet's sync.maxDeletions of {share} allows {allowed}"
        advice = "raise it in the Fleet, or remove some by name with --only NAME --prune"
        for name in condemned:
            draft.leave(name, Verdict.ORPHANED, f"no manifest declares it; {limit}", blocked=True)
        draft.notes.append(f"nothing is removed: {limit}; {advice}")
        return
    _note_moves(draft, condemned)
    # Whoever depends on a deployment goes before it; a dependent is known by the spec as applied.
    waiting: dict[str, list[int]] = {}  # name -> the deletions of those that depend on it
    for name in reversed(by_dependency({n: draft.seen[n] for n in condemned})):
        seen = draft.seen[name]
        number = draft.add(
            Verb.DELETE, name, f"{removals.cause}; deletionPolicy is {seen.deletion_policy}",
            after=tuple(waiting.get(name, ())), needs_consent=True,
        )  # fmt: skip
        for before in _dependencies(seen):
            waiting.setdefault(before, []).append(number)


def _dependencies(seen: Observed) -> set[str]:
    return {str(d.get("name")) for d in seen.spec.get("dependsOn", ())}


def _max_deletions(limit: str, declared: int) -> int:
    if limit.endswith("%"):
        return max(1, int(declared * float(limit[:-1]) / 100))
    return int(limit)


def _note_moves(draft: _Draft, condemned: list[str]) -> None:
    """Point out a deletion and a creation that look like one thing renamed."""
    created = [a.name for a in draft.actions if a.verb is Verb.CREATE]
    for old in condemned:
        for new in created:
            if draft.seen[old].digest == draft.want[new].digest:
                draft.notes.append(
                    f"{new} has the spec of {old}: to keep its identity and history, give {new} renamedFrom: [{old}]"
                )
