"""
The planner: what it plans, what it leaves alone, and what it refuses.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.desired import RESTARTED_AT
from reconciler.model.finding import Verdict
from reconciler.model.observed import RunPhase
from reconciler.model.outcome import Outcome, OutcomeStatus
from reconciler.model.plan import Verb
from reconciler.plan import make_plan
from reconciler.removals import Removals
from reconciler.report import outcomes_text, plan_json, plan_text, summarise
from tests.core.words import FLEET, NOW, desired, ended, observed

PRUNE = Removals(refusal="")


def plan(want=(), seen=(), *, policy=FLEET, **facts):
    return make_plan({w.name: w for w in want}, {s.name: s for s in seen}, policy=policy, now=NOW, **facts)


def verbs(made):
    return [(a.verb.value, a.name) for a in made.actions]


def left(made, name):
    return next(item for item in made.left if item.name == name)


def test_a_replacement_is_a_stop_and_a_start_that_waits_for_it():
    made = plan([desired(digest="1:b")], [observed()])
    assert verbs(made) == [("stop", "mailer"), ("start", "mailer")]
    assert made.actions[1].after == (1,)
    assert made.actions[0].changes == ("config.workers 10 → 25",)
    assert summarise(made).replace == 1


def test_what_ended_and_drifted_is_recorded_then_started_without_a_stop():
    made = plan([desired(digest="1:b")], [ended(recorded=False)])
    assert verbs(made) == [("record", "mailer"), ("start", "mailer")]


def test_a_dead_service_is_recorded_and_started_in_one_pass():
    want = desired(service=True, restart_policy="Always")
    made = plan([want], [ended(code=1, recorded=False, service=True, failures=0)])
    assert verbs(made) == [("record", "mailer"), ("start", "mailer")]


def test_a_task_with_checks_is_only_recorded_since_its_verdict_decides():
    want = desired(has_checks=True, restart_policy="OnFailure")
    assert verbs(plan([want], [ended(code=1, recorded=False, failures=0)])) == [("record", "mailer")]


def test_what_depends_on_a_start_follows_it():
    made = plan([desired("b", depends_on=["a"]), desired("a")])
    assert verbs(made) == [("create", "a"), ("create", "b")]
    assert made.actions[1].after == (1,)


@pytest.mark.parametrize(
    ("condition", "seen", "starts"),
    [
        ("Completed", observed("a"), False),
        ("Completed", ended("a"), True),
        ("Completed", ended("a", code=1), False),
        ("GoalMet", ended("a"), False),
        ("GoalMet", ended("a", goal_met=True), True),
        ("GoalMet", ended("a", goal_met=False), False),
        ("GoalMet", ended("a", goal_met=True, recorded=False), False),
        ("Started", observed("a"), True),
        ("Started", observed("a", RunPhase.NONE), True),  # this very plan starts it
        ("Completed", ended("a", digest="1:b"), False),
    ],
)
def test_a_start_waits_for_its_condition(condition, seen, starts):
    made = plan([desired("b", depends_on=[("a", condition)]), desired("a")], [seen])
    created = next(a for a in made.actions if a.name == "b")
    assert created.starts is starts


def test_a_condition_that_never_will_hold_wants_a_person():
    want = [desired("b", depends_on=[("a", "GoalMet")]), desired("a")]
    made = plan(want, [ended("a", goal_met=False), observed("b", RunPhase.NONE)])
    assert left(made, "b").blocked
    assert "a will not be GoalMet" in left(made, "b").reason


def test_nothing_is_removed_while_prune_is_off():
    made = plan([], [observed()])
    assert made.is_empty
    assert left(made, "mailer").verdict is Verdict.ORPHANED


def test_prune_removes_dependents_first_and_asks():
    seen = [observed("a"), observed("b", spec={"dependsOn": [{"name": "a"}]})]
    made = plan([], seen, removals=PRUNE, policy=replace(FLEET, max_deletions="100%"))
    assert verbs(made) == [("delete", "b"), ("delete", "a")]
    assert made.actions[1].after == (1,)
    assert all(a.needs_consent for a in made.actions)


@pytest.mark.parametrize(
    ("limit", "total", "gone", "allowed"),
    [("20%", 10, 2, True), ("20%", 10, 3, False), ("20%", 2, 1, True), ("1", 9, 2, False), ("0%", 5, 1, True)],
)
def test_more_removals_than_allowed_remove_nothing(limit, total, gone, allowed):
    seen = [observed(f"n{i}") for i in range(total)]
    want = [desired(f"n{i}") for i in range(gone, total)]
    made = plan(want, seen, removals=PRUNE, policy=replace(FLEET, max_deletions=limit))
    assert len(made.actions) == (gone if allowed else 0)
    assert bool(made.notes) is not allowed


def test_delete_is_not_held_back_by_max_deletions():
    made = plan([], [observed(f"n{i}") for i in range(9)], removals=Removals(refusal="", unlimited=True))
    assert len(made.actions) == 9


@pytest.mark.parametrize(
    ("had", "has", "cause"),
    [
        ({"workload": {"code": "1+a"}}, {"workload": {"code": "1+b"}}, "its workload worker changed"),
        ({"goal": {"sha256": "a"}}, {"goal": {"sha256": "b", "file": "goal.md"}}, "mailer.yaml changed"),
        ({"workload": {"code": "1+a"}, "config": {"x": 1}}, {"workload": {"code": "1+b"}}, "mailer.yaml changed"),
    ],
)
def test_a_replacement_names_the_file_or_the_workload_that_changed(had, has, cause):
    seen = replace(observed(digest="1:old"), spec=had)
    (action, *_) = plan([desired(digest="1:b", spec=has)], [seen]).actions
    assert action.cause == f"{cause} since it was deployed"


def test_another_fleets_deployment_is_no_orphan_of_ours():
    made = plan([], [observed(fleet="dev")], removals=PRUNE)
    assert made.is_empty
    assert not made.left


def test_a_rename_keeps_the_running_process():
    made = plan([desired("post", renamed_from=("mailer",))], [observed("mailer")], removals=PRUNE)
    assert verbs(made) == [("rename", "post")]
    assert made.actions[0].old_name == "mailer"


def test_a_rename_with_another_spec_renames_then_replaces():
    made = plan([desired("post", "1:b", renamed_from=("mailer",))], [observed("mailer")])
    assert verbs(made) == [("rename", "post"), ("stop", "post"), ("start", "post")]
    assert made.actions[1].after == (1,)


def test_two_that_claim_one_old_name_do_not_share_it():
    want = [desired("a", renamed_from=("old",)), desired("b", renamed_from=("old",))]
    assert verbs(plan(want, [observed("old")])) == [("rename", "a"), ("create", "b")]


def test_a_deletion_and_a_creation_with_equal_specs_are_pointed_out():
    made = plan([desired("post")], [observed("mailer")], removals=PRUNE)
    assert "renamedFrom: [mailer]" in made.notes[0]


def test_max_running_holds_back_what_would_be_too_many():
    made = plan([desired("a"), desired("b"), desired("c")], policy=replace(FLEET, max_running=2))
    assert [a.starts for a in made.actions] == [True, True, False]
    assert "limits.maxRunning is 2" in made.actions[2].waits


def test_max_running_does_not_block_a_replacement():
    made = plan([desired("a", "1:b")], [observed("a")], policy=replace(FLEET, max_running=1))
    assert verbs(made) == [("stop", "a"), ("start", "a")]


def test_max_starts_per_pass_spreads_a_large_start():
    made = plan([desired("a"), desired("b")], policy=replace(FLEET, max_starts_per_pass=1))
    assert [a.starts for a in made.actions] == [True, False]
    assert made.recheck_in == 0


def test_only_leaves_the_others_alone():
    made = plan([desired("a"), desired("b")], [observed("c")], removals=PRUNE, only={"b"})
    assert verbs(made) == [("create", "b")]


def test_a_broken_manifest_without_a_good_past_is_blocked():
    made = plan([], broken={"mailer": "its manifest is wrong"})
    assert left(made, "mailer").verdict is Verdict.INVALID
    assert summarise(made).blocked == 1


IN_PLACE = {"protect": True, "run": {"mode": "service", "backoffLimit": 3}, "desiredState": "running", "suspend": False}


@pytest.mark.parametrize(
    ("switch", "seen", "facts", "verb", "cause"),
    [
        ({"desiredState": "stopped"}, observed(), {"stopped": True}, "stop", "the manifest changed"),
        ({"desiredState": "running"}, observed(phase=RunPhase.STOPPED, recorded=True, stopped=True), {}, "start",
         "the manifest changed"),
        ({"suspend": True}, observed(), {"suspend": True}, "update",
         "the manifest changed in fields that need no restart"),
        ({}, ended(code=1, service=True), {}, "start", "its run ended (exit code 1)"),
        ({}, observed(overrun="$2 of $1 spent"), {}, "stop", "its budget is spent: $2 of $1 spent, and it goes on"),
        ({}, observed(), {"digest": "1:b"}, "stop", "mailer.yaml changed since it was deployed"),
    ],
)  # fmt: skip
def test_whatever_is_done_lists_every_field_that_is_taken_over_with_it(switch, seen, facts, verb, cause):
    """What apply takes over beside a stop, a start or a replacement is what a reviewer has to see; protection first."""
    was = {**IN_PLACE, **{key: {"stopped": "running", "running": "stopped"}.get(value, False)
                          for key, value in switch.items()}}  # fmt: skip
    seen = replace(seen, spec=was, labels={"x": "one"}, annotations={}, settings="before")
    spec = {**IN_PLACE, **switch, "protect": False, "run": {"mode": "service", "backoffLimit": 9}}
    want = desired(spec=spec, labels={"x": "two"}, annotations={"why": "tidy"}, service=True, restart_policy="Always",
                   **facts)  # fmt: skip
    action = plan([want], [seen]).actions[0]
    assert (action.verb.value, action.cause) == (verb, cause)
    switched = {f"{key} {str(was[key]).lower()} → {str(value).lower()}" for key, value in switch.items()}
    assert set(action.changes) == {
        "protect true → false", "run.backoffLimit 3 → 9", "labels.x one → two", "annotations.why none → tidy",
        *switched,
    }  # fmt: skip


def test_a_stop_does_not_list_what_only_a_later_start_takes_over():
    now = {"config": {"workers": 25, "word": "b"}, "inPlaceConfig": ["word"]}
    before = {"config": {"workers": 10, "word": "a"}, "inPlaceConfig": ["word"]}
    (action,) = plan([desired(digest="1:b", stopped=True, spec=now)], [observed(spec=before)]).actions
    assert action.changes == ("config.word a → b",)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_state_record_that_is_gone_is_written_again_and_no_manifest_is_blamed(stopped):
    phase = RunPhase.STOPPED if stopped else RunPhase.RUNNING
    seen = observed(phase=phase, recorded=stopped, record_fault="is missing")
    (action,) = plan([desired(stopped=stopped)], [seen]).actions
    assert (action.verb, action.changes) == (Verb.UPDATE, ())
    assert action.cause == "its state record is missing: it is written again"
    (action,) = plan([desired(stopped=stopped, settings="other")], [seen]).actions
    assert action.cause.startswith("the manifest changed")


def test_nothing_is_said_twice_in_a_line_or_beside_it():
    asked = desired(digest="1:c", spec=observed().spec, annotations={RESTARTED_AT: "today"})
    made = plan([asked, desired("new")], [observed()], unresolved={"new": "its TOKEN is not set"})
    assert plan_text(made).splitlines()[:3] == [
        "-/+ replace mailer  a restart was asked for: annotations.haymaker/restartedAt none → today",
        "  + create new      no deployment holds this name",
        "  ! blocked new     its TOKEN is not set",
    ]
    assert plan_json(made)["actions"][2]["waits"] == "its TOKEN is not set"


def test_suspending_is_recorded_and_touches_nothing():
    made = plan([desired(suspend=True)], [observed()])
    assert verbs(made) == [("update", "mailer")]
    assert plan([desired(suspend=True)], [observed(suspended=True)]).is_empty


def test_recheck_is_the_soonest_delay():
    want = [desired(n, restart_policy="OnFailure") for n in ("a", "b")]
    made = plan(want, [ended("a", code=1, ended_at=NOW - 3), ended("b", code=1, ended_at=NOW - 8)])
    assert made.recheck_in == pytest.approx(2.0)


def test_an_empty_plan_says_so():
    text = plan_text(plan([desired()], [observed()]))
    assert text.splitlines() == [
        "nothing to do",
        "Plan: 0 to create, 0 to change, 0 to replace, 0 to delete, 0 blocked.",
    ]


def test_numbers_count_from_one_and_point_backwards():
    want = [desired("a", "1:b"), desired("b", depends_on=["a"]), desired("c", renamed_from=("old",), digest="1:b")]
    made = plan(want, [observed("a"), observed("old"), observed("z")], removals=PRUNE)
    assert [a.number for a in made.actions] == list(range(1, len(made.actions) + 1))
    assert all(n < a.number for a in made.actions for n in a.after)
    assert {a.verb for a in made.actions} >= {Verb.STOP, Verb.START, Verb.CREATE, Verb.RENAME, Verb.DELETE}


@pytest.mark.parametrize(
    ("before", "seen", "reason"),
    [
        (desired("a"), ended("a", code=1), "a will not be GoalMet: its run ended (exit code 1, without checks)"),
        (desired("a", suspend=True), observed("a"), "a will not be GoalMet while it is suspended"),
        (desired("a", suspend=True), None, "a will not be GoalMet while it is suspended"),
        (desired("a", stopped=True), None, "a will not be GoalMet while its desiredState is stopped"),
        (desired("a", restart_policy="OnFailure"), ended("a", code=1, failures=4), "a will not be GoalMet: 4 failed"),
        (desired("a"), observed("a", RunPhase.LOST, recorded=True), "a will not be GoalMet: nobody saw how"),
        (desired("a", restart_policy="OnFailure"), ended("a", code=1), ""),
        (desired("a"), observed("a"), ""),
        (desired("a"), ended("a", recorded=False), ""),
        (desired("a", digest="1:b"), ended("a", code=1), ""),
    ],
)
def test_what_waits_for_what_will_not_come_is_blocked_down_the_line(before, seen, reason):
    want = [before, desired("b", depends_on=[("a", "GoalMet")]), desired("c", depends_on=["b"])]
    halted = [observed(name, RunPhase.NONE, attempt=0, started_at=None) for name in ("b", "c")]
    made = plan(want, [*([seen] if seen else []), *halted])
    b, c = left(made, "b"), left(made, "c")
    assert b.blocked is c.blocked is bool(reason)
    if reason:
        assert b.reason.startswith(reason)
        assert c.reason == f"b will not be Started: {b.reason}"


def test_what_was_applied_is_counted_as_it_was_planned():
    want = [
        desired("a", "1:b"), desired("new"), desired("c", depends_on=["new"]), desired("d", renamed_from=("old",)),
        desired("e", stopped=True), desired("f"),
    ]  # fmt: skip
    seen = [observed("a"), observed("old"), observed("e"), observed("z"), observed("f", settings="t")]
    made = plan(want, seen, removals=PRUNE)
    planned = str(summarise(made))
    assert planned == "Plan: 2 to create, 3 to change, 1 to replace, 1 to delete, 0 blocked."
    outcomes = [Outcome(a, OutcomeStatus.DONE) for a in made.actions]
    assert outcomes_text(outcomes) == "Applied: 2 created, 3 changed, 1 replaced, 1 deleted."
    half = {"a": OutcomeStatus.FAILED, "c": OutcomeStatus.SKIPPED}
    outcomes = [Outcome(a, half.get(a.name, OutcomeStatus.DONE)) for a in made.actions]
    assert outcomes_text(outcomes) == "Applied: 1 created, 3 changed, 0 replaced, 1 deleted, 1 failed, 1 skipped."
