"""examples/agents: what is shown for each sdk and each provider loads, says what is missing, and works."""

from __future__ import annotations

import pytest
import yaml
from model_server.fixtures import serve as serve
from support.fixtures import world as world

from goal_agent.recipes import AGENTS, KEY, follow

NAMES = sorted(path.stem for path in AGENTS.glob("*.yaml"))
EXTRAS = {"claude": "claude", "copilot": "copilot", "microsoft": "microsoft"}


def test_there_is_one_for_each_sdk_and_each_provider():
    specs = [yaml.safe_load((AGENTS / f"{name}.yaml").read_text())["spec"] for name in NAMES]
    assert {spec["config"]["sdk"] for spec in specs} == {"script", "claude", "copilot", "microsoft", "mini"}
    providers = {e["value"] for spec in specs for e in spec.get("env", []) if e["name"] == "LLM_PROVIDER"}
    assert providers == {"anthropic", "openai", "azure_openai", "azure_ai_foundry"}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid_or_names_the_extra_that_is_missing(world, name):
    said = world.run("validate", "--strict", "-f", str(AGENTS / f"{name}.yaml"))
    if name in EXTRAS:
        assert (said.code, said.out.count("error:")) == (65, 1), str(said)
        assert f"fix: pip install 'agent-haymaker[{EXTRAS[name]}]'" in said.out
    else:
        assert said.code == 0, str(said)


def test_a_key_that_is_not_set_is_named_when_the_agent_is_to_start(world):
    said = world.run("apply", "-f", str(AGENTS / "mini-openai.yaml"), "--yes")
    assert said.code == 5
    assert "env OPENAI_API_KEY comes from the environment variable OPENAI_API_KEY, which is not set" in said.out
    assert "spec.env[1].valueFrom.env" in said.out


def test_the_script_needs_nothing(world):
    said = world.run("apply", "-f", str(AGENTS / "script.yaml"), "--yes", "--wait")
    assert said.code == 0, str(said)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("mini-")])
def test_a_recipe_of_mini_works_as_it_stands(world, serve, name):
    server = follow(name, world, serve)
    assert {request.key for request in server.requests} == {KEY}
