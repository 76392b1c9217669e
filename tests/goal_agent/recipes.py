"""The manifests of examples/agents, run by the real haymaker as they stand, but for where the model is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from model_server import FOREVER, Turn, When, call, say

from agent_haymaker.testing import eventually

if TYPE_CHECKING:
    from model_server import ModelServer
    from model_server.fixtures import Serve
    from support.world import World

AGENTS = Path(__file__).parents[2] / "examples/agents"
KEY = "sk-not-a-real-key-of-a-recipe"
WRITES = "echo Hello from a model > greeting.txt"
TOOLS = {"claude": "Bash", "copilot": "bash"}
ENDPOINTS = {
    "ANTHROPIC_BASE_URL": "url", "AZURE_AI_ENDPOINT": "url", "AZURE_OPENAI_ENDPOINT": "url",
    "COPILOT_PROVIDER_BASE_URL": "openai_url", "OPENAI_BASE_URL": "openai_url",
}  # fmt: skip


def follow(name: str, world: World, serve: Serve, **more: str) -> ModelServer:
    """Do what a manifest's first lines say, with a key that is none; the goal is achieved, or the test fails."""
    manifest = yaml.safe_load((AGENTS / f"{name}.yaml").read_text(encoding="utf-8"))
    sdk = manifest["spec"]["config"]["sdk"]
    server = serve(*_turns(sdk), key=KEY)
    text = (AGENTS / f"{name}.yaml").read_text(encoding="utf-8")
    for variable, kind in ENDPOINTS.items():
        text = _pointed(text, variable, getattr(server, kind))
    for variable, value in more.items():
        text = _pointed(text, variable, value)
    world.write(f"{name}.yaml", text)
    shutil.copy(AGENTS / "greet.md", world.manifests)
    keys = [e["valueFrom"]["env"] for e in manifest["spec"].get("env", []) if "valueFrom" in e]
    said = world.run("apply", "-f", str(world.manifests / f"{name}.yaml"), "--yes", "--wait", within=240,
                     **dict.fromkeys(keys, KEY))  # fmt: skip
    assert said.code == 0, f"{said}\n{world.run('logs', manifest['metadata']['name']).out}"
    status = world.run("status", manifest["metadata"]["name"], "-o", "json").json
    assert status["health"] == "Healthy", status
    eventually(lambda: not [a for a in world.everybody() if a.leads])
    return server


def _turns(sdk: str) -> list[Turn]:
    arguments = {"command": WRITES} | ({"description": "greets"} if sdk in TOOLS else {})
    title = say("A title", when=When(tools=False), times=FOREVER)
    return [*([title] if sdk == "copilot" else []), call(TOOLS.get(sdk, "shell"), **arguments), say("Done.")]


def _pointed(text: str, variable: str, value: str) -> str:
    """Give the value to a variable of the manifest where it stands, also in a comment that offers it by itself."""
    lines = text.splitlines()
    is_mentioned = [n for n, line in enumerate(lines) if f"name: {variable}," in line]
    is_offered = "Instead" not in "\n".join(lines[: is_mentioned[0]]) if is_mentioned else False
    if is_offered or (variable == "COPILOT_CLI_PATH" and is_mentioned):
        lines[is_mentioned[0]] = f'    - {{name: {variable}, value: "{value}"}}'
    return "\n".join(lines) + "\n"
