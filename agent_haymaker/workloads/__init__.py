"""
What a workload package imports: the base class, the models, the registry and the file platform.

Lazy: a name is imported when it is first asked for, so that a command which needs none of them pays for none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_haymaker.workloads.base import (
        DeploymentError,
        DeploymentNotFoundError,
        EventEmitterMixin,
        WorkloadBase,
    )
    from agent_haymaker.workloads.file_platform import FilePlatform
    from agent_haymaker.workloads.models import (
        CleanupReport,
        DeploymentConfig,
        DeploymentState,
        DeploymentStatus,
        WorkloadManifest,
    )
    from agent_haymaker.workloads.platform import Platform
    from agent_haymaker.workloads.registry import WorkloadRegistry

__all__ = [
    "CleanupReport",
    "DeploymentConfig",
    "DeploymentError",
    "DeploymentNotFoundError",
    "DeploymentState",
    "DeploymentStatus",
    "EventEmitterMixin",
    "FilePlatform",
    "Platform",
    "WorkloadBase",
    "WorkloadManifest",
    "WorkloadRegistry",
    "__version__",
]

_HOMES = {
    "CleanupReport": "agent_haymaker.workloads.models",
    "DeploymentConfig": "agent_haymaker.workloads.models",
    "DeploymentError": "agent_haymaker.errors",
    "DeploymentNotFoundError": "agent_haymaker.errors",
    "DeploymentState": "agent_haymaker.workloads.models",
    "DeploymentStatus": "agent_haymaker.workloads.models",
    "EventEmitterMixin": "agent_haymaker.workloads.base",
    "FilePlatform": "agent_haymaker.workloads.file_platform",
    "Platform": "agent_haymaker.workloads.platform",
    "WorkloadBase": "agent_haymaker.workloads.base",
    "WorkloadManifest": "agent_haymaker.workloads.models",
    "WorkloadRegistry": "agent_haymaker.workloads.registry",
    "__version__": "agent_haymaker",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
