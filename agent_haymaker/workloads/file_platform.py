"""
The platform on this machine's files: one JSON record for each deployment id, atomic and locked.

A record that cannot be read is doubt: loading it raises, listing leaves it out and reports it (`unreadable()`, and
a warning in the log), and saving over it is refused, since it may describe something alive. It refuses to know
what any state means.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from agent_haymaker.errors import DoubtError, WorkloadError
from agent_haymaker.events import LocalEventBus
from agent_haymaker.installation import ensure_home, home
from agent_haymaker.locks import FileLock
from agent_haymaker.records import (
    SCHEMA_VERSION,
    platform_error,
    read_record,
    sync_dir,
    write_record,
)
from agent_haymaker.workloads.base import level_of
from agent_haymaker.workloads.models import DeploymentState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from agent_haymaker.engines import Engine, Handle, Observation, RunSpec
    from agent_haymaker.events import Callback

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LOCKS = 64
_LOCK_SECONDS = 10.0
_TAIL_BYTES = 64 * 1024
_LONGEST_LINE = 1024 * 1024
_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")


class FilePlatform:
    """
    States under `state_dir` (default: HAYMAKER_HOME/state), one `<deployment_id>.json` each.

    Locks and events stand beside a `state_dir` that is called `state`, as in a HAYMAKER_HOME, and inside any
    other. Nothing is made on disk before the first write.
    """

    def __init__(self, state_dir: Path | str | None = None) -> None:
        self._state_dir = Path(state_dir) if state_dir is not None else home() / "state"
        self._home = self._state_dir.parent if self._state_dir.name == "state" else self._state_dir
        self._event_bus = LocalEventBus(self._home / "events")
        self._engine: Engine | None = None

    # ---- states ----

    async def save_deployment_state(self, state: DeploymentState) -> None:
        """
        Record the state, durably. What an older or newer tool, or the platform itself, keeps in the record stays.

        Raises:
            ValueError: the id cannot be a file's name.
            WorkloadError: the state holds something that JSON cannot say.
            DoubtError: the record that is there cannot be read.
            PlatformError: the host refuses; the old record is as it was.
        """
        path = self._path(state.deployment_id)
        try:
            # By way of text, which makes null of NaN as the existing tool does.
            record = json.loads(state.model_dump_json(warnings=False))
            DeploymentState.model_validate(record)  # what could not be read back must not be written
            record["schema_version"] = SCHEMA_VERSION
            await asyncio.to_thread(self._save, path, record)
        except (PydanticSerializationError, TypeError, ValueError) as error:
            raise WorkloadError(
                f"the state of {state.deployment_id} cannot be recorded: {_first_line(error)}",
                where=f"workload {state.workload_name}",
                fix="put only JSON values (text, numbers, true, false, null, lists, objects) into config and metadata",
            ) from error

    def _save(self, path: Path, record: dict[str, Any]) -> None:
        ensure_home(self._home)
        ensure_home(self._state_dir)
        with self._locked(path):
            try:
                before = read_record(path)
            except FileNotFoundError:
                before = {}
            write_record(path, _merged(before, record))

    def _locked(self, path: Path) -> FileLock:
        # A lock's file must stay for ever, so a fixed number of them serves however many deployments come and go.
        stripe = zlib.crc32(path.name.encode()) % _LOCKS
        return FileLock(ensure_home(self._home / "locks") / f"state-{stripe:02d}.lock", timeout_seconds=_LOCK_SECONDS)

    async def load_deployment_state(self, deployment_id: str) -> DeploymentState | None:
        """
        Give the recorded state, or None where there is no record.

        Raises:
            ValueError: the id cannot be a file's name.
            DoubtError: there is a record, and it cannot be read; it is kept.
        """
        path = self._path(deployment_id)
        try:
            return await asyncio.to_thread(_read_state, path)
        except FileNotFoundError:
            return None

    async def list_deployments(self, workload_name: str | None = None) -> list[DeploymentState]:
        """Give the readable states by id, of one workload or of all; the others are warned of, see `unreadable`."""
        states, doubts = await asyncio.to_thread(self._read_all)
        for doubt in doubts.values():
            logging.getLogger("haymaker").warning("a deployment is left out of a list: %s", doubt)
        return [s for s in states if workload_name is None or s.workload_name == workload_name]

    async def unreadable(self) -> dict[str, DoubtError]:
        """Give the doubt for each record that cannot be read, by deployment id."""
        return (await asyncio.to_thread(self._read_all))[1]

    async def delete_deployment_state(self, deployment_id: str) -> bool:
        """Remove the record, readable or not, and return whether there was one."""
        return await asyncio.to_thread(self._delete, self._path(deployment_id))

    def _delete(self, path: Path) -> bool:
        if not path.parent.is_dir():
            return False
        with self._locked(path):
            try:
                path.unlink()
            except FileNotFoundError:
                return False
            except OSError as error:
                raise platform_error(error, "remove the record", path) from error
            sync_dir(path.parent)
        return True

    def _read_all(self) -> tuple[list[DeploymentState], dict[str, DoubtError]]:
        try:
            names = sorted(os.listdir(self._state_dir))
        except FileNotFoundError:
            return [], {}
        except OSError as error:
            raise DoubtError(f"the states cannot be listed: {error.strerror}", where=str(self._state_dir)) from error
        states, doubts = [], {}
        for name in names:
            if not name.endswith(".json") or name.startswith("."):
                continue
            try:
                states.append(_read_state(self._state_dir / name))
            except DoubtError as doubt:
                doubts[name.removesuffix(".json")] = doubt
            except FileNotFoundError:  # cleaned up since the folder was read
                continue
        return states, doubts

    def _path(self, deployment_id: str) -> Path:
        return self._state_dir / f"{check_deployment_id(deployment_id)}.json"

    # ---- credentials, log, events ----

    async def get_credential(self, name: str) -> str | None:
        """Give the environment variable of that name in capitals ("azure-tenant-id": AZURE_TENANT_ID), or None."""
        return os.environ.get(re.sub(r"[^A-Za-z0-9]", "_", name).upper()) or None

    def log(self, message: str, level: str = "INFO", workload: str = "") -> None:
        """Write to the logger `haymaker.workload.<workload>`; a level that does not exist counts as INFO."""
        name = f"haymaker.workload.{workload}" if workload else "haymaker"
        logging.getLogger(name).log(level_of(level), "%s", message)

    async def publish_event(self, topic: str, event: Mapping[str, Any]) -> None:
        """Tell every subscriber of `topic`, in this process and in others."""
        await self._event_bus.publish(topic, event)

    async def subscribe(self, topic: str, callback: Callback) -> str:
        """Call `callback` with every event of `topic` from now on, whichever process publishes it."""
        return await self._event_bus.subscribe(topic, callback)

    async def unsubscribe(self, subscription_id: str) -> None:
        """End a subscription."""
        await self._event_bus.unsubscribe(subscription_id)

    # ---- processes, by way of the engine ----

    async def launch(self, asked: RunSpec) -> Handle:
        """Start a detached process in the workspace of the deployment that `asked` names; see `WorkloadBase.launch`."""
        from agent_haymaker.installation import install_id

        deployment_id = check_deployment_id(asked.workspace)
        least = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        spec = replace(asked, env={**least, **asked.env, "HAYMAKER_DEPLOYMENT_ID": deployment_id})
        # Generation 0 is the workload's own: the reconciler counts its generations from 1. The attempt is random,
        # so that a key is never reused, whichever process asks.
        key = f"{install_id(self._home)}.{deployment_id}.0.{int.from_bytes(os.urandom(6))}"
        return (await self.engine.submit(spec, key)).handle

    async def observe_run(self, handle: Handle) -> Observation:
        """Look at a launched process. It never writes."""
        return (await asyncio.to_thread(self.engine.observe, [handle]))[0]

    async def stop_run(self, handle: Handle, grace_seconds: float = 30.0) -> Observation:
        """End a launched process and all it started."""
        return await self.engine.stop(handle, grace_seconds)

    async def forget_run(self, handle: Handle) -> None:
        """Drop an ended run's record and its workspace; one that still runs is refused (PlatformError)."""
        await self.engine.forget(handle, workspace=True)

    async def run_log(self, handle: Handle, *, lines: int = 100, follow: bool = False) -> AsyncIterator[str]:
        """Give the last lines of a launched process's log, and with `follow` what comes until it has ended."""
        tail = _TAIL_BYTES
        content = b"".join([piece async for piece in self.engine.logs(handle, -tail)])
        while content.count(b"\n") <= lines and len(content) >= tail:  # its lines are long, and there may be more
            tail *= 4
            content = b"".join([piece async for piece in self.engine.logs(handle, -tail)])
        found = content.removesuffix(b"\n").split(b"\n") if content else []
        skip = max(0, len(found) - lines)
        if not follow:
            for line in found[skip:]:
                yield line.decode(errors="replace")
            return
        rest = b""
        async for piece in self.engine.logs(handle, -tail, follow=True):
            *whole, rest = (rest + piece).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                whole, rest = [*whole, rest], b""
            for line in whole[skip:]:
                yield line.decode(errors="replace")
            skip = max(0, skip - len(whole))
        if rest:
            yield rest.decode(errors="replace")

    @property
    def engine(self) -> Engine:
        """Where the processes of this platform's workloads live: on this machine, on record in its own home."""
        if self._engine is None:
            from agent_haymaker.engines.local import LocalEngine

            self._engine = LocalEngine(self._home)
        return self._engine


