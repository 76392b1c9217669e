"""
The goal agent as a workload: deploy, look, stop, resume, clean up, through the contract alone.

haymaker itself starts goal agents by the command in workload.yaml and imports nothing of this; whoever holds a
WorkloadRegistry gets the same agent here. It refuses to know where processes live: `launch` decides that.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.engines import Handle, RunState
from agent_haymaker.errors import DeploymentError, DeploymentNotFoundError, HaymakerError
from agent_haymaker.goals.place import COPY, VARIABLE, Place
from agent_haymaker.workloads.base import WorkloadBase
from agent_haymaker.workloads.models import CleanupReport, DeploymentConfig, DeploymentState, DeploymentStatus
from agent_haymaker.workloads.run_status import LOG_TAIL_LINES, detect_status
from haymaker_goal_agent.settings import KEYS, problems_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_haymaker.engines import Engine, Observation
    from agent_haymaker.goals.generator import GeneratedAgent

_BLOCK = 65536


def manifest_path() -> Path:
    """Give this workload's workload.yaml: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).parent
    inside = here / "workload.yaml"
    return inside if inside.is_file() else here.parent / "workload.yaml"


class GoalAgentWorkload(WorkloadBase):
    """Deploys goal agents, on a platform that starts processes."""

    name = "goal-agent"

    async def deploy(self, config: DeploymentConfig) -> str:
        if problems := await self.validate_config(config):
            raise DeploymentError("; ".join(problems), where="config", fix="correct the config and deploy again")
        settings = config.workload_config
        goal = await asyncio.to_thread(Path(settings["goal_file"]).absolute)
        state = DeploymentState(
            deployment_id=f"{self.name}-{os.urandom(4).hex()}",
            workload_name=self.name,
            status=DeploymentStatus.PENDING,
            phase="starting",
            started_at=_now(),
            config={**settings, "goal_file": str(goal)},
            metadata={"sdk": settings.get("sdk", "script"), "timeout_seconds": (config.duration_hours or 0) * 3600},
        )
        self._runs("launch")  # no record is left where nothing can be started
        await self.save_state(state)  # first, so that a process is never there without a record
        try:
            await self._launch(state)
        except HaymakerError:
            await self._delete_record(state.deployment_id)
            raise
        await self.save_state(state)
        return state.deployment_id

    async def get_status(self, deployment_id: str) -> DeploymentState:
        state = await self._known(deployment_id)
        handle = await self._run_of(state)
        if handle is None:
            return state
        seen = await self.observe(handle)
        tail = ""
        if seen.state is RunState.LOST:
            tail = "\n".join([line async for line in self.read_log(seen.handle, lines=LOG_TAIL_LINES)])
        found = detect_status(observation=seen, log_tail=tail)
        facts: dict[str, Any] = {"phase": await asyncio.to_thread(self._phase, seen.handle) or state.phase}
        if found is not None:
            facts["status"] = found
            if found.is_final:
                facts["completed_at"] = _moment(seen) or state.completed_at
            if found is DeploymentStatus.FAILED:
                facts["error"] = await asyncio.to_thread(self._reason, seen)
        return state.model_copy(update=facts)

    async def stop(self, deployment_id: str) -> bool:
        state = await self._known(deployment_id)
        handle = await self._run_of(state)
        if handle is None or (await self.observe(handle)).state.is_ended:
            return False
        await self.terminate(handle)
        state.status, state.stopped_at = DeploymentStatus.STOPPED, _now()
        await self.save_state(state)
        return True

    async def start(self, deployment_id: str) -> bool:
        """Run the goal of a stopped deployment again, from its first step, in the workspace it left."""
        state = await self.get_status(deployment_id)
        if state.status is not DeploymentStatus.STOPPED:
            return False
        before = await self._run_of(state)
        state.phase, state.started_at, state.stopped_at = "starting", _now(), None
        await self._launch(state)
        await self.save_state(state)
        if before is not None:
            await self._engine().forget(before)
        return True

    async def cleanup(self, deployment_id: str) -> CleanupReport:
        began = time.monotonic()
        report = CleanupReport(deployment_id=deployment_id)
        state = await self.load_state(deployment_id)
        if state is not None:
            try:
                if (handle := await self._run_of(state)) is not None:
                    if not (await self.observe(handle)).state.is_ended:
                        await self.terminate(handle)
                        report.details.append("process ended")
                    await self.discard(handle)
                    report.details.append("workspace deleted")
                await self._delete_record(deployment_id)
                report.details.append("record deleted")
            except HaymakerError as error:
                report.errors.append(str(error))
                report.resources_failed += 1
        report.resources_deleted = len(report.details)
        report.duration_seconds = time.monotonic() - began
        return report

    async def get_logs(self, deployment_id: str, follow: bool = False, lines: int = 100) -> AsyncIterator[str]:
        handle = await self._run_of(await self._known(deployment_id))
        if handle is None:
            return
        size, last = await asyncio.to_thread(self._last_lines, handle, lines)
        for line in last:
            yield line
        if follow:
            rest = b""
            async for chunk in self._engine().logs(handle, size, follow=True):
                *whole, rest = (rest + chunk).split(b"\n")
                for part in whole:
                    yield part.decode("utf-8", "replace")
            if rest:
                yield rest.decode("utf-8", "replace")

    async def validate_config(self, config: DeploymentConfig) -> list[str]:
        settings = config.workload_config
        problems = [f"`{key}` is not a setting of {self.name}" for key in settings if key not in KEYS]
        goal = settings.get("goal_file")
        if not isinstance(goal, str) or not goal:
            problems.append("`goal_file` is required: the path of a markdown file")
        elif not await asyncio.to_thread(Path(goal).is_file):
            problems.append(f"`goal_file`: there is no file {goal}")
        problems += [what for _, what in problems_of(settings)]
        return problems

    def generate_agent(self, goal: Path, out: Path | None, *, sdk: str, name: str, force: bool) -> GeneratedAgent:
        """Make an agent directory by hand; see `AgentGenerator`."""
        from haymaker_goal_agent.generate import generate_agent

        return generate_agent(goal, out, sdk=sdk, name=name, force=force)

    async def _launch(self, state: DeploymentState) -> None:
        goal = Path(state.config["goal_file"])
        try:
            content = await asyncio.to_thread(goal.read_bytes)
        except OSError as error:
            raise DeploymentError(
                f"the goal cannot be read: {error.strerror}", where=str(goal), fix="give a readable markdown file"
            ) from error
        settings = {**state.config, "goal_file": COPY}
        handle = await self.launch(
            state.deployment_id,
            [sys.executable, "-P", "-m", "haymaker_goal_agent", "run"],
            env={
                "HAYMAKER_DEPLOYMENT": state.deployment_id,
                "HAYMAKER_SOURCE_DIR": str(goal.parent),
                VARIABLE: str(Place(str(goal))),
            },
            files={
                **await asyncio.to_thread(_skills_beside, goal),
                COPY: content,
                "config.json": json.dumps(settings, indent=2, sort_keys=True).encode(),
            },
            timeout_seconds=state.metadata.get("timeout_seconds") or None,
        )
        state.metadata["run"] = handle.to_json()
        state.status = DeploymentStatus.RUNNING

    async def _known(self, deployment_id: str) -> DeploymentState:
        state = await self.load_state(deployment_id)
        if state is None or state.workload_name != self.name:
            raise DeploymentNotFoundError(
                f"no goal agent has the id {deployment_id}", fix="list what is deployed with `haymaker list`"
            )
        return state

    async def _run_of(self, state: DeploymentState) -> Handle | None:
        """Give the deployment's latest run: the one on record, else what the engine has under its id."""
        if "run" not in state.metadata:
            return await asyncio.to_thread(self._unrecorded_run, state.deployment_id)
        try:
            return Handle.from_json(state.metadata["run"])
        except (KeyError, TypeError, ValueError) as error:
            raise DeploymentError(
                "its record does not say which process is its own",
                where=f"state of {state.deployment_id} metadata.run",
                fix="restore the record; nothing is done on its account",
            ) from error

    def _unrecorded_run(self, deployment_id: str) -> Handle | None:
        """A run whose launcher died before it could write the handle down: its key holds the deployment's id."""
        runs = [seen.handle for seen in self._engine().list()]
        return next((run for run in runs if run.key.partition(".")[2].rsplit(".", 2)[0] == deployment_id), None)

    async def _delete_record(self, deployment_id: str) -> None:
        """Delete the state's record where the platform can; the contract of platforms does not ask it to."""
        delete = getattr(self._platform, "delete_deployment_state", None)
        if delete is not None:
            await delete(deployment_id)

    def _engine(self) -> Engine:
        engine: Engine = self._runs("engine")
        return engine

    def _last_lines(self, handle: Handle, lines: int) -> tuple[int, list[str]]:
        """Give the log's size and its last lines, reading no more of it than they take."""
        try:
            log = self._engine().open_file(handle, "agent.log")
        except FileNotFoundError:
            return 0, []
        with log:
            size = start = log.seek(0, io.SEEK_END)
            tail = b""
            while start > 0 and tail.count(b"\n") <= lines:
                step = min(_BLOCK, start)
                start -= step
                log.seek(start)
                tail = log.read(step) + tail
        found = tail.decode("utf-8", "replace").split("\n")
        if found and not found[-1]:
            found.pop()
        return size, found[-lines:] if lines > 0 else []

    def _phase(self, handle: Handle) -> str:
        """The phase that the agent entered last, as its events tell."""
        phase = ""
        with contextlib.suppress(OSError, ValueError), self._engine().open_file(handle, "events.jsonl") as events:
            for line in events:
                event = json.loads(line)
                if event.get("type") == "phase":
                    phase = str(event["name"])
        return phase

    def _reason(self, seen: Observation) -> str:
        """Why the run failed: what its result says, else how its process ended."""
        with (
            contextlib.suppress(OSError, ValueError, KeyError),
            self._engine().open_file(seen.handle, "result.json") as file,
        ):
            if reason := str(json.load(file)["reason"]):
                return reason
        return str(seen.exit) if seen.exit else "nobody saw how it ended"


def _skills_beside(goal: Path) -> dict[str, bytes]:
    from agent_haymaker.goals.skills import BESIDE_A_GOAL, IN_A_WORKSPACE
    from haymaker_goal_agent.skills import skill_files

    return {f"{IN_A_WORKSPACE}/{path}": content for path, content in skill_files(goal.parent / BESIDE_A_GOAL).items()}


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _moment(seen: Observation) -> datetime | None:
    ended = seen.exit.ended_at if seen.exit else None
    return None if ended is None else datetime.fromtimestamp(ended, UTC)
