"""A stranger's workload whose agents are asyncio tasks in its own class, and which asks self._platform itself."""
# ruff: noqa: BLE001, DTZ003, UP035 - a stranger's code has its own style

import asyncio
import uuid
from datetime import datetime
from typing import Any, AsyncIterator

from agent_haymaker import (
    DeploymentConfig,
    DeploymentState,
    WorkloadBase,
)
from agent_haymaker.events import DEPLOYMENT_STARTED
from agent_haymaker.workloads.models import CleanupReport, DeploymentStatus


class ByTasks(WorkloadBase):
    """Simulated office workers, each a task."""

    name = "by-tasks"

    def __init__(self, platform: Any = None) -> None:
        super().__init__(platform)
        self._deployments: dict[str, DeploymentState] = {}
        self._tasks: dict[str, list[asyncio.Task]] = {}
        self._activity: dict[str, list[str]] = {}

    async def deploy(self, config: DeploymentConfig) -> str:
        workers = config.workload_config.get("workers", 2)
        deployment_id = f"office-{uuid.uuid4().hex[:8]}"
        state = DeploymentState(
            deployment_id=deployment_id,
            workload_name=self.name,
            status=DeploymentStatus.PENDING,
            phase="initializing",
            started_at=datetime.utcnow(),
            config={"duration_hours": config.duration_hours, **config.workload_config},
            metadata={"workers_created": 0, "activities_performed": 0},
        )
        self._deployments[deployment_id] = state
        await self.save_state(state)
        self._activity[deployment_id] = []
        self._tasks[deployment_id] = [
            asyncio.create_task(self._work(deployment_id, number)) for number in range(workers)
        ]
        state.metadata["workers_created"] = workers
        state.status = DeploymentStatus.RUNNING
        state.phase = "executing"
        await self.save_state(state)
        await self.emit_event(DEPLOYMENT_STARTED, deployment_id, workers=workers)
        return deployment_id

    async def _work(self, deployment_id: str, number: int) -> None:
        token = await self.get_credential("office-token")
        while True:
            self._activity[deployment_id].append(f"worker {number} sent a mail ({'signed' if token else 'plain'})\n")
            await asyncio.sleep(0.01)

    async def get_status(self, deployment_id: str) -> DeploymentState:
        state = self._deployments.get(deployment_id)
        if not state:
            state = await self.load_state(deployment_id)
            if state:
                self._deployments[deployment_id] = state
        if not state:
            from agent_haymaker.workloads.base import DeploymentNotFoundError

            raise DeploymentNotFoundError(f"Deployment {deployment_id} not found")
        state.metadata["activities_performed"] = len(self._activity.get(deployment_id, []))
        return state

    async def stop(self, deployment_id: str) -> bool:
        state = await self.get_status(deployment_id)
        await self._end(deployment_id)
        state.status = DeploymentStatus.STOPPED
        state.phase = "stopped"
        state.stopped_at = datetime.utcnow()
        if state.started_at and state.started_at.tzinfo is None:
            state.metadata["ran_seconds"] = (datetime.utcnow() - state.started_at).total_seconds()
        await self.save_state(state)
        return True

    async def cleanup(self, deployment_id: str) -> CleanupReport:
        state = await self.get_status(deployment_id)
        report = CleanupReport(deployment_id=deployment_id)
        try:
            state.status = DeploymentStatus.CLEANING_UP
            await self.save_state(state)
            ended = await self._end(deployment_id)
            report.resources_deleted += ended
            report.details.append(f"Ended {ended} workers")
            state.status = DeploymentStatus.COMPLETED
            state.phase = "cleaned_up"
            state.completed_at = datetime.utcnow()
            await self.save_state(state)
        except Exception as e:
            report.errors.append(str(e))
            state.status = DeploymentStatus.FAILED
            state.error = str(e)
            await self.save_state(state)
        return report

    async def _end(self, deployment_id: str) -> int:
        tasks = self._tasks.pop(deployment_id, [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(tasks)

    async def get_logs(self, deployment_id: str, follow: bool = False, lines: int = 100) -> AsyncIterator[str]:
        await self.get_status(deployment_id)
        for line in self._activity.get(deployment_id, [])[-lines:]:
            yield line

    async def list_deployments(self) -> list[DeploymentState]:
        states = list(self._deployments.values())
        if self._platform:
            known = {s.deployment_id for s in states}
            states += [s for s in await self._platform.list_deployments(self.name) if s.deployment_id not in known]
        return states
