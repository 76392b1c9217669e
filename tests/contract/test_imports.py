"""What published packages import is there, and importing it is cheap."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

NAMES = {
    "agent_haymaker": [
        "WorkloadBase",
        "WorkloadRegistry",
        "DeploymentState",
        "DeploymentStatus",
        "DeploymentConfig",
        "WorkloadManifest",
        "CleanupReport",
        "__version__",
    ],
    "agent_haymaker.workloads": [
        "WorkloadBase",
        "WorkloadRegistry",
        "DeploymentState",
        "DeploymentStatus",
        "DeploymentConfig",
        "WorkloadManifest",
        "CleanupReport",
        "__version__",
        "FilePlatform",
        "Platform",
        "EventEmitterMixin",
    ],
    "agent_haymaker.workloads.base": ["WorkloadBase", "DeploymentError", "DeploymentNotFoundError"],
    "agent_haymaker.workloads.models": [
        "DeploymentStatus",
        "DeploymentState",
        "DeploymentConfig",
        "WorkloadManifest",
        "CleanupReport",
    ],
    "agent_haymaker.workloads.platform": ["Platform"],
    "agent_haymaker.workloads.registry": ["WorkloadRegistry"],
    "agent_haymaker.workloads.file_platform": ["FilePlatform"],
    "agent_haymaker.events": [
        "LocalEventBus",
        "EventData",
        "DEPLOYMENT_STARTED",
        "DEPLOYMENT_COMPLETED",
        "DEPLOYMENT_FAILED",
        "DEPLOYMENT_PHASE_CHANGED",
        "DEPLOYMENT_LOG",
        "DEPLOYMENT_STOPPED",
        "WORKLOAD_PROGRESS",
        "RESOURCE_CREATED",
        "RESOURCE_DELETED",
        "ALL_TOPICS",
    ],
    "agent_haymaker.llm": [
        "LLMConfig",
        "create_llm_client",
        "LLMMessage",
        "LLMResponse",
        "BaseLLMProvider",
        "LLMError",
        "LLMAuthenticationError",
        "LLMRateLimitError",
        "LLMInvalidRequestError",
        "LLMProviderError",
    ],
}

HEAVY = {"pydantic", "asyncio", "yaml", "jsonschema", "psutil", "rich", "importlib.metadata", "click"}
SDKS = {"anthropic", "openai", "azure", "aiohttp", "httpx2"}


@pytest.mark.parametrize("module", NAMES)
def test_every_name_of_the_contract_is_there_and_comes_with_a_star(module):
    imported = importlib.import_module(module)
    for name in NAMES[module]:
        assert getattr(imported, name) is not None
    starred: dict[str, object] = {}
    exec(f"from {module} import *", starred)
    assert set(NAMES[module]) <= starred.keys()
    if hasattr(imported, "__dir__") and hasattr(imported, "__all__"):
        assert set(NAMES[module]) <= set(dir(imported))


def test_a_name_is_the_same_thing_wherever_it_is_imported_from():
    assert (
        importlib.import_module("agent_haymaker").WorkloadBase
        is importlib.import_module("agent_haymaker.workloads").WorkloadBase
        is importlib.import_module("agent_haymaker.workloads.base").WorkloadBase
    )


@pytest.mark.parametrize(
    "module", ["agent_haymaker", "agent_haymaker.workloads", "agent_haymaker.events", "agent_haymaker.llm"]
)
def test_a_name_that_is_not_there_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        _ = importlib.import_module(module).nothing_of_ours


@pytest.mark.parametrize(
    "module",
    [
        "agent_haymaker",
        "agent_haymaker.workloads",
        "agent_haymaker.errors",
        "agent_haymaker.records",
        "agent_haymaker.installation",
        "agent_haymaker.events",
        "agent_haymaker.workloads.platform",
        "agent_haymaker.llm",
        "agent_haymaker.llm.types",
        "agent_haymaker.llm.errors",
    ],
)
def test_importing_it_loads_nothing_heavy(module, tmp_path):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert HEAVY.isdisjoint(done.stdout.split())
    assert os.listdir(tmp_path) == []


def test_no_sdk_is_imported_before_a_client_of_it_is_made(tmp_path):
    code = "import sys; from agent_haymaker.llm import *; LLMConfig(api_key='k'); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert SDKS.isdisjoint(done.stdout.split())


def test_the_version_stands_in_one_place():
    import agent_haymaker

    assert re.fullmatch(r"\d+\.\d+\.\d+", agent_haymaker.__version__)
