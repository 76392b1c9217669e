"""What gives a test its world, and fails it if it leaves an agent behind; and what gives it a day."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from agent_haymaker.testing import eventually
from support.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DAY_SECONDS, _ENOUGH_SECONDS = 86400, 120


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


@pytest.fixture
def one_day() -> None:
    """A day (UTC), as budgets and sums count it, that does not end before the test: none begins in its last minutes."""
    left = _DAY_SECONDS - time.time() % _DAY_SECONDS
    if left < _ENOUGH_SECONDS:
        time.sleep(left)