def _read_state(path: Path) -> DeploymentState:
    record = read_record(path)
    record.pop("schema_version", None)
    try:
        state = DeploymentState.model_validate(record)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise DoubtError(
            f"the record is not a deployment's state ({faults})",
            where=str(path),
            fix="repair the file or move it away; until then nothing is done on its account",
        ) from error
    if state.deployment_id != path.stem:
        raise DoubtError(
            f"the record says it is of {state.deployment_id!r}, which its file's name does not",
            where=str(path),
            fix="restore the file's name; until then nothing is done on its account",
        )
    return state


def _merged(before: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """Keep what a workload cannot know of: fields of other tools, and the platform's own stamps in metadata."""
    merged = {**{key: value for key, value in before.items() if key not in DeploymentState.model_fields}, **record}
    stamps = before.get("metadata")
    if isinstance(stamps, dict) and "haymaker" in stamps and "haymaker" not in merged["metadata"]:
        merged["metadata"] = {**merged["metadata"], "haymaker": stamps["haymaker"]}
    return merged


def check_deployment_id(deployment_id: str) -> str:
    """
    Give the id back where it can be the name of a file and of a folder.

    Raises:
        ValueError: it is empty, too long, or holds separators, `..` or odd characters.
    """
    if not deployment_id:
        raise ValueError("a deployment id must not be empty")
    if "/" in deployment_id or "\\" in deployment_id:
        raise ValueError(f"a deployment id holds no path separators: {deployment_id!r}")
    if ".." in deployment_id:
        raise ValueError(f"a deployment id holds no '..', for fear of path traversal: {deployment_id!r}")
    if not _ID.fullmatch(deployment_id):
        raise ValueError(
            f"invalid characters in deployment id {deployment_id!r}: use letters, digits, '-', '_' and '.'"
        )
    if len(deployment_id) > 200:
        raise ValueError(f"a deployment id has at most 200 characters, this one {len(deployment_id)}")
    return deployment_id


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
