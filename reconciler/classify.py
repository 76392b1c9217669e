"""
The ladder: desired and observed of one deployment → the one situation they are in.

Pure. The order of the rungs is the policy: a rung may rely on everything above it being false. Reorder only
with a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model import Finding, RunPhase, Verdict

if TYPE_CHECKING:
    from reconciler.model import Desired, Observed

RESTARTED_AT = "haymaker/restartedAt"


def classify(want: Desired | None, seen: Observed | None, *, fleet: str, now: float, self_heal: bool = True) -> Finding:
    """Name the one situation this pair is in. At least one of the two is given."""
    # A record we cannot read may hide a live process: acting on a guess could run it twice.
    if seen is not None and (seen.doubt or seen.phase is RunPhase.UNREACHABLE):
        doubt = seen.doubt or "its engine cannot say whether it runs"
        return Finding(Verdict.UNKNOWN, f"{doubt}; nothing is done on its account")
    if seen is not None and seen.fleet != fleet:
        there = f" from {seen.root}" if seen.root else ""
        return Finding(
            Verdict.CONFLICTED,
            f"fleet {seen.fleet} deployed it{there}, and all fleets of one home share their names: rename this one, "
            f"or first delete that one (`haymaker delete -f {seen.root or 'DIR'} --only {seen.name}`)",
        )
    if want is None:
        assert seen is not None, "nothing desired and nothing observed"
        # The declaration that protected it is gone; the protection was copied into state and is not.
        if seen.protect:
            return Finding(Verdict.PROTECTED, "no manifest declares it, and protect: true was applied")
        return Finding(Verdict.ORPHANED, "no manifest declares it")
    if want.suspend:
        return Finding(Verdict.SUSPENDED, "suspend: true")
    if seen is None:
        return Finding(Verdict.MISSING, "no deployment holds this name")
    if seen.phase is RunPhase.RUNNING:
        return _classify_live(want, seen, now=now)
    if seen.phase is not RunPhase.NONE and not seen.recorded:
        return Finding(Verdict.UNRECORDED, f"its run ended ({seen.exit_text}) and that is not on record yet")
    if want.stopped:
        # Nothing runs, so a new spec needs no stop and no start: it is taken over for the next start.
        if seen.digest != want.digest or seen.settings != want.settings:
            return Finding(Verdict.OUTDATED, "the manifest changed; it stays stopped")
        return Finding(Verdict.IDLE, "stopped as declared")
    if seen.digest != want.digest:
        return _classify_drift(want, seen)
    return _classify_resting(want, seen, now=now, self_heal=self_heal)


def _classify_live(want: Desired, seen: Observed, *, now: float) -> Finding:
    if want.stopped:
        return Finding(Verdict.UNWANTED, "desiredState is stopped and it runs")
    if seen.digest != want.digest:
        if want.strategy == "OnCompletion":
            return Finding(Verdict.WAITING_FOR_END, "the manifest changed; OnCompletion lets this run end first")
        return _classify_drift(want, seen)
    if seen.settings != want.settings or seen.suspended:
        return Finding(Verdict.OUTDATED, "the manifest changed in fields that need no restart")
    if seen.stalled:
        verdict = Verdict.STALLED if want.on_stalled == "report" else Verdict.OVERDUE
        return Finding(verdict, f"{seen.stalled}; run.onStalled is {want.on_stalled}")
    wait = None if seen.stalls_at is None else max(0.0, seen.stalls_at - now)
    return Finding(Verdict.SETTLED, "running as declared", wait=wait)


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
    if seen.phase is RunPhase.NONE:
        return Finding(Verdict.HALTED, "it was never started")
    if seen.stalled and not seen.stopped:
        if want.on_stalled != "restart":
            return Finding(Verdict.STALLED, f"it was stopped: {seen.stalled}")
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
        if seen.settings != want.settings or seen.suspended:
            return Finding(Verdict.OUTDATED, "the manifest changed in fields that need no restart")
        return Finding(Verdict.COMPLETED, _how_it_ended(seen))
    # The same caps again would be spent again; a period's are another matter, and the purse's.
    budget = want.spec.get("budget") or {}
    if seen.over_budget and budget == (seen.spec.get("budget") or {}) and budget.get("period", "run") == "run":
        return Finding(Verdict.OVER_BUDGET, f"{seen.over_budget}; raise its budget, or set {RESTARTED_AT} to try again")
    if not self_heal:
        return Finding(Verdict.HELD, f"its run ended ({seen.exit_text}), and the fleet's selfHeal is off")
    # A program that never started had no effect: it is tried for as long as it is declared.
    if seen.failures > want.backoff_limit and not seen.start_failed:
        return Finding(
            Verdict.GIVEN_UP,
            f"{seen.failures} failed runs, run.backoffLimit is {want.backoff_limit}; the last: {seen.exit_text}",
        )
    delay = want.backoff.delay(seen.failures) if seen.failures else 0.0
    wait = (seen.ended_at or 0.0) + delay - now
    if 0.0 < wait <= 2 * delay:  # an end further ahead is of a clock that was wrong: nobody could wait for it
        return Finding(Verdict.BACKING_OFF, f"its run ended ({seen.exit_text}), failure {seen.failures}", wait=wait)
    return Finding(Verdict.FAILED, f"its run ended ({seen.exit_text})")


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
    if seen.goal_met is not None:
        return "its checks passed" if seen.goal_met else f"it ended ({seen.exit_text}) and its checks failed"
    return f"finished ({seen.exit_text})"
