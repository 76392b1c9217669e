"""
Ends a run's whole process tree: SIGTERM, the grace, SIGKILL, then a look that nothing of it is left.

Whoever calls need not be its parent. Nobody is signalled whose identity was not checked at that instant, and a
leader that does not show that it is this run is refused untouched. Many stops at once share their looks at the
process table.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from agent_haymaker import process_table, processes
from agent_haymaker.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_haymaker.engines.claims import Claim
    from agent_haymaker.process_table import Snapshot
    from agent_haymaker.processes import ProcessId

_KILL_WITHIN = 10.0
_MOST_PIDFDS = 256  # past that, deaths are polled for: a thousand stops must not use up the file descriptors


class Stopper:
    """Stops trees on one event loop at a time, sharing snapshots among the stops."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next: asyncio.Task[Snapshot] | None = None
        self._cost = 0.0
        self._pidfds = 0

    async def fresh_snapshot(self) -> Snapshot:
        """Return a process table read after this call; callers that come while one is due share it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._next = loop, None
        if self._next is None:
            self._next = loop.create_task(self._take())
        return await asyncio.shield(self._next)

    async def _take(self) -> Snapshot:
        # Never more than half of the time goes into looking, and whoever asks meanwhile is served by this look.
        await asyncio.sleep(self._cost)
        self._next = None
        begun = time.monotonic()
        try:
            return process_table.take_snapshot()
        finally:
            self._cost = min(time.monotonic() - begun, 0.5)

    async def stop_tree(self, run_id: str, leader: ProcessId | None, grace_seconds: float) -> None:
        """
        End every process of a run. The caller has made sure of the leader (`check_ours`).

        Raises:
            PlatformError: something is left; says what.
        """
        kill_at = time.monotonic() + max(0.0, grace_seconds)
        told: set[ProcessId] = set()
        known: Sequence[ProcessId] = ()
        refused: dict[ProcessId, str] = {}
        rounds = 0
        while True:
            try:
                snapshot = await self.fresh_snapshot()
            except OSError as error:
                raise PlatformError(f"the process table cannot be read: {error.strerror}") from error
            members = snapshot.members(run_id, leader, known=known)
            if not members:
                return
            known = members
            now = time.monotonic()
            killing = now >= kill_at
            if now >= kill_at + _KILL_WITHIN or (killing and all(member in refused for member in members)):
                raise _left(run_id, members, refused)
            if killing and leader is not None and os.getpgid(0) != leader.pid:
                # The group first, at once, so that members of it cannot fork away from under our hands.
                _signal(leader, signal.SIGKILL, {}, group=True)
            if killing:
                rounds += 1
                if rounds > 2:
                    with suppress(OSError):  # whoever it missed is in the next snapshot
                        process_table.hunt(run_id, signal.SIGKILL)
            for member in members:
                if killing or member not in told:
                    _signal(member, signal.SIGKILL if killing else signal.SIGTERM, refused)
                    told.add(member)
            await self._until_gone(members, 0.2 if killing else max(0.0, kill_at - time.monotonic()))

    async def _until_gone(self, members: Sequence[ProcessId], within: float) -> None:
        """Return when all of them have ended, or after a time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        left = list(members)
        while left and (remaining := deadline - loop.time()) > 0:
            pidfd = self._open_pidfd(left[-1])
            try:
                if not processes.is_alive(left[-1]):
                    left.pop()
                elif pidfd < 0:
                    await asyncio.sleep(min(0.02, remaining))
                else:
                    gone = asyncio.Event()
                    loop.add_reader(pidfd, gone.set)
                    try:
                        async with asyncio.timeout(remaining):
                            await gone.wait()
                    except TimeoutError:
                        return
                    finally:
                        loop.remove_reader(pidfd)
            except OSError:
                await asyncio.sleep(min(0.02, remaining))  # cannot look now: look again
            finally:
                if pidfd >= 0:
                    self._pidfds -= 1
                    os.close(pidfd)

    def _open_pidfd(self, process: ProcessId) -> int:
        if self._pidfds >= _MOST_PIDFDS or not hasattr(os, "pidfd_open"):
            return -1
        try:
            pidfd = os.pidfd_open(process.pid)
        except OSError:
            return -1
        self._pidfds += 1
        return pidfd


def _signal(member: ProcessId, signum: int, refused: dict[ProcessId, str], *, group: bool = False) -> None:
    try:
        if group:
            processes.signal_group_of(member, signum)
        else:
            processes.send_signal(member, signum)
        refused.pop(member, None)
    except OSError as error:
        refused[member] = os.strerror(error.errno or 0)


def _left(run_id: str, members: Sequence[ProcessId], refused: dict[ProcessId, str]) -> PlatformError:
    named = [f"{member.pid} ({refused.get(member, 'SIGKILL had no effect')})" for member in members[:5]]
    more = f" and {len(members) - 5} more" if len(members) > 5 else ""
    return PlatformError(
        f"processes of run {run_id} are left: pid {', '.join(named)}{more}",
        fix="end them as the user they belong to (or as root), then run the command again",
    )


def check_ours(leader: ProcessId, run_id: str, claim: Claim | None, places: Callable[[], Sequence[str]]) -> None:
    """
    Make sure that a live process is this run's leader before anybody signals it.

    Its environment says so. Where that tells nothing (a program may overwrite it, or close it to us), then all of
    this must hold: the claim file vouches for it; it leads a session; its parent is the live shim that started it
    or, once that is dead, the process that inherits orphans; it works in one of the places that `places` gives (the
    run's workspace, its log), or, if even that is closed to us, the shim is alive.

    Raises:
        PlatformError: it may be somebody else's; nothing was touched.
    """
    carried = processes.run_id_of(leader.pid, until=processes.soon())
    row = processes.look(leader.pid)
    if row is None or row.dead or row.started != leader.started or carried == run_id:
        return  # ours, or just ended: then there is nobody to mistake
    if carried is None and claim is not None and claim.process == leader and row.session == leader.pid:
        shim_lives = processes.is_alive(claim.shim)
        at_home = row.parent == claim.shim.pid if shim_lives else row.parent in (1, claim.reaper)
        seen = processes.places_of(leader.pid)
        works_here = shim_lives if seen is None else any(_is_in(place, places()) for place in seen)
        if at_home and works_here:
            return
    why = "it carries another run's id" if carried is not None else "it does not carry this run's id"
    raise PlatformError(
        f"pid {leader.pid} is recorded as run {run_id}, but {why}; it was not touched",
        fix="look at it with `ps`; the record was edited or belongs to another machine",
    )


def _is_in(path: str, places: Sequence[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)
