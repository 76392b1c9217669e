"""
The runs of a shim: claim, spawn, reap, end what is left of a tree, keep the timeouts.

At most one process a key: the claim is made before the spawn, and made once.

Part of the shim: standard library only, everything imported at its start. It is told of no deployment and no pass.
"""

from __future__ import annotations

import errno
import os
import signal
import time

from agent_haymaker import process_table, processes
from agent_haymaker.engines import claims, shim_logs
from agent_haymaker.engines.shim_lines import Lines
from agent_haymaker.engines.shim_spawn import spawn
from agent_haymaker.processes import ProcessId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_STRAY_GRACE = 5.0  # what children get whose leader has ended, at most
_HOST_REFUSES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.EMFILE, errno.ENOSPC, errno.EIO})


class Run:
    """A run from its spawn until its end is on the disk."""

    __slots__ = (
        "cwd", "deadline", "end", "grace", "key", "kill_at", "known", "leader", "log", "reason", "started_at",
        "swept_at",
    )  # fmt: skip

    def __init__(
        self, key: str, leader: ProcessId, started_at: float, grace: float, cwd: str, log: shim_logs.Log
    ) -> None:
        self.key = key
        self.cwd = cwd  # its real path
        self.leader = leader
        self.started_at = started_at
        self.grace = grace
        self.log = log
        self.deadline: float | None = None  # monotonic: its timeout, then the kill that follows
        self.reason = ""  # "timeout" once that has struck, "stopped" where the home is gone
        self.end: dict[str, Any] | None = None  # how its leader ended
        self.known: list[ProcessId] = []  # members seen after that
        self.kill_at = 0.0
        self.swept_at = 0.0


