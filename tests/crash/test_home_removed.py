"""The whole HAYMAKER_HOME is removed under running agents: they end, and nothing runs twice or unknown."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress

import pytest

from agent_haymaker import processes
from agent_haymaker.testing import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def deployed(world):
    world.declare("web")
    world.declare("clan", "family", run={"terminationGracePeriod": "1s"})
    world.apply()
    world.one("web")
    eventually(lambda: len(world.everybody()) == 4)  # web, and clan with two descendants
    return world


def remove_home(world):
    def removed():
        with suppress(FileNotFoundError, OSError):
            shutil.rmtree(world.home)
        return not world.home.exists()

    eventually(removed)


def test_agents_whose_home_was_removed_are_ended_and_the_next_apply_starts_them_anew(deployed):
    world, install = deployed, f"{deployed.install}."
    shim = world.shim
    os.kill(shim, signal.SIGSTOP)
    eventually(lambda: processes.is_suspended(shim))
    try:
        remove_home(world)
        world.apply(code=5)  # before the shim has seen it, so the old ones still run
    finally:
        os.kill(shim, signal.SIGCONT)
    world.check_once()
    eventually(lambda: not processes.live_run_ids(install, str(world.home)))  # clan's descendants too
    assert "deployed web" in world.apply("--only", "web").out
    world.check_once()
    assert world.starts("web") == 2


def test_agents_whose_home_and_shim_are_gone_are_named_and_never_doubled(world):
    world.declare("web")
    world.declare("deaf", "deaf")
    world.apply()
    world.one("web")
    world.one("deaf")
    before = {agent.run_id for agent in world.everybody()}
    world.kill(world.shim)
    remove_home(world)
    said = world.apply(code=5)
    assert all(f"a process carries run {run_id}" in said.out for run_id in before), str(said)
    assert {agent.run_id for agent in world.everybody()} == before
    told = world.run("doctor")
    assert told.code == 1
    for run_id in before:
        [pid] = re.findall(rf"run {re.escape(run_id)} \(pid (\d+)\) is alive, and its records were removed", told.out)
        assert f"kill {pid}" in told.out
    for agent in world.everybody():
        world.kill(agent.pid)
    world.settle()
    world.check_once()
    assert world.run("doctor").code == 0


def test_a_copy_of_a_home_whose_path_is_no_more_is_known_by_the_agents_that_work_in_the_original(world, tmp_path):
    """As after the end of a bind mount: what is on record is a path that is gone, and the original's own inode."""
    world.declare("web")
    world.apply()
    place = json.loads((world.home / "place.json").read_text())
    (world.home / "place.json").write_text(json.dumps(place | {"path": str(tmp_path / "unmounted")}))
    agent, copy = world.one("web"), tmp_path / "copy"
    shutil.copytree(world.home, copy, ignore=shutil.ignore_patterns("*.sock", "socket"))
    said = world.run("apply", "-f", str(world.manifests), HAYMAKER_HOME=str(copy))
    assert (said.code, f"this is a copy of {world.home}" in said.err) == (1, True), str(said)
    assert f"is a copy of {world.home}" in world.run("doctor", HAYMAKER_HOME=str(copy)).out
    assert "nothing to do" in world.apply().out
    world.declare("web", desiredState="stopped")
    world.apply()
    assert not world.everybody(), agent
    assert world.run("plan", "-f", str(world.manifests), HAYMAKER_HOME=str(copy)).code == 0


def test_a_copied_home_leaves_the_originals_processes_alone(world, tmp_path):
    world.declare("web")
    world.apply()
    agent, copy = world.one("web"), tmp_path / "copy of it"
    shutil.copytree(world.home, copy, ignore=shutil.ignore_patterns("*.sock", "socket"))
    for command in ("apply", "delete"):
        said = world.run(command, "-f", str(world.manifests), "--yes", HAYMAKER_HOME=str(copy))
        assert said.code == 1, str(said)
        assert f"this is a copy of {world.home}" in said.err
        assert f"HAYMAKER_HOME={world.home}" in said.err
    assert world.run("list", HAYMAKER_HOME=str(copy)).code == 0, "looks go on"
    said = world.run("doctor", HAYMAKER_HOME=str(copy))
    assert said.code == 1, str(said)
    assert f"is a copy of {world.home}" in said.out
    assert "killed while" not in said.out
    assert world.one("web").pid == agent.pid
    link = tmp_path / "link"
    link.symlink_to(world.home)
    assert "nothing to do" in world.apply(HAYMAKER_HOME=str(link)).out, "another path to it is no copy"
    own = re.search(r"\((cd .* && rm -r [^)]*)\)", said.out)
    assert own is not None, said
    subprocess.run(["sh", "-c", own[1]], check=True)
    world.declare("mail")
    assert world.run("plan", "-f", str(world.manifests), HAYMAKER_HOME=str(copy)).out.count("+ create") == 2
    moved = world.home.rename(tmp_path / "moved")
    assert "deployed mail" in world.apply(HAYMAKER_HOME=str(moved)).out
    assert json.loads((moved / "place.json").read_text())["path"] == str(moved)
    assert world.one("web").pid == agent.pid
    assert "deleted web" in world.delete(HAYMAKER_HOME=str(moved)).out
