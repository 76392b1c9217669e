"""
What an agent does to its workspace and says of itself harms its own deployment at most: every run can be put on record,
every deployment deleted, and nobody's budget is paid back.
"""

from __future__ import annotations

import pytest

from agent_haymaker.testing import eventually


@pytest.fixture
def hostile(world):
    """Give what declares a task of this shell script."""

    def declare(name: str, script: str, **spec) -> None:
        world.write(
            f"workloads/{name}/workload.yaml",
            f'name: {name}\nversion: "1"\ntype: runtime\ncommand: [sh, ./run.sh]\n',
        )
        world.write(f"workloads/{name}/run.sh", script)
        world.task(name, name, **spec)

    return declare


def test_a_workspace_full_of_knots_is_recorded_and_deleted(world, hostile):
    script = "mkdir -p out/shut; ln -s self out/self; echo x > out/ok; echo x > out/shut/x; chmod 000 out/shut"
    hostile("knots", script, artifacts={"paths": ["out/**"]})
    world.plain = True
    world.apply()
    said = eventually(lambda: (said := world.apply()).out.count("recorded") and said, within=10)
    assert "recorded knots: exit code 0; not kept: out/shut (Permission denied)\n" in said.out
    assert [path.name for path in world.home.glob("runs/*/*/artifacts/out/*")] == ["ok"]
    assert "nothing to do" in world.apply().out
    world.delete()
    assert not list((world.home / "agents").iterdir())
