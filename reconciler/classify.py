"""
The ladder: desired and observed of one deployment → the one situation they are in.

Pure. The order of the rungs is the policy: a rung may rely on everything above it being false. Reorder only
with a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model.desired import RESTARTED_AT
from reconciler.model.finding import Finding, Verdict
from reconciler.model.observed import RunPhase, short

if TYPE_CHECKING:
    from reconciler.model.desired import Desired
    from reconciler.model.observed import Observed

IN_PLACE = "the manifest changed in fields that need no restart"
LOOK_AT_USAGE = 5.0  # seconds until a run that has a budget is worth another look


def classify(want: Desired | None, seen: Observed | None, *, fleet: str, now: float, self_heal: bool = True) -> Finding:
    """Name the one situation this pair is in. At least one of the two is given."""
    # A record we cannot read may hide a live process: acting on a guess could run it twice.
    if seen is not None and (seen.doubt or seen.phase is RunPhase.UNREACHABLE):
        doubt = seen.doubt or "its engine cannot say whether it runs"
        return Finding(Verdict.UNKNOWN, f"{doubt}; nothing is done on its account (see `haymaker doctor`)")
    if seen is not None and seen.fleet != fleet:
        from shlex import quote  # for this one text

        there, folder = (f" from {seen.root}", quote(seen.root)) if seen.root else ("", "DIR")
        return Finding(
            Verdict.CONFLICTED,
            f"fleet {seen.fleet} deployed it{there}, and all fleets of one home share their names: rename this one, "
            f"or first delete that one (`haymaker delete -f {folder} --only {seen.name}`)",
        )
    if want is None:
        assert seen is not None, "nothing desired and nothing observed"
        # The declaration that protected it is gone; the protection was copied into state and is not.
        if seen.protect:
            fix = "to delete it, apply its manifest with protect: false first"
            return Finding(Verdict.PROTECTED, f"no manifest declares it, and protect: true was applied; {fix}")
        return Finding(Verdict.ORPHANED, "no manifest declares it")
    if want.suspend:
        return Finding(Verdict.SUSPENDED, "suspend: true")
    if seen is None:
        return Finding(Verdict.MISSING, "no deployment holds this name")
    if seen.phase is RunPhase.RUNNING:
        return _classify_live(want, seen, now=now)
    if seen.phase is not RunPhase.NONE and not seen.recorded:
        return Finding(Verdict.UNRECORDED, f"its run ended ({seen.ending}) and that is not on record yet")
    if want.stopped:
        # Nothing runs, so a new spec needs no stop and no start: it is taken over for the next start.
        if seen.digest != want.digest or differs_in_place(want, seen):
            return Finding(Verdict.OUTDATED, what_differs(want, seen, "the manifest changed; it stays stopped"))
        return Finding(Verdict.IDLE, "stopped as declared")
    if seen.digest != want.digest:
        return _classify_drift(want, seen)
    return _classify_resting(want, seen, now=now, self_heal=self_heal)


def _classify_live(want: Desired, seen: Observed, *, now: float) -> Finding:
    if want.stopped:
        return Finding(Verdict.UNWANTED, "desiredState is stopped and it runs")
    if seen.overrun:
        return Finding(Verdict.OVERSPENT, f"{seen.overrun}, and it goes on")
    if seen.overtime:
        return Finding(Verdict.OVERTIME, seen.overtime)
    if seen.digest != want.digest:
        if want.strategy == "OnCompletion":
            return Finding(Verdict.WAITING_FOR_END, "the manifest changed; OnCompletion lets this run end first")
        return _classify_drift(want, seen)
    if differs_in_place(want, seen) or seen.suspended:
        return Finding(Verdict.OUTDATED, what_differs(want, seen, IN_PLACE))
    if seen.stalled:
        verdict = Verdict.STALLED if want.on_stalled == "report" else Verdict.OVERDUE
        return Finding(verdict, f"{seen.stalled}; run.onStalled is {want.on_stalled}")
    waits = [] if seen.stalls_at is None else [max(0.0, seen.stalls_at - now)]
    waits += [LOOK_AT_USAGE] if seen.capped else []
    wait = min(waits, default=None)
    if want.instead_of:
        runs = f"{short(seen.digest)}, the last healthy one, runs instead"
        return Finding(Verdict.REVERTED, f"{short(want.instead_of)} is held ({seen.held_why}); {runs}", wait=wait)
    return Finding(Verdict.SETTLED, "running as declared", wait=wait)


def differs_in_place(want: Desired, seen: Observed) -> bool:
    """Tell whether something differs that needs no restart; a digest that is no longer held is such a thing."""
    return seen.settings != want.settings or seen.held != want.instead_of or bool(seen.record_fault)


def what_differs(want: Desired, seen: Observed, changed: str) -> str:
    """Say `changed`, unless all there is to do is to write the state record."""
    same = (seen.digest, seen.settings, seen.held) == (want.digest, want.settings, want.instead_of)
    only_record = same and seen.record_fault and not seen.suspended
    return f"its state record {seen.record_fault}: it is written again" if only_record else changed


def _classify_drift(want: Desired, seen: Observed) -> Finding:
    asked = want.annotations.get(RESTARTED_AT) != seen.annotations.get(RESTARTED_AT)
    if want.strategy == "Manual" and not asked:
        return Finding(Verdict.HELD, "the manifest changed; update.strategy is Manual")
    if asked:
        return Finding(Verdict.DRIFTED, "a restart was asked for")
    return Finding(Verdict.DRIFTED, f"{want.source.file} changed since it was deployed")


def _classify_resting(want: Desired, seen: Observed, *, now: float, self_heal: bool) -> Finding:
    """The declared generation is the deployed one, nothing is alive, and the last end is on record."""
    heals = self_heal or seen.stopped  # stopped → running is the manifest's change, not the world's
    if want.instead_of and seen.kept_missing:
        gone = f"{short(seen.digest)}, the last healthy one, can no longer be had: {seen.kept_missing}"
        return Finding(Verdict.GIVEN_UP, f"{short(want.instead_of)} is held ({seen.held_why}), and {gone}")
    if seen.phase is RunPhase.NONE:
        return Finding(Verdict.HALTED, "it was never started")
    if seen.stalled and not seen.stopped:
        if want.on_stalled != "restart":
            return _give_up(want, seen, Verdict.STALLED, f"it was stopped: {seen.stalled}")
    elif seen.phase is RunPhase.STOPPED:
        if not heals:
            return Finding(Verdict.HELD, "it was stopped, and the fleet's selfHeal is off")
        return Finding(Verdict.HALTED, "it is stopped and desiredState is running")
    if seen.phase is RunPhase.LOST and not want.service and want.side_effects == "external":
        return Finding(
            Verdict.IN_DOUBT,
            "nobody saw how its run ended, and run.sideEffects is external; to run it again, set the annotation "
            f"{RESTARTED_AT}",
        )
    if not needs_another_run(want, seen):
        if differs_in_place(want, seen) or seen.suspended:
            return Finding(Verdict.OUTDATED, what_differs(want, seen, IN_PLACE))
        return Finding(Verdict.COMPLETED, _how_it_ended(seen))
    # The same caps again would be spent again; a period's are another matter, and the purse's.
    budget = want.spec.get("budget") or {}
    if seen.over_budget and budget == (seen.spec.get("budget") or {}) and budget.get("period", "run") == "run":
        return Finding(Verdict.OVER_BUDGET, f"{seen.over_budget}; raise its budget, or set {RESTARTED_AT} to try again")
    if not self_heal:
        return Finding(Verdict.HELD, f"its run ended ({seen.ending}), and the fleet's selfHeal is off")
    # A program that never started had no effect: without anything to go back to, it is tried for as long as declared.
    if seen.failures > want.backoff_limit and (not seen.start_failed or can_revert(want, seen)):
        failed = f"{seen.failures} failed runs, run.backoffLimit is {want.backoff_limit}; the last: {seen.ending}"
        return _give_up(want, seen, Verdict.GIVEN_UP, failed)
    delay = want.backoff.delay(seen.failures) if seen.failures else 0.0
    until = (seen.ended_at or 0.0) + delay
    wait = until - now
    if 0.0 < wait <= 2 * delay:  # an end further ahead is of a clock that was wrong: nobody could wait for it
        from datetime import UTC, datetime  # for this one reason

        again = datetime.fromtimestamp(until, UTC).strftime("%H:%M:%SZ")
        reason = f"its run ended ({seen.ending}), failure {seen.failures}; no new start before {again}"
        return Finding(Verdict.BACKING_OFF, reason, wait=wait)
    return Finding(Verdict.FAILED, f"its run ended ({seen.ending})")


def can_revert(want: Desired, seen: Observed) -> bool:
    """Tell whether there is a healthy digest to go back to, should the manifest's come to nothing."""
    return want.auto_revert and not want.instead_of and bool(seen.fallback) and not seen.kept_missing


