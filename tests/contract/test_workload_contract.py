"""Workloads as strangers publish them pass the suite that every workload passes, without a changed line."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from agent_haymaker import DeploymentConfig, WorkloadRegistry
from agent_haymaker.errors import DeploymentNotFoundError
from agent_haymaker.events import DEPLOYMENT_STARTED
from agent_haymaker.testing import WorkloadContract, eventually_async
from agent_haymaker.workloads import FilePlatform

from .strangers.by_launch import ByLaunch
from .strangers.by_state import ByState
from .strangers.by_tasks import ByTasks

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


class TestByState(WorkloadContract):
    workload_class = ByState
    workload_config: ClassVar = {"items": 5}
    refused_configs: ClassVar = [{"items": 0}, {"items": "five"}, {"items": True}]


class TestByTasks(WorkloadContract):
    workload_class = ByTasks
    workload_config: ClassVar = {"workers": 3}


class TestByLaunch(WorkloadContract):
    workload_class = ByLaunch


class Forgetful(ByState):
    """Breaks the contract in one way at a time, to show that the suite sees it."""

    name = "forgetful"
    breaks = ""

    async def save_state(self, state):
        if self.breaks != "state":
            await super().save_state(state)

    async def cleanup(self, deployment_id):
        report = await super().cleanup(deployment_id)
        if self.breaks == "cleanup":
            report.errors.append("one is left")
        return report

    async def stop(self, deployment_id):
        return True if self.breaks == "stop" else await super().stop(deployment_id)

    async def get_logs(self, deployment_id, follow=False, lines=100):
        async for line in super().get_logs(deployment_id, follow, 100 if self.breaks == "logs" else lines):
            yield line


@pytest.mark.parametrize(
    ("breaks", "obligation"),
    [
        ("state", "test_another_process_finds_it"),
        ("cleanup", "test_cleanup_works_while_it_runs"),
        ("stop", "test_a_stopped_one_runs_no_more"),
        ("logs", "test_its_logs_are_the_last_lines"),
    ],
)
def test_the_suite_sees_a_workload_that_breaks_it(breaks, obligation, tmp_path, monkeypatch):
    suite = type("Suite", (WorkloadContract,), {"workload_class": Forgetful})()
    monkeypatch.setattr(Forgetful, "breaks", "")
    getattr(suite, obligation)(tmp_path / "sound", monkeypatch)
    monkeypatch.setattr(Forgetful, "breaks", breaks)
    with pytest.raises((AssertionError, DeploymentNotFoundError)):
        getattr(suite, obligation)(tmp_path / "broken", monkeypatch)


# ---- a launched process lives on ----


def test_a_launched_agent_outlives_the_process_that_deployed_it_and_another_ends_it(tmp_path, monkeypatch):
    """Faults 1 and 7 of the existing tool: an agent that dies with the CLI, a stop that leaves it running."""
    home = tmp_path / "home"
    monkeypatch.setenv("HAYMAKER_HOME", str(home))
    here = Path(__file__).parent
    code = (
        "import asyncio\n"
        "from agent_haymaker import DeploymentConfig\n"
        "from agent_haymaker.workloads import FilePlatform\n"
        "from strangers.by_launch import ByLaunch\n"
        "config = DeploymentConfig(workload_name='by-launch', workload_config={'words': 'from afar'})\n"
        "print(asyncio.run(ByLaunch(FilePlatform()).deploy(config)))\n"
    )
    deployment_id = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{here.parents[1]}:{here}", "SECRET_OF_THE_CALLER": "hunter2"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    async def scenario():
        workload = ByLaunch(FilePlatform())
        try:
            assert (await workload.get_status(deployment_id)).status == "running"

            async def said():
                return [line async for line in workload.get_logs(deployment_id)] == ["from afar", "started"]

            await eventually_async(said)
            assert [line async for line in workload.get_logs(deployment_id, lines=1)] == ["started"]
            if sys.platform == "linux":
                agents = await eventually_async(lambda: [p for p in pids_of(deployment_id) if b"sleep" in cmdline(p)])
                assert all(b"hunter2" not in environ(pid) for pid in agents)
            assert await workload.stop(deployment_id)
            assert pids_of(deployment_id) == []
            assert (await workload.get_status(deployment_id)).status == "stopped"
            followed = [line async for line in workload.get_logs(deployment_id, lines=1, follow=True)]
            assert followed == ["started"]
        finally:
            report = await workload.cleanup(deployment_id)
        assert report.is_complete
        assert pids_of(deployment_id) == []
        assert list((home / "agents").iterdir()) == []

    asyncio.run(scenario())


def test_the_last_lines_of_a_log_are_all_there_however_long_they_are(tmp_path):
    async def scenario():
        workload = ByLaunch(FilePlatform(tmp_path / "state"))
        writes = "for n in 1 2 3 4 5; do head -c 50000 /dev/zero | tr '\\0' $n; echo; done"
        handle = await workload.launch("long-lines", ["sh", "-c", writes])

        async def is_over():
            return (await workload.observe(handle)).state.is_ended

        await eventually_async(is_over)
        for follow in (False, True):
            last = [(line[0], len(line)) async for line in workload.read_log(handle, lines=3, follow=follow)]
            assert last == [("3", 50000), ("4", 50000), ("5", 50000)]
        await workload.discard(handle)

    asyncio.run(scenario())


def pids_of(deployment_id):
    """Every process that carries the deployment's id in its environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"HAYMAKER_DEPLOYMENT_ID={deployment_id}".encode() in environment.split(b"\0"):
            found.append(int(entry.name))
    return found


