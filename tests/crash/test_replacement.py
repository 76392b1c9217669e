"""A replacement that could not start is refused before it stops what runs."""

from __future__ import annotations

import pytest


def make_missing(world):
    world.declare("web", "missing")
    world.write(
        "workloads/missing/workload.yaml", 'name: missing\nversion: "1"\ntype: runtime\ncommand: [no-such-tool]\n'
    )


def want_a_secret(world):
    world.declare("web", env=[{"name": "KEY", "valueFrom": {"command": ["false"]}}])


def close_claims(world):
    world.declare("web", config={"size": 2})
    (world.home / "engines/local/runs").chmod(0o500)


def close_workspaces(world):
    world.declare("web", config={"size": 2})
    (world.home / "agents").chmod(0o500)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (make_missing, "'no-such-tool' is not on the agent's PATH"),
        (want_a_secret, "the command false, which failed"),
        (close_claims, "engines/local/runs: Permission denied"),
        (close_workspaces, "agents: Permission denied"),
    ],
)
def test_what_cannot_start_does_not_stop_what_runs(world, harm, told):
    world.plain = True
    world.declare("web")
    world.apply()
    before = world.one("web")
    harm(world)
    said = world.apply(code=1)
    assert told in said.err, str(said)
    assert "fix: " in said.err
    assert world.one("web").pid == before.pid
    assert "Healthy" in world.run("status", "web").out
    for folder in ("engines/local/runs", "agents"):
        (world.home / folder).chmod(0o700)
    world.declare("web", config={"size": 3})
    world.settle()
    world.check_exactly("web")
    assert world.starts("web") == 2
