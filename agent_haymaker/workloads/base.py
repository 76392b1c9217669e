"""
The base class of every workload: five methods to write, and what the platform lends.

A workload knows how to deploy, look at, stop and clean up its own kind of agent. It refuses to know where states
are kept, where processes live and who asked: all of that is the platform's, and every helper here works, and does
nothing, without one.
"""

from __future__ import annotations

import inspect
import logging
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DeploymentError, DeploymentNotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from agent_haymaker.engines import Handle, Observation
    from agent_haymaker.workloads.models import CleanupReport, DeploymentConfig, DeploymentState
    from agent_haymaker.workloads.platform import Platform

__all__ = ["DeploymentError", "DeploymentNotFoundError", "EventEmitterMixin", "WorkloadBase"]

_MAX_LOG_LINE = 64 * 1024

logger = logging.getLogger("haymaker.workload")


def level_of(name: str) -> int:
    """Give the level of that name for `logging`; one that does not exist counts as INFO."""
    return logging.getLevelNamesMapping().get(name.upper()) or logging.INFO


class EventEmitterMixin:
    """
    Tells the platform's listeners what happens. Needs `name` and `_platform`.

    An event is news: a platform without events, or one that fails to tell, never fails the deployment.
    """

    name: str
    _platform: Platform | None = None  # also of a subclass whose __init__ does not call ours

    async def emit_event(self, topic: str, deployment_id: str, **data: Any) -> None:
        """Publish `data` under `topic`, with the deployment's id, the workload's name and the time (UTC, ISO 8601)."""
        publish = getattr(self._platform, "publish_event", None)
        if publish is None:
            return
        event = {
            "topic": topic,
            "deployment_id": deployment_id,
            "workload_name": self.name,
            "timestamp": datetime.fromtimestamp(time.time(), UTC).isoformat(),
            **data,
        }
        try:
            told = publish(topic, event)
            if inspect.isawaitable(told):
                await told
        except Exception:
            logger.warning("an event of %s (%s) was not told", deployment_id, topic, exc_info=True)

    async def emit_progress(self, deployment_id: str, phase: str, message: str, percent: float | None = None) -> None:
        """Tell how far the deployment is; `percent` runs from 0 to 100, None where nobody can say."""
        await self.emit_event("workload.progress", deployment_id, phase=phase, message=message, percent=percent)

    async def emit_log(self, deployment_id: str, line: str, level: str = "INFO") -> None:
        """Tell one line of the deployment's log; beyond 64 Ki characters it is cut."""
        await self.emit_event("deployment.log", deployment_id, line=line[:_MAX_LOG_LINE], level=level)


