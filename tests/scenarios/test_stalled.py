"""Alive is not progress: what a run that stalls is called, and what is done about it. Real CLI, real agents."""

from __future__ import annotations

import re

import pytest

from agent_haymaker.testing import eventually

DEADLINE = {"progressDeadline": "1s", "terminationGracePeriod": "5s", "backoff": {"duration": "0s"}}


def standing(world, name: str) -> tuple[str, str]:
    status = world.run("status", name, "-o", "json").json
    return status["health"], status["message"]


def stalled(world, name: str) -> str:
    def message() -> str:
        health, text = standing(world, name)
        return text if health == "Stalled" else ""

    return eventually(message)


def test_a_silent_run_is_stalled_wherever_one_looks_and_no_look_writes(world):
    world.task("quiet", "stay", run=DEADLINE)
    world.declare("server", "stay")  # silent by nature: a service is watched only where it says so
    world.apply()
    agent = world.one("quiet")
    told = stalled(world, "quiet")
    assert told == "no progress within its run.progressDeadline of 1s: it is silent"
    before = world.snapshot()
    assert "Stalled" in world.run("list").out
    why = world.run("why", "quiet").out
    assert f"Stalled: {told}; run.onStalled is report" in why
    assert world.run("status", "--exit-status").code == 3
    assert world.run("wait", "quiet", "--for", "health=Stalled").code == 0
    hopeless = world.run("wait", "quiet")
    assert (hopeless.code, told in hopeless.err) == (1, True), str(hopeless)
    assert world.snapshot() == before
    assert standing(world, "server")[0] == "Healthy"
    assert "1 blocked" in world.apply().out
    assert world.one("quiet") == agent


def test_steps_are_progress_and_the_same_call_again_is_not(world):
    world.task("busy", "step", run=DEADLINE)
    world.task("lost", "loop", run=DEADLINE)
    world.apply()
    assert stalled(world, "lost").endswith("it repeats itself")
    eventually(lambda: standing(world, "busy")[0] == "Progressing")  # though it may pause, on a busy machine


def test_a_clock_that_is_set_forward_ends_nobody(world, tmp_path):
    world.task("quiet", "stay", run={"progressDeadline": "10m", "onStalled": "restart", "timeout": "1h"})
    world.apply()
    agent = world.one("quiet")
    asked = world.run("why", "quiet").out
    assert re.search(
        r"next +nothing, until its run ends, as long as it makes progress before 20\S+ \S+Z \(run\.p", asked
    )
    world.kill(world.shim)  # so that nobody but the pass keeps its timeout
    (tmp_path / "sitecustomize.py").write_text("import time\nreal = time.time\ntime.time = lambda: real() + 86400\n")
    tomorrow = {"PYTHONPATH": str(tmp_path)}
    status = world.run("status", "quiet", "-o", "json", **tomorrow).json
    assert status["health"] == "Progressing", status
    assert "nothing to do" in world.apply(**tomorrow).out
    assert world.one("quiet") == agent


@pytest.mark.slow
def test_a_stalled_run_is_stopped_and_stays_so_until_its_manifest_changes(world):
    world.task("quiet", "stay", run={**DEADLINE, "onStalled": "stop"})
    world.apply()
    stalled(world, "quiet")
    assert "stopped quiet" in world.apply().out
    assert world.agents("quiet") == []
    health, text = standing(world, "quiet")
    assert (health, text.startswith("it was stopped: no progress")) == ("Stalled", True)
    assert "it is silent" in world.run("runs", "quiet").out
    assert "stopped quiet" not in world.apply().out
    assert world.starts("quiet") == 1
    world.task("quiet", "stay", config={"size": 2}, run={**DEADLINE, "onStalled": "stop"})
    world.apply()
    assert world.one("quiet")


def test_a_stalled_run_is_started_again_until_its_backoff_limit(world):
    world.task("quiet", "stay", run={**DEADLINE, "onStalled": "restart", "backoffLimit": 1})
    said = world.apply("--wait", "--timeout", "120s", code=None)
    assert said.code != 0, str(said)
    assert "2 failed runs, run.backoffLimit is 1" in said.err
    assert world.starts("quiet") == 2
    assert world.agents("quiet") == []
    world.check_once()


@pytest.mark.parametrize("policy", ["report", "stop"])
def test_a_wait_ends_when_a_run_stalls(world, policy):
    world.task("quiet", "stay", run={**DEADLINE, "onStalled": policy})
    said = world.apply("--wait", "--timeout", "120s", code=None)
    assert said.code not in (0, 4), str(said)
    assert "quiet: stalled: " in said.err
