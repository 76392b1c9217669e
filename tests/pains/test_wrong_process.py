"""Never the wrong process: whoever has the pid, whatever a record says, an innocent process lives."""

from __future__ import annotations

import json
import os

import pytest
from support.roll import can_roll_pids, innocent_in_place_of

from agent_haymaker import processes
from agent_haymaker.testing import eventually


@pytest.mark.skipif(not can_roll_pids(), reason="rolling pids takes root on Linux")
@pytest.mark.parametrize("way", ["stop", "replace", "delete"])
def test_a_recycled_pid_is_nobody_of_ours(world, way):
    world.declare("web")
    world.apply()
    with innocent_in_place_of(world, "web") as innocent:
        if way == "delete":
            world.delete()
        else:
            world.declare("web", **({"desiredState": "stopped"} if way == "stop" else {"config": {"size": 2}}))
            world.settle()
        assert innocent.poll() is None
        world.check_exactly(*(["web"] if way == "replace" else []))


def test_a_zombie_is_dead(world):
    """An agent whose parent does not reap it: its shim is stopped, so its end is unknown for as long."""
    import signal

    world.declare("web")
    world.apply()
    agent = world.one("web")
    shim = world.shim
    os.kill(shim, signal.SIGSTOP)
    try:
        os.kill(agent.pid, signal.SIGKILL)
        row = eventually(lambda: (r := processes.look(agent.pid)) is not None and r.dead and r)
        assert row.dead, "it never was a zombie"
        assert world.agents() == []
        assert processes.identify(agent.pid) is None
        said = world.apply(code=None)
        assert len(world.agents()) <= 1, str(said)
    finally:
        os.kill(shim, signal.SIGCONT)
    world.settle()
    world.check_exactly("web")


def test_one_that_ignores_sigterm_ends_after_its_grace(world):
    world.declare("web", "deaf", run={"terminationGracePeriod": "1s"})
    world.apply()
    eventually(lambda: world.lines("deaf"))
    world.declare("web", "deaf", desiredState="stopped", run={"terminationGracePeriod": "1s"})
    world.apply()
    world.check_exactly()
    assert world.entries()["web"]["run"]["exit_signal"] == 9


def identity(pid):
    found = processes.identify(pid)
    assert found is not None
    return {"pid": found.pid, "started": found.started, "boot": found.boot}


def edit_state(world, innocent):
    path = world.record_path("web")
    record = json.loads(path.read_text())
    record["metadata"]["agent_pid"] = innocent.pid
    record["metadata"]["haymaker"]["run"]["handle"]["token"].update(identity(innocent.pid))
    path.write_text(json.dumps(record))


def edit_inventory(world, innocent):
    """The checkpoint names the innocent, and the journal that would say otherwise is gone."""
    path = next((world.home / "fleets").glob("*.json"))
    record = json.loads(path.read_text())
    record["entries"]["web"][-1]["handle"]["token"].update(identity(innocent.pid))
    path.write_text(json.dumps(record))


def edit_claim(world, innocent):
    path = world.claim_path(world.one("web").run_id)
    head, spawned, *rest = path.read_text().splitlines()
    line = {**json.loads(spawned), **identity(innocent.pid)}
    path.write_text("\n".join([head, json.dumps(line), *rest]) + "\n")


def edit_both(world, innocent):
    edit_claim(world, innocent)
    edit_inventory(world, innocent)


def slow(*edits):
    return [pytest.param(edit, marks=pytest.mark.slow) for edit in edits]


@pytest.mark.parametrize("edit", [edit_both, *slow(edit_state, edit_inventory, edit_claim)])
@pytest.mark.parametrize("way", ["stop", "delete"])
def test_a_record_that_names_an_innocent_process_does_it_no_harm(world, edit, way):
    world.declare("web")
    world.apply()
    agent = world.one("web")
    innocent = world.stranger()
    eventually(lambda: processes.identify(innocent.pid))
    edit(world, innocent)
    if way == "stop":
        world.declare("web", desiredState="stopped")
        said = world.apply(code=None)
    else:
        said = world.delete(code=None)
    assert innocent.poll() is None, str(said)
    left = [a.pid for a in world.agents()]
    assert left in ([], [agent.pid]), str(said)
    # Either the right one was stopped, or a person is told and nothing was done.
    assert (left == []) == (said.code == 0), str(said)
    world.end()


@pytest.mark.parametrize("edit", [edit_both, *slow(edit_inventory, edit_claim)])
def test_a_record_that_names_an_innocent_process_starts_no_second_agent(world, edit):
    world.declare("web")
    world.apply()
    agent = world.one("web")
    innocent = world.stranger()
    eventually(lambda: processes.identify(innocent.pid))
    edit(world, innocent)
    for size in (1, 2):
        world.declare("web", config={"size": size})
        said = world.apply(code=None)
        assert innocent.poll() is None, str(said)
        assert len(world.agents("web")) == 1, str(said)
        world.check_once()
    assert world.one("web").pid == agent.pid or said.code == 0, str(said)
    world.end()


def test_an_innocent_that_carries_the_name_of_a_run_in_its_arguments_lives(world):
    world.declare("web")
    world.apply()
    run_id = world.one("web").run_id
    innocent = world.stranger("sleep", "60", HAYMAKER_DEPLOYMENT="web", NOTE=run_id)
    world.delete()
    assert innocent.poll() is None
    world.check_exactly()
