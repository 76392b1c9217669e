"""examples/agents/copilot.yaml works as it stands, with the path of its CLI."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from goal_agent.recipes import KEY, follow

pytestmark = pytest.mark.sdk


def test_the_recipe_works_as_it_stands(world, serve):
    program = Path(sys.prefix) / "cli/node_modules/.bin/copilot"
    server = follow("copilot", world, serve, COPILOT_CLI_PATH=str(program))
    assert {request.key for request in server.requests} == {KEY}
