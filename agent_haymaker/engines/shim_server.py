"""
The shim's loop: its lock, its socket, its connections, its end.

One JSON object a line, both ways; a request's `id` comes back with its answer, and answers keep the order of a
connection's requests. `hello` comes first. A fenced connection belongs to the holder of the pass lock: its hello
drops those of every other holder with all they have asked and not got, before it is answered, so that a request
which a killed `apply` left in the socket can never start an agent later. So it drops those too that have said no hello.

Part of the shim: standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
import syslog
import time

from agent_haymaker.engines import claims
from agent_haymaker.engines.shim_runs import Runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 1
_LONGEST = 64 << 20  # of one request, in bytes
_SEND_AT = 512  # bytes of answers that wait for no further ones
_LINGER = 1.0  # seconds without agents and connections before the shim ends
_LOG_LIMIT = 256 << 10
_HOME_EVERY = 2.0  # seconds between two looks whether the home is still there
_NO_AGENTS_BUT_ORDERS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ)


def run(folder: str) -> None:
    """
    Be the shim of this `engines/local` folder until nothing is left to do.

    Says "ok" on stdout once it listens, or "held" when there is a shim already, or "error: …"; then lets go of it.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    try:
        home = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fchdir(home)
        os.umask(0o077)
        # Never closed by hand: it ends with us. Every half-made child holds it too until its exec (see shim_spawn).
        lock = os.open(claims.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.write(1, b"held\n")
            return
        for name in (claims.RUNS, claims.LOGS):
            os.makedirs(name, 0o700, exist_ok=True)
        server = Server(home, folder)
    except OSError as error:
        os.write(1, f"error: {error}\n".encode(errors="replace"))
        return
    os.write(1, b"ok\n")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    server.serve()


def _adopt_orphans() -> bool:
    """Ask the kernel to hand the orphans of our agents to us; False where it cannot."""
    if sys.platform != "linux":
        return False
    try:
        import ctypes

        return int(ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)) == 0  # PR_SET_CHILD_SUBREAPER
    except (ImportError, OSError, AttributeError):
        return False


class Connection:
    """One client."""

    __slots__ = ("greeted", "holder", "inbox", "number", "outbox", "socket", "subscribed")

    def __init__(self, peer: socket.socket, number: int) -> None:
        self.socket = peer
        self.number = number
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.greeted = False
        self.holder: str | None = None  # of the pass lock; None where it is not fenced
        self.subscribed = False


