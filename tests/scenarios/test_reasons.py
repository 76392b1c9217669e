"""Why an agent failed is in its result.json: `status`, `why` and `runs` tell it, whatever else stands in that file."""

from __future__ import annotations

import json

import pytest

from agent_haymaker.testing import eventually

SECRET = "hunter2-and-more"
TOLD = {"exit_code": 2, "reason": "the model quill\n\x1b[31mis unknown to @TOKEN@"}
SEEN = "the model quill [31mis unknown to [redacted]"


@pytest.fixture
def tellers(world):
    """Agents that leave something in result.json and end with exit code 2."""
    world.env["TOKEN"] = SECRET
    world.write(
        "teller/workload.yaml",
        """
        name: teller
        version: "1"
        command: [sh, ./tell.sh]
        """,
    )
    world.write("teller/tell.sh", """printf '%s' "$RESULT" | sed "s/@TOKEN@/$TOKEN/" > result.json; exit 2\n""")

    def declare(**results: str):
        for name, result in results.items():
            env = [{"name": "RESULT", "value": result}, {"name": "TOKEN", "valueFrom": {"env": "TOKEN"}}]
            world.task(name, "teller", env=env, run={"restartPolicy": "Never"})
        world.apply()
        eventually(lambda: not world.everybody())
        return world

    return declare


def test_the_reason_of_a_failure_is_told_before_and_after_it_is_on_record(tellers):
    world = tellers(job=json.dumps(TOLD))
    assert f"its run ended (exit code 2: {SEEN}); the next pass records it" in world.run("status", "job").out
    assert SEEN in world.run("runs", "job").out
    del world.env["TOKEN"]
    assert "its run ended (exit code 2); the" in world.run("status", "job").out, "its secret cannot be masked here"
    world.env["TOKEN"] = SECRET
    assert f"recorded job: exit code 2: {SEEN}" in world.apply().out
    del world.env["TOKEN"]
    assert f"its run failed (exit code 2: {SEEN})" in world.run("status", "job").out
    assert f"Completed: finished (exit code 2: {SEEN})" in world.run("why", "job").out
    assert world.run("status", "job", "-o", "json").json["run"]["reason"] == SEEN
    (item,) = world.run("runs", "job", "-o", "json").json["items"]
    assert item["reason"] == SEEN
    assert world.run("runs", "job").out.splitlines()[1].endswith(SEEN)
    assert not any(
        SECRET.encode() in content for path, (_, content) in world.snapshot().items() if "agents/" not in path
    )


def test_a_result_that_is_garbage_or_of_another_run_is_as_good_as_none(tellers):
    odd = {
        "cut": '{"exit_code": 2, "reas', "deep": "[" * 100_000, "number": "7", "none": "",
        "list": '{"exit_code": 2, "reason": ["x"]}', "stale": '{"exit_code": 1, "reason": "of before"}',
        "long": json.dumps({"exit_code": 2, "reason": "word " * 20_000}),
    }  # fmt: skip
    world = tellers(**odd)
    for _ in range(2):
        for name in odd:
            said = world.run("status", name)
            assert said.code == 0, str(said)
            assert ("(exit code 2)" in said.out) == (name != "long"), str(said)
            assert len(max(said.out.splitlines(), key=len)) < 400, str(said)
        world.apply()
