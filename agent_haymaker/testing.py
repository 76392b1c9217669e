"""
For whoever tests a workload: one suite that every workload passes, and a way to wait without sleeping.

    from agent_haymaker.testing import WorkloadContract

    class TestMyWorkload(WorkloadContract):
        workload_class = MyWorkload
        workload_config = {"workers": 2}

It runs the real workload on the real file platform, each test with a HAYMAKER_HOME of its own. pytest is needed to
run the suite, not to import it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from agent_haymaker.errors import DeploymentNotFoundError
from agent_haymaker.workloads.base import WorkloadBase
from agent_haymaker.workloads.file_platform import FilePlatform, check_deployment_id
from agent_haymaker.workloads.models import CleanupReport, DeploymentConfig, DeploymentState, DeploymentStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    import pytest

T = TypeVar("T")

_WITHIN_SECONDS = 30.0  # a wait that succeeds ends at once: this is for machines that are very busy
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.1


class _Patience:
    """How long one wait goes on: ever longer pauses, until the time is over."""

    def __init__(self, within: float) -> None:
        self.within, self.deadline = within, time.monotonic() + within
        self.pause = _FIRST_PAUSE_SECONDS

    def next_pause(self, last: str, error: Exception | None) -> float:
        """Give the seconds to pause; raises AssertionError where the time is over, with what the last look came to."""
        if time.monotonic() >= self.deadline:
            raise AssertionError(f"not within {self.within:g} s: the last look {last}") from error
        pause, self.pause = self.pause, min(self.pause * 1.5, _LONGEST_PAUSE_SECONDS)
        return pause


def eventually(check: Callable[[], T], within: float = _WITHIN_SECONDS) -> T:
    """
    Call `check` until what it gives is true, and return that; an exception of it counts as "not yet".

    `within` is in seconds. In a coroutine use `eventually_async`, which leaves the loop running.

    Raises:
        AssertionError: the time passed; says what the last call gave, or raised.
    """
    patience = _Patience(within)
    while True:
        error: Exception | None = None
        try:
            given = check()
            if given:
                return given
            last = f"gave {given!r}"
        except Exception as raised:  # noqa: BLE001 - told when the time has passed
            error, last = raised, f"raised {raised!r}"
        time.sleep(patience.next_pause(last, error))


async def eventually_async(check: Callable[[], Awaitable[T] | T], within: float = _WITHIN_SECONDS) -> T:
    """Do what `eventually` does inside a running loop; `check` may be a coroutine function."""
    patience = _Patience(within)
    while True:
        error: Exception | None = None
        try:
            found = check()
            given: T = await found if inspect.isawaitable(found) else found
            if given:
                return given
            last = f"gave {given!r}"
        except Exception as raised:  # noqa: BLE001 - told when the time has passed
            error, last = raised, f"raised {raised!r}"
        await asyncio.sleep(patience.next_pause(last, error))


class WorkloadContract:
    """
    What haymaker relies on, one obligation a test. Subclass it in a test module and set `workload_class`.

    `workload_config` must be a config that deploys. Each of `refused_configs` must be refused, by `validate_config`
    or by `deploy`. Every call has `deadline_seconds`, since a workload that hangs fails its deployment.
    Override `make_workload` where the class needs more than a platform.
    """

    workload_class: ClassVar[type[WorkloadBase]]
    workload_config: ClassVar[dict[str, Any]] = {}
    refused_configs: ClassVar[list[dict[str, Any]]] = []
    deadline_seconds: ClassVar[float] = 30

    def make_workload(self, platform: FilePlatform | None) -> WorkloadBase:
        """Give a fresh instance, as a new process would have."""
        return self.workload_class(platform=platform)

    # ---- the class ----

    def test_it_has_a_name_of_its_own(self) -> None:
        assert self.workload_class.name not in ("", "base")

    def test_it_can_be_made_without_a_platform(self) -> None:
        assert self._run(self.make_workload(None).list_deployments()) == []

    # ---- its config ----

    def test_its_config_is_accepted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        workload = self.make_workload(self._platform(tmp_path, monkeypatch))
        assert self._run(workload.validate_config(self._config())) == []

    def test_a_wrong_config_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        platform = self._platform(tmp_path, monkeypatch)

        async def refuses(config: DeploymentConfig) -> bool:
            workload = self.make_workload(platform)
            if await workload.validate_config(config):
                return True
            try:
                deployment_id = await workload.deploy(config)
            except Exception:  # noqa: BLE001 - whatever it raises is a refusal
                return True
            await workload.cleanup(deployment_id)
            return False

        for wrong in self.refused_configs:
            config = DeploymentConfig(workload_name=self.workload_class.name, workload_config=wrong)
            assert self._run(refuses(config)), f"{wrong} was deployed"

    # ---- the life of a deployment ----

    def test_each_deployment_has_an_id_of_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario(workload: WorkloadBase, first: str) -> None:
            second = await workload.deploy(self._config())
            try:
                assert check_deployment_id(first) != check_deployment_id(second)
            finally:
                await workload.cleanup(second)

        self._deployed(scenario, tmp_path, monkeypatch)

    def test_its_status_says_what_it_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario(workload: WorkloadBase, deployment_id: str) -> None:
            state = await workload.get_status(deployment_id)
            assert isinstance(state, DeploymentState)
            assert state.deployment_id == deployment_id
            assert state.workload_name == self.workload_class.name
            assert state.status in set(DeploymentStatus)
            assert deployment_id in {s.deployment_id for s in await workload.list_deployments()}

        self._deployed(scenario, tmp_path, monkeypatch)

    def test_another_process_finds_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario(workload: WorkloadBase, deployment_id: str) -> None:
            stranger = self.make_workload(self._platform(tmp_path, monkeypatch))
            assert stranger is not workload
            assert (await stranger.get_status(deployment_id)).deployment_id == deployment_id

        self._deployed(scenario, tmp_path, monkeypatch)

    def test_its_logs_are_the_last_lines(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario(workload: WorkloadBase, deployment_id: str) -> None:
            assert inspect.isasyncgen(workload.get_logs(deployment_id)), "get_logs must be an async generator"
            some = [line async for line in workload.get_logs(deployment_id, lines=2)]
            assert all(isinstance(line, str) for line in some)
            assert len(some) <= 2

        self._deployed(scenario, tmp_path, monkeypatch)

    def test_a_stopped_one_runs_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario(workload: WorkloadBase, deployment_id: str) -> None:
            assert isinstance(await workload.stop(deployment_id), bool)
            assert (await workload.get_status(deployment_id)).status not in _MOVING
            assert isinstance(await workload.stop(deployment_id), bool), "stopping twice must do no harm"

        self._deployed(scenario, tmp_path, monkeypatch)

    def test_it_resumes_under_the_same_id_or_says_that_it_cannot(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def scenario(workload: WorkloadBase, deployment_id: str) -> None:
            await workload.stop(deployment_id)
            stopped = (await workload.get_status(deployment_id)).status
            try:
                resumed = await workload.start(deployment_id)
            except NotImplementedError:
                assert type(workload).start is WorkloadBase.start
                return
            assert resumed is (stopped == DeploymentStatus.STOPPED)
            if resumed:
                assert (await workload.get_status(deployment_id)).status != DeploymentStatus.STOPPED

        self._deployed(scenario, tmp_path, monkeypatch)

    def test_an_id_that_nobody_deployed_is_not_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        workload = self.make_workload(self._platform(tmp_path, monkeypatch))

        async def read_logs(deployment_id: str) -> list[str]:
            return [line async for line in workload.get_logs(deployment_id)]

        for call in (workload.get_status, workload.stop, read_logs):
            try:
                self._run(call("nobody-00000000"))
            except DeploymentNotFoundError:
                continue
            raise AssertionError(f"{call.__name__} knows an id that nobody deployed")

    # ---- its end ----

    def test_cleanup_works_while_it_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario(workload: WorkloadBase, deployment_id: str) -> None:
            await self._is_clean(workload, deployment_id)

        self._deployed(scenario, tmp_path, monkeypatch)

    def test_cleanup_works_when_it_is_stopped(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario(workload: WorkloadBase, deployment_id: str) -> None:
            await workload.stop(deployment_id)
            await self._is_clean(workload, deployment_id)

        self._deployed(scenario, tmp_path, monkeypatch)

    def test_cleanup_works_whatever_its_record_says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for status in DeploymentStatus:

            async def scenario(workload: WorkloadBase, deployment_id: str, status: DeploymentStatus = status) -> None:
                state = await workload.load_state(deployment_id)
                if state is not None:
                    state.status = status
                    await workload.save_state(state)
                await self._is_clean(workload, deployment_id)

            self._deployed(scenario, tmp_path / status, monkeypatch)

    def test_cleanup_twice_does_no_harm(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario(workload: WorkloadBase, deployment_id: str) -> None:
            await self._is_clean(workload, deployment_id)
            with contextlib.suppress(DeploymentNotFoundError):
                again = await workload.cleanup(deployment_id)
                assert again.resources_failed == 0
                assert again.errors == []

        self._deployed(scenario, tmp_path, monkeypatch)

    # ---- how the suite does it ----

    def _config(self) -> DeploymentConfig:
        return DeploymentConfig(workload_name=self.workload_class.name, workload_config=dict(self.workload_config))

    def _platform(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FilePlatform:
        monkeypatch.setenv("HAYMAKER_HOME", str(tmp_path / "home"))
        return FilePlatform()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        async def in_time() -> T:
            return await asyncio.wait_for(call, self.deadline_seconds)

        return asyncio.run(in_time())

    def _deployed(
        self,
        scenario: Callable[[WorkloadBase, str], Awaitable[None]],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Run `scenario` on a fresh deployment, and leave nothing of it behind."""
        workload = self.make_workload(self._platform(tmp_path, monkeypatch))

        async def life() -> None:
            deployment_id = await workload.deploy(self._config())
            try:
                await scenario(workload, deployment_id)
            finally:
                with contextlib.suppress(DeploymentNotFoundError):
                    await workload.cleanup(deployment_id)

        self._run(life())

    async def _is_clean(self, workload: WorkloadBase, deployment_id: str) -> None:
        report = await workload.cleanup(deployment_id)
        assert isinstance(report, CleanupReport)
        assert report.deployment_id == deployment_id
        assert report.resources_failed == 0, report.errors
        assert report.errors == []
        try:
            state = await workload.get_status(deployment_id)
        except DeploymentNotFoundError:
            return
        assert state.status in (DeploymentStatus.COMPLETED, DeploymentStatus.FAILED), (
            f"a cleaned up deployment is {state.status}"
        )


_MOVING = (DeploymentStatus.PENDING, DeploymentStatus.RUNNING, DeploymentStatus.CLEANING_UP)
