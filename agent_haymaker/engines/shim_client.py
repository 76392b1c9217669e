"""
The asynchronous client of the shim: starts one when there is none, and shares one connection among all requests.

A connection lives while something waits for it, so that nothing is left to close and the shim can end. A request
that was sent and not answered is never sent twice: `find` tells what became of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from agent_haymaker.engines import shim_socket
from agent_haymaker.engines.shim_socket import ShimSuspended
from agent_haymaker.errors import PlatformError, TryAgain

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

_ANSWER_WITHIN = 60.0
_START_WITHIN = 20.0
_FLUSH_AT = 16 << 10


class _NoShim(Exception):  # noqa: N818 - a finding, not a fault
    pass


class ShimClient:
    """Requests to the shim of one `engines/local` folder, from any event loop."""

    def __init__(self, home: str, *, fence: bool) -> None:
        self._home = home
        self._fence = fence
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connecting: asyncio.Task[Connection] | None = None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """
        Have a connection to ask requests on, starting the shim if need be.

        Raises:
            PlatformError: no shim can be started.
            TryAgain: it does not answer.
        """
        while True:
            try:
                connection = await self._connected(start=True)
            except _NoShim:
                continue  # a wait had found none; this one starts one
            if not connection.is_closed:
                break
        connection.users += 1
        try:
            yield connection
        finally:
            connection.users -= 1
            connection.close_if_idle()

    async def until_ended(self, key: str) -> bool:
        """Return True once the shim has no such run any more; False when there is no shim (any more) to tell."""
        try:
            connection = await self._connected(start=False)
            return await connection.until_ended(key)
        except (_NoShim, TryAgain):
            return False

    async def _connected(self, *, start: bool) -> Connection:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._connecting = loop, None
        task = self._connecting
        if task is None or (task.done() and (task.cancelled() or task.exception() or task.result().is_closed)):
            task = self._connecting = loop.create_task(self._connect(start=start))
        # No await between here and the caller's use of it: an idle connection closes itself.
        return task.result() if task.done() else await asyncio.shield(task)

    async def _connect(self, *, start: bool) -> Connection:
        deadline = time.monotonic() + _START_WITHIN
        silent: TryAgain = shim_socket.why_silent(self._home, 0)
        while True:
            try:
                link = shim_socket.connect(self._home)
            except OSError:
                if not start:
                    raise _NoShim from None
            else:
                connection = Connection(link, self._home)
                try:
                    answer = await connection.ask(shim_socket.hello(fence=self._fence), linger=True)
                    if "error" in answer:
                        connection.close()
                        raise PlatformError(str(answer["what"]), where=self._home)
                    return connection
                except ShimSuspended:
                    raise
                except TryAgain as error:
                    if time.monotonic() > deadline:
                        raise
                    silent = error  # it was just ending
            if time.monotonic() > deadline:
                raise silent
            if not await asyncio.to_thread(start_shim, self._home):
                await asyncio.sleep(0.005)


class Connection:
    """One socket to the shim. Closes itself once nobody uses it."""

    def __init__(self, link: socket.socket, home: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._home = home
        self._pid = shim_socket.peer_of(link)
        link.setblocking(False)
        self._fd = link.detach()
        self._inbox = b""
        self._outbox = bytearray()
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ends: dict[str, list[asyncio.Future[bool]]] = {}
        self._subscribed = False
        self.users = 0
        self.is_closed = False
        self._loop.add_reader(self._fd, self._read)
        self._watch = self._loop.call_later(shim_socket.SUSPECT_AFTER, self._look_at_shim)

    def _look_at_shim(self) -> None:
        """End every wait for an answer that cannot come."""
        if self._answers and isinstance(silent := shim_socket.why_silent(self._home, self._pid), ShimSuspended):
            self.close(silent)
        else:
            self._watch = self._loop.call_later(shim_socket.SUSPECT_AFTER, self._look_at_shim)

    async def ask(self, question: dict[str, Any], *, linger: bool = False) -> dict[str, Any]:
        """
        Send one request and wait for its answer; with `linger` the connection stays for one more.

        Raises:
            TryAgain: the shim did not answer, or the connection broke; what was asked may or may not be done.
        """
        number = next(self._numbers)
        answer = self._answers[number] = self._loop.create_future()
        try:
            self._send({**question, "id": number})
            if linger:
                self._flush()  # a hello tells the shim whose connection this is: at once
            async with asyncio.timeout(_ANSWER_WITHIN):
                told: dict[str, Any] = await answer
                return told
        except TimeoutError:
            raise shim_socket.why_silent(self._home, self._pid) from None
        finally:
            del self._answers[number]
            if linger and not self.is_closed:
                self._loop.call_later(1, self.close_if_idle)
            else:
                self.close_if_idle()

    async def until_ended(self, key: str) -> bool:
        told: asyncio.Future[bool] = self._loop.create_future()
        self._ends.setdefault(key, []).append(told)
        try:
            if not self._subscribed:
                self._subscribed = True
                self._send({"op": "subscribe", "id": 0})
            # Subscribed first, then asked: an end in between is told, one before is seen.
            if not (await self.ask({"op": "list", "key": key})).get("runs"):
                return True
            return await told
        finally:
            waiting = self._ends.get(key, [])
            if told in waiting:
                waiting.remove(told)
            if not waiting:
                self._ends.pop(key, None)
            self.close_if_idle()

    def _send(self, request: dict[str, Any]) -> None:
        if self.is_closed:
            raise TryAgain("the connection to the shim of the local engine broke")
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox += json.dumps(request).encode() + b"\n"
        if len(self._outbox) >= _FLUSH_AT:
            self._flush()  # so that the shim works while the next requests are made

    def _flush(self) -> None:
        if self.is_closed:
            return
        try:
            del self._outbox[: os.write(self._fd, self._outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._outbox:
            self._loop.add_writer(self._fd, self._flush)
        else:
            self._loop.remove_writer(self._fd)

    def _read(self) -> None:
        try:
            part = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self.close()
            return
        *lines, self._inbox = (self._inbox + part).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if told.get("event") == "ended":
                for end in self._ends.pop(told["key"], []):
                    if not end.done():
                        end.set_result(True)
            elif (answer := self._answers.get(told.get("id"))) is not None and not answer.done():
                answer.set_result(told)

    def close_if_idle(self) -> None:
        if not self.users and not self._answers and not self._ends:
            self.close()

    def __del__(self) -> None:
        if not self.is_closed:
            os.close(self._fd)  # its loop was closed under it

    def close(self, why: TryAgain | None = None) -> None:
        """Let go of the socket; whoever waits is told to try again."""
        if self.is_closed:
            return
        self.is_closed = True
        self._watch.cancel()
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        os.close(self._fd)
        why = why or TryAgain("the shim of the local engine went away, or another pass took over")
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(why)
        for ends in self._ends.values():
            for end in ends:
                if not end.done():
                    end.set_result(False)


def start_shim(home: str) -> bool:
    """
    Start the shim; False when somebody else holds its lock (and is just starting, ending, or there).

    Raises:
        PlatformError: it cannot be started; says why.
    """
    program = os.path.join(os.path.dirname(__file__), "shim.py")
    command = [sys.executable, "-I", "-S", program, home]
    if sys.platform != "linux":
        import psutil

        command.append(os.path.dirname(os.path.dirname(psutil.__file__)))
    try:
        started = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},  # nothing of the caller's: it outlives the caller
            cwd="/",
            timeout=_START_WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlatformError(f"the shim of the local engine could not be started: {error}", where=home) from error
    said = started.stdout.decode(errors="replace").strip()
    if said not in ("ok", "held"):
        last = said.splitlines()[-1].removeprefix("error: ") if said else "it said nothing"
        raise PlatformError(
            f"the shim of the local engine could not be started: {last}",
            where=home,
            fix="check that the folder can be written and that the host can start processes; then try again",
        )
    return said == "ok"