def environ(pid):
    return Path(f"/proc/{pid}/environ").read_bytes()


def cmdline(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


# ---- strangers in the registry ----


def installed(tmp_path, monkeypatch, entry_points, modules=()):
    """Install a distribution for real: its metadata and modules in a folder on the path."""
    site = tmp_path / "site"
    meta = site / "stranger-1.0.dist-info"
    meta.mkdir(parents=True)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entry_points]
    (meta / "entry_points.txt").write_text("[agent_haymaker.workloads]\n" + "\n".join(lines) + "\n")
    for name, text in modules:
        (site / name).write_text(text)
    monkeypatch.syspath_prepend(str(site))


STRANGER = Path(__file__).parent / "strangers" / "by_tasks.py"


def test_a_published_package_is_found_and_lives_its_life(tmp_path, monkeypatch):
    monkeypatch.setenv("HAYMAKER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OFFICE_TOKEN", "s3cret")
    installed(
        tmp_path,
        monkeypatch,
        [("by-tasks", "stranger_by_tasks:ByTasks")],
        [("stranger_by_tasks.py", STRANGER.read_text())],
    )
    platform = FilePlatform()
    registry = WorkloadRegistry(platform=platform)
    assert "by-tasks" in registry.list_workloads()
    workload = registry.get_workload("by-tasks")
    assert type(workload).__module__ == "stranger_by_tasks"

    async def scenario():
        heard = []
        await platform.subscribe(DEPLOYMENT_STARTED, heard.append)
        deployment_id = await workload.deploy(DeploymentConfig(workload_name="by-tasks"))

        async def works():
            return (await workload.get_status(deployment_id)).metadata["activities_performed"] > 2

        await eventually_async(works)
        (last,) = [line async for line in workload.get_logs(deployment_id, lines=1)]
        assert last.endswith("(signed)\n")
        await eventually_async(lambda: heard)
        assert heard[0]["workload_name"] == "by-tasks"
        assert heard[0]["deployment_id"] == deployment_id
        assert heard[0]["workers"] == 2
        assert await workload.stop(deployment_id)
        assert (await workload.cleanup(deployment_id)).is_complete
        assert [s.status for s in await workload.list_deployments()] == ["completed"]
        await platform.unsubscribe("nobody's")

    asyncio.run(scenario())
