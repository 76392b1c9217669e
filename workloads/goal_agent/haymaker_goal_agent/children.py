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
import time

from haymaker_goal_agent.process_tree import LINUX, processes_by_psutil, processes_of_linux, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any, Self

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

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
        self._is_interrupted = False
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
        if LINUX:
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

    def run(
        self, argv: list[str], env: Mapping[str, str], timeout: float | None, *, alone: bool = False, output: int = 1
    ) -> Ended:
        """
        Run a program in a process group of its own until it ends, its timeout or a stop.

        At the timeout its tree is ended; with `alone` whatever it left behind is ended in any case, else that lives
        on until `end_all`. Its input is empty; its output and errors go to the descriptor `output`.

        Raises:
            OSError: the program cannot be started.
        """
        bystanders = self._below() if (alone or timeout is not None) and self._reap() else {}
        began = time.monotonic()
        pid = self._spawn(argv, env, {1: output})
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

    def listen(
        self, argv: list[str], env: Mapping[str, str], given: int, timeout: float | None = None, *, grace: float
    ) -> Generator[bytes, None, Ended]:
        """
        Run a program that writes lines to its descriptor 3; give each as it comes, and at last how it ended. It reads
        from `given`, which is closed here.

        At a stop, at the timeout and after `interrupt` it alone gets SIGTERM, so that it can end what is below it in
        order; whoever is left of its tree `grace` seconds later is ended. Leaving the loop early ends it too.

        Raises:
            OSError: the program cannot be started.
        """
        bystanders = self._below() if self._reap() else {}
        ours, theirs = os.pipe()
        began = time.monotonic()
        try:
            pid = self._spawn(argv, env, {0: given, 1: 1, 3: theirs})
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(given)
            os.close(theirs)
        rest, timed_out = b"", False
        deadline: float | None = None
        try:
            while True:
                now = time.monotonic()
                if timeout is not None and now >= began + timeout:
                    timed_out = True
                if deadline is None and (self.stopped_by or timed_out or self._is_interrupted):
                    if pid not in self._ended:  # not reaped yet, so this pid can be nobody else's
                        os.kill(pid, signal.SIGTERM)
                    deadline = now + grace
                is_forced = deadline is not None and (now >= deadline or self.is_hurried)
                if is_forced:
                    break
                self._reap()
                until = 0.0 if pid in self._ended else _first(deadline, None if timeout is None else began + timeout)
                ready, _, _ = select.select(
                    [ours, self._wake], [], [], None if until is None else max(0.0, until - now)
                )
                self._drain()
                piece = os.read(ours, 65536) if ours in ready else b""
                if not piece and (ours in ready or pid in self._ended):
                    break  # it closed its end, or ended while something below it holds that open
                *lines, rest = (rest + piece).split(b"\n")
                yield from lines
            while not is_forced and self._reap() and pid not in self._ended and time.monotonic() < now + grace:
                self._sleep(_LOOK_AGAIN_SECONDS)
        finally:
            os.close(ours)
            self._is_interrupted = False
            if pid not in self._ended or deadline is not None:
                self._end(bystanders)
        code = self._ended.pop(pid, -signal.SIGKILL)
        return Ended(code, time.monotonic() - began, timeout if timed_out else None)

    def interrupt(self) -> None:
        """End the program that is listened to in order; its lines go on to their end."""
        self._is_interrupted = True

    def _spawn(self, argv: list[str], env: Mapping[str, str], files: Mapping[int, int]) -> int:
        """Start a program; `files` maps its descriptors to ours. Without a 0 it reads nothing; errors go to its 1."""
        actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        for theirs, ours in files.items():
            if ours == theirs:
                os.set_inheritable(ours, True)
            else:
                actions.append((os.POSIX_SPAWN_DUP2, ours, theirs))
        pid = os.posix_spawnp(
            argv[0],
            argv,
            env,
            file_actions=[*actions, (os.POSIX_SPAWN_DUP2, 1, 2)],
            setpgroup=0,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores these; a child must not inherit that
        )
        self._awaited = pid
        self._groups.add(pid)
        return pid

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
            if not self._reap() and LINUX:
                return 0  # as the reaper of all orphans: no child means nothing below
            left = self._below(bystanders)
            now = time.monotonic()
            # One look may miss a child whose parent forked and died while we looked.
            empty_looks = 0 if left else empty_looks + 1
            is_proven = empty_looks >= 2 and (bystanders or not LINUX)
            if is_proven or now > deadline + _GIVE_UP_SECONDS:
                return len(left)
            is_over = now >= deadline or self.is_hurried
            for pid, started in left.items():
                if is_over or asked.get(pid) != started:
                    asked[pid] = started
                    send(pid, started, signal.SIGKILL if is_over else signal.SIGTERM)
            self._sleep(_LOOK_AGAIN_SECONDS)

    def _below(self, bystanders: Mapping[int, int] | None = None) -> dict[int, int]:
        """Every live process below this one with its start time, but for `bystanders` and what is below them."""
        parents = processes_of_linux() if LINUX else processes_by_psutil(self._groups)
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
        self._drain()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)

    def _sleep_until_stopped(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.stopped_by and (left := deadline - time.monotonic()) > 0:
            self._sleep(left)

    def _note_stop(self, number: int, _frame: object) -> None:
        self.is_hurried = self.stopped_by != 0  # asked twice: no more grace
        self.stopped_by = self.stopped_by or number


def _first(*moments: float | None) -> float | None:
    known = [moment for moment in moments if moment is not None]
    return min(known) if known else None


def _adopt_orphans() -> None:
    """Become the parent of every orphan below: what leaves its group and session is still ours to end."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
