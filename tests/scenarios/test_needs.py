"""What an agent with a model needs, and what of it is not there, is told by `validate` and `plan`, before any start."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from agent_haymaker.llm.client import _PROVIDERS
from agent_haymaker.llm.config import Provider

HIDE = """
import sys

class Hidden:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {hidden}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden)
"""
KEY = {"name": "ANTHROPIC_API_KEY", "value": "x"}
ENDPOINT = {"name": "AZURE_OPENAI_ENDPOINT", "value": "https://name.openai.azure.com"}


def provider(name: str) -> dict[str, str]:
    return {"name": "LLM_PROVIDER", "value": name}


@pytest.mark.parametrize(
    ("hidden", "config", "env", "what", "fix"),
    [
        pytest.param(
            ["openai"], {"sdk": "mini"}, [provider("openai"), {"name": "OPENAI_MODEL", "value": "m"}],
            "'mini' with LLM_PROVIDER 'openai' needs the Python package openai, which is not installed",
            "pip install 'agent-haymaker[openai]'", id="a provider without its package",
        ),
        pytest.param(
            ["azure"], {"sdk": "mini"}, [provider("azure_openai"), ENDPOINT],
            "'mini' with LLM_PROVIDER 'azure_openai' needs the Python package azure.core, which is not installed",
            "pip install 'agent-haymaker[azure]'", id="a second package of a provider",
        ),
        pytest.param(
            ["anthropic"], {"sdk": "mini"}, [KEY],
            "'mini' with LLM_PROVIDER 'anthropic' needs the Python package anthropic, which is not installed",
            "pip install 'agent-haymaker[anthropic]'", id="the provider that nobody named",
        ),
        pytest.param(
            ["anthropic"], {"sdk": "mini", "plan_with_model": True},
            [{"name": "LLM_PROVIDER", "valueFrom": {"env": "HOME"}}],
            "", "", id="a provider that is only known at the start",
        ),
        pytest.param(
            [], {"sdk": "mini"}, [],
            "'mini' with LLM_PROVIDER 'anthropic' needs ANTHROPIC_API_KEY in its environment", "set one in spec.env",
            id="a key that is not given",
        ),
        pytest.param(
            [], {"sdk": "mini"}, [provider("opnai")],
            "'mini' knows no LLM_PROVIDER 'opnai'",
            "set one of anthropic, openai, azure_openai, azure_ai_foundry", id="no such provider",
        ),
        pytest.param([], {"sdk": "mini"}, [provider(""), KEY], "", "", id="all is there"),
    ],
)  # fmt: skip
def test_a_provider_is_looked_for_before_anything_starts(world, hidden, config, env, what, fix):
    (world.folder / "path").mkdir()
    (world.folder / "path" / "sitecustomize.py").write_text(HIDE.replace("{hidden}", repr(set(hidden) or {""})))
    world.env["PYTHONPATH"] = str(world.folder / "path")
    world.declare("job", "goal-agent", goal={"inline": "Make the folder tidy."}, config=config, env=env)
    validated, planned = world.run("validate", str(world.manifests)), world.plan(code=None)
    if not what:
        assert (validated.code, planned.code) == (0, 0), f"{validated}{planned}"
        return
    assert (validated.code, planned.code) == (65, 65), f"{validated}{planned}"
    for said in (validated.out, planned.err):
        (line,) = (line for line in said.splitlines() if "spec.config.sdk" in line)
        assert line.startswith(f"error: {world.manifests}/job.yaml:")
        assert line.endswith(f" spec.config.sdk: {what}")
        assert f"  fix: {fix}" in said.splitlines()


def test_every_provider_is_among_the_needs_with_the_extra_that_installs_it():
    import yaml

    import haymaker_goal_agent

    text = (Path(haymaker_goal_agent.__file__).parents[1] / "workload.yaml").read_text()
    schema = yaml.safe_load(text)["config_schema"]
    needs = schema["sdk"]["requires"]["mini"]["by"]["values"]
    assert schema["plan_with_model"]["requires"]["true"]["by"]["values"] == needs
    assert {name: need["install"] for name, need in needs.items()} == {
        name: f"pip install 'agent-haymaker[{_PROVIDERS[name][2]}]'" for name in get_args(Provider)
    }