class WorkloadBase(EventEmitterMixin, ABC):
    """
    A kind of agent that haymaker can deploy. Subclass it, name it, write the five abstract methods.

    A class that has ABC among its direct bases is an intermediary and needs no name; every other one does, and
    lacking it is a TypeError where the class is defined.
    """

    name: str = "base"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if ABC not in cls.__bases__ and cls.name in ("base", ""):
            raise TypeError(f'{cls.__qualname__} needs a name: write name = "..." in its body (or make ABC a base)')

    def __init__(self, platform: Platform | None = None) -> None:
        self._platform = platform

    # ---- what a workload writes ----

    @abstractmethod
    async def deploy(self, config: DeploymentConfig) -> str:
        """
        Start a new deployment and return its id, unique for ever (the name and 8 random hex digits do well).

        Raises:
            DeploymentError: it could not be started; nothing of it is left.
        """

    @abstractmethod
    async def get_status(self, deployment_id: str) -> DeploymentState:
        """
        Look, and say how the deployment stands. It never writes.

        Raises:
            DeploymentNotFoundError: this workload knows no such deployment.
        """

    @abstractmethod
    async def stop(self, deployment_id: str) -> bool:
        """Stop it, keeping what a resume needs. False where there was nothing to stop."""

    @abstractmethod
    async def cleanup(self, deployment_id: str) -> CleanupReport:
        """Remove everything it made, from whatever status it is in. Called twice, it does no harm."""

    @abstractmethod
    def get_logs(self, deployment_id: str, follow: bool = False, lines: int = 100) -> AsyncIterator[str]:
        """Give the last `lines` lines and, with `follow`, what comes until it ends. Write it as an async generator."""

    async def start(self, deployment_id: str) -> bool:
        """Resume a stopped deployment under the same id. False where it was not stopped."""
        raise NotImplementedError(f"{self.name} cannot resume a stopped deployment")

    async def validate_config(self, config: DeploymentConfig) -> list[str]:  # noqa: ARG002 - for overriding
        """Say what is wrong with `config`, a sentence each; an empty list when nothing is."""
        return []

    async def list_deployments(self) -> list[DeploymentState]:
        """Give every deployment of this workload that the platform has on record."""
        return await self._platform.list_deployments(self.name) if self._platform else []

    # ---- what the platform lends ----

    async def save_state(self, state: DeploymentState) -> None:
        """Record the state with the platform."""
        if self._platform:
            await self._platform.save_deployment_state(state)

    async def load_state(self, deployment_id: str) -> DeploymentState | None:
        """Give the recorded state, or None where there is none."""
        return await self._platform.load_deployment_state(deployment_id) if self._platform else None

    async def get_credential(self, name: str) -> str | None:
        """Give a secret by its name; the file platform reads "azure-tenant-id" from AZURE_TENANT_ID."""
        return await self._platform.get_credential(name) if self._platform else None

    def log(self, message: str, level: str = "INFO") -> None:
        """Write one line to the platform's log, or without one to Python's, under this workload's name."""
        if self._platform:
            self._platform.log(message, level=level, workload=self.name)
        else:
            logger.getChild(self.name).log(level_of(level), "%s", message)

    async def launch(
        self,
        deployment_id: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
        log: str = "agent.log",
        timeout_seconds: float | None = None,
    ) -> Handle:
        """
        Start a detached process for the deployment, wherever the platform's engine lets processes live.

        It works in the deployment's workspace, where `files` (relative path → content) are written first and
        `log` collects its output. Its environment is PATH, HOME, LANG, TZ, TMPDIR and `env`, nothing else.
        Keep the handle in the state's metadata (`handle.to_json()`): `observe` and `terminate` ask for it, in
        this process or another.

        Raises:
            DeploymentError: there is no platform, or it starts no processes.
            WorkloadError: the program cannot be started.
            PlatformError: the host refuses.
        """
        launch = self._runs("launch")
        from agent_haymaker.engines import RunSpec  # only who starts a process needs it

        asked = RunSpec(
            argv=tuple(argv), env=dict(env or {}), workspace=deployment_id, owner="", log=log,
            files=dict(files or {}), timeout_seconds=timeout_seconds,
        )  # fmt: skip
        handle: Handle = await launch(asked)
        return handle

    async def observe(self, handle: Handle) -> Observation:
        """Look at a launched process: alive, how it ended, or unreachable. It never writes."""
        seen: Observation = await self._runs("observe_run")(handle)
        return seen

    async def terminate(self, handle: Handle, grace_seconds: float = 30.0) -> Observation:
        """End a launched process and all it started: SIGTERM, the grace, SIGKILL. Ended already is no error."""
        seen: Observation = await self._runs("stop_run")(handle, grace_seconds)
        return seen

    async def discard(self, handle: Handle) -> None:
        """
        Drop what is left of a launched process that has ended: its workspace and its engine's record.

        Raises:
            PlatformError: it still runs, or the host refuses.
        """
        await self._runs("forget_run")(handle)

    async def read_log(self, handle: Handle, *, lines: int = 100, follow: bool = False) -> AsyncIterator[str]:
        """Give the last `lines` lines of a launched process's log, and with `follow` what comes until it has ended."""
        async for line in self._runs("run_log")(handle, lines=lines, follow=follow):
            yield line

    def _runs(self, method: str) -> Any:
        found = getattr(self._platform, method, None)
        if found is None:
            raise DeploymentError(
                f"workload {self.name} starts processes, and has no platform that does",
                fix="construct it with a platform, such as FilePlatform()",
            )
        return found
