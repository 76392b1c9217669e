"""
However an agent ends, so does everything that its SDK and its tools started, wherever it went, and nobody else.

One suite for every sdk, under the real haymaker. A tool leaves a family behind that hides in four ways; a neighbour of
the same fleet and a stranger that looks just like a member of the family must live on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import psutil
import pytest

from agent_haymaker.testing import eventually

if TYPE_CHECKING:
    from support.world import World

LONG_SECONDS = 180
LONG_SLEEP = "86400.25"
# Whoever is started holds none of the tool's pipes; the last has no run id either.
HIDE = f"""\
export pids=$1
exec >/dev/null 2>&1 </dev/null
sleep {LONG_SLEEP} & echo $! >> "$pids"
setsid sleep {LONG_SLEEP} & echo $! >> "$pids"
setsid sh -c 'sleep {LONG_SLEEP} & echo $! >> "$pids"'
setsid sh -c 'env -i sleep {LONG_SLEEP} & echo $! >> "$pids"'
"""
HIDDEN = 4


class TreeSuite:
    """Subclass it as `Test...`, and say what the agent does."""

    sdk: ClassVar[str]
    seconds: ClassVar[int] = 20
    """So long may a run take whose timeout is to end it, or longer where it did not come as far as its tool."""

    def scenario(self, hide: str, how: str) -> tuple[str, dict[str, str]]:
        """Give a goal whose agent runs `hide` and then is done, failed, or goes on for ever; and its environment."""
        raise NotImplementedError

    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["done", "failed", "terminated", "killed", "deleted", "timed out"])
    def test_whatever_was_started_ends_with_the_agent_and_nobody_else_does(self, world: World, how: str) -> None:
        (world.folder / "hide.sh").write_text(HIDE)
        world.declare("neighbour")
        stranger = world.stranger("sleep", LONG_SLEEP)
        tries = [self.seconds * 2**n for n in range(4)] if how == "timed out" else [None]
        assert any(self._hides(world, how, seconds) for seconds in tries)
        pids = world.folder / "pids"
        family = [p for pid in pids.read_text().split() if (p := _process(int(pid)))]
        leader = _leader(world)
        if leader is not None:
            family += [leader, *_children(leader)]
        if how in ("terminated", "killed", "deleted"):
            assert leader is not None
            assert len(family) > HIDDEN, "the family was alive"
        if how == "terminated":
            leader.terminate()
        elif how == "killed":
            leader.kill()
        elif how == "deleted":
            said = world.run("delete", "-f", str(world.manifests / "job.yaml"), "--yes")
            assert said.code == 0, str(said)
        eventually(lambda: not [p for p in family if is_alive(p)], within=60 + 8 * self.seconds)
        eventually(lambda: not [a for a in world.everybody() if a.who == "job"], within=60 + 8 * self.seconds)
        assert world.one("neighbour")
        assert stranger.poll() is None

    def _hides(self, world: World, how: str, timeout_seconds: int | None) -> bool:
        """Start the agent; say whether the family is there; it is not where the run's timeout came first."""
        pids = world.folder / "pids"
        pids.unlink(missing_ok=True)
        goal, env = self.scenario(f"sh {world.folder}/hide.sh {pids}", how)
        limit = {} if timeout_seconds is None else {"timeout": f"{timeout_seconds}s"}
        world.task(
            "job", "goal-agent", goal={"inline": goal}, config={"sdk": self.sdk},
            run={"mode": "task", "terminationGracePeriod": "10s", **limit},
            env=[{"name": name, "value": value} for name, value in env.items()],
        )  # fmt: skip
        world.apply()

        def is_there() -> bool:
            return pids.exists() and len(pids.read_text().split()) == HIDDEN

        eventually(lambda: is_there() or (limit and not world.agents("job")), within=LONG_SECONDS)
        return is_there()


def _leader(world: World) -> psutil.Process | None:
    """The agent's own process, once it has become what it is for good: its environment is read by pid."""
    found = [agent for agent in world.agents("job") if agent.env.get("HAYMAKER_DEPLOYMENT") == "job"]
    started = [p for agent in found if (p := _process(agent.pid))]
    return min(started, key=lambda p: p.create_time()) if started else None


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    """Whom it has started; nobody, where it is over meanwhile."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
