"""Takes a pid for a process of ours, for real: the kernel is told which pid it gave last."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent_haymaker import processes
from agent_haymaker.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.world import World

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def can_roll_pids() -> bool:
    return os.access(LAST_PID, os.W_OK) and os.geteuid() == 0


def _try_pid(pid: int) -> subprocess.Popen[bytes] | None:
    """Start a process under this pid; None where somebody else got it first."""
    for _ in range(200):
        last = LAST_PID.read_text()
        with contextlib.suppress(OSError):
            LAST_PID.write_text(str(pid - 1))
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"], start_new_session=True
        )
        LAST_PID.write_text(last)  # at once: whoever else runs here keeps its pids to itself
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
    return None


def _is_free_of(old: processes.ProcessId) -> bool:
    row = processes.look(old.pid)
    return row is None or row.started != old.started


@contextlib.contextmanager
def innocent_in_place_of(world: World, who: str) -> Iterator[subprocess.Popen[bytes]]:
    """Kill an agent and its shim, and give an innocent process that has the agent's pid from then on."""
    for _ in range(5):
        agent = processes.identify(world.one(who).pid)
        assert agent is not None
        world.kill(world.shim)
        world.kill(agent.pid)
        eventually(lambda old=agent: _is_free_of(old))  # whoever inherited it reaps it
        process = _try_pid(agent.pid)
        if process is not None:
            break
        world.settle()  # a process of this host took the pid and keeps it: another agent, another pid
    else:
        raise AssertionError("no pid was taken, so nothing is shown")
    try:
        yield process
    finally:
        process.kill()
        process.wait()
