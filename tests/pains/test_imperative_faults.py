"""The faults of the existing imperative tool, in the order in which they are listed: none of them here."""

from __future__ import annotations

import json
import sys

import pytest
from support.roll import can_roll_pids, innocent_in_place_of


def test_fault_1_a_stop_from_another_process_stops_and_a_cleanup_cleans_up(world):
    world.declare("web")
    world.apply()  # a process of its own, long gone when the next one stops the agent
    agent = world.one("web")
    world.declare("web", desiredState="stopped")
    world.apply()
    assert world.everybody() == []
    assert world.record("web")["status"] == "stopped"
    world.declare("web")
    world.apply()
    assert world.one("web").pid != agent.pid
    world.delete()
    assert world.everybody() == []
    world.check_exactly()


def test_fault_2_a_success_is_known_by_its_exit_whatever_the_log_says_last(world):
    for name, code in (("good", 0), ("bad", 1)):
        world.write(
            f"{name}/workload.yaml",
            f"""
            name: {name}
            version: "1"
            type: runtime
            command: [sh, -c, "echo 'Exit code: {1 - code}'; exit {code}"]
            """,
        )
        world.task(name, name)
    world.settle("good", "bad")
    assert {r["workload_name"]: r["status"] for r in world.records().values()} == {"good": "completed", "bad": "failed"}


@pytest.mark.skipif(not can_roll_pids(), reason="rolling pids takes root on Linux")
def test_fault_3_an_unrelated_process_under_a_reused_pid_does_not_count_as_running(world):
    world.declare("web")
    world.apply()
    with innocent_in_place_of(world, "web") as innocent:
        world.settle()
        assert world.one("web").pid != innocent.pid
        world.delete()
        assert innocent.poll() is None


@pytest.mark.parametrize(("workload", "status"), [("report", "completed"), ("fail", "failed")])
def test_fault_4_a_cleanup_works_from_the_end_of_a_run_and_leaves_no_record(world, workload, status):
    world.task("job", workload)
    world.settle("job")
    assert world.record("job")["status"] == status
    world.delete()
    assert world.records() == {}
    world.check_exactly()
    assert [line["event"] for line in world.history("job")] == ["ended", "removed"]


def test_fault_5_config_is_held_against_its_schema_and_a_misspelt_key_is_told(world):
    world.declare("web", config={"size": 99})
    world.write(
        "typo/workload.yaml",
        f"""
        name: typo
        version: "1"
        type: runtime
        entrypont: "nowhere:Class"
        command: [{sys.executable}, -c, pass]
        """,
    )
    said = world.apply(code=65)
    assert "web.yaml" in said.err
    assert "size" in said.err
    assert "99" in said.err
    assert "entrypont" in said.err
    assert "entrypoint" in said.err
    assert world.agents() == []
    world.declare("web")
    world.apply()
    assert world.apply("--strict", code=65)


def test_fault_6_an_unreadable_record_is_doubt_and_never_an_agent_that_is_not_there(world):
    world.declare("web")
    world.apply()
    agent = world.one("web")
    path = world.record_path("web")
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    world.declare("web", config={"size": 2})
    said = world.apply(code=5)
    assert f"state/{path.name}" in said.out
    world.delete(code=5)
    assert world.one("web").pid == agent.pid
    assert path.read_text() == whole[: len(whole) // 2]  # kept for a person
    path.write_text(whole)
    assert "replaced web" in world.apply().out


def test_fault_6_a_goal_is_found_beside_its_manifest_wherever_the_command_runs(world):
    world.write("goals/goal.md", "# A goal\n\n```sh\necho hello > hello.txt\n```\n")
    world.task("job", "goal-agent", goal={"file": "goals/goal.md"})
    (world.folder / "goals").mkdir()
    (world.folder / "goals" / "goal.md").write_text("# another goal, beside the caller\n")
    world.apply("--wait", "--timeout", "120s")
    workspace = world.home / "agents" / world.entries()["job"]["id"]
    assert (workspace / "prompt.md").read_text().startswith("# A goal\n")
    assert (workspace / "hello.txt").exists()


@pytest.mark.parametrize("value", ["1", 1.5, True, None])
def test_fault_6_a_value_is_typed_by_its_schema_and_not_guessed(world, value):
    world.declare("web", config={"size": value})
    said = world.apply(code=65)
    assert "size" in said.err
    assert world.agents() == []


def test_fault_6_events_of_another_process_are_seen(world):
    world.declare("web")
    world.apply()
    said = world.run("events", "-o", "jsonl")
    assert said.code == 0, str(said)
    events = [json.loads(line) for line in said.out.splitlines()]
    assert any(e.get("name") == "web" and "deployed web" in json.dumps(e) for e in events), said.out
