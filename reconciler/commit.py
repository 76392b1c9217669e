"""
Group commit: many actions want their journal lines or their records on disk; what waits at one moment goes together.

One thread at a time, since threads that wait for a disk and for the interpreter in turn cost more than the disk does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from agent_haymaker.records import write_records
from reconciler.ledger import append_charges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent_haymaker.records import Identity
    from reconciler.journal import Journal
    from reconciler.usage import Charge

T = TypeVar("T")
R = TypeVar("R")


class _Grouped(Generic[T, R]):
    """
    Does `work` on all that waits, in a thread; whoever came meanwhile waits for the next turn.

    It gives a result, or what went wrong, for each item in order; what it raises is told to all of the batch.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R | Exception]]) -> None:
        self._do = work
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def add(self, item: T) -> R:
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            results: Sequence[R | Exception]
            try:
                results = await asyncio.to_thread(self._do, [item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - told to each who waits
                results = [error] * len(batch)
            for (_, done), result in zip(batch, results, strict=True):
                if done.done():
                    continue  # its action ran out of time
                if isinstance(result, Exception):
                    done.set_exception(result)
                else:
                    done.set_result(result)
        self._worker = None


class GroupCommit:
    """Shares syncs of one journal among the tasks of one event loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._group: _Grouped[None, None] = _Grouped(self._commit)

    async def commit(self) -> None:
        """
        Return when everything appended before this call is on disk.

        Raises:
            PlatformError: the disk refuses; raised to all who shared the sync.
        """
        await self._group.add(None)

    def _commit(self, items: Sequence[None]) -> Sequence[None]:
        self._journal.commit()
        return items


class GroupCharge:
    """Shares the way to the disk among lines of the ledger. `open_keys` gives the runs whose end is not on record."""

    def __init__(self, home: Path, open_keys: Callable[[], Sequence[str]]) -> None:
        self._home, self._open_keys = home, open_keys
        self._group: _Grouped[Charge, None] = _Grouped(self._append)

    async def add(self, charge: Charge) -> None:
        """
        Return when the line would survive a power cut.

        Raises:
            PlatformError: the disk refuses; raised to all whose lines went together.
        """
        await self._group.add(charge)

    def _append(self, charges: Sequence[Charge]) -> Sequence[None]:
        append_charges(self._home, charges, open_keys=self._open_keys())
        return [None] * len(charges)


class GroupWrite:
    """Shares the way to the disk among records that tasks of one event loop write."""

    def __init__(self) -> None:
        self._group: _Grouped[tuple[Path, bytes], Identity] = _Grouped(write_records)

    async def write(self, path: Path, content: bytes) -> Identity:
        """
        Return the identity of the record at `path` when it holds `content` and would survive a power cut.

        Its name survives one only after a sync of the folder, which is the caller's, once for all.

        Raises:
            PlatformError: the disk refuses this one; the others go on.
        """
        return await self._group.add((path, content))
