"""A stranger's workload that keeps everything in its platform's records: save_state and load_state."""
# ruff: noqa: TC001, TC003 - a stranger's code has its own style

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from agent_haymaker.workloads.base import DeploymentNotFoundError, WorkloadBase
from agent_haymaker.workloads.models import (
    CleanupReport,
    DeploymentConfig,
    DeploymentState,
    DeploymentStatus,
)
from agent_haymaker.workloads.platform import Platform

logger = logging.getLogger(__name__)

_DONE = frozenset({DeploymentStatus.COMPLETED, DeploymentStatus.FAILED})


class ByState(WorkloadBase):
    name = "by-state"

    def __init__(self, platform: Platform | None = None) -> None:
        super().__init__(platform=platform)
        self._lines: dict[str, list[str]] = {}

    async def deploy(self, config: DeploymentConfig) -> str:
        wrong = await self.validate_config(config)
        if wrong:
            raise ValueError(f"Invalid config: {', '.join(wrong)}")
        deployment_id = f"{self.name}-{uuid.uuid4().hex[:8]}"
        state = DeploymentState(
            deployment_id=deployment_id,
            workload_name=self.name,
            status=DeploymentStatus.RUNNING,
            phase="running",
            started_at=datetime.now(tz=UTC),
            config=config.workload_config,
            metadata={"items": config.workload_config.get("items", 3)},
        )
        await self.save_state(state)
        await self.emit_progress(deployment_id, "running", "under way", percent=0.0)
        self._lines[deployment_id] = [f"started {deployment_id}", "one", "two"]
        self.log(f"started {deployment_id}")
        return deployment_id

    async def get_status(self, deployment_id: str) -> DeploymentState:
        state = await self.load_state(deployment_id)
        if state is None:
            raise DeploymentNotFoundError(f"Deployment {deployment_id} not found")
        return state

    async def stop(self, deployment_id: str) -> bool:
        state = await self.get_status(deployment_id)
        if state.status == DeploymentStatus.STOPPED:
            return True
        if state.status in _DONE:
            return False
        state.status = DeploymentStatus.STOPPED
        state.phase = "stopped"
        state.stopped_at = datetime.now(tz=UTC)
        await self.save_state(state)
        return True

    async def start(self, deployment_id: str) -> bool:
        state = await self.get_status(deployment_id)
        if state.status != DeploymentStatus.STOPPED:
            return False
        state.status = DeploymentStatus.RUNNING
        state.stopped_at = None
        await self.save_state(state)
        return True

    async def cleanup(self, deployment_id: str) -> CleanupReport:
        begun = time.monotonic()
        state = await self.get_status(deployment_id)
        if state.status in _DONE:
            return CleanupReport(deployment_id=deployment_id, details=[f"already {state.status}"])
        self._lines.pop(deployment_id, None)
        state.status = DeploymentStatus.COMPLETED
        state.phase = "cleaned_up"
        state.completed_at = datetime.now(tz=UTC)
        await self.save_state(state)
        return CleanupReport(
            deployment_id=deployment_id,
            resources_deleted=1,
            details=[f"Cleaned up {deployment_id}"],
            duration_seconds=time.monotonic() - begun,
        )

    async def get_logs(self, deployment_id: str, follow: bool = False, lines: int = 100) -> AsyncIterator[str]:
        await self.get_status(deployment_id)
        for line in self._lines.get(deployment_id, [])[-lines:]:
            yield line

    async def validate_config(self, config: DeploymentConfig) -> list[str]:
        errors = await super().validate_config(config)
        items = config.workload_config.get("items", 3)
        if isinstance(items, bool) or not isinstance(items, int) or items < 1:
            errors.append("'items' must be a positive integer")
        return errors
