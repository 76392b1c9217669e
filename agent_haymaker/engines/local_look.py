"""
What became of a local run, from its claim file, the kernel and the shim. Looks only: writes nothing, signals nobody.

The claim file is the truth about who runs under a key. A handle that disagrees with it, and a claim that cannot be
read exactly, are doubt: UNREACHABLE, which nothing is done on account of.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from agent_haymaker import process_table, processes
from agent_haymaker.engines import Exit, Handle, Observation, RunState, claims, shim_socket
from agent_haymaker.errors import DoubtError, TryAgain
from agent_haymaker.processes import ProcessId

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from agent_haymaker.engines.claims import Claim

ENGINE = "local"
_SOME_TIME = 15.0  # a stop that is over its grace by this much has stopped nothing


class Found(NamedTuple):
    """An observation, and the leader's process where one is alive."""

    seen: Observation
    process: ProcessId | None = None


def handle_of(key: str, process: ProcessId | None) -> Handle:
    if process is None:
        return Handle(ENGINE, key)
    return Handle(ENGINE, key, {**process._asdict(), "seal": claims.seal(key, process)})


def process_of(handle: Handle) -> ProcessId | None:
    """Return the process that an unedited handle names, else None."""
    token = handle.token
    pid, started, boot = token.get("pid"), token.get("started"), token.get("boot")
    if type(pid) is int and type(started) is int and type(boot) is str and pid > 1:
        process = ProcessId(pid, started, boot)
        return process if token.get("seal") == claims.seal(handle.key, process) else None
    return None


def unreachable(key: str, why: str) -> Found:
    return Found(Observation(Handle(ENGINE, key), RunState.UNREACHABLE, detail=why))


def live(key: str, process: ProcessId, *, stopping: bool = False, detail: str = "") -> Found:
    state = RunState.STOPPING if stopping else RunState.RUNNING
    started = processes.started_at(process)
    return Found(Observation(handle_of(key, process), state, started_at=started, detail=detail), process)


def ended(claim: Claim, end: Mapping[str, Any]) -> Found:
    """Put a claim's last line into words."""
    code, signum, reason = end.get("code"), end.get("signal"), end["reason"]
    at = end.get("ended", end.get("left"))
    if reason == "timeout":
        state = RunState.FAILED
    elif claim.was_stopped or reason == "stopped":
        state, reason = RunState.STOPPED, "stopped"
    elif reason == "lost":
        state = RunState.LOST
    else:
        state = RunState.SUCCEEDED if code == 0 else RunState.FAILED
    handle = handle_of(claim.key, claim.process)
    how = Exit(code, signum, reason, at)
    return Found(Observation(handle, state, how, claim.spawned_at, claim.failed))


def has_ended(claim: Claim) -> bool:
    """Tell whether a claim's end counts: it is written once its process is reaped, so what lives wrote it itself."""
    return claim.end is not None and not (claim.process is not None and processes.is_alive(claim.process))


def gone(claim: Claim, why: str) -> Found:
    """Say LOST, or STOPPED where a stop was under way: nobody wrote down how it ended."""
    stopped = claim.stop is not None and claim.was_stopped
    state = RunState.STOPPED if stopped else RunState.LOST
    how = Exit(reason="stopped" if stopped else "lost")
    return Found(Observation(handle_of(claim.key, claim.process), state, how, claim.spawned_at, why))


def _unwritten_end(claim: Claim, answer: Mapping[str, Any] | None) -> Found | None:
    """Give the end that the shim knows and could not write down, where its answer tells of one."""
    for run in (answer or {}).get("runs", ()):
        if "ended" in run.get("unwritten", ()):
            claim.add(run["unwritten"])
    return ended(claim, claim.end) if claim.end is not None else None


