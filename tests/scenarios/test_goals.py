"""Goals as deployments, with the real CLI and the real goal agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_haymaker.testing import eventually

EXAMPLES = Path(__file__).parents[2] / "examples/goals"

PROMPT = """\
name: sweeper
version: "1"
type: prompt
goal: {file: sweep.md}
"""
GOAL = """\
# Sweep

## Goal

Sweep as dusting says.

## Steps

```sh
cat skills/dusting/SKILL.md skills/dusting/list.txt > swept.txt
```

## Success Criteria

- Everything was swept: `grep -q shelf swept.txt`
"""


def test_a_prompt_runs_with_the_skills_beside_its_goal_and_again_when_one_changes(world):
    world.write("sweeper/workload.yaml", PROMPT)
    world.write("sweeper/sweep.md", GOAL)
    world.write("sweeper/skills/dusting/SKILL.md", "---\nname: dusting\ndescription: How to dust.\n---\nGently.\n")
    world.write("sweeper/skills/dusting/list.txt", "shelf\n")
    world.task("hall", "sweeper")

    def health() -> str:
        return world.run("status", "hall", "-o", "json").json["health"]

    world.apply("--wait")
    assert health() == "Healthy"
    told = world.record("hall")["metadata"]
    assert told["agent_dir"] == str(world.home / "agents" / world.record("hall")["deployment_id"])
    assert (told["sdk"], type(told["agent_pid"])) == ("script", int)
    world.write("sweeper/skills/dusting/list.txt", "floor\n")
    assert "skills/dusting/list.txt (changed)" in world.apply("--wait", code=None).out
    eventually(lambda: health() == "Degraded")


DUSTY = "# Dust\n\nDust it.\n\n```sh\n{step}\n```\n\n## Success criteria\n\n- It is clean: `test -s clean`\n"
BLOCK = """
apiVersion: haymaker/v1
kind: Deployment
metadata: {name: block}
spec:
  workload: goal-agent
  goal:
    inline: |
      # Dust

      Dust it.

      ```python
      assert 1 == 2, "dusty"
      ```
"""


def test_what_failed_of_a_goal_is_told_with_the_place_where_its_author_finds_it(world):
    world.write("house/goals/dust.md", DUSTY.format(step="true"))
    file = world.task("job", "goal-agent", goal={"file": "goals/dust.md"})
    file.rename(file.parent / "house/job.yaml")
    world.task("quoted", "goal-agent", goal={"inline": DUSTY.format(step="true")})
    world.write("block.yaml", BLOCK)
    applied = world.apply("--wait", code=3)
    quoted = f"quoted.yaml:{world.line_of('quoted', 'inline')} spec.goal.inline:11"
    for name, place in (("job", "house/goals/dust.md:11"), ("quoted", quoted), ("block", "block.yaml:13")):
        told = [world.run(*command, name).out for command in (("status",), ("why",), ("runs",), ("logs",), ("events",))]
        told.append(applied.err)
        assert all(place in out for out in told), told
        assert not any("prompt.md" in out for out in told), told
    assert "(house/goals/dust.md:11)\n    exit code 1" in world.run("status", "job").out
    assert 'File "block.yaml", line 13, in <module>\n    assert 1 == 2, "dusty"\n' in world.run("logs", "block").out


@pytest.mark.slow
def test_what_failed_is_told_once_in_a_line(world):
    named = {"name": "file", "file": {"path": "none"}}
    world.task("job", "goal-agent", goal={"inline": DUSTY.format(step="true")})
    world.task("more", "goal-agent", goal={"inline": DUSTY.format(step="true")}, success={"checks": [named]})
    world.task("step", "goal-agent", goal={"inline": DUSTY.format(step="false")}, success={"checks": [named]})
    said = world.apply("--wait", code=3).out
    commands = [(c, n) for c in ("status", "why", "runs", "events", "logs") for n in ("job", "more", "step")]
    lines = [line for command in commands for line in world.run(*command).out.splitlines()]
    lines += said.splitlines()
    assert not [line for line in lines if max(map(line.count, ("clean: ", "failed: file"))) > 1]
    assert "recorded job: exit code 1: 1 of 1 check failed: It is clean: `test -s clean` (" in said
    assert "exit code 1), also failed: file\n" in said
    assert "exit code 1: Dust it, failed: file, It is clean: `test -s clean`\n" in said
    assert "not met: file  " in world.run("runs", "more").out
    assert world.run("why", "job").out.count("and its checks failed") == 0
    assert "Dust it) and its checks failed" in world.run("why", "step").out


@pytest.mark.slow
def test_the_nine_example_goals_are_met_as_a_fleet(world):
    world.run("apply", "-f", str(EXAMPLES), "--wait", "--yes", within=180)
    listed = world.run("list", "-o", "json").json["items"]
    assert {item["name"]: item["health"] for item in listed} == dict.fromkeys(
        sorted(path.stem for path in EXAMPLES.glob("*.md")), "Healthy"
    )
    assert world.run("delete", "-f", str(EXAMPLES), "--yes").code == 0
