"""A home of its own for each test, real processes in it, and nothing of them left afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from support.table import environ_of

from agent_haymaker import process_table, processes
from agent_haymaker.engines import RunSpec
from agent_haymaker.engines.local import LocalEngine
from agent_haymaker.testing import eventually

PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_numbers = count(1)


class World:
    """One HAYMAKER_HOME under test, with every key made here."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.local = home / "engines" / "local"
        self.engine = LocalEngine(home)
        self.keys: list[str] = []
        self.strangers: list[int] = []

    def key(self) -> str:
        key = f"{os.getpid():x}{time.time_ns():x}.test-{next(_numbers)}.1.1"
        self.keys.append(key)
        return key

    def spec(self, *argv: str, **over) -> RunSpec:
        env = {"PATH": PATH, **over.pop("env", {})}
        return RunSpec(argv=argv, env=env, **{"workspace": "agent-1", "owner": "fleet", **over})

    def submit(self, *argv: str, key: str | None = None, **over):
        return asyncio.run(self.engine.submit(self.spec(*argv, **over), key or self.key()))

    def shell(self, script: str, **over):
        return self.submit("sh", "-c", script, **over)

    def python(self, script: str, **over):
        return self.submit(sys.executable, "-I", "-S", "-c", script, **over)

    def stop(self, handle, grace=5.0):
        return asyncio.run(self.engine.stop(handle, grace))

    def wait(self, handle, within=60.0):
        async def wait():
            async with asyncio.timeout(within):
                return await self.engine.wait(handle)

        return asyncio.run(wait())

    def look(self, handle):
        return self.engine.observe([handle])[0]

    def log(self, handle, offset=0) -> bytes:
        async def read():
            return b"".join([piece async for piece in self.engine.logs(handle, offset)])

        return asyncio.run(read())

    def claim_path(self, key: str) -> Path:
        return self.local / "runs" / f"{key}.jsonl"

    def claim(self, key: str) -> list[dict]:
        return [json.loads(line) for line in self.claim_path(key).read_text().splitlines()]

    @property
    def shim(self) -> int:
        """The pid of the shim that is there now, or 0."""
        mine = f"{self.local}".encode()
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            with suppress(OSError):
                argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if len(argv) > 4 and argv[3].endswith(b"shim.py") and argv[4] == mine and processes.identify(pid):
                    return pid
        return 0

    def kill_shim(self) -> None:
        assert self._end_shim(), "there is no shim to kill"

    def _end_shim(self) -> bool:
        shim = processes.identify(self.shim)
        if shim is None:
            return False
        processes.send_signal(shim, signal.SIGKILL)
        eventually(lambda: not processes.is_alive(shim))
        return True

    def alive(self, key: str) -> list[int]:
        """The pids of everything that carries the key."""
        snapshot = process_table.take_snapshot()
        found = {pid: snapshot.run_ids.get(pid) for pid, row in snapshot.rows.items() if not row.dead}
        # Whoever showed no environment may have been in its exec or on its way out: it is asked again.
        return [pid for pid, run_id in found.items() if (run_id or environ_of(pid).get("HAYMAKER_RUN_ID")) == key]

    def end(self) -> None:
        for _ in range(50):
            snapshot = process_table.take_snapshot()
            mine = set(self.keys)
            pids = [pid for pid, key in snapshot.run_ids.items() if key in mine and not snapshot.rows[pid].dead]
            for pid in [*pids, *self.strangers]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.strangers.clear()
            if not pids:
                break
        while self._end_shim():
            pass


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "home")
    yield world
    world.end()