class Runs:
    """All runs of this shim. `home` is a descriptor of `engines/local`; `complain` writes to the shim's log."""

    def __init__(self, home: int, complain: Callable[[str], None]) -> None:
        self.by_key: dict[str, Run] = {}
        self.lines = Lines(home, complain)
        self._home = home
        self._complain = complain
        self._by_pid: dict[int, Run] = {}
        self._strays: set[int] = set()  # orphans of live runs that came to us, looked at before
        self._children = f"/proc/self/task/{os.getpid()}/children"
        self.adopts = False  # orphans of our agents come to us
        self._sweeping: dict[str, Run] = {}
        self._next_look = 0.0
        self._due = 0.0  # nothing is to be done before, in monotonic time
        self._late = "timeout"  # why a run is ended whose time is over

    @property
    def is_idle(self) -> bool:
        return not self.by_key and self.lines.are_on_disk

    # -- start

    def submit(self, asked: dict[str, Any]) -> dict[str, Any]:
        """
        Start a run, unless its key is claimed.

        Gives `pid`, `started`, `boot`, `at`; or `exists`; or `error` ("workload" or "platform") with `what`.
        """
        key = asked["key"]
        if not claims.is_key(key):
            return {"error": "platform", "what": "no run can have this key"}
        boot, shim = processes.boot_id(), processes.identify(os.getpid())
        head = {
            "boot": boot,
            "claimed_at": time.time(),
            "owner": str(asked["owner"]),
            "workspace": str(asked["workspace"]),
            "log": str(asked["log"]),
            "grace": float(asked["grace"]),
            "shim": {"pid": os.getpid(), "started": shim.started if shim else 0, "reaper": os.getppid()},
        }
        try:
            claims.create(self._home, key, head)
        except FileExistsError:
            return {"exists": True}
        except OSError as error:
            return {"error": "platform", "what": f"the run could not be claimed: {os.strerror(error.errno or 0)}"}
        return self._start(key, asked, boot)

    def _start(self, key: str, asked: dict[str, Any], boot: str) -> dict[str, Any]:
        cwd = asked["cwd"]
        env = {
            name: value for name, value in asked["env"].items() if name not in (processes.RUN_ID, processes.WORKSPACE)
        }
        env = {processes.RUN_ID: key, processes.WORKSPACE: cwd, **env}
        fds: list[int] = []
        doing = f"its workspace {cwd} could not be entered"
        try:
            fds.append(os.open(cwd, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
            doing = "its log could not be opened"
            log_root, log_path = (cwd, asked["log"]) if asked["log"] else (asked["logs"], key + ".log")
            if not asked["log"]:
                fds.append(os.open(log_root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
            fds.append(shim_logs.open_log(fds[-1], log_path))
            log = shim_logs.Log(log_root, log_path, fds[-1], int(asked["log_max"]), time.monotonic())
            doing = ""
            os.fchdir(fds[0])
            try:
                place = os.getcwd()
                pid = spawn(asked["path"], asked["argv"], env, fds[-1], asked.get("limits") or {})
            finally:
                os.fchdir(self._home)
        except (OSError, ValueError) as error:
            return self._failed(key, asked, doing, error)
        finally:
            for fd in fds:
                os.close(fd)
        row = processes.look(pid)  # a zombie at worst: only we can reap it
        at = time.time()
        run = Run(key, ProcessId(pid, row.started if row else 0, boot), at, float(asked["grace"]), place, log)
        if asked.get("timeout") is not None:
            run.deadline = time.monotonic() + float(asked["timeout"])
        self._due = min(self._due, time.monotonic() + 1, run.deadline or float("inf"))
        self.by_key[key] = self._by_pid[pid] = run
        line = {**run.leader._asdict(), "seal": claims.seal(key, run.leader), "at": at}
        self.lines.write(key, line)
        return line

    def _failed(self, key: str, asked: dict[str, Any], doing: str, error: Exception) -> dict[str, Any]:
        number = error.errno if isinstance(error, OSError) else None
        why = os.strerror(number) if number else str(error)
        theirs = not doing and number not in _HOST_REFUSES
        what = doing or f"{asked['argv'][0]!r} could not be started"
        code = 127 if number == errno.ENOENT else 126
        self.lines.write(key, {"failed_to_start": f"{what}: {why}", "ended": time.time(), "code": code}, is_end=True)
        return {"error": "workload" if theirs else "platform", "what": f"{what}: {why}", "errno": number}

    # -- ends

    def reap(self) -> None:
        """Take every child that has ended: the cost is per ended child, not per living one."""
        left: list[Run] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._strays.discard(pid)
            run = self._by_pid.pop(pid, None)
            if run is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            run.end = {"code": code} if code >= 0 else {"signal": -code}
            run.end["reason"] = run.reason or ("exited" if code >= 0 else "signaled")
            run.end["ended"] = time.time()
            left.append(run)
        if not left:
            return
        if self._may_have_left_children(left):
            self._sweep(left, just_reaped=True)
        else:
            for run in left:
                self._finish(run)

    def _may_have_left_children(self, runs: list[Run]) -> bool:
        if self.adopts:
            # What a leader leaves behind becomes our child. The list is exact: nobody but us can reap from it.
            try:
                with open(self._children, "rb") as file:  # noqa: PTH123 - pathlib is 1 MB
                    children = {int(pid) for pid in file.read().split()}
                strays = children - self._by_pid.keys()
                new = strays - self._strays
                self._strays = strays
                # One of an earlier look, at the end of another run, may belong to these.
                return bool(new) or any(self._may_be_of(pid, runs) for pid in strays)
            except OSError:
                self.adopts = False
        return True

    @staticmethod
    def _may_be_of(stray: int, runs: list[Run]) -> bool:
        """Tell whether a stray carries the id of one of these runs, or none at all and works in the place of one."""
        run_id = processes.run_id_of(stray, until=processes.soon())
        if run_id is not None:
            return any(run.key == run_id for run in runs)
        return any(_works_in(stray, run.cwd) for run in runs)

    def _sweep(self, runs: list[Run], *, just_reaped: bool = False) -> None:
        """End what is left of trees whose leaders have ended; finish those of which nothing is."""
        now = time.monotonic()
        try:
            snapshot = process_table.take_snapshot()
        except OSError as error:  # no file descriptors left, say: what cannot be seen is not gone
            self._complain(f"the process table cannot be read: {error.strerror}; looked at again soon")
            for run in runs:
                self._sweeping[run.key] = run
                run.kill_at = run.kill_at or now + min(run.grace, _STRAY_GRACE)
            self._next_look, self._due = now + 0.5, 0.0
            return
        self._next_look = time.monotonic() + 10 * (time.monotonic() - now)
        for run in runs:
            if just_reaped:
                run.known = self._nameless(run, snapshot)
            members = snapshot.members(run.key, run.leader, known=run.known, trusted=just_reaped)
            if not members:
                self._finish(run)
                continue
            self._sweeping[run.key] = run
            new = members if just_reaped else [member for member in members if member not in run.known]
            run.known = members
            if just_reaped:
                assert run.end is not None
                run.kill_at = now + min(run.grace, self._stray_grace(run))
                how = {name: value for name, value in run.end.items() if name != "ended"}
                self.lines.write(run.key, {"left": run.end["ended"], **how})
            if now >= run.kill_at and new:
                self._hunt(run.key)
            self._signal(members if now >= run.kill_at else new, kill=now >= run.kill_at)
            run.swept_at = time.monotonic()
        self._due = 0.0

    def _nameless(self, run: Run, snapshot: process_table.Snapshot) -> list[ProcessId]:
        """
        Find the orphans of a run that carry no run id and left its session: children of ours that work in its
        workspace, while no other run does.
        """
        nameless = [pid for pid in self._strays if pid in snapshot.rows and pid not in snapshot.run_ids]
        if not nameless or any(other.cwd == run.cwd for other in self.by_key.values() if other is not run):
            return []
        boot = run.leader.boot
        return [ProcessId(pid, snapshot.rows[pid].started, boot) for pid in nameless if _works_in(pid, run.cwd)]

    def _stray_grace(self, run: Run) -> float:
        """Whoever stops a run has told its grace, which is the tree's; else children get a short one."""
        try:
            fd = claims.open_for_reading(self._home, run.key)
        except OSError:
            return _STRAY_GRACE
        try:
            claim = claims.parse(run.key, os.read(fd, 1 << 16))
        except (OSError, claims.BadClaim):
            return _STRAY_GRACE
        finally:
            os.close(fd)
        if claim.stop is None:
            return _STRAY_GRACE
        asked, grace = claim.stop
        return max(_STRAY_GRACE, asked + grace - time.time())

    def _signal(self, members: list[ProcessId], *, kill: bool) -> None:
        for member in members:
            try:
                processes.send_signal(member, signal.SIGKILL if kill else signal.SIGTERM)
            except OSError as error:
                self._complain(f"pid {member.pid} could not be signalled: {error.strerror}")

    def _hunt(self, key: str) -> None:
        try:
            process_table.hunt(key, signal.SIGKILL)
        except OSError as error:
            self._complain(f"{key}: {error.strerror}")

    def _finish(self, run: Run) -> None:
        assert run.end is not None
        self.by_key.pop(run.key, None)
        self._sweeping.pop(run.key, None)
        self.lines.write(run.key, run.end, is_end=True)

    # -- time

    def tick(self) -> float | None:
        """Do what is due: sweeps, timeouts, logs. Return the monotonic time of the next thing, or None."""
        now = time.monotonic()
        if now < self._due and not self.lines.pending:
            return self._due
        sweeping = list(self._sweeping.values())
        if sweeping and now >= self._next_look and now - min(run.swept_at for run in sweeping) >= 0.02:
            self._sweep(sweeping)
        running = [run for run in self.by_key.values() if run.end is None]
        late = [run for run in running if run.deadline is not None and now >= run.deadline]
        if late:
            self._time_out(late, now)
        due = [run.log.look(now, self._complain) for run in running]
        due += [run.deadline for run in running if run.deadline is not None]
        due += [max(self._next_look, run.swept_at + 0.05) for run in self._sweeping.values()]
        if self.lines.pending:
            due.append(now + 0.5)
        self._due = min(due, default=now + 3600)
        return self._due if due else None

    def abandon(self) -> None:
        """End every run in order, with its grace: the home that it belongs to is gone."""
        if self._late == "timeout":
            self._complain(f"HAYMAKER_HOME was removed, so its agents are ended: {' '.join(sorted(self.by_key))}")
        self._late, self._due = "stopped", 0.0
        for run in self.by_key.values():
            if run.end is None and not run.reason:
                run.deadline = 0.0

    def _time_out(self, late: list[Run], now: float) -> None:
        try:
            snapshot = process_table.take_snapshot()
        except OSError as error:
            self._complain(f"the process table cannot be read: {error.strerror}; looked at again soon")
            for run in late:
                run.deadline = now + 0.5
            return
        for run in late:
            kill = bool(run.reason)
            run.reason = run.reason or self._late
            run.deadline = now + (0.2 if kill else run.grace)
            self._signal(snapshot.members(run.key, run.leader), kill=kill)


def _works_in(pid: int, folder: str) -> bool:
    return any(place == folder or place.startswith(f"{folder}/") for place in processes.places_of(pid) or ())
