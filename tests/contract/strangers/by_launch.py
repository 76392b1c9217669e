"""A workload that asks its platform for a process, so that the agent outlives whoever deployed it."""
# ruff: noqa: TC003 - a stranger's code has its own style

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

from agent_haymaker import CleanupReport, DeploymentConfig, DeploymentState, DeploymentStatus, WorkloadBase
from agent_haymaker.engines import Handle
from agent_haymaker.workloads.base import DeploymentNotFoundError
from agent_haymaker.workloads.run_status import detect_status


class ByLaunch(WorkloadBase):
    name = "by-launch"

    async def deploy(self, config: DeploymentConfig) -> str:
        deployment_id = f"{self.name}-{uuid.uuid4().hex[:8]}"
        handle = await self.launch(
            deployment_id,
            ["sh", "./agent.sh"],
            env={"WORDS": str(config.workload_config.get("words", "hello"))},
            files={"agent.sh": b'echo "$WORDS"; echo started; exec sleep 600\n'},
        )
        await self.save_state(
            DeploymentState(
                deployment_id=deployment_id,
                workload_name=self.name,
                status=DeploymentStatus.RUNNING,
                metadata={"run": handle.to_json()},
            )
        )
        return deployment_id

    async def get_status(self, deployment_id: str) -> DeploymentState:
        state, handle = await self._find(deployment_id)
        if state.status == DeploymentStatus.RUNNING and state.phase != "cleaned_up":
            state.status = detect_status(observation=await self.observe(handle)) or state.status
        return state

    async def stop(self, deployment_id: str) -> bool:
        state, handle = await self._find(deployment_id)
        await self.terminate(handle, grace_seconds=5)
        if state.status in (DeploymentStatus.COMPLETED, DeploymentStatus.FAILED):
            return False
        state.status = DeploymentStatus.STOPPED
        await self.save_state(state)
        return True

    async def cleanup(self, deployment_id: str) -> CleanupReport:
        state, handle = await self._find(deployment_id)
        if state.phase == "cleaned_up":
            return CleanupReport(deployment_id=deployment_id, details=["cleaned up already"])
        await self.terminate(handle, grace_seconds=5)
        await self.discard(handle)
        state.status = DeploymentStatus.COMPLETED
        state.phase = "cleaned_up"
        await self.save_state(state)
        return CleanupReport(deployment_id=deployment_id, resources_deleted=1, details=["ended its process"])

    async def get_logs(self, deployment_id: str, follow: bool = False, lines: int = 100) -> AsyncIterator[str]:
        _, handle = await self._find(deployment_id)
        async for line in self.read_log(handle, lines=lines, follow=follow):
            yield line

    async def _find(self, deployment_id: str) -> tuple[DeploymentState, Handle]:
        state = await self.load_state(deployment_id)
        if state is None:
            raise DeploymentNotFoundError(f"no deployment {deployment_id}")
        return state, Handle.from_json(state.metadata["run"])
