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
    world.write("sweeper/skills/dusting/list.txt", "floor\n")
    assert "skills/dusting/list.txt (changed)" in world.apply("--wait", code=None).out
    eventually(lambda: health() == "Degraded", within=20)


@pytest.mark.slow
def test_the_nine_example_goals_are_met_as_a_fleet(world):
    world.run("apply", "-f", str(EXAMPLES), "--wait", "--yes", within=180)
    listed = world.run("list", "-o", "json").json["items"]
    assert {item["name"]: item["health"] for item in listed} == dict.fromkeys(
        sorted(path.stem for path in EXAMPLES.glob("*.md")), "Healthy"
    )
    assert world.run("delete", "-f", str(EXAMPLES), "--yes").code == 0