def _give_up(want: Desired, seen: Observed, verdict: Verdict, reason: str) -> Finding:
    """The end of a digest: back to the last healthy one where its manifest asks for that, else `verdict`."""
    if can_revert(want, seen):
        return Finding(Verdict.REVERTING, reason)
    if want.instead_of:
        reason += f"; it ran instead of {short(want.instead_of)}, which had failed before it"
    elif want.auto_revert:
        missing = f"{short(seen.fallback)}, the last healthy one, can no longer be had: {seen.kept_missing}"
        reason += f"; {missing}" if seen.fallback else "; there is no digest before it that was healthy and is kept"
    return Finding(verdict, reason)


def needs_another_run(want: Desired, seen: Observed) -> bool:
    """Tell whether the restart policy asks for a successor to the run that ended; a stopped run is no matter of it."""
    if seen.start_failed or seen.stalled:
        return True
    if seen.phase is RunPhase.LOST:  # in doubt, and classify has let it through: it may run again
        return True
    match want.restart_policy:
        case "Always":
            return True
        case "OnFailure":
            return not seen.succeeded or seen.goal_met is False
        case _:
            return False


def failures_after(want: Desired, seen: Observed) -> int:
    """
    Count consecutive failures once the run that just ended is on record.

    A run longer than backoff.maxDuration was healthy, unless it stalled: counting starts again. A service that ends
    has failed, whatever its exit code; a task has failed by its exit code or its checks.
    """
    lasted = (seen.ended_at or 0.0) - (seen.started_at or 0.0)
    failed = want.service or not seen.succeeded or seen.goal_met is False
    if not failed:
        return 0
    if seen.over_budget:  # no fault of its own
        return max(1, seen.failures)
    if seen.started_at is not None and lasted > want.backoff.max_duration and not seen.stalled:
        return 1
    return seen.failures + 1


def _how_it_ended(seen: Observed) -> str:
    if seen.goal_met is None:
        return f"finished ({seen.ending})"
    failed = f"it ended ({seen.ending})" + ("" if seen.says_check else " and its checks failed")
    return "its checks passed" if seen.goal_met else failed
