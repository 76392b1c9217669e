"""The goal agent through the contract: the suite that every workload passes, and what is its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from agent_haymaker import DeploymentConfig, DeploymentStatus
from agent_haymaker.errors import DeploymentError
from agent_haymaker.testing import WorkloadContract, eventually_async
from agent_haymaker.workloads import FilePlatform, WorkloadRegistry
from haymaker_goal_agent import GoalAgentWorkload
from haymaker_goal_agent.drivers import SDKS
from haymaker_goal_agent.settings import KEYS
from haymaker_goal_agent.workload import manifest_path

GOALS = Path(__file__).parent / "goals"


class TestGoalAgentKeepsTheContract(WorkloadContract):
    workload_class = GoalAgentWorkload
    workload_config: ClassVar[dict[str, object]] = {"goal_file": str(GOALS / "waits.md"), "sdk": "script"}
    refused_configs: ClassVar[list[dict[str, object]]] = [
        {},
        {"goal_file": str(GOALS / "none.md")},
        {"goal_file": str(GOALS / "waits.md"), "sdk": "clause"},
        {"goal_file": str(GOALS / "waits.md"), "sdkk": "script"},
        {"goal_file": str(GOALS / "waits.md"), "check_timeout_seconds": 0},
    ]


@pytest.fixture
def life(tmp_path, monkeypatch):
    """Run a scenario on a workload with a home of its own, and leave nothing behind."""
    monkeypatch.setenv("HAYMAKER_HOME", str(tmp_path / "home"))

    def run(goal: str, scenario):
        async def whole():
            workload = GoalAgentWorkload(FilePlatform())
            config = DeploymentConfig(workload_name="goal-agent", workload_config={"goal_file": str(GOALS / goal)})
            deployment_id = await workload.deploy(config)
            try:
                await scenario(workload, deployment_id)
            finally:
                await workload.cleanup(deployment_id)

        asyncio.run(asyncio.wait_for(whole(), 30))

    return run


async def ended(workload, deployment_id):
    async def look():
        state = await workload.get_status(deployment_id)
        return state if state.status.is_final else None

    return await eventually_async(look)


def test_a_goal_that_is_met_is_completed_and_its_log_says_so(life):
    async def scenario(workload, deployment_id):
        state = await ended(workload, deployment_id)
        assert (state.status, state.phase) == (DeploymentStatus.COMPLETED, "Verify")
        assert state.completed_at is not None
        last = [line async for line in workload.get_logs(deployment_id, lines=2)]
        assert last == ["Goal achieved", "Exit code: 0"]

    life("is-met.md", scenario)


def test_skills_beside_the_goal_are_handed_over(life, tmp_path):
    (tmp_path / "skills/naming").mkdir(parents=True)
    (tmp_path / "skills/naming/SKILL.md").write_text("---\nname: naming\ndescription: How we name.\n---\n")
    goal = tmp_path / "goal.md"
    goal.write_text("## Goal\n\nFollow naming.\n\n## Steps\n\n```sh\ntest -s skills/naming/SKILL.md\n```\n")

    async def scenario(workload, deployment_id):
        assert (await ended(workload, deployment_id)).status is DeploymentStatus.COMPLETED

    life(str(goal), scenario)


def test_a_goal_that_is_not_met_is_failed_with_the_reason(life):
    async def scenario(workload, deployment_id):
        state = await ended(workload, deployment_id)
        assert state.status is DeploymentStatus.FAILED
        at = f"{state.config['goal_file']}:15"
        assert state.error == f"1 of 1 check failed: `test -s nothing` ({at}, exit code 1)"

    life("is-not-met.md", scenario)


def test_a_stopped_one_resumes_under_its_id(life):
    async def scenario(workload, deployment_id):
        assert await workload.stop(deployment_id)
        assert (await workload.get_status(deployment_id)).status is DeploymentStatus.STOPPED
        assert await workload.start(deployment_id)
        assert (await workload.get_status(deployment_id)).status is DeploymentStatus.RUNNING
        assert not await workload.start(deployment_id), "it runs already"

    life("waits.md", scenario)


def test_a_log_is_followed_to_its_end(life):
    async def scenario(workload, deployment_id):
        lines = [line async for line in workload.get_logs(deployment_id, follow=True)]
        assert lines[0] == "Goal: Is met"
        assert lines[-2:] == ["Goal achieved", "Exit code: 0"]

    life("is-met.md", scenario)


def test_it_lives_where_its_platform_is_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("HAYMAKER_HOME", str(tmp_path / "home"))
    platform = FilePlatform(tmp_path / "elsewhere/state")

    async def scenario():
        workload = GoalAgentWorkload(platform)
        settings = {"goal_file": str(GOALS / "is-met.md")}
        deployment_id = await workload.deploy(DeploymentConfig(workload_name="goal-agent", workload_config=settings))
        try:
            assert (await ended(workload, deployment_id)).phase == "Verify"
            last = [line async for line in workload.get_logs(deployment_id, lines=1)]
            assert last == ["Exit code: 0"]
        finally:
            report = await workload.cleanup(deployment_id)
        assert report.is_complete
        assert report.details == ["workspace deleted", "record deleted"]

    asyncio.run(scenario())
    assert not (tmp_path / "home").exists()
    assert list((tmp_path / "elsewhere/agents").iterdir()) == []
    assert list(platform.engine.list()) == []


def test_a_deployment_that_cannot_start_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("HAYMAKER_HOME", str(tmp_path / "home"))
    workload = GoalAgentWorkload(FilePlatform())
    config = DeploymentConfig(workload_name="goal-agent", workload_config={"goal_file": str(tmp_path)})
    with pytest.raises(DeploymentError, match="there is no file"):
        asyncio.run(workload.deploy(config))
    assert asyncio.run(workload.list_deployments()) == []


def test_a_platform_that_starts_no_processes_gets_no_record():
    class Records:
        def __init__(self):
            self.saved = []

        async def save_deployment_state(self, state):
            self.saved.append(state)

    platform = Records()
    config = DeploymentConfig(workload_name="goal-agent", workload_config={"goal_file": str(GOALS / "is-met.md")})
    with pytest.raises(DeploymentError, match="no platform that does"):
        asyncio.run(GoalAgentWorkload(platform).deploy(config))
    assert platform.saved == []


def test_its_workload_yaml_is_found_and_says_what_it_is():
    declared = yaml.safe_load(manifest_path().read_text(encoding="utf-8"))
    assert declared["name"] == GoalAgentWorkload.name
    assert declared["command"][-2:] == ["haymaker_goal_agent", "run"]
    assert declared["config_schema"]["sdk"]["enum"] == list(SDKS)
    assert set(declared["config_schema"]) == set(KEYS)
    assert WorkloadRegistry().load_manifest(manifest_path()).warnings == []


def test_its_workload_yaml_is_found_inside_an_installed_package(tmp_path, monkeypatch):
    package = tmp_path / "haymaker_goal_agent"
    package.mkdir()
    (package / "workload.yaml").write_text("name: goal-agent\n")
    monkeypatch.setattr("haymaker_goal_agent.workload.__file__", str(package / "workload.py"))
    assert manifest_path() == package / "workload.yaml"


def test_the_registry_finds_it_by_its_entry_point():
    assert isinstance(WorkloadRegistry().get_workload("goal-agent"), GoalAgentWorkload)
