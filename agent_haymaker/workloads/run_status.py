"""
What status a run has, from the best witness there is.

Pure: whoever asks has looked already. The order is the rule: the process handle where this process started it;
then what the engine says (identity and liveness, then the exit record); and only then what the log says of itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from agent_haymaker.engines import RunState
from agent_haymaker.workloads.models import DeploymentStatus

if TYPE_CHECKING:
    from agent_haymaker.engines import Observation

LOG_TAIL_LINES = 50
"""How many lines from the end of agent.log are worth reading for `status_from_log`."""

_NOT_ACHIEVED = re.compile(r"\bgoal\s+(?:was\s+)?not\s+achieved\b", re.IGNORECASE)
_ACHIEVED = re.compile(r"\bgoal\s+(?:was\s+)?achieved\b", re.IGNORECASE)
_EXIT_CODE = re.compile(r"\bexit(?:ed)?(?:\s+with)?\s+code\s*[:=]?\s*(-?\d{1,10})\b", re.IGNORECASE)

_BY_RUN_STATE = {
    RunState.PENDING: DeploymentStatus.PENDING,
    RunState.RUNNING: DeploymentStatus.RUNNING,
    RunState.STOPPING: DeploymentStatus.RUNNING,
    RunState.SUCCEEDED: DeploymentStatus.COMPLETED,
    RunState.FAILED: DeploymentStatus.FAILED,
    RunState.STOPPED: DeploymentStatus.STOPPED,
}


class ProcessHandle(Protocol):
    """A process that this process started: `subprocess.Popen` and `asyncio`'s Process both are one."""

    @property
    def returncode(self) -> int | None: ...


def detect_status(
    *,
    process: ProcessHandle | None = None,
    observation: Observation | None = None,
    log_tail: str = "",
) -> DeploymentStatus | None:
    """
    Give the status by the first witness that knows, or None when none does.

    A run that its engine cannot reach is None whatever its log says: it may be alive.
    """
    if process is not None:
        poll = getattr(process, "poll", None)
        code = poll() if callable(poll) else process.returncode
        if code is None:
            return DeploymentStatus.RUNNING
        return DeploymentStatus.FAILED if code else DeploymentStatus.COMPLETED
    if observation is not None:
        if observation.state is RunState.UNREACHABLE:
            return None
        if observation.state is not RunState.LOST:
            return _BY_RUN_STATE[observation.state]
    return status_from_log(log_tail)


def status_from_log(tail: str) -> DeploymentStatus | None:
    """
    Give what the end of an agent's log says of its end, or None where it says nothing.

    The last line that decides wins: "goal achieved" and "Exit code: 0" mean completed, "goal not achieved" and any
    other exit code failed.
    """
    for line in reversed(tail.splitlines()):
        if _NOT_ACHIEVED.search(line):
            return DeploymentStatus.FAILED
        if _ACHIEVED.search(line):
            return DeploymentStatus.COMPLETED
        if code := _EXIT_CODE.search(line):
            return DeploymentStatus.FAILED if int(code[1]) else DeploymentStatus.COMPLETED
    return None
