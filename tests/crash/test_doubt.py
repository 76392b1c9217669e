"""When nobody saw how a run ended: what may be run again is, what may have had effects waits for a person."""

from __future__ import annotations

import os
import time

import pytest

from agent_haymaker.testing import eventually


def lose(world, name):
    """Kill the shim, then the agent: nobody is left who could have seen its end."""
    agent = world.one(name)
    world.kill(world.shim)
    world.kill(agent.pid)


@pytest.mark.slow
def test_a_task_with_side_effects_whose_end_nobody_saw_is_in_doubt_and_is_not_started_again(world):
    world.declare("job", run={"mode": "task", "restartPolicy": "Always"})
    world.apply()
    lose(world, "job")
    world.apply(code=5)  # puts on record that it is lost
    said = world.apply(code=5)
    assert "! blocked job  nobody saw how its run ended, and run.sideEffects is external" in said.out
    world.check_exactly()
    assert world.starts("job") == 1
    # A person decides: a new generation runs.
    world.declare("job", run={"mode": "task", "restartPolicy": "Always"}, config={"size": 2})
    world.apply()
    world.check_exactly("job")


def test_a_task_without_side_effects_whose_end_nobody_saw_runs_again(world):
    world.task("job", "stay")
    world.apply()
    lose(world, "job")
    world.settle()
    world.check_exactly("job")
    assert world.starts("job") == 2


def test_a_service_whose_end_nobody_saw_is_healed(world):
    world.declare("web")
    world.apply()
    lose(world, "web")
    world.settle()
    world.check_exactly("web")


@pytest.mark.slow
def test_agents_outlive_their_shim_and_are_stopped_without_it(world):
    world.declare("web")
    world.apply()
    agent = world.one("web")
    world.kill(world.shim)
    assert "nothing to do" in world.apply().out
    assert world.one("web").pid == agent.pid
    world.declare("web", desiredState="stopped")
    world.apply()
    world.check_exactly()
    eventually(lambda: world.record("web")["status"] == "stopped")


def test_a_live_run_whose_claim_cannot_be_read_is_unknown_and_is_not_acted_on(world):
    world.declare("web")
    world.apply()
    agent = world.one("web")
    claim = world.claim_path(agent.run_id)
    kept = claim.read_bytes()
    claim.write_bytes(b"not a claim\n")
    os.utime(claim, (time.time(), time.time() + 60))  # as somebody's edit does it, later than the start
    said = world.run("status", "web")
    assert "health      Unknown" in said.out
    assert "web   Unknown  Unknown" in world.run("status").out
    assert f"{claim.name}: it holds a line that is not JSON" in said.out
    unknown = (
        f"! blocked web  claim file runs/{claim.name}: it holds a line that is not JSON; nothing is done on its account"
    )
    for shown in (world.plan(code=None), world.apply(code=5)):
        assert f"{unknown} (see `haymaker doctor`)" in shown.out
        assert "nothing to do" not in shown.out
    assert world.run("why", "web", "-o", "json").json["verdict"] == "Unknown"
    told = world.run("doctor")
    assert told.code == 1
    assert told.out.count(f"claim file runs/{claim.name}") == 1
    world.declare("web", config={"size": 2})
    assert "! blocked web  claim file" in world.apply(code=5).out
    assert "! blocked web  claim file" in world.delete(code=5).out
    assert world.one("web").pid == agent.pid
    claim.write_bytes(kept)
    world.settle()
    world.check_exactly("web")
    assert world.starts("web") == 2
