"""update.autoRevert: a digest that failed is held, and the last healthy one runs instead. Real CLI, real agents."""

from __future__ import annotations

import sys

import pytest
from support.world import AGENT

from agent_haymaker.testing import eventually

FRAIL = {"backoffLimit": 0, "backoff": {"duration": "0s"}, "terminationGracePeriod": "5s"}
AUTO = {"autoRevert": True}


@pytest.fixture
def world(world):
    """A world with a workload that lives for as long as its goal says so, and runs a program of its folder."""
    program = f"#!/bin/sh\ngrep -q well prompt.md || exit 7\nexec {sys.executable} -I -S {AGENT} stay\n"
    world.write("workloads/keen/run.sh", program)
    world.write(
        "workloads/keen/workload.yaml",
        """
        name: keen
        version: "1"
        type: runtime
        command: [sh, ./run.sh]
        config_schema:
          goal_file: {type: string, format: file}
          size: {type: integer, default: 1, min: 1, max: 9}
        """,
    )
    return world


def declare(world, goal: str = "be well", **spec):
    world.write("goal.md", goal + "\n")
    spec = {"goal": {"file": "goal.md"}, "update": AUTO, **spec}
    world.declare("web", "keen", run={**FRAIL, **spec.pop("run", {})}, **spec)


def until(world, word: str) -> str:
    """Apply until a pass says this; what it said."""

    def said() -> str:
        out = world.apply(code=None).out
        return out if word in out else ""

    return eventually(said)


def status(world) -> dict:
    return world.run("status", "web", "-o", "json").json


def kept(world) -> list[str]:
    return sorted(p.name for p in (world.home / "kept").glob("*/*"))


def test_the_last_healthy_goal_runs_until_the_manifest_has_another_digest(world):
    world.env["TOKEN"] = "hunter2-hunter2"
    env = [{"name": "TOKEN", "valueFrom": {"env": "TOKEN"}}]
    declare(world, env=env)
    world.apply()
    world.one("web")
    good = status(world)["digest"]
    declare(world, "be ill", env=env)
    told = until(world, "reverted web")
    bad = next(e["digest"] for e in world.history("web")[::-1] if e["digest"] != good)
    assert f"1 failed runs, run.backoffLimit is 0; the last: exit code 7; {bad[:14]} is held" in told
    agent = world.one("web")
    assert (agent.env["TOKEN"], (world.home / "agents" / status(world)["id"] / "prompt.md").read_text()) == (
        "hunter2-hunter2",
        "be well\n",
    )
    assert not [p for p in (world.home / "kept").rglob("*") if p.is_file() and b"hunter2" in p.read_bytes()]

    said = status(world)
    assert (said["health"], said["sync"], said["reason"], said["digest"]) == ("Degraded", "OutOfSync", "Reverted", good)
    ready = next(c for c in said["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Reverted")
    assert bad[:14] in ready["message"]
    assert good[:14] in ready["message"]
    assert "Reverted" in world.run("list").out
    assert f"Reverted: {bad[:14]} is held" in world.run("why", "web").out
    assert "reverted web to" in world.run("events", "-n", "1").out
    assert world.run("status", "--exit-status").code == 3
    assert world.run("wait", "web").code == 1

    assert f"! blocked web  {bad[:14]} is held" in world.apply().out
    assert world.apply("--wait", code=None).code == 3
    assert world.one("web") == agent

    declare(world, "be well again", env=env)
    assert "replaced web" in world.apply().out
    world.one("web")
    assert (status(world)["health"], status(world)["sync"]) == ("Healthy", "Synced")
    assert kept(world) == sorted(d.replace(":", "-") for d in (good, status(world)["digest"]))
    world.check_once()


@pytest.mark.slow
def test_what_runs_instead_is_stopped_started_and_kept_alive_like_any_other(world):
    declare(world)
    world.apply()
    world.one("web")
    declare(world, "be ill")
    until(world, "reverted web")
    starts = world.starts("web")
    declare(world, "be ill", desiredState="stopped")
    world.apply()
    assert world.agents("web") == []
    declare(world, "be ill", labels={"team": "field"}, run={"backoffLimit": 1})
    world.apply()
    world.kill(world.one("web").pid)
    until(world, "started web")
    assert world.one("web")
    assert world.starts("web") == starts + 2
    assert status(world)["labels"] == {"team": "field"}
    assert status(world)["reason"] == "Reverted"
    # Back at what runs: nothing is held any more, and no process is touched.
    agent = world.one("web")
    declare(world, labels={"team": "field"}, run={"backoffLimit": 1})
    assert "updated web" in world.apply().out
    assert world.one("web") == agent
    assert (status(world)["health"], status(world)["sync"]) == ("Healthy", "Synced")
    assert len(kept(world)) == 1


@pytest.mark.slow
def test_the_code_of_a_workload_that_changed_is_told_and_not_guessed(world):
    declare(world)
    world.apply()
    world.one("web")
    program = (world.manifests / "workloads/keen/run.sh").read_text()
    world.write("workloads/keen/run.sh", "exit 9\n")
    told = until(world, "can no longer be had")
    assert "the last: exit code 9; 1:" in told
    assert "workloads/keen/run.sh, of workload keen, has changed" in told
    assert world.agents("web") == []
    assert "has changed" in world.run("why", "web").out
    assert status(world)["health"] == "Degraded"
    world.write("workloads/keen/run.sh", program)
    world.apply()
    assert world.one("web")
    assert status(world)["sync"] == "Synced"


@pytest.mark.slow
def test_it_may_be_switched_on_when_it_is_needed_and_off_again(world):
    declare(world, update={})
    world.apply()
    agent = world.one("web")
    assert kept(world) == []
    declare(world)
    assert "updated web" in world.apply().out
    assert world.one("web") == agent
    assert len(kept(world)) == 1
    declare(world, "be ill")
    until(world, "reverted web")
    declare(world, "be ill", update={})
    assert "replaced web" in world.apply().out
    assert kept(world) == []
    until(world, "1 failed runs, run.backoffLimit is 0")
    assert world.agents("web") == []


@pytest.mark.slow
def test_a_digest_fails_too_by_making_no_progress(world):
    declare(world)
    world.apply()
    world.one("web")
    declare(world, config={"size": 2}, run={"progressDeadline": "100ms", "onStalled": "stop"})
    world.apply()
    world.one("web")
    assert "it is silent" in until(world, "reverted web")
    # What runs instead has the deadline of its manifest too: it stalls, and there is nothing left to go back to.
    assert "which had failed before it" in until(world, "it ran instead of")
    assert world.agents("web") == []
    world.check_once()
