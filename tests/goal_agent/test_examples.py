"""What we show must load: the demo and every example, strictly, without a word of complaint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from reconciler.load import load

ROOT = Path(__file__).parents[2]
AGENTS = ROOT / "examples/agents"  # needs every SDK at once: test_recipes.py
EXAMPLES = sorted(p for p in (ROOT / "examples").iterdir() if list(p.glob("*.yaml")) and p != AGENTS)
FOLDERS = [ROOT / "manifests", *EXAMPLES]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_loads_strictly(folder):
    loaded = load(folder, home=None, strict=True)
    assert loaded.problems == ()
    assert loaded.desired


def test_the_demo_is_a_task_one_that_waits_for_it_and_a_service():
    desired = load(ROOT / "manifests", home=None).desired
    assert sorted(desired) == ["board", "log-analyst", "publisher"]
    assert desired["board"].service
    assert desired["log-analyst"].has_checks
    assert [(d.name, d.condition) for d in desired["publisher"].depends_on] == [("log-analyst", "GoalMet")]


def test_the_inline_goal_of_the_example_is_achieved(agent):
    manifest = yaml.safe_load((ROOT / "examples/hello/hello.yaml").read_text(encoding="utf-8"))
    agent.env["HAYMAKER_DEPLOYMENT"] = "hello"
    done = agent.run(manifest["spec"]["goal"]["inline"])
    assert done.closing == ["Goal achieved", "Exit code: 0"]
    assert (agent.folder / "output/hello.txt").read_text() == "Hello from hello\n"


def test_the_goal_of_the_docs_is_achieved(agent):
    docs = (ROOT / "docs/goals.md").read_text(encoding="utf-8")
    goal = re.search(r"````markdown\n(.*?)````", docs, re.DOTALL)[1]
    (agent.folder / "inbox").mkdir()
    for name in ("a.png", "b.txt"):
        (agent.folder / "inbox" / name).touch()
    done = agent.run(goal)
    assert done.closing == ["Goal achieved", "Exit code: 0"]
    assert [check["status"] for check in done.result["checks"]] == ["passed", "passed", "not checked"]
