"""examples/agents/claude.yaml works as it stands."""

from __future__ import annotations

import pytest
from goal_agent.recipes import KEY, follow

pytestmark = pytest.mark.sdk


def test_the_recipe_works_as_it_stands(world, serve):
    server = follow("claude", world, serve)
    assert {request.key for request in server.requests} == {KEY}