class Server:
    """The listening shim. Made with the lock held."""

    def __init__(self, home: int, folder: str) -> None:
        self._home = home
        self._install_file = os.path.join(os.path.dirname(os.path.dirname(folder)), "install")
        self._install = self._read_install()
        self._next_home_look = 0.0
        self._home_was_gone = False
        self._runs = Runs(home, self._complain)
        self._runs.adopts = _adopt_orphans()
        self._connections: dict[int, Connection] = {}
        self._accepted = 0
        self._ordered_to_end = False
        self._idle_since: float | None = None
        for number in _NO_AGENTS_BUT_ORDERS:
            signal.signal(number, signal.SIG_IGN)
        # It stays while it has agents: without it their ends would be unknown.
        signal.signal(signal.SIGTERM, self._order)
        self._woken, waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(claims.SOCKET)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(claims.SOCKET)  # relative: a path in a socket's address ends after 107 bytes
        self._listener.listen(1024)
        self._poll = select.poll()
        self._poll.register(self._listener, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def _order(self, *_: object) -> None:
        self._ordered_to_end = True

    def _complain(self, text: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open("shim.log", flags, 0o600, dir_fd=self._home)
            try:
                if os.fstat(fd).st_size > _LOG_LIMIT:
                    os.ftruncate(fd, 0)
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                os.write(fd, f"{now} {text}\n".encode(errors="replace"))
            finally:
                os.close(fd)
        except OSError:  # the disk refuses, or there is no home any more: the host's own log is what is left
            syslog.syslog(syslog.LOG_WARNING, f"haymaker: {text}")

    def _read_install(self) -> bytes | None:
        try:
            fd = os.open(self._install_file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return os.read(fd, 64)
            finally:
                os.close(fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return self._install  # it is there

    def _look_home(self, now: float) -> float:
        """
        End every run once the home was removed, since nobody could find them any more; give when to look again.

        Gone is a home whose folder of claims is unlinked, and that was not put back: two looks in a row must say so.
        """
        if now >= self._next_home_look:
            self._next_home_look = now + _HOME_EVERY
            gone = os.fstat(self._home).st_nlink == 0 and (
                self._install is None or self._read_install() != self._install
            )
            if gone and self._home_was_gone:
                self._runs.abandon()
            self._home_was_gone = gone
        return self._next_home_look

    def serve(self) -> None:
        """Loop until there is no agent, no unwritten line and no connection."""
        more_to_sync = False
        while True:
            due = self._runs.tick()
            self._tell()
            more_to_sync = self._runs.lines.sync_some()
            if self._is_over():
                return
            now = time.monotonic()
            if self._runs.by_key:
                due = min(due or now + _HOME_EVERY, self._look_home(now))
            if self._idle_since is not None:
                due = min(due or now + _LINGER, self._idle_since + _LINGER)
            wait = 0 if more_to_sync else None if due is None else max(0, int((due - now) * 1000) + 1)
            for fd, _ in self._poll.poll(wait):
                if fd == self._woken:
                    self._drain()
                elif fd == self._listener.fileno():
                    self._accept()
                elif fd in self._connections:
                    self._guarded(self._connections[fd])
            if self._runs.lines.pending:
                self._runs.lines.write_pending()

    def _drain(self) -> None:
        try:
            while len(os.read(self._woken, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass
        self._runs.reap()

    def _is_over(self) -> bool:
        if not self._runs.is_idle or self._connections:
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = time.monotonic()
        if time.monotonic() - self._idle_since < _LINGER and not self._ordered_to_end:
            return False
        self._accept()
        if self._connections:
            return False
        # Who connects from here on gets an end of file before any answer, and starts a shim of its own.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(claims.SOCKET)
        self._listener.close()
        return True

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._complain(f"accept: {error.strerror}")
                return
            peer.setblocking(False)
            self._accepted += 1
            self._connections[peer.fileno()] = Connection(peer, self._accepted)
            self._poll.register(peer, select.POLLIN)

    def _drop(self, connection: Connection) -> None:
        fd = connection.socket.fileno()
        if self._connections.pop(fd, None) is not None:
            self._poll.unregister(fd)
            connection.socket.close()

    def _guarded(self, connection: Connection) -> None:
        if connection.socket.fileno() < 0:
            return  # dropped meanwhile
        try:
            self._serve(connection)
        except (BrokenPipeError, ConnectionResetError):
            self._drop(connection)
        except Exception as error:  # noqa: BLE001 - one client's fault must not end the parent of all agents
            self._complain(f"request: {type(error).__name__}: {error}")
            self._drop(connection)

    def _serve(self, connection: Connection) -> None:
        self._send(connection)
        try:
            part = connection.socket.recv(1 << 16)
        except BlockingIOError:
            return
        if not part:
            self._drop(connection)
            return
        connection.inbox += part
        if b"\n" not in part:
            if len(connection.inbox) > _LONGEST:
                self._drop(connection)
            return
        *lines, rest = connection.inbox.split(b"\n")
        connection.inbox = bytearray(rest)
        for line in lines:
            request = json.loads(line)
            answer = self._answer(connection, request)
            connection.outbox += json.dumps({"id": request.get("id"), **answer}).encode() + b"\n"
            if len(connection.outbox) >= _SEND_AT:
                self._send(connection)  # so that the client works while the next runs are started
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        if connection.outbox:
            with contextlib.suppress(BlockingIOError):
                del connection.outbox[: connection.socket.send(connection.outbox)]
        self._poll.modify(connection.socket, select.POLLIN | (select.POLLOUT if connection.outbox else 0))

    def _answer(self, connection: Connection, request: dict[str, Any]) -> dict[str, Any]:
        op = request.get("op")
        if op == "hello":
            if request.get("v") != PROTOCOL:
                return {"error": "platform", "what": f"this shim speaks version {PROTOCOL}"}
            connection.greeted = True
            connection.holder = request.get("fence") or None
            if connection.holder is not None:
                self._drop_stale(connection)
            return {"v": PROTOCOL, "pid": os.getpid()}
        if not connection.greeted:
            return {"error": "platform", "what": "hello comes first"}
        if op == "submit":
            return self._runs.submit(request)
        if op == "list":
            return {"runs": self._list(request.get("key"))}
        if op == "subscribe":
            connection.subscribed = True
            return {"live": list(self._runs.by_key)}
        if op == "unwritten":
            return {"why": {line.key: line.why for line in self._runs.lines.pending if line.why}}
        if op == "ping":
            return {"v": PROTOCOL}
        return {"error": "platform", "what": "this shim does not know what was asked"}

    def _drop_stale(self, holder: Connection) -> None:
        older = [other for other in self._connections.values() if other.number < holder.number]
        for other in older:
            if not other.greeted:
                self._guarded(other)  # its hello may be waiting: then it is known whose it is
            if not other.greeted or other.holder not in (None, holder.holder):
                self._drop(other)

    def _list(self, key: str | None) -> list[dict[str, Any]]:
        by_key = self._runs.by_key
        runs = list(by_key.values()) if key is None else [by_key[key]] if key in by_key else []
        described = [
            {"key": run.key, **run.leader._asdict(), "at": run.started_at, "ending": run.end is not None}
            for run in runs
        ]
        unwritten = [
            {"key": line.key, "unwritten": line.content} for line in self._runs.lines.pending if key in (None, line.key)
        ]
        return described + unwritten

    def _tell(self) -> None:
        if not self._runs.lines.ended:
            return
        for connection in list(self._connections.values()):
            if connection.subscribed:
                for key in self._runs.lines.ended:
                    connection.outbox += json.dumps({"event": "ended", "key": key}).encode() + b"\n"
                try:
                    self._send(connection)
                except OSError:
                    self._drop(connection)
        self._runs.lines.ended.clear()
