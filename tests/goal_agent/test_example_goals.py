"""The goals of examples/goals: each is read as its golden files say, is achieved from nothing, and stays achieved."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from agent_haymaker.goals.commands import argv_of
from agent_haymaker.goals.place import Place
from haymaker_goal_agent import PromptAnalyzer
from haymaker_goal_agent.generate import make_bundle
from haymaker_goal_agent.models import DOMAINS
from haymaker_goal_agent.packager import files_of

EXAMPLES = Path(__file__).parents[2] / "examples/goals"
GOLDEN = Path(__file__).parent / "golden"
GOALS = sorted(EXAMPLES.glob("*.md"))
MANIFESTS = {item["metadata"]["name"]: item for item in yaml.safe_load_all((EXAMPLES / "deployments.yaml").read_text())}

each_goal = pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.stem)


@each_goal
def test_a_goal_is_read_as_its_golden_plan_says(goal):
    files = files_of(make_bundle(goal, place=Place(goal.name), name=goal.stem))
    assert files["prompt.md"] == goal.read_bytes()
    for name in ("plan.json", "README.md"):
        kept = GOLDEN / goal.stem / name
        if os.environ.get("GOLDEN"):
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(files[name])
        assert files[name] == kept.read_bytes(), "run `make golden`"


@each_goal
def test_every_list_item_under_its_heading_is_that_criterion(goal):
    section = goal.read_text(encoding="utf-8").partition("\n## Success Criteria\n")[2]
    items = [line.removeprefix("- ") for line in section.splitlines() if line.startswith("- ")]
    read = PromptAnalyzer().analyze(goal)
    assert [" ".join(criterion.split()) for criterion in read.success_criteria] == items
    assert read.notes == ()


def test_there_is_one_for_each_domain_and_a_deployment_for_each():
    domains = {goal.stem: PromptAnalyzer().analyze(goal).domain for goal in GOALS}
    assert sorted(domains.values()) == sorted(DOMAINS)
    assert {name: manifest["metadata"]["labels"]["domain"] for name, manifest in MANIFESTS.items()} == domains


@each_goal
def test_it_is_achieved_from_nothing_and_stays_so_when_the_agent_is_gone(agent, goal):
    agent.env.pop("HAYMAKER_SOURCE_DIR")
    done = agent.run(goal.read_bytes())
    assert done.closing == ["Goal achieved", "Exit code: 0"], done.log
    statuses = [check["status"] for check in done.result["checks"]]
    assert statuses.count("passed") >= 4
    assert set(statuses) <= {"passed", "not checked"}
    plan = json.loads((agent.folder / "plan.json").read_text(encoding="utf-8"))
    for check in (criterion["check"] for criterion in plan["criteria"] if criterion["check"]):  # as haymaker will
        argv = argv_of(check["language"], check["code"], check["line"])
        again = subprocess.run(argv, cwd=agent.folder, env=agent.env, capture_output=True, timeout=120)
        assert again.returncode == 0, (check["code"], again.stderr.decode())