class Looker:
    """Looks at the runs of one `engines/local` folder. `fence`: the caller holds the pass lock."""

    def __init__(self, home: str, *, fence: bool) -> None:
        self._home = home
        self._fence = fence
        self._snapshot: tuple[float, process_table.Snapshot] | None = None
        self._suspended: shim_socket.ShimSuspended | None = None

    def _ask(self, question: Mapping[str, object]) -> dict[str, Any] | None:
        """Ask the shim; many questions to one that is suspended wait for it once."""
        if self._suspended is not None and processes.is_suspended(self._suspended.pid):
            raise self._suspended
        try:
            return shim_socket.ask(self._home, question, fence=self._fence)
        except shim_socket.ShimSuspended as error:
            self._suspended = error
            raise

    def doubt(self, handle: Handle) -> str:
        """Say why the claim file of a run cannot be relied on, "" where it can, or is gone."""
        try:
            claim = claims.read(self._home, handle.key)
        except claims.BadClaim as bad:
            return f"claim file {claims.file_of(handle.key)}: {bad}"
        return "its handle names another process than its claim file" if claim and not agrees(handle, claim) else ""

    def look(self, key: str, handle: Handle | None = None, *, until: float = 0.0) -> Found | None:
        """
        Return what a key's claim file says, checked with the kernel; None when there is no claim.

        `until` is the monotonic time up to which to wait for a shim that is about to write down an end.
        """
        try:
            claim = claims.read(self._home, key)
        except claims.BadClaim as bad:
            return unreachable(key, f"claim file {claims.file_of(key)}: {bad}")
        if claim is None:
            return None
        if handle is not None and not agrees(handle, claim):
            return unreachable(key, "its handle names another process than its claim file")
        return self.follow(claim, until=until)

    def follow(self, claim: Claim, *, until: float = 0.0) -> Found:
        """Return what a claim that was read just now says, checked with the kernel. `until` as in `look`."""
        try:
            return self._follow(claim, until)
        except claims.BadClaim as bad:
            return unreachable(claim.key, f"claim file {claims.file_of(claim.key)}: {bad}")
        except OSError as error:
            return unreachable(claim.key, f"this host cannot be looked at: {error.strerror}")
        except TryAgain as error:
            return unreachable(claim.key, error.what)

    def _follow(self, claim: Claim, until: float) -> Found:
        if claim.end is not None and has_ended(claim):
            return ended(claim, claim.end)
        boot = processes.boot_id()
        if claim.boot != boot:
            if claim.boot.split("/")[0] == boot.split("/")[0] and shim_socket.is_shim_there(self._home):
                return unreachable(claim.key, "it runs in another container of this host")
            return gone(claim, "the host was restarted while it ran")
        if claim.process is None:
            return self._unrecorded(claim)
        if processes.is_alive(claim.process):
            stopping = claim.stop is not None and time.time() < sum(claim.stop) + _SOME_TIME
            return live(claim.key, claim.process, stopping=stopping)
        return self._just_gone(claim, until)

    def _just_gone(self, claim: Claim, until: float) -> Found:
        """Its process has ended, and its end is not written: its shim is about to, or dead."""
        pause = 0.0005
        while True:
            shim_lives = processes.is_alive(claim.shim)
            again = claims.read(self._home, claim.key)
            if again is None:
                return gone(claim, "it was forgotten")
            if again.end is not None:
                return ended(again, again.end)
            if not shim_lives:
                if again.left is not None:
                    return ended(again, again.left)
                return gone(again, "its process is gone, and its shim was killed before it")
            left = until - time.monotonic()
            if until and left <= 0 and again.left is None:
                found = _unwritten_end(again, self._ask({"op": "list", "key": again.key}))
                if found is not None:
                    return found
            if again.left is not None or left <= 0:
                detail = "its leader has ended; what it left behind is being ended"
                return Found(Observation(handle_of(again.key, again.process), RunState.STOPPING, detail=detail))
            time.sleep(min(pause, left))
            pause = min(pause * 2, 0.05)

    def _unrecorded(self, claim: Claim) -> Found:
        """It is claimed, and no process is written down: its shim knows, or was killed on the way."""
        if processes.is_alive(claim.shim):
            answer = self._ask({"op": "list", "key": claim.key})
            for run in (answer or {}).get("runs", ()):
                if "pid" in run:
                    return live(claim.key, ProcessId(run["pid"], run["started"], run["boot"]))
            if (found := _unwritten_end(claim, answer)) is not None:
                return found
            if answer is not None:
                return self._reread(claim)
        # A child that is not quite made holds the shim's lock: wait until nobody does, or a new shim answers.
        self._ask({"op": "ping"})
        again = self._reread(claim)
        if again.seen.state is not RunState.LOST:
            return again
        return self.scan(claim.key) or again

    def _reread(self, claim: Claim) -> Found:
        again = claims.read(self._home, claim.key)
        if again is not None and (again.process is not None or again.end is not None):
            return self._follow(again, 0.0)
        return gone(claim, "it was about to start when its shim was killed")

    def scan(self, key: str) -> Found | None:
        """Look for a run among all processes by the id they carry; None when none does."""
        return self._pick(key, process_table.take_snapshot())

    def _scan_unclaimed(self, key: str) -> Found | None:
        """
        As `scan`, but many of these share one look: whatever runs under a key without a claim has run for long,
        since a start begins with the claim.
        """
        now = time.monotonic()
        if self._snapshot is None or now - self._snapshot[0] > 1:
            self._snapshot = (now, process_table.take_snapshot())
        found = self._pick(key, self._snapshot[1])
        return found if found is None or found.process is None or processes.is_alive(found.process) else None

    def _pick(self, key: str, snapshot: process_table.Snapshot) -> Found | None:
        members = [p for p in snapshot.members(key) if snapshot.run_ids.get(p.pid) == key]
        if not members:
            return None
        leaders = [p for p in members if snapshot.rows[p.pid].session == p.pid]
        oldest = min(leaders or members, key=lambda process: (process.started, process.pid))
        return live(key, oldest, detail="found by the run id it carries; its record is missing")

    def find(self, key: str) -> Found | None:
        """As the port's `find`: the claim, then the shim, then all processes."""
        until = time.monotonic() + 2
        if self._fence or not os.path.lexists(f"{self._home}/{claims.file_of(key)}"):
            # Once the shim has answered, what was asked of it before is done or, with the fence, dropped.
            try:
                self._ask({"op": "ping"})
            except TryAgain as error:
                return unreachable(key, error.what)
            except OSError as error:
                return unreachable(key, f"the shim cannot be reached: {error.strerror}")
        found = self.look(key, until=until)
        if found is not None:
            return found
        try:
            return self._scan_unclaimed(key)
        except OSError as error:
            return unreachable(key, f"this host cannot be looked at: {error.strerror}")


def agrees(handle: Handle, claim: Claim) -> bool:
    """Tell whether a handle is one that this engine made for this claim. An empty token says nothing wrong."""
    process = claim.process
    token = handle.token
    return process is None or not token or (token.get("pid"), token.get("started"), token.get("boot")) == tuple(process)


def claim_of(home: str, handle: Handle) -> Claim | None:
    """
    Give the claim of a run that is to be acted on, or None where there is none.

    Raises:
        DoubtError: it cannot be read, or names another process than the handle.
    """
    try:
        claim = claims.read(home, handle.key)
    except claims.BadClaim as bad:
        raise DoubtError(
            f"the claim file of run {handle.key} cannot be read: {bad}; nobody was signalled",
            where=f"{home}/{claims.file_of(handle.key)}",
            fix="look at the file; when nothing of the run is alive, remove it",
        ) from bad
    if claim is not None and not agrees(handle, claim):
        raise DoubtError(
            f"the record of run {handle.key} names another process than its claim file; nobody was signalled",
            where=f"{home}/{claims.file_of(handle.key)}",
            fix="the record was edited; run `haymaker doctor`",
        )
    return claim
