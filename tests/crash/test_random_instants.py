"""
`haymaker apply` and the shim are stopped with SIGKILL at any instant, over and over, while what is declared changes.

Each run says its seed; CHAOS_SEED repeats it. Services and tasks without side effects converge each time. A task with
side effects may be in doubt after its shim was killed, and then nobody starts it again.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

import pytest

from agent_haymaker import processes
from agent_haymaker.testing import eventually

EXTERNAL = "ext"


class Chaos:
    """A fleet under random change. `colours` holds what is declared of each; None is declared stopped."""

    def __init__(self, world, seed):
        self.world = world
        self.random = random.Random(seed)
        self.told = [f"seed {seed}"]
        self.colours = {"web": "c0", "api": "c0", "once": "c0", EXTERNAL: "c0"}
        self.generations = {EXTERNAL: 1}  # how often a start of it was asked for
        self.doubted = False
        self.dying = []
        world.fleet(sync={"prune": True, "maxDeletions": "100%"})
        for name in self.colours:
            self.declare(name)
        world.apply()

    def declare(self, name):
        colour = self.colours[name]
        spec = {"config": {"colour": colour}} if colour else {"desiredState": "stopped"}
        if name == EXTERNAL:
            self.world.declare(name, run={"mode": "task"}, **spec)
        elif name == "once":
            self.world.task(name, "stay", run={"restartPolicy": "OnFailure", "backoffLimit": 10000}, **spec)
        else:
            self.world.declare(name, run={"backoffLimit": 10000}, **spec)

    def change(self):
        """Ask for something else, or take an agent away."""
        name = self.random.choice(sorted(self.colours))
        what = self.random.choice(["colour", "colour", "stop", "remove", "die", "nothing"])
        if name == EXTERNAL and what in ("stop", "remove", "die"):
            what = "colour"
        self.told.append(f"{what} {name}")
        if what == "colour":
            self.colours[name] = f"c{len(self.told)}"
            self.generations[name] = self.generations.get(name, 1) + 1
        elif what == "stop":
            self.colours[name] = None if self.colours[name] else f"c{len(self.told)}"
        elif what == "remove":
            if (self.world.manifests / f"{name}.yaml").exists():
                self.world.remove(name)
                return
            self.colours[name] = self.colours[name] or "c"
        elif what == "die":
            for agent in self.world.agents(name):
                if process := processes.identify(agent.pid):
                    processes.send_signal(process, signal.SIGKILL)
                    self.dying.append(process)
            return
        self.declare(name)

    def strike(self):
        """Kill an apply, or the shim, or both, after a while that nobody knows."""
        whom = self.random.choice(["apply", "apply", "shim", "both"])
        shim = processes.identify(self.world.shim) if whom != "apply" and self.world.shim else None
        apply = self.world.popen("apply", "-f", str(self.world.manifests), "--yes")
        victims = []
        if whom != "shim":
            victims.append((self.random.uniform(0.05, 1.0), apply.pid))
        if shim is not None:
            victims.append((self.random.uniform(0.0, 1.0), shim.pid))
        begun = time.monotonic()
        for delay, pid in sorted(victims):
            self.told.append(f"kill {'apply' if pid == apply.pid else 'shim'} after {delay:.3f}")
            with suppress(Exception):
                apply.wait(max(0.0, begun + delay - time.monotonic()))
            if pid == apply.pid:
                apply.kill()
            else:
                processes.send_signal(shim, signal.SIGKILL)
        apply.communicate(timeout=120)

    def converge(self):
        """Apply until nothing is left to do, and hold the world against what is declared."""
        eventually(lambda: not any(processes.is_alive(process) for process in self.dying))
        for _ in range(3):
            said = self.world.apply(code=None)
            assert said.code in (0, 5), str(said)
            if "nothing to do" in said.out or (said.code == 5 and "Applied" not in said.out):
                break
        else:
            raise AssertionError(f"it does not come to rest: {said}")
        doubted = "nobody saw how its run ended" in str(said)
        assert said.code == (5 if doubted else 0), str(said)
        self.doubted |= doubted
        running = [n for n, c in self.colours.items() if c and (self.world.manifests / f"{n}.yaml").exists()]
        if doubted:
            assert EXTERNAL in str(said), str(said)
            running.remove(EXTERNAL)
        self.world.check_exactly(*running)
        for name in running:
            assert self.world.record(name)["config"]["colour"] == self.colours[name]
        assert self.world.starts(EXTERNAL) <= self.generations[EXTERNAL], "a task with side effects ran again"

    def round(self):
        for _ in range(self.random.choice([1, 1, 2])):
            self.change()
        self.strike()
        self.converge()


def chaos(world, seed, rounds):
    fleet = Chaos(world, seed)
    for number in range(rounds):
        try:
            fleet.round()
        except AssertionError as error:
            raise AssertionError(f"round {number}, {'; '.join(fleet.told)}: {error}") from error
    return fleet


def test_kills_at_random_instants_lose_nothing_and_double_nothing(world):
    chaos(world, int(os.environ.get("CHAOS_SEED", "1")), 2)


@pytest.mark.soak
@pytest.mark.parametrize("run", range(4))
def test_many_kills_at_random_instants_lose_nothing_and_double_nothing(world, run):
    seed = int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
    chaos(world, seed + run, 25)
