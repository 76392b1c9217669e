"""
The local engine: runs are detached processes of this machine, children of the shim of this HAYMAKER_HOME.

`find`, `observe` and `list` look and never write; they work without the shim and load no asyncio. Effects go
through the shim (`submit`) or are done right here, by identity (`stop`, `forget`), from any process at any time.
"""

from __future__ import annotations

import os
import stat
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from agent_haymaker import processes
from agent_haymaker.engines import Capabilities, Handle, Kept, Observation, RunSpec, RunState, claims, local_look
from agent_haymaker.engines.local_look import ENGINE, Found, Looker, process_of
from agent_haymaker.errors import DoubtError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from agent_haymaker.engines.archive import Archive
    from agent_haymaker.engines.local_effects import Effects

AGENT_LOG = "agent.log"
_SPAWN_SECONDS = 0.1  # from a process's beginning to its line in its claim, mostly; start times are exact to 20 ms
_PATIENCE = 2.0  # seconds that a look waits for a shim that is about to write down an end


class LocalEngine:
    """
    The engine of one HAYMAKER_HOME.

    With `fence` the caller promises to hold the pass lock: what an earlier holder asked of the shim and was killed
    before it got is dropped before anything is looked up or started.
    """

    name = ENGINE

    def __init__(self, home: Path | str, *, fence: bool = False) -> None:
        self._root = os.path.abspath(home)
        self._home = f"{self._root}/engines/local"
        self._fence = fence
        self._looker = Looker(self._home, fence=fence)
        self._made: Effects | None = None

    def capabilities(self) -> Capabilities:
        import sys

        limits = {"cpuTime", "openFiles"} | ({"memory"} if sys.platform == "linux" else set())
        return Capabilities(limits=frozenset(limits))

    # -- looks

    def find(self, key: str) -> Observation | None:
        """As the port says. With `fence`, what a killed holder of the pass lock had asked is settled first."""
        found = self._looker.find(key)
        return None if found is None else found.seen

    def observe(self, handles: Sequence[Handle], *, closely: bool = False) -> list[Observation]:
        """
        Look at many runs at once, in the order given: 9 µs for a live one, three times that with `closely`.

        Without it, the claim of a live run is read where it was written since the run began: else it is as its shim
        left it.

        A run whose process has just ended is given up to two seconds for its shim to write down how.
        """
        named = [process_of(handle) for handle in handles]
        try:
            alive = iter(processes.are_alive([process for process in named if process is not None]))
        except OSError as error:
            why = f"this host cannot be looked at: {error.strerror}"
            return [Observation(handle, RunState.UNREACHABLE, detail=why) for handle in handles]
        running, started_at = RunState.RUNNING, processes.started_at
        until = 0.0
        seen = []
        for handle, process in zip(handles, named, strict=True):
            if process is not None and next(alive):
                began = started_at(process)
                if (closely or self._was_written_since(handle.key, began)) and (doubt := self._looker.doubt(handle)):
                    seen.append(Observation(handle, RunState.UNREACHABLE, detail=doubt))
                    continue
                seen.append(Observation(handle, running, None, began))
                continue
            until = until or time.monotonic() + _PATIENCE
            seen.append(self._look_closely(handle, until).seen)
        return seen

    def are_there(self, handles: Sequence[Handle]) -> list[bool]:
        """As the port says: less than 1 µs for each. Where this host cannot be looked at, their ends stand."""
        try:
            taken = processes.pids()
            pids = [handle.token.get("pid") for handle in handles]
            named = [
                process_of(handle) if isinstance(pid, int) and pid in taken else None
                for pid, handle in zip(pids, handles, strict=True)
            ]
            alive = iter(processes.are_alive([process for process in named if process is not None]))
        except OSError:
            return [False] * len(handles)
        return [process is not None and next(alive) for process in named]

    def _was_written_since(self, key: str, began: float | None) -> bool:
        """Tell whether a claim was written after the shim had put the process into it that began then, or may be."""
        try:
            written = os.stat(f"{self._home}/{claims.file_of(key)}", follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return began is None or abs(written - began) > _SPAWN_SECONDS

    def _look_closely(self, handle: Handle, until: float) -> Found:
        found = self._looker.look(handle.key, handle, until=until)
        if found is not None:
            return found
        if handle.token and process_of(handle) is None:
            return local_look.unreachable(handle.key, "its handle was edited, and its claim file is gone")
        return Found(Observation(handle, RunState.LOST, detail="its process and its claim file are gone"))

    def is_overtime(self, handle: Handle, timeout_seconds: float) -> bool:
        """As the port says: its shim keeps a run's timeout, so it is about one whose shim was killed."""
        process = process_of(handle)
        age = processes.age_of(process) if process is not None else None
        if age is None or age < timeout_seconds:
            return False
        try:
            claim = claims.read(self._home, handle.key)
        except claims.BadClaim:
            return False  # nothing could be done about it either
        return claim is not None and not processes.is_alive(claim.shim)

    def live_keys(self, prefix: str) -> Sequence[str]:
        """Read the keys that live processes carry: what runs although its records were lost, put back or removed."""
        return processes.live_run_ids(prefix, f"{self._root}/agents")

    def list(self, owner: str | None = None) -> Iterable[Observation]:
        """Give every run that has a claim file. One that cannot be read is given whoever asks: it may be theirs."""
        try:
            names = sorted(os.listdir(f"{self._home}/{claims.RUNS}"))
        except FileNotFoundError:
            return
        until = time.monotonic() + _PATIENCE
        for name in names:
            key = claims.key_of(name)
            if key is None or (owner is not None and self._is_of_another(key, owner)):
                continue
            found = self._looker.look(key, until=until)
            if found is not None:
                yield found.seen

    def _is_of_another(self, key: str, owner: str) -> bool:
        try:
            claim = claims.read(self._home, key)
        except claims.BadClaim:
            return False
        return claim is None or claim.owner != owner

    def why_unreadable(self, key: str) -> DoubtError | None:
        """Give the doubt that the claim file of a run leaves, None where it can be read or is not there."""
        try:
            claims.read(self._home, key)
        except claims.BadClaim as bad:
            return DoubtError(str(bad), where=f"{self._home}/{claims.file_of(key)}")
        return None

    def environment(self, handle: Handle) -> Mapping[str, str]:
        """As the port says; what the kernel tells of the run's leader."""
        process = process_of(handle)
        if process is None or not processes.is_alive(process):
            return {}
        found = processes.read_environ(process.pid, until=processes.soon()) or {}
        return found if found.get("HAYMAKER_RUN_ID") == handle.key else {}

    def open_file(self, handle: Handle, path: str) -> BinaryIO:
        """Open a regular file of the run's workspace, as the port says."""
        from agent_haymaker.engines import local_files
        from agent_haymaker.engines.archive import RUN_FILES

        try:
            claim = claims.read(self._home, handle.key)
        except claims.BadClaim as bad:
            raise PermissionError(f"{handle.key}: its claim file cannot be read: {bad}") from bad
        retired = self._archive.find(handle.key, claim.workspace if claim is not None else "")
        if retired is not None:
            whole = retired / "workspace"
            # Artifacts alone say nothing of the log. Where it was put aside, the rest of the workspace stays where
            # it was, unless it went as a whole.
            if path in RUN_FILES and (claim is None or (retired / AGENT_LOG).exists()):
                return local_files.open_inside(str(retired), path)
            if whole.is_dir() or claim is None:
                return local_files.open_inside(str(whole), path)
        if claim is None:
            raise FileNotFoundError(f"{handle.key}: no such run")
        return local_files.open_inside(local_files.workspace_path(f"{self._root}/agents", claim.workspace), path)

    def deliver(self, handle: Handle, path: str, content: bytes) -> None:
        """Put a file into the run's workspace, as the port says."""
        from agent_haymaker.engines import local_files
        from agent_haymaker.errors import DoubtError, PlatformError

        try:
            claim = claims.read(self._home, handle.key)
        except claims.BadClaim as bad:
            raise DoubtError(f"{handle.key}: its claim file cannot be read: {bad}", where=self._home) from bad
        if claim is None:
            raise PlatformError(
                f"{handle.key}: no such run", where=self._home, fix="`haymaker list` shows what there is"
            )
        workspace = local_files.workspace_path(f"{self._root}/agents", claim.workspace)
        if not os.path.isdir(workspace):
            raise PlatformError("the workspace is gone", where=workspace, fix="start the agent again")
        local_files.prepare(workspace, {path: content}, "")

    def open_live(self, workspace: str, name: str) -> BinaryIO:
        """As the port says; no link is followed."""
        from agent_haymaker.engines import local_files
        from agent_haymaker.records import open_regular

        folder = local_files.workspace_path(f"{self._root}/agents", workspace)
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise NotADirectoryError(folder)
        return os.fdopen(open_regular(f"{folder}/{name}", os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0)

    @cached_property
    def _archive(self) -> Archive:
        from agent_haymaker.engines.archive import Archive  # a look at what runs needs none

        return Archive(Path(self._root))

    # -- effects

    @property
    def _effects(self) -> Effects:
        if self._made is None:
            from agent_haymaker.engines.local_effects import Effects

            self._made = Effects(self._root, self._home, self._looker, fence=self._fence)
        return self._made

    async def submit(self, spec: RunSpec, key: str) -> Observation:
        """Start the run, or give the one that already has this key, as the port says."""
        return await self._effects.submit(spec, key)

    async def check(self, spec: RunSpec) -> None:
        """Look for the program, leave to write, and a shim that answers, as the port says."""
        await self._effects.check(spec)

    async def stop(self, handle: Handle, grace_seconds: float, *, overtime: bool = False) -> Observation:
        """
        End the run's whole tree, as the port says.

        Raises:
            DoubtError: its claim file cannot be read, or names another process than the handle; nobody was touched.
            PlatformError: its process does not show that it is this run, or something of it is left.
        """
        return await self._effects.stop(handle, grace_seconds, overtime=overtime)

    async def wait(self, handle: Handle) -> Observation:
        """Return when the run has ended."""
        return await self._effects.wait(handle)

    async def forget(self, handle: Handle, *, workspace: bool = False) -> None:
        """Drop the run's record, and with `workspace` the workspace too."""
        await self._effects.forget(handle, workspace=workspace)

    async def discard(self, workspace: str) -> None:
        """Remove a workspace that no live run works in, as the port says."""
        await self._effects.discard(workspace)

    async def keep(self, handle: Handle, patterns: Sequence[str]) -> Kept:
        """Copy the workspace's files that match aside, as the port says."""
        return await self._effects.keep(handle, patterns)

    async def retire(self, handle: Handle, *, whole: bool) -> None:
        """Put an ended run's log, or its whole workspace, aside, as the port says."""
        await self._effects.retire(handle, whole=whole)

    async def trim(self, workspace: str, *, runs: int, age_seconds: float, size_bytes: int | None) -> int:
        """Drop the remains of old runs beyond these bounds, as the port says."""
        return self._archive.trim(workspace, runs=runs, age_seconds=age_seconds, size_bytes=size_bytes)

    def logs(self, handle: Handle, offset: int = 0, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Give the log's bytes, across a rotation too, in pieces of at most 64 KiB."""
        from agent_haymaker.engines.local_logs import read_log

        return read_log(self._root, self._home, self._looker, handle, offset, follow=follow)
