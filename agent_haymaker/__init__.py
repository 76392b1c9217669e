"""
The contract between haymaker and its workloads.

Importing it does no I/O and loads no third party: each name is imported when it is first asked for. The version
stands here and nowhere else; the build reads it from this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_haymaker.workloads.base import WorkloadBase
    from agent_haymaker.workloads.models import (
        CleanupReport,
        DeploymentConfig,
        DeploymentState,
        DeploymentStatus,
        WorkloadManifest,
    )
    from agent_haymaker.workloads.registry import WorkloadRegistry

__version__ = "0.3.0"

__all__ = [
    "CleanupReport",
    "DeploymentConfig",
    "DeploymentState",
    "DeploymentStatus",
    "WorkloadBase",
    "WorkloadManifest",
    "WorkloadRegistry",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from agent_haymaker import workloads

    value = getattr(workloads, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
