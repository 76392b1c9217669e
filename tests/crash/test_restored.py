"""
Records that were lost or put back from a backup: what runs outranks what is written, and no second agent starts.
"""

from __future__ import annotations

import shutil

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def deployed(world):
    world.declare("web")
    world.apply()
    return world


def end_by_hand(world):
    for agent in world.everybody():
        world.kill(agent.pid)


def test_an_older_backup_of_the_home_starts_no_second_agent(deployed):
    world = deployed
    backup = world.folder / "backup"
    shutil.copytree(world.home, backup, ignore=shutil.ignore_patterns("*.sock"))
    world.declare("web", config={"size": 2})
    world.apply()
    alive = world.one("web").run_id
    for part in ("journal", "fleets", "state", "history", "engines/local/runs"):
        shutil.rmtree(world.home / part)
        shutil.copytree(backup / part, world.home / part)
    said = world.apply(code=None)
    assert alive in said.out + said.err or "nothing to do" not in said.out, str(said)
    world.apply(code=None)
    assert [a.run_id for a in world.agents("web")] == [alive]
    world.check_once()
    end_by_hand(world)


def test_lost_records_start_no_second_agent(deployed):
    world = deployed
    alive = world.one("web").run_id
    for part in ("journal", "fleets", "state"):
        shutil.rmtree(world.home / part)
    said = world.apply(code=5)
    assert f"a process carries run {alive}" in said.out
    assert [a.run_id for a in world.agents("web")] == [alive]
    end_by_hand(world)
    world.apply()
    assert world.one("web").run_id != alive


def test_a_home_from_before_the_deployment_starts_no_second_agent(world):
    world.declare("other")
    world.apply()
    backup = world.folder / "backup"
    shutil.copytree(world.home, backup, ignore=shutil.ignore_patterns("*.sock"))
    world.declare("web")
    world.apply()
    alive = world.one("web").run_id
    for part in ("journal", "fleets", "state", "history", "engines/local/runs"):
        shutil.rmtree(world.home / part)
        shutil.copytree(backup / part, world.home / part)
    assert f"a process carries run {alive}" in world.apply(code=5).out
    assert [a.run_id for a in world.agents("web")] == [alive]
    end_by_hand(world)
