"""
Group commit: many actions want their journal lines on disk, one sync serves all that wait at that moment.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
