"""The fixture that gives a test its world, and fails it if it leaves an agent behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_haymaker.testing import eventually
from support.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose agents end with the test; those that its own `delete -f` cannot end make it fail."""
    world = World(tmp_path)
    try:
        yield world
        world.tidy()
        left = [str(agent) for agent in world.everybody()]
        assert not left, f"left over: {left}"
    finally:
        world.end()
        eventually(lambda: not world.shim)
