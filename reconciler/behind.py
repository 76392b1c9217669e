"""
What keeps deployments from being what their manifests ask for, once a pass is over. Pure.

The manifests are read by passes alone, so whoever looks afterwards knows it from what the pass left in the inventory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.classify import classify
from reconciler.model.finding import LeftAlone, Verdict
from reconciler.model.outcome import OutcomeStatus
from reconciler.model.plan import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.inventory import Entry
    from reconciler.model.observed import Observed
    from reconciler.model.outcome import Outcome
    from reconciler.passes import Pass

# What is left alone for one of these is not what its manifest asks for.
_BEHIND = frozenset({Verdict.INVALID, Verdict.PROTECTED, Verdict.ORPHANED, Verdict.HELD, Verdict.HALTED}) | {
    Verdict.DRIFTED, Verdict.WAITING_FOR_END, Verdict.UNRESOLVED,
}  # fmt: skip
_AFTER_FAILURE = {Verb.DELETE: Verdict.ORPHANED, Verb.UPDATE: Verdict.OUTDATED}
NOBODY: Mapping[str, Observed] = {}


def find_behind(
    done: Pass, outcomes: Iterable[Outcome] = (), recorded: Mapping[str, Observed] = NOBODY
) -> dict[str, Mapping[str, Any]]:
    """
    Map each deployment that the pass decided about to what its entry is to say of it, {} where it agrees.

    Without `outcomes` all that is planned is taken to succeed. `recorded` are those whose end the pass put on record,
    as they are since. What is in doubt, and what another folder or a file that was not read may declare, is not in it.
    """
    if done.request.delete:
        return {}
    found: dict[str, Mapping[str, Any]] = {action.name: {} for action in done.plan.actions}
    for item in done.plan.left:
        if item.verdict is Verdict.UNKNOWN or _may_be_declared_elsewhere(done, item):
            found.pop(item.name, None)
        elif item.verdict in _BEHIND or _is_kept_by_its_budget(done, item):
            found[item.name] = {"verdict": item.verdict.value, "reason": item.reason, "blocked": item.blocked}
        else:
            found.setdefault(item.name, {})
    for action in done.plan.actions:
        if action.waits and not found.get(action.name):
            found[action.name] = {"verdict": Verdict.HALTED.value, "reason": action.waits, "blocked": False}
    for outcome in outcomes:
        if outcome.status in (OutcomeStatus.FAILED, OutcomeStatus.TIMED_OUT):
            found[outcome.action.name] = _after_failure(done, outcome)
    for name in recorded.keys() - {action.name for action in done.plan.actions if action.starts}:
        # What a run had used, or what its checks would say, the plan could not know.
        if not found[name] and (refusal := _refusal_now(done, name, recorded[name])):
            found[name] = {"verdict": Verdict.OVER_BUDGET.value, "reason": refusal, "blocked": True}
    return found


def find_changes(
    done: Pass,
    entries: Mapping[str, Entry],
    outcomes: Iterable[Outcome] = (),
    recorded: Mapping[str, Observed] = NOBODY,
) -> dict[str, Mapping[str, Any]]:
    """Give those of `find_behind` whose entry says something else."""
    fleet = done.plan.fleet
    return {
        name: behind
        for name, behind in find_behind(done, outcomes, recorded).items()
        if (entry := entries.get(name)) is not None and entry.fleet == fleet and not _same(entry.behind, behind)
    }


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    # The figures in a budget's refusal move with every run of the fleet, and are looked at anew by whoever looks.
    return old == new or old.get("verdict") == new.get("verdict") == Verdict.OVER_BUDGET


def _may_be_declared_elsewhere(done: Pass, item: LeftAlone) -> bool:
    if item.verdict not in (Verdict.ORPHANED, Verdict.PROTECTED):
        return False
    return done.loaded.single_file or (item.verdict is Verdict.ORPHANED and not item.blocked)


def _is_kept_by_its_budget(done: Pass, item: LeftAlone) -> bool:
    """Tell whether a budget keeps a start back, for whatever reason it is due; one that spent its own is at rest."""
    if item.verdict is not Verdict.OVER_BUDGET:
        return False
    return _verdict(done, item.name, done.seen.get(item.name)) is not Verdict.OVER_BUDGET


def _refusal_now(done: Pass, name: str, seen: Observed) -> str:
    """Say why its budget allows no start that is due, "" where none is due or it does."""
    want = done.in_force.get(name)
    if want is None or done.purse is None or _verdict(done, name, seen) is not Verdict.FAILED:
        return ""
    return done.purse.admit(name, want.spec.get("budget") or {}, formerly=want.renamed_from).refusal


def _verdict(done: Pass, name: str, seen: Observed | None) -> Verdict:
    fleet = done.loaded.fleet
    return classify(done.in_force.get(name), seen, fleet=fleet.name, now=done.began, self_heal=fleet.self_heal).verdict


def _after_failure(done: Pass, outcome: Outcome) -> Mapping[str, Any]:
    """Say what an action that failed left undone, {} where its run tells of it."""
    action = outcome.action
    entry, want = done.inventory.entries.get(action.name), done.in_force.get(action.name)
    if action.verb in _AFTER_FAILURE:
        verdict = _AFTER_FAILURE[action.verb]
    elif entry is not None and want is not None and entry.digest != want.digest:
        verdict = Verdict.DRIFTED
    elif entry is not None and entry.run is None:
        verdict = Verdict.FAILED
    else:
        return {}
    return {"verdict": verdict.value, "reason": f"{action.verb} failed: {outcome.message}", "blocked": False}
