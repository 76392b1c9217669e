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
    said = eventually(lambda: (said := world.apply()).out.count("recorded") and said)
    assert "recorded knots: exit code 0; not kept: out/shut (Permission denied)\n" in said.out
    assert [path.name for path in world.home.glob("runs/*/*/artifacts/out/*")] == ["ok"]
    assert "nothing to do" in world.apply().out
    world.delete()
    assert not list((world.home / "agents").iterdir())


def test_a_check_that_takes_the_shim_along_decides_nothing_and_leaves_nothing_running(world, hostile):
    """The first check ends the shim, which is its parent, once; the second is what was under way meanwhile."""
    once = f"test -e {world.ledger}/once || {{ touch {world.ledger}/once; kill -9 $PPID; }}; sleep 0.2"
    checks = [{"name": "harms", "command": ["sh", "-c", once]}, {"name": "good", "command": ["true"]}]
    hostile("job", "exit 0", success={"checks": checks})
    world.apply()
    failed = eventually(lambda: (said := world.apply(code=None)).code and said)
    assert "failed record job: nobody saw how the check harms ended" in failed.err
    assert "recorded job: exit code 0, all checks passed" in world.apply().out


def test_a_check_whose_pass_and_shim_were_killed_is_ended_by_a_delete(world, hostile):
    stays = f"touch {world.ledger}/up; exec sleep 1000"
    hostile("job", "exit 0", success={"checks": [{"name": "stays", "command": ["sh", "-c", stays]}]})
    world.apply()
    eventually(lambda: "the next pass records it" in world.run("status", "job").out)
    apply = world.popen("apply", "-f", str(world.manifests))
    eventually((world.ledger / "up").exists)
    apply.kill()
    apply.communicate()
    world.kill(world.shim)
    assert len(world.everybody()) >= 1
    world.delete()
    assert not world.everybody()


def test_what_a_goal_says_does_not_steer_the_terminal(world):
    goal = "# G\n\n```sh\ntrue\n```\n\n## Success Criteria\n\n- it \033]0;pwned\007\033[2Jpasses\n\n"
    goal += "  ```sh\n  exit 1\n  ```\n"
    world.write("goals/g.md", goal)
    world.declare("job", "goal-agent", goal={"file": "goals/g.md"}, run={"mode": "task"})
    said = [world.apply("--wait", code=None), world.run("status", "job"), world.run("why", "job"), world.run("events")]
    said.append(world.run("apply", "-f", "no\033[2Jwhere"))
    assert ", failed: it  ]0;pwned  [2Jpasses" in said[0].out
    assert not [one for one in said if "\033" in one.out + one.err or "\007" in one.out + one.err]
