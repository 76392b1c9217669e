"""
The processes below a running agent: start one, wait for it, end a whole tree.

On Linux the agent is the reaper of everything below it, so that a grandchild that left its group and session is
still found. It refuses to know what the processes are for. Stdlib only: this stays in memory while the agent runs.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_AGAIN_SECONDS = 0.02
_GIVE_UP_SECONDS = 5.0

_AS_IF_STOPPED = frozenset(code for n in (*STOP_SIGNALS, signal.SIGKILL) for code in (-n, 128 + n))
"""Who ends a whole tree may reach the child first: such an end is a failure only if no stop follows."""
_STOP_IS_ON_ITS_WAY_SECONDS = 0.25


class Ended:
    """How a child ended. `code` is its exit code, or minus its signal; `limit` is the timeout that it ran into."""

    __slots__ = ("code", "limit", "seconds")

    def __init__(self, code: int, seconds: float, limit: float | None) -> None:
        self.code = code
        self.seconds = seconds
        self.limit = limit

    @property
    def is_success(self) -> bool:
        return self.code == 0 and self.limit is None

    def __str__(self) -> str:
        if self.limit is not None:
            return f"timed out after {self.limit:g} s"
        if self.code >= 0:
            return f"exit code {self.code}"
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-self.code).name}"
        return f"ended by signal {-self.code}"


class Children:
    """
    Every process below this one, while the `with` lasts. One child is waited for at a time.

    `stopped_by` is the first of STOP_SIGNALS that arrived, 0 before; a wait returns as soon as it is set.
    """

    def __init__(self, grace_seconds: float = 5.0) -> None:
        self.stopped_by = 0
        self.is_hurried = False
        self._grace = grace_seconds
        self._ended: dict[int, int] = {}
        self._awaited = 0
        self._groups: set[int] = set()
        self._wake, self._woken = -1, -1

    def __enter__(self) -> Self:
        self._wake, self._woken = os.pipe()
        for end in (self._wake, self._woken):
            os.set_blocking(end, False)
        # A signal that arrives between a look and a sleep leaves a byte here, so the sleep ends at once.
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in STOP_SIGNALS:
            signal.signal(number, self._note_stop)
        if _LINUX:
            _adopt_orphans()
        return self

    def __exit__(self, *_: object) -> None:
        self.end_all()  # also when an error ended the `with`: nothing is left running
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in STOP_SIGNALS:  # how this process ends is settled: a stop that comes now must not change it
            signal.signal(number, signal.SIG_IGN)
        os.close(self._wake)
        os.close(self._woken)

    def run(self, argv: list[str], env: Mapping[str, str], timeout: float | None, *, alone: bool = False) -> Ended:
        """
        Run a program in a process group of its own until it ends, its timeout or a stop.

        At the timeout its tree is ended; with `alone` whatever it left behind is ended in any case, else that lives
        on until `end_all`. Its input is empty; its output and errors go where ours goes.

        Raises:
            OSError: the program cannot be started.
        """
        bystanders = self._below() if (alone or timeout is not None) and self._reap() else {}
        began = time.monotonic()
        pid = os.posix_spawnp(
            argv[0],
            argv,
            env,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, 1, 2)],
            setpgroup=0,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores these; a child must not inherit that
        )
        self._awaited = pid
        self._groups.add(pid)
        timed_out = False
        while pid not in self._ended:
            self._reap()
            if pid in self._ended or self.stopped_by:
                break
            left = None if timeout is None else began + timeout - time.monotonic()
            if left is not None and left <= 0:
                timed_out = True
                break
            self._sleep(left)
        if self.stopped_by:
            self.end_all()
        elif timed_out or alone:
            self._end(bystanders)
        code = self._ended.pop(pid, -signal.SIGKILL)
        if not timed_out and code in _AS_IF_STOPPED and not self.stopped_by:
            self._sleep_until_stopped(_STOP_IS_ON_ITS_WAY_SECONDS)
        return Ended(code, time.monotonic() - began, timeout if timed_out else None)

    def is_stopping(self) -> bool:
        return self.stopped_by != 0

    def end_all(self) -> int:
        """End everything below: SIGTERM, the grace, SIGKILL, then a look. Returns how many could not be ended."""
        return self._end({})

    def _end(self, bystanders: Mapping[int, int]) -> int:
        asked: dict[int, int] = {}
        deadline = time.monotonic() + self._grace
        empty_looks = 0
        while True:
            if not self._reap() and _LINUX:
                return 0  # as the reaper of all orphans: no child means nothing below
            left = self._below(bystanders)
            now = time.monotonic()
            # One look may miss a child whose parent forked and died while we looked.
            empty_looks = 0 if left else empty_looks + 1
            is_proven = empty_looks >= 2 and (bystanders or not _LINUX)
            if is_proven or now > deadline + _GIVE_UP_SECONDS:
                return len(left)
            is_over = now >= deadline or self.is_hurried
            for pid, started in left.items():
                if is_over or asked.get(pid) != started:
                    asked[pid] = started
                    _send(pid, started, signal.SIGKILL if is_over else signal.SIGTERM)
            self._sleep(_LOOK_AGAIN_SECONDS)

    def _below(self, bystanders: Mapping[int, int] | None = None) -> dict[int, int]:
        """Every live process below this one with its start time, but for `bystanders` and what is below them."""
        parents = _processes_of_linux() if _LINUX else _processes_by_psutil(self._groups)
        skip = bystanders or {}
        found: dict[int, int] = {}
        front = [os.getpid()]
        while front:
            parent = front.pop()
            for pid, started, is_dead in parents.get(parent, ()):
                if skip.get(pid) != started:
                    front.append(pid)
                    if not is_dead:
                        found[pid] = started
        return found

    def _reap(self) -> bool:
        """Take note of every child that has ended; False when there is none left at all."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._awaited:
                self._ended[pid] = os.waitstatus_to_exitcode(status)

    def _sleep(self, seconds: float | None) -> None:
        """Sleep until a signal comes or the time is over."""
        select.select([self._wake], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)

    def _sleep_until_stopped(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.stopped_by and (left := deadline - time.monotonic()) > 0:
            self._sleep(left)

    def _note_stop(self, number: int, _frame: object) -> None:
        self.is_hurried = self.stopped_by != 0  # asked twice: no more grace
        self.stopped_by = self.stopped_by or number


def _adopt_orphans() -> None:
    """Become the parent of every orphan below: what leaves its group and session is still ours to end."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _processes_of_linux() -> dict[int, list[tuple[int, int, bool]]]:
    """Map each parent to its children: pid, start time in clock ticks since boot, whether it is dead already."""
    parents: dict[int, list[tuple[int, int, bool]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(name)):
            dead = fields[0] in (b"Z", b"X")
            parents.setdefault(int(fields[1]), []).append((int(name), int(fields[19]), dead))
    return parents


def _stat(pid: str | int) -> list[bytes] | None:
    """The fields of /proc/PID/stat from the third on; the second may hold blanks and parentheses."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(fd, 4096).rpartition(b")")[2].split() or None
    except OSError:  # it ended while we looked
        return None
    finally:
        os.close(fd)


def _processes_by_psutil(groups: set[int]) -> dict[int, list[tuple[int, int, bool]]]:
    """As on Linux, in milliseconds; an orphan that is still in one of our `groups` counts as our child."""
    import psutil

    parents: dict[int, list[tuple[int, int, bool]]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            parent = process.ppid()
            if parent == 1 and os.getpgid(process.pid) in groups and os.getsid(process.pid) == os.getsid(0):
                parent = os.getpid()
            dead = process.status() == psutil.STATUS_ZOMBIE
            parents.setdefault(parent, []).append((process.pid, int(process.create_time() * 1000), dead))
    return parents


def _send(pid: int, started: int, number: int) -> None:
    """Signal a process if it still is the one that was seen. That it has gone is success."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if not _LINUX:
            os.kill(pid, number)
            return
        fd = os.pidfd_open(pid)
        try:
            fields = _stat(pid)  # read behind the pidfd: from here on a reused pid cannot be meant
            if fields and int(fields[19]) == started:
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)
