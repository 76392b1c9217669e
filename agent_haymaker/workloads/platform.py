"""
The platform, as a workload sees it. Whatever has these five methods can host a workload.

It says nothing of files, processes or events: a platform may offer those too (`FilePlatform` has `publish_event`,
`subscribe`, `unsubscribe` and `launch`), and `WorkloadBase` uses them where they are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from agent_haymaker.workloads.models import DeploymentState


@runtime_checkable
class Platform(Protocol):
    """What every workload may rely on."""

    async def save_deployment_state(self, state: DeploymentState) -> None:
        """Record the state; whoever loads sees the old one or this one, never a part."""
        ...

    async def load_deployment_state(self, deployment_id: str) -> DeploymentState | None:
        """Give the recorded state, or None where this id has no record."""
        ...

    async def list_deployments(self, workload_name: str) -> list[DeploymentState]:
        """Give every recorded state of this workload."""
        ...

    async def get_credential(self, name: str) -> str | None:
        """Give a secret by its name ("azure-tenant-id"), or None where there is none."""
        ...

    def log(self, message: str, level: str = "INFO", workload: str = "") -> None:
        """Write one line to the platform's own log."""
        ...
