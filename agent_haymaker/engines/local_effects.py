"""
The local engine's effects: submit, stop, wait, forget. Everything that needs asyncio, but for the logs.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from agent_haymaker import processes
from agent_haymaker.engines import Exit, Handle, Kept, Observation, RunSpec, RunState, claims, local_files
from agent_haymaker.engines.archive import Archive
from agent_haymaker.engines.local_look import claim_of, handle_of, has_ended, process_of
from agent_haymaker.engines.shim_client import ShimClient
from agent_haymaker.engines.shim_logs import DEFAULT_MAX_BYTES
from agent_haymaker.errors import DoubtError, PlatformError, TryAgain, WorkloadError
from agent_haymaker.installation import refuse_copy
from agent_haymaker.processes import ProcessId
from agent_haymaker.records import platform_error
from agent_haymaker.stopping import Stopper, check_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_haymaker.engines.claims import Claim
    from agent_haymaker.engines.local_look import Looker

P = ParamSpec("P")
T = TypeVar("T")


class Effects:
    """What the engine of one HAYMAKER_HOME does. `root` is that home, `home` its `engines/local`."""

    def __init__(self, root: str, home: str, looker: Looker, *, fence: bool) -> None:
        self._root = root
        self._home = home
        self._agents = f"{root}/agents"
        self._looker = looker
        self._shim = ShimClient(home, fence=fence)
        self._stopper = Stopper()
        self._archive = Archive(Path(root))

    # -- start

    async def submit(self, spec: RunSpec, key: str) -> Observation:
        if not claims.is_key(key):
            raise PlatformError(f"{key!r} cannot be a run's key", fix="use letters, digits, `.`, `_` and `-`")
        workspace = local_files.workspace_path(self._agents, spec.workspace)
        self._make_home()
        refuse_copy(Path(self._root))
        found = self._looker.look(key)
        if found is not None:
            return self._existing(key, found.seen)
        async with self._shim.session() as shim:
            self._clear_place(spec.workspace, key)
            local_files.prepare(workspace, spec.files, spec.log)
            program = local_files.find_program(spec.argv[0] if spec.argv else "", spec.env.get("PATH", ""), workspace)
            answer = await shim.ask(self._request(spec, key, program, workspace))
        if answer.get("exists"):
            found = self._looker.find(key)
            if found is None:
                raise TryAgain(f"run {key} was claimed, and is gone")
            return self._existing(key, found.seen)
        if "error" in answer:
            raise _refusal(answer, program)
        process = ProcessId(answer["pid"], answer["started"], answer["boot"])
        return Observation(handle_of(key, process), RunState.RUNNING, started_at=answer["at"])

    async def check(self, spec: RunSpec) -> None:
        self._make_home()
        _check_writable(f"{self._home}/{claims.RUNS}")
        _check_writable(self._agents)
        program = spec.argv[0] if spec.argv else ""
        if "/" not in program or os.path.isabs(program):  # else it may come with the workspace
            workspace = local_files.workspace_path(self._agents, spec.workspace)
            local_files.find_program(program, spec.env.get("PATH", ""), workspace)
        async with self._shim.session() as shim:
            await shim.ask({"op": "ping"})

    def _request(self, spec: RunSpec, key: str, program: str, workspace: str) -> dict[str, object]:
        limits = {"memory": spec.memory_bytes, "cpu": spec.cpu_seconds, "files": spec.open_files}
        return {
            "op": "submit",
            "key": key,
            "path": program,
            "argv": list(spec.argv),
            "env": {"HAYMAKER_MEMORY": self._memory(spec.workspace), **spec.env},
            "cwd": workspace,
            "owner": spec.owner,
            "workspace": spec.workspace,
            "log": spec.log,
            "logs": f"{self._home}/{claims.LOGS}",
            "log_max": _log_max_bytes(),
            "timeout": spec.timeout_seconds,
            "grace": spec.grace_seconds,
            "limits": {name: limit for name, limit in limits.items() if limit is not None},
        }

    def _memory(self, workspace: str) -> str:
        return local_files.workspace_path(f"{self._root}/memory", workspace)

    def _existing(self, key: str, seen: Observation) -> Observation:
        if seen.state is RunState.UNREACHABLE:
            raise DoubtError(
                f"run {key} exists and cannot be looked at, so nothing was started: {seen.detail}",
                where=self._home,
                fix="run `haymaker doctor`",
            )
        return seen

    def _clear_place(self, workspace: str, key: str) -> None:
        """An agent may have put something else in place of its workspace, or closed it: its successor gets a folder."""
        path = local_files.workspace_path(self._agents, workspace)
        try:
            mode = os.lstat(path).st_mode
            if stat.S_ISDIR(mode):
                if mode & 0o700 != 0o700:
                    os.chmod(path, 0o700)
                return
        except FileNotFoundError:
            return
        except OSError as error:
            raise platform_error(error, "look at the workspace", path) from error
        self._archive.put_aside(workspace, key)

    def _make_home(self) -> None:
        if os.path.isdir(f"{self._home}/{claims.RUNS}"):
            return
        try:
            for folder in (self._root, f"{self._root}/engines", self._home, f"{self._home}/{claims.RUNS}"):
                os.makedirs(folder, 0o700, exist_ok=True)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise PlatformError(
                f"the folder could not be made: {why}", where=str(error.filename), fix="mend its permissions"
            ) from error

    # -- stop

    async def stop(self, handle: Handle, grace_seconds: float, *, overtime: bool) -> Observation:
        refuse_copy(Path(self._root))
        key = handle.key
        claim = claim_of(self._home, handle)
        found = self._looker.follow(claim) if claim is not None else self._looker.find(key)
        if found is None:
            self._refuse_unclaimed(handle)
            return Observation(handle, RunState.LOST, Exit(reason="lost"), detail="there is nothing of it")
        seen, process = found
        if claim is not None and has_ended(claim):
            return seen
        if seen.state is RunState.UNREACHABLE:
            raise DoubtError(
                f"run {key} cannot be looked at, so nothing was stopped: {seen.detail}",
                where=self._home,
                fix="run `haymaker doctor`",
            )
        if process is not None:
            check_ours(process, key, claim, lambda: self._places(claim))
        if claim is not None and seen.state.is_live:
            self._note(key, {"stop_requested": time.time(), "grace": max(0.0, grace_seconds)})
            if overtime:  # whoever is killed from here on leaves the right reason behind
                self._note(key, {"left": time.time(), "reason": "timeout"})
        leader = process or (claim.process if claim else None)
        await self._stopper.stop_tree(key, leader, grace_seconds)
        return await self._after_stop(handle, claim, seen, "timeout" if overtime else "stopped")

    def _places(self, claim: Claim | None) -> list[str]:
        if claim is None:
            return []
        workspace = os.path.realpath(local_files.workspace_path(self._agents, claim.workspace))
        return [workspace, f"{os.path.realpath(self._home)}/{claims.LOGS}/{claim.key}.log"]

    def _refuse_unclaimed(self, handle: Handle) -> None:
        """Without a claim file only the run id tells whose a process is, and nobody carries this one."""
        process = process_of(handle)
        if process is None and handle.token:
            raise DoubtError(
                f"the record of run {handle.key} was edited, and its claim file is gone; nobody was signalled",
                where=f"{self._home}/{claims.file_of(handle.key)}",
                fix="run `haymaker doctor`",
            )
        if process is not None and processes.is_alive(process):
            check_ours(process, handle.key, None, list)

    def _note(self, key: str, line: dict[str, object]) -> None:
        """Append to the claim. A disk that refuses must not keep anything from being stopped."""
        try:
            home = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                claims.append(home, key, line)
            finally:
                os.close(home)
        except OSError:
            return

    async def _after_stop(self, handle: Handle, claim: Claim | None, before: Observation, reason: str) -> Observation:
        """Nothing of it is left: give what its shim writes down, or write the reason down where the shim is dead."""
        key = handle.key
        if claim is None:
            return Observation(before.handle, RunState.STOPPED, Exit(reason="stopped", ended_at=time.time()))
        deadline = time.monotonic() + 3
        pause = 0.001
        while True:
            shim_lives = processes.is_alive(claim.shim)
            found = self._looker.look(key)
            if found is None or found.seen.state.is_ended or not shim_lives or time.monotonic() > deadline:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)
        if not shim_lives and before.state.is_live:
            self._note(key, {"ended": time.time(), "reason": reason})
            found = self._looker.look(key)
        if found is not None and found.seen.state.is_ended:
            return found.seen
        return Observation(before.handle, RunState.STOPPED, Exit(reason="stopped", ended_at=time.time()))

    # -- the rest

    async def wait(self, handle: Handle) -> Observation:
        pause = 0.001
        while True:
            found = self._looker.look(handle.key, handle)
            if found is None:
                return Observation(handle, RunState.LOST, Exit(reason="lost"), detail="its claim file is gone")
            if found.seen.state.is_ended:
                return found.seen
            if found.process is not None and await self._shim.until_ended(handle.key):
                pause = 0.001
                if (again := self._looker.look(handle.key, handle)) is not None and again.seen.state.is_ended:
                    return again.seen
            # Nobody tells of the end of a run whose shim is dead.
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.25)

    async def forget(self, handle: Handle, *, workspace: bool) -> None:
        key = handle.key
        claim = claim_of(self._home, handle)
        until = time.monotonic() + 2
        found = self._looker.follow(claim, until=until) if claim is not None else self._looker.find(key)
        if found is not None and found.seen.state.is_live:
            raise PlatformError(f"run {key} is {found.seen.state}, so it cannot be forgotten", fix="stop it first")
        if claim is None:
            return
        if workspace:
            await self.discard(claim.workspace)
        log = f"{self._home}/{claims.LOGS}/{key}.log"
        # The claim last: until it is gone, all of this can be done again.
        for path in (log, f"{log}.1", f"{self._home}/{claims.file_of(key)}"):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                why = os.strerror(error.errno or 0)
                raise PlatformError(
                    f"{path} could not be removed: {why}", where=self._home, fix="mend its permissions"
                ) from error

    async def discard(self, workspace: str) -> None:
        for folder in (local_files.workspace_path(self._agents, workspace), self._memory(workspace)):
            await _beside(folder, local_files.remove_workspace, folder)

    async def keep(self, handle: Handle, patterns: Sequence[str]) -> Kept:
        claim = claim_of(self._home, handle)
        if claim is None:
            return Kept()
        folder = local_files.workspace_path(self._agents, claim.workspace)
        return await _beside(folder, self._archive.keep, claim.workspace, handle.key, patterns)

    async def retire(self, handle: Handle, *, whole: bool) -> None:
        claim = claim_of(self._home, handle)
        if claim is not None:
            self._archive.retire(claim.workspace, handle.key, whole=whole)


async def _beside(folder: str, work: Callable[P, T], /, *args: P.args, **more: P.kwargs) -> T:
    """Do something with all of a folder in a thread, so that a large one holds nothing up; a small one costs less."""
    if local_files.is_small(folder):
        return work(*args, **more)
    return await asyncio.to_thread(work, *args, **more)


def _check_writable(folder: str) -> None:
    if os.path.isdir(folder) and not os.access(folder, os.W_OK | os.X_OK):
        fix = f"chmod u+rwx {folder}, or give it to this user"
        raise PlatformError("Permission denied: nothing can be made in this folder", where=folder, fix=fix)


def _refusal(answer: dict[str, object], program: str) -> PlatformError | WorkloadError:
    import errno

    what = str(answer.get("what"))
    if answer["error"] != "workload":
        return PlatformError(what, fix="free the disk, or mend the host's limits and permissions, then try again")
    fixes = {
        errno.ENOENT: "the interpreter that its first line (`#!`) names is missing; install it or correct the line",
        errno.ENOEXEC: "it is neither a program nor a script with a first line such as `#!/bin/sh`",
        errno.EACCES: "make it executable, and its interpreter too",
        errno.E2BIG: "its arguments and environment are too long for this system; put them into files",
    }
    number = answer.get("errno")
    fix = fixes.get(number, "correct `command`") if isinstance(number, int) else "correct `command` and `env`"
    return WorkloadError(what, where=program, fix=fix)


def _log_max_bytes() -> int:
    raw = os.environ.get("HAYMAKER_LOG_MAX_BYTES", "")
    if not raw:
        return DEFAULT_MAX_BYTES
    if not raw.isascii() or not raw.isdigit() or not 4096 <= int(raw) < 1 << 62:
        raise PlatformError(
            f"HAYMAKER_LOG_MAX_BYTES is {raw!r}", fix="set a number of bytes, at least 4096, or leave it out"
        )
    return int(raw)
