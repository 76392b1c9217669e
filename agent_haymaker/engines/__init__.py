"""
The port behind which an agent's process lives.

haymaker owns desired state, keys and attempts; an engine owns liveness alone. Nothing here names a pid or a
path, since an engine may be another machine: a run is known by its key, and by a handle that only its engine
can read. The key is never reused, so `submit` is idempotent: the same key twice is one run.

What an engine cannot reach is UNREACHABLE, never gone. Only an ended run (`RunState.is_ended`) permits a successor.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, Protocol

from agent_haymaker.lean import dataclass, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence


class RunState(StrEnum):
    """What an engine can say of a run."""

    PENDING = "pending"  # accepted, its process not there yet
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"  # ended with exit code 0
    FAILED = "failed"  # ended with another exit code, by a signal or by its timeout
    STOPPED = "stopped"  # ended because it was asked to
    LOST = "lost"  # its process is gone and nobody saw how it ended
    UNREACHABLE = "unreachable"  # the engine cannot say; it may be alive

    @property
    def is_live(self) -> bool:
        """True where a process may exist, so that a successor could make two."""
        return self in _LIVE

    @property
    def is_ended(self) -> bool:
        return not self.is_live


_LIVE = frozenset({RunState.PENDING, RunState.RUNNING, RunState.STOPPING, RunState.UNREACHABLE})


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run ended. Exactly one of `code` and `signal` is set, or neither when nobody saw it."""

    code: int | None = None
    signal: int | None = None
    reason: str = "exited"  # exited, signaled, timeout, stopped, lost
    ended_at: float | None = None  # seconds since the epoch

    def __str__(self) -> str:
        if self.reason == "timeout":
            return "stopped at its timeout"
        if self.code is not None:
            return f"exit code {self.code}"
        if self.signal is not None:
            from signal import Signals  # its table costs import time

            try:
                return f"signal {Signals(self.signal).name}"
            except ValueError:
                return f"signal {self.signal}"
        return "exit unknown"


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Everything an engine needs to start a run, free of this machine's paths where it can be.

    `workspace` names the directory that the run works in (the deployment id); the engine decides where that
    is and keeps it between runs of the same name until `forget(..., workspace=True)`. `files` are written
    there before the start (relative paths, bytes). `log` is a path in the workspace, or "" for a log outside
    it. Times are in seconds, memory in bytes. `env` is the whole environment except what the engine stamps:
    HAYMAKER_RUN_ID (the key), HAYMAKER_WORKSPACE, and HAYMAKER_MEMORY: a folder for what outlives runs and
    generations, there once somebody makes it, and removed with the workspace by `discard`.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    workspace: str
    owner: str  # who may see it in `list`: the fleet's name
    log: str = "agent.log"
    files: Mapping[str, bytes] = field(default_factory=dict)
    timeout_seconds: float | None = None
    grace_seconds: float = 30.0
    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    open_files: int | None = None

    def __repr__(self) -> str:  # env may hold secrets
        return f"RunSpec(argv={self.argv!r}, workspace={self.workspace!r}, env={sorted(self.env)!r})"


@dataclass(frozen=True, slots=True)
class Handle:
    """One run, as its engine knows it. `token` is the engine's own JSON; nobody else reads it."""

    engine: str
    key: str
    token: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        return {"engine": self.engine, "key": self.key, "token": dict(self.token)}

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> Handle:
        token = record.get("token") or {}
        if not isinstance(token, dict):
            raise ValueError("token must be an object")
        return cls(str(record["engine"]), str(record["key"]), token)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the engine saw of one run just now."""

    handle: Handle
    state: RunState
    exit: Exit | None = None
    started_at: float | None = None  # seconds since the epoch
    detail: str = ""  # one line for a person, e.g. why it is UNREACHABLE


@dataclass(frozen=True, slots=True)
class Kept:
    """What was copied aside of a workspace: paths, in order; and why what else may match was `left` behind."""

    paths: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this engine can do; what it cannot, the plan says."""

    limits: frozenset[str] = frozenset()  # of memory, cpuTime, openFiles
    exit_records: bool = True
    timeouts: bool = True


