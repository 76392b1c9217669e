"""
Group commit: many actions want their journal lines or their records on disk; what waits at one moment goes together.

One thread at a time, since threads that wait for a disk and for the interpreter in turn cost more than the disk does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_haymaker.records import write_records

if TYPE_CHECKING:
    from pathlib import Path

    from agent_haymaker.records import Identity
    from reconciler.journal import Journal


class GroupCommit:
    """Shares syncs of one journal among the tasks of one event loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def commit(self) -> None:
        """
        Return when everything appended before this call is on disk.

        Raises:
            PlatformError: the disk refuses; raised to all who shared the sync.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        await asyncio.shield(self._next)

    async def _after(self, running: asyncio.Task[None] | None) -> None:
        if running is not None:
            await asyncio.wait([running])
        # Whoever comes from here on appended after this sync may have begun: they share the one after.
        self._running, self._next = self._next, None
        await asyncio.to_thread(self._journal.commit)


class GroupWrite:
    """Shares the way to the disk among records that tasks of one event loop write."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Path, bytes, asyncio.Future[Identity]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def write(self, path: Path, content: bytes) -> Identity:
        """
        Return the identity of the record at `path` when it holds `content` and would survive a power cut.

        Its name survives one only after a sync of the folder, which is the caller's, once for all.

        Raises:
            PlatformError: the disk refuses this one; the others go on.
        """
        written: asyncio.Future[Identity] = asyncio.get_running_loop().create_future()
        self._waiting.append((path, content, written))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await written

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            results = await asyncio.to_thread(write_records, [(path, content) for path, content, _ in batch])
            for (_, _, written), result in zip(batch, results, strict=True):
                if written.done():
                    continue  # its action ran out of time
                if isinstance(result, Exception):
                    written.set_exception(result)
                else:
                    written.set_result(result)
        self._worker = None
