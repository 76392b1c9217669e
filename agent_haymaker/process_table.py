"""
The process table: every process of a run, wherever it went.

A run's processes are those in its leader's session or group, those that carry its id, and the descendants of either.
Like `processes`, imported by the shim: the top level stays small.
"""

from __future__ import annotations

import os
import sys

from agent_haymaker.processes import ProcessId, Row, boot_id, identify, look, pids, run_id_of, send_signal, soon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LINUX = sys.platform == "linux"
_KTHREADD = 2
_MOST_LISTINGS = 50


class Snapshot:
    """The process table at one instant, with the run id that each process carries."""

    def __init__(self, rows: dict[int, Row], run_ids: dict[int, str]) -> None:
        self.rows = rows
        self.run_ids = run_ids
        self._by_run: dict[str, list[int]] = {}
        self._by_session: dict[int, list[int]] = {}
        self._by_parent: dict[int, list[int]] = {}
        for pid, run_id in run_ids.items():
            self._by_run.setdefault(run_id, []).append(pid)
        for row in rows.values():
            self._by_session.setdefault(row.session, []).append(row.pid)
            if row.group != row.session:
                self._by_session.setdefault(row.group, []).append(row.pid)
            self._by_parent.setdefault(row.parent, []).append(row.pid)

    def members(
        self, run_id: str, leader: ProcessId | None = None, *, known: Iterable[ProcessId] = (), trusted: bool = False
    ) -> list[ProcessId]:
        """
        Return every live process of a run: those in its leader's session or group, those that carry its run id,
        and the descendants of either, unless they carry another run's id. Never this process.

        A session is named by its leader's pid, which is free for strangers once the last of the session is gone.
        So the session counts only while the leader is there (a zombie is), while one of `known` still lives in
        it, or when the caller has just reaped the leader itself (`trusted`).
        """
        boot = boot_id()
        ours = set(self._by_run.get(run_id, ()))
        if leader is not None and leader.boot == boot:
            row = self.rows.get(leader.pid)
            sure = row is not None and row.started == leader.started
            if row is None:
                sure = trusted or any(self._is_in(process, leader.pid) for process in known)
            if sure:
                ours.update(self._by_session.get(leader.pid, ()))
        for process in known:
            row = self.rows.get(process.pid)
            if row is not None and row.started == process.started and process.boot == boot:
                ours.add(process.pid)
        waiting = list(ours)
        while waiting:
            for child in self._by_parent.get(waiting.pop(), ()):
                if child not in ours and self.run_ids.get(child, run_id) == run_id:
                    ours.add(child)
                    waiting.append(child)
        ours.discard(os.getpid())
        rows = (self.rows[pid] for pid in sorted(ours))
        return [ProcessId(row.pid, row.started, boot) for row in rows if not row.dead]

    def _is_in(self, process: ProcessId, session: int) -> bool:
        row = self.rows.get(process.pid)
        return (
            row is not None and not row.dead and row.started == process.started and session in (row.session, row.group)
        )


def take_snapshot() -> Snapshot:
    """
    Read the process table; about 10 µs a process on Linux.

    Whoever is born while it is read is read too, until a listing brings nobody new: then everybody who was alive at
    that listing is in it, so that a tree that forks and exits without rest cannot look as if it were gone.
    """
    rows: dict[int, Row] = {}
    run_ids: dict[int, str] = {}
    seen: set[int] = set()
    unsure: list[int] = []
    for _ in range(_MOST_LISTINGS):
        new = [pid for pid in pids() if pid not in seen]
        if not new:
            break
        seen.update(new)
        for pid in new:
            row = look(pid)
            if row is None:
                continue
            rows[pid] = row
            if _LINUX and (row.dead or pid == _KTHREADD or row.parent == _KTHREADD):
                continue
            run_id = run_id_of(pid)
            if run_id is not None:
                run_ids[pid] = run_id
            else:
                unsure.append(pid)
    until = soon()
    for pid in unsure:  # in the middle of an exec a process has no environment
        run_id = run_id_of(pid, until=until)
        if run_id is not None and pid in rows:
            run_ids[pid] = run_id
    return Snapshot(rows, run_ids)


def hunt(run_id: str, signum: int) -> None:
    """
    Signal whoever carries a run id at the instant it is seen, the newest first.

    For trees that fork and exit faster than a whole snapshot is read: later listings only look at who is new.
    """
    seen = {os.getpid()}
    for _ in range(_MOST_LISTINGS):
        new = sorted((pid for pid in pids() if pid not in seen), reverse=True)
        if not new:
            return
        seen.update(new)
        for pid in new:
            process = identify(pid)
            if process is not None and run_id_of(pid) == run_id:
                send_signal(process, signum)
