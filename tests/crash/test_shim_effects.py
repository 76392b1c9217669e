"""
The shim is stopped with SIGKILL at every effect it makes while an apply asks it for something.

The shim runs its own program with the same counter inside that a killed apply has. Whatever becomes of the apply, the
next one converges, and the agent was started exactly once.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest

from agent_haymaker.engines import shim, shim_socket
from crash.scenarios import INJECT, Replace

RUN = f"exec(open({INJECT + '/sitecustomize.py'!r}).read()); import runpy; import sys; sys.argv.pop(0)\n"
RUN += "runpy.run_path(sys.argv[0], run_name='__main__')"


@contextlib.contextmanager
def fragile_shim(world, number):
    """Have a shim that dies at its `number`-th effect, and keep it from ending of boredom before that."""
    local = str(world.home / "engines" / "local")
    if old := world.shim:
        world.kill(old)
    log = world.folder / "shim-effects"
    log.unlink(missing_ok=True)
    env = {"PATH": os.defpath, "CRASH_AT": str(number), "CRASH_LOG": str(log), "CRASH_FORKS": "yes"}
    command = [sys.executable, "-I", "-S", "-c", RUN, shim.__file__, local]
    # It lets go of its stdout once it listens, or dies.
    subprocess.run(command, env=env, cwd="/", stdout=subprocess.PIPE, timeout=60, check=False)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            link = stack.enter_context(shim_socket.connect(local))
            link.sendall(
                json.dumps({"op": "hello", "v": shim_socket.PROTOCOL, "fence": False, "id": 0}).encode() + b"\n"
            )
        yield log


def turn(scenario, number):
    """Kill the shim at an effect, during an apply; return the effects that it came to make."""
    world = scenario.world
    scenario.change()
    with fragile_shim(world, number) as log:
        said = scenario.act(code=None)
    effects = log.read_text().splitlines()
    place = f"{scenario.name}, shim killed at effect {number} ({effects[-1]})"
    try:
        assert said.code in (0, 1, 3), str(said)
        after = scenario.act()
        assert "nothing to do" in scenario.act().out, f"{said}{after}"
        scenario.check()
    except AssertionError as error:
        raise AssertionError(f"{place}: {error}") from error
    scenario.turn += 1
    return effects


class Replaced(Replace):
    def check(self):
        world = self.world
        world.check_exactly("web")
        self.started("web", self.before, 1)
        assert world.record("web")["config"]["colour"] == f"shade {self.turn}"


@pytest.mark.soak
def test_a_shim_killed_at_any_effect_loses_nothing_and_doubles_nothing(world):
    scenario = Replaced(world)
    scenario.begin()
    number = 1
    while len(turn(scenario, number)) == number:
        number += 1
    assert number > 12


def test_a_shim_killed_at_its_spawn_is_made_good(world):
    scenario = Replaced(world)
    scenario.begin()
    whole = turn(scenario, 0)
    spawn = next(n for n, effect in enumerate(whole, 1) if effect.startswith("spawn") and n > 2)
    assert len(turn(scenario, spawn)) == spawn, "the kill did not strike"
    assert len(turn(scenario, spawn + 1)) == spawn + 1, "the kill did not strike"