class Engine(Protocol):
    """Looks (`find`, `observe`, `list`) never write. Effects (`submit`, `stop`, `forget`) are idempotent."""

    name: str

    def capabilities(self) -> Capabilities: ...

    async def submit(self, spec: RunSpec, key: str) -> Observation:
        """
        Start the run, or give the one that already has this key.

        Raises:
            WorkloadError: the program cannot be started (not found, not executable).
            PlatformError: the host refuses (no space, no permission, no processes left).
            TryAgain: the engine did not answer; `find(key)` will tell what became of it.
        """
        ...

    async def check(self, spec: RunSpec) -> None:
        """Raise what `submit` would raise for this run, as far as that is known beforehand. Starts nothing."""
        ...

    def find(self, key: str) -> Observation | None:
        """Tell what became of a key, or None when nothing ever started under it. Slow and thorough."""
        ...

    def observe(self, handles: Sequence[Handle], *, closely: bool = False) -> list[Observation]:
        """
        Look at many runs at once, in the order given. Fast: this is most of a pass that changes nothing.

        One that it could not stop, by what its own records say, is UNREACHABLE; with `closely` all of these are read.
        """
        ...

    def are_there(self, handles: Sequence[Handle]) -> list[bool]:
        """
        Tell of runs that are on record as ended, in the order given, which may run all the same: `observe` tells more.

        As fast as `observe` is of live runs, and never waits.
        """
        ...

    def is_overtime(self, handle: Handle, timeout_seconds: float) -> bool:
        """Tell whether a live run is past this timeout, and nobody is left to end it for that but who asks."""
        ...

    def list(self, owner: str | None = None) -> Iterable[Observation]:
        """Give every run the engine still knows of, ended or not, until it is forgotten."""
        ...

    def live_keys(self, prefix: str) -> Sequence[str]:
        """
        Give the keys of every live run that begins with `prefix`, whether or not this engine has a record of it, and of
        what still runs from an install that was here before. An empty prefix gives the latter alone.
        """
        ...

    async def stop(self, handle: Handle, grace_seconds: float, *, overtime: bool = False) -> Observation:
        """
        End the whole process tree: SIGTERM, the grace, SIGKILL, then a look that nothing of it is left.

        Returns an ended observation; a run that had ended before keeps the exit it had. One that `is_overtime` says is
        over its timeout ends as by that.

        Raises:
            PlatformError: something of the tree could not be ended; says what is left.
        """
        ...

    async def wait(self, handle: Handle) -> Observation:
        """Return when the run has ended. Cancel to stop waiting; the run goes on."""
        ...

    async def forget(self, handle: Handle, *, workspace: bool = False) -> None:
        """Drop the run's record, and with `workspace` the workspace too. A live run is refused (PlatformError)."""
        ...

    async def discard(self, workspace: str) -> None:
        """Remove a workspace that no live run works in; none there is fine. What was put aside stays."""
        ...

    async def keep(self, handle: Handle, patterns: Sequence[str]) -> Kept:
        """Copy the workspace's files that match the glob `patterns` aside under the run's key."""
        ...

    async def retire(self, handle: Handle, *, whole: bool) -> None:
        """
        Put an ended run's own files (log, events.jsonl, result.json) aside under its key; with `whole` the rest too.

        From then on `logs` and `open_file` of this handle read what was put aside. Idempotent.
        """
        ...

    async def trim(self, workspace: str, *, runs: int, age_seconds: float, size_bytes: int | None) -> int:
        """Drop what was put aside of a workspace's runs beyond these bounds, oldest first; gives how many runs."""
        ...

    def environment(self, handle: Handle) -> Mapping[str, str]:
        """Give what a live run was started with; nothing where it has ended, or nobody knows. It holds secrets."""
        ...

    def open_file(self, handle: Handle, path: str) -> BinaryIO:
        """
        Open a file of the run's workspace for reading.

        Raises:
            FileNotFoundError, PermissionError: as open() does; also PermissionError when `path`, symlinks
                resolved, leaves the workspace.
        """
        ...

    def deliver(self, handle: Handle, path: str, content: bytes) -> None:
        """
        Put a file into the run's workspace, whole or not at all, never through a link of the agent's.

        Raises:
            PlatformError: the workspace is gone, something else stands on the path, or the disk refuses.
        """
        ...

    def open_live(self, workspace: str, name: str) -> BinaryIO:
        """
        Open a regular file that stands right in the workspace of a live run, at the least cost: for looks at many.

        Raises:
            FileNotFoundError: there is none; OSError: it, or the workspace, is something else or cannot be read.
        """
        ...

    def logs(self, handle: Handle, offset: int = 0, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Give the log's bytes from `offset` (negative: from the end); with `follow` what comes too, until it ends."""
        ...
