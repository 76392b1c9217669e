"""
The ladder: each situation has one verdict, and the order of the rungs is the policy.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.classify import classify, failures_after, needs_another_run
from reconciler.model.desired import Backoff
from reconciler.model.finding import Finding, Verdict
from reconciler.model.observed import RunPhase
from tests.core.words import NOW, desired, ended, observed

WANT = desired()
STOPPED = desired(stopped=True)
SERVICE = desired(service=True, restart_policy="Always")
RETRIED = desired(restart_policy="OnFailure")
ENDS_STALLED = desired(on_stalled="stop")
RENEWS_STALLED = desired(on_stalled="restart")
HALTED = observed(phase=RunPhase.STOPPED, stalled="x", recorded=True, failures=1, ended_at=NOW - 30)


def verdict(want, seen, **facts) -> Finding:
    return classify(want, seen, fleet="prod", now=NOW, **facts)


@pytest.mark.parametrize(
    ("want", "seen", "expected"),
    [
        pytest.param(WANT, None, Verdict.MISSING, id="declared and nowhere to be seen"),
        pytest.param(WANT, observed(), Verdict.SETTLED, id="running as declared"),
        pytest.param(None, observed(), Verdict.ORPHANED, id="no manifest declares it"),
        pytest.param(None, observed(doubt="x"), Verdict.UNKNOWN, id="an unreadable record outranks being an orphan"),
        pytest.param(None, observed(protect=True), Verdict.PROTECTED, id="protection outlives its manifest"),
        pytest.param(WANT, observed(doubt="x"), Verdict.UNKNOWN, id="doubt outranks everything desired"),
        pytest.param(WANT, observed(fleet="dev"), Verdict.CONFLICTED, id="another fleet deployed it"),
        pytest.param(desired(suspend=True), None, Verdict.SUSPENDED, id="suspended before it existed"),
        pytest.param(desired(digest="1:b", suspend=True), observed(), Verdict.SUSPENDED, id="it outranks drift"),
        pytest.param(WANT, observed(phase=RunPhase.UNREACHABLE), Verdict.UNKNOWN, id="unreachable is never gone"),
        pytest.param(desired(digest="1:b"), observed(), Verdict.DRIFTED, id="the manifest changed"),
        pytest.param(desired(digest="1:b", strategy="OnCompletion"), observed(), Verdict.WAITING_FOR_END,
                     id="OnCompletion lets the run end"),
        pytest.param(desired(digest="1:b", strategy="OnCompletion"), ended(), Verdict.DRIFTED,
                     id="OnCompletion replaces once it ended"),
        pytest.param(desired(digest="1:b", strategy="Manual"), observed(), Verdict.HELD, id="Manual holds"),
        pytest.param(
            desired(digest="1:b", strategy="Manual", annotations={"haymaker/restartedAt": "now"}), observed(),
            Verdict.DRIFTED, id="Manual rolls out when a restart is asked for"),
        pytest.param(STOPPED, observed(), Verdict.UNWANTED, id="runs although declared stopped"),
        pytest.param(STOPPED, observed(phase=RunPhase.STOPPED, recorded=True), Verdict.IDLE, id="stopped as declared"),
        pytest.param(STOPPED, ended(digest="1:b"), Verdict.OUTDATED, id="a stopped one takes its new spec over"),
        pytest.param(WANT, observed(phase=RunPhase.STOPPED, recorded=True), Verdict.HALTED, id="stopped"),
        pytest.param(WANT, observed(phase=RunPhase.NONE), Verdict.HALTED, id="declared, and never started"),
        pytest.param(WANT, observed(settings="other"), Verdict.OUTDATED, id="only labels changed"),
        pytest.param(WANT, observed(stalled="x"), Verdict.STALLED, id="without progress: reported"),
        pytest.param(WANT, observed(digest="1:b", overrun="9 of 8 turns used"), Verdict.OVERSPENT,
                     id="beyond its budget: ended, whatever its manifest has become"),
        pytest.param(desired(digest="1:b", strategy="OnCompletion"), observed(overtime="x"), Verdict.OVERTIME,
                     id="past its timeout, which nobody else keeps: ended"),
        pytest.param(ENDS_STALLED, observed(stalled="x"), Verdict.OVERDUE, id="without progress: ended"),
        pytest.param(ENDS_STALLED, observed(stalled="x", settings="other"), Verdict.OUTDATED,
                     id="a new deadline counts before the old one does"),
        pytest.param(ENDS_STALLED, HALTED, Verdict.STALLED, id="what was stopped for it stays stopped"),
        pytest.param(ENDS_STALLED, replace(HALTED, stopped=True), Verdict.HALTED, id="until declared running anew"),
        pytest.param(RENEWS_STALLED, HALTED, Verdict.FAILED, id="without progress: another run"),
        pytest.param(RENEWS_STALLED, replace(HALTED, failures=4), Verdict.GIVEN_UP, id="which are counted"),
        pytest.param(WANT, observed(suspended=True), Verdict.OUTDATED, id="suspension lifted"),
        pytest.param(WANT, ended(recorded=False), Verdict.UNRECORDED, id="its end is not on record"),
        pytest.param(desired(digest="1:b"), ended(recorded=False), Verdict.UNRECORDED, id="recording precedes drift"),
        pytest.param(WANT, ended(), Verdict.COMPLETED, id="a finished task rests"),
        pytest.param(WANT, ended(code=1), Verdict.COMPLETED, id="a failed task rests too: the default is Never"),
        pytest.param(RETRIED, ended(), Verdict.COMPLETED, id="OnFailure rests after success"),
        pytest.param(RETRIED, ended(code=1), Verdict.FAILED, id="OnFailure runs again"),
        pytest.param(RETRIED, ended(goal_met=False), Verdict.FAILED, id="failed checks are a failure for OnFailure"),
        pytest.param(RETRIED, ended(code=1, ended_at=NOW - 1), Verdict.BACKING_OFF, id="not before its delay is over"),
        pytest.param(RETRIED, ended(code=1, failures=4), Verdict.GIVEN_UP, id="past the limit it is given up"),
        pytest.param(SERVICE, ended(service=True), Verdict.FAILED, id="a service that exits 0 is started again"),
        pytest.param(SERVICE, observed(phase=RunPhase.LOST, recorded=True, service=True), Verdict.FAILED,
                     id="a lost service is started again"),
        pytest.param(WANT, observed(phase=RunPhase.LOST, recorded=True), Verdict.IN_DOUBT,
                     id="a lost task with side effects waits for a person"),
        pytest.param(desired(side_effects="none"), observed(phase=RunPhase.LOST, recorded=True), Verdict.FAILED,
                     id="a lost task without side effects runs again"),
        pytest.param(RETRIED, ended(code=1, ended_at=NOW + 1), Verdict.BACKING_OFF, id="nor where the clock went back"),
        pytest.param(RETRIED, ended(code=1, ended_at=NOW + 9e7), Verdict.FAILED, id="but no end years ahead"),
        pytest.param(WANT, ended(start_failed=True, succeeded=False, failures=9, ended_at=NOW - 400), Verdict.FAILED,
                     id="what never started is tried for as long as it is declared"),
    ],
)  # fmt: skip
def test_each_pair_has_one_verdict(want, seen, expected):
    assert verdict(want, seen).verdict is expected


def test_self_heal_off_leaves_a_dead_service_alone():
    assert verdict(SERVICE, ended(service=True), self_heal=False).verdict is Verdict.HELD


def test_self_heal_off_still_starts_what_the_manifest_starts():
    seen = observed(phase=RunPhase.STOPPED, recorded=True, stopped=True)
    assert verdict(WANT, seen, self_heal=False).verdict is Verdict.HALTED


def test_every_verdict_says_why():
    for want, seen in [(WANT, None), (WANT, observed()), (None, observed()), (RETRIED, ended(code=1, failures=9))]:
        assert verdict(want, seen).reason


def test_backing_off_says_how_long():
    found = verdict(RETRIED, ended(code=1, ended_at=NOW - 4))
    assert found.wait == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("failures", "delay"), [(1, 10), (2, 20), (3, 40), (6, 300), (5000, 300)], ids=lambda v: str(v)
)
def test_the_delay_doubles_up_to_its_cap(failures, delay):
    assert Backoff().delay(failures) == delay


def test_no_failure_has_no_delay():
    with pytest.raises(ValueError, match="start at 1"):
        Backoff().delay(0)


def test_a_run_that_lasted_starts_the_count_again():
    long_run = ended(code=1, started_at=NOW - 1000, ended_at=NOW - 30, failures=3)
    assert failures_after(RETRIED, long_run) == 1


def test_success_clears_the_count_and_a_service_never_succeeds_by_ending():
    assert failures_after(WANT, ended(failures=2)) == 0
    assert failures_after(SERVICE, ended(failures=2)) == 3


def test_a_finished_task_needs_no_other_run():
    assert not needs_another_run(WANT, ended(code=1))
