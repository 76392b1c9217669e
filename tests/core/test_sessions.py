"""What a plan says where an agent cannot go on with its session."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.words import FLEET, NOW, desired, observed
from reconciler.model.observed import RunPhase
from reconciler.plan import make_plan
from reconciler.sessions import session_notes

EMPTY = "its session is not resumed: a new generation of a task begins in an empty workspace"


def notes(want, seen) -> list[str]:
    plan = make_plan({"mailer": want}, {"mailer": seen}, policy=FLEET, now=NOW)
    assert any(action.starts for action in plan.actions)
    return session_notes(plan, {"mailer": want}, {"mailer": seen})


def agent(sdk: str, goal: str = "g", digest: str = "1:a", **facts):
    return replace(desired(digest=digest, **facts), spec={"config": {"sdk": sdk}, "goal": {"sha256": goal}})


def was(sdk: str, goal: str = "g", phase: RunPhase = RunPhase.STOPPED, **facts):
    facts = {"recorded": phase is not RunPhase.RUNNING, "ended_at": NOW - 5, **facts}
    return replace(observed(phase=phase, **facts), spec={"config": {"sdk": sdk}, "goal": {"sha256": goal}})


@pytest.mark.parametrize(
    ("want", "seen", "said"),
    [
        pytest.param(agent("mini"), was("mini"), "", id="a stopped agent goes on in its session"),
        pytest.param(agent("script"), was("script"), "sdk script has no session to resume: its steps begin again",
                     id="steps have no session"),
        pytest.param(agent("claude", digest="1:b"), was("claude", phase=RunPhase.RUNNING), EMPTY,
                     id="a task that is replaced begins with nothing"),
        pytest.param(agent("claude", digest="1:b", service=True), was("claude", phase=RunPhase.RUNNING), "",
                     id="a service keeps its workspace and its session"),
        pytest.param(agent("claude", "h", "1:b", service=True), was("claude", phase=RunPhase.RUNNING),
                     "its session is not resumed: its goal changed", id="a session belongs to one goal"),
        pytest.param(agent("copilot", digest="1:b", service=True), was("claude", phase=RunPhase.RUNNING),
                     "its session is not resumed: its sdk changed", id="and to one sdk"),
        pytest.param(desired(digest="1:b"), observed(), "", id="any other program has none to lose"),
    ],
)  # fmt: skip
def test_a_plan_says_what_is_begun_anew(want, seen, said):
    assert notes(want, seen) == ([f"mailer: {said}"] if said else [])
