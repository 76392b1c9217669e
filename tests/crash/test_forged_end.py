"""Somebody writes into a record that a run is over, and it lives: the kernel is believed, and the record put right."""

from __future__ import annotations

import json

import pytest

END = {"recorded": True, "exit_code": 0, "exit_reason": "exited", "exit_text": "exit code 0", "ended_at": 1.8e9}


def forge_state_record(world):
    path = world.record_path("web")
    record = json.loads(path.read_text())
    record |= {"status": "completed", "phase": "completed", "completed_at": "2026-11-23T06:00:00+00:00"}
    record["metadata"]["haymaker"]["run"] |= END
    record["metadata"]["mine"] = "kept"
    path.write_text(json.dumps(record))


def forge_inventory(world, **changes):
    path = world.home / "fleets/field.json"
    record = json.loads(path.read_text())
    record["entries"]["web"][-1] |= END | changes
    path.write_text(json.dumps(record) + "\n")


@pytest.mark.parametrize("mode", ["service", "task"])
def test_an_end_forged_into_the_state_record_fools_nobody_and_does_not_stay(world, mode):
    world.fleet()
    world.declare("web", run={"mode": mode})
    world.apply()
    agent = world.one("web")
    forge_state_record(world)
    assert f"pid {agent.pid}" in world.run("status", "web").out
    assert world.run("list", "-o", "json").json["items"][0]["status"] == "running"
    said = world.apply()
    assert "~ update web  its state record is not as haymaker wrote it: it is written again" in said.out
    record = world.record("web")
    assert (record["status"], record["completed_at"], record["metadata"]["mine"]) == ("running", None, "kept")
    assert "run" in record["metadata"]["haymaker"]
    assert not record["metadata"]["haymaker"]["run"].get("recorded")
    assert "nothing to do" in world.apply().out
    assert world.one("web").pid == agent.pid
    world.check_exactly("web")


def test_a_state_record_of_another_shape_is_no_fault_and_is_written_again(world):
    world.declare("web")
    world.apply()
    path = world.record_path("web")
    whole = path.read_text()
    shapes = [
        lambda record: record.update(metadata="x"),
        lambda record: record["metadata"]["haymaker"].update(run=[], name=[]),
        lambda record: record["metadata"]["haymaker"]["run"].update(started_at=1e300),
        lambda record: record["metadata"]["haymaker"]["run"]["handle"].update(token=None),
    ]
    for change in shapes:
        record = json.loads(whole)
        change(record)
        path.write_text(json.dumps(record))
        said = world.run("status", "web")
        assert "health      Healthy" in said.out, str(said)
    world.apply()
    assert world.record("web")["metadata"]["haymaker"] == json.loads(whole)["metadata"]["haymaker"]
    world.check_exactly("web")


@pytest.mark.parametrize("mode", ["service", "task"])
def test_an_end_forged_into_the_inventory_starts_no_second_agent(world, mode):
    world.fleet()
    world.declare("web", run={"mode": mode})
    world.apply()
    agent = world.one("web")
    forge_inventory(world)
    for look in (("status", "web"), ("runs", "web"), ("list",)):
        assert "running" in world.run(*look).out
    assert "its record says that it is over" in world.run("doctor").out
    assert "its record said that its run is over; its agent is adopted" in world.apply().err
    assert "it is over" not in world.run("doctor").out
    assert world.one("web").pid == agent.pid
    world.check_exactly("web")


def test_a_forged_end_without_the_run_s_handle_is_doubt(world):
    world.fleet()
    world.declare("web")
    world.apply()
    agent = world.one("web")
    forge_inventory(world, handle=None)
    assert f"a process carries run {agent.run_id}, which its record says is over" in world.apply(code=5).out
    assert f"kill {agent.pid}" in world.run("doctor").out
    world.kill(agent.pid)
    world.apply()
    assert world.one("web").run_id != agent.run_id
    world.check_once()
