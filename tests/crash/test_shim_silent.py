"""A shim that cannot answer, or cannot write: told at once and by its pid, and nothing is guessed meanwhile."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from agent_haymaker import processes
from agent_haymaker.testing import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def suspended(world):
    """A world with one agent and a shim that was sent SIGSTOP."""
    world.declare("web")
    world.apply()
    world.one("web")
    shim = world.shim
    os.kill(shim, signal.SIGSTOP)
    eventually(lambda: processes.is_suspended(shim))
    yield world, shim
    with suppress(ProcessLookupError):  # woken, it may have ended in the meantime
        os.kill(shim, signal.SIGCONT)


def test_a_suspended_shim_is_named_early_and_the_next_apply_goes_on_when_it_is_woken(suspended):
    world, shim = suspended
    agent = world.one("web")
    world.declare("new")
    world.declare("other")
    said = world.apply(code=1)
    assert f"`kill -CONT {shim}` wakes it" in said.out + said.err, str(said)
    world.declare("web", config={"size": 2})
    assert f"`kill -CONT {shim}` wakes it" in str(world.apply("--only", "web", code=None))
    assert world.one("web").pid == agent.pid, "the old run stays in force while none can be started"
    told = world.run("doctor")
    assert told.code == 1
    assert f"`kill -CONT {shim}` wakes it" in told.out
    os.kill(shim, signal.SIGCONT)
    world.settle()
    world.check_exactly("web", "new", "other")
    assert world.starts("web") == 2


def test_an_agent_that_ended_under_a_suspended_shim_is_in_doubt_until_it_is_woken(suspended):
    world, shim = suspended
    agent = world.one("web")
    world.kill(agent.pid)
    said = world.run("status", "web")
    assert "Unknown" in said.out
    assert f"kill -CONT {shim}" in said.out
    assert f"kill -CONT {shim}" in world.apply(code=5).out
    os.kill(shim, signal.SIGCONT)
    world.settle()
    world.check_exactly("web")
    assert world.record("web")["status"] == "running"


def test_an_end_that_can_never_be_written_is_shown_and_taken_over(world):
    world.declare("job", "work", run={"mode": "task"})
    world.apply()
    world.one("job")
    [claim] = (world.home / "engines/local/runs").glob("*job*")
    claim.rename(world.folder / "aside")
    claim.symlink_to(world.folder / "aside")  # the shim follows no link, so it can write no line there
    (world.ledger / "job.go").touch()
    eventually(lambda: not world.agents("job"))
    told = eventually(lambda: t if (t := world.run("doctor")).code and "what became of" in t.out else None)
    assert f"it cannot write down what became of run {claim.stem}" in told.out
    assert "Unknown" in world.run("status", "job").out
    assert world.shim
    claim.unlink()
    (world.folder / "aside").rename(claim)
    eventually(lambda: world.run("doctor").code == 0)
    world.settle("job")
    assert world.record("job")["status"] == "completed"
