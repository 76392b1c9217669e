"""
One digest after another: what is kept of each, and which one a deployment may go back to from there.

It decides nothing: that a digest failed, and that another runs instead, stands in the plan.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_haymaker.errors import TryAgain
from agent_haymaker.lean import dataclass, replace
from reconciler.inventory import applied
from reconciler.kept import is_kept, keep, trim_kept
from reconciler.revert import was_healthy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from reconciler.inventory import Entry
    from reconciler.model.desired import Desired
    from reconciler.model.observed import Observed


@dataclass(frozen=True, slots=True)
class Succession:
    """The digests of the deployments of one pass; `seen` is what it observed."""

    home: Path
    seen: Mapping[str, Observed]
    now: Callable[[], float]

    async def follow(self, entry: Entry, want: Desired, *, reverts: str = "") -> Entry:
        """
        Give an entry as it goes over to the digest of `want`; `reverts` says why the manifest's own is held.

        Raises:
            PlatformError: the digest that it leaves could not be kept.
        """
        after = replace(
            entry, generation=entry.generation + 1, digest=want.digest, failures=0, was_healthy=False, fallback=""
        )
        if reverts:
            return replace(
                after, was_healthy=True, held={"digest": want.instead_of, "reason": reverts, "at": self.now()}
            )
        if not want.auto_revert:
            return after
        fallback = entry.fallback
        seen = replace(self.seen[entry.name], failures=entry.failures, was_healthy=entry.was_healthy)
        if was_healthy(want, seen, now=self.now()) and await self._keep_old(entry):
            fallback = entry.digest
        is_back = fallback == want.digest
        return replace(after, was_healthy=is_back, fallback="" if is_back else fallback)

    async def _keep_old(self, entry: Entry) -> bool:
        """Tell whether the digest of an entry is kept; where autoRevert came with its successor, try it now."""
        if not entry.desired:
            return False
        if not is_kept(self.home, entry.id, entry.digest):
            try:
                await self._keep(entry, applied(entry))
            except TryAgain:  # its files are its successor's already
                return False
        return True

    def note_health(self, entry: Entry, want: Desired) -> Entry:
        """Note in an entry whose run is over whether its digest was healthy."""
        if not want.auto_revert or entry.was_healthy:
            return entry
        return replace(entry, was_healthy=was_healthy(want, self.seen[entry.name], now=self.now()))

    async def keep(self, entry: Entry, want: Desired, contents: Mapping[str, bytes] | None = None) -> None:
        """
        Keep what a start of `want` needs, where its manifest asks for that; without `contents` its files are read.

        Raises:
            PlatformError: the disk refuses.
            TryAgain: a file changed after its digest was taken.
        """
        if want.auto_revert and not want.instead_of and not is_kept(self.home, entry.id, want.digest):
            await self._keep(entry, want, contents)

    async def _keep(self, entry: Entry, want: Desired, contents: Mapping[str, bytes] | None = None) -> None:
        if contents is None:
            from reconciler.launch import run_files

            contents = run_files(want)
        await asyncio.to_thread(keep, self.home, entry.id, want, contents)

    def trim(self, entry: Entry, want: Desired) -> None:
        """Drop what is kept of digests that nothing goes back to any more."""
        trim_kept(self.home, entry.id, {entry.digest, entry.fallback} if want.auto_revert else ())

    def drop(self, entry: Entry) -> None:
        """Drop all that is kept of a deployment that is no more."""
        trim_kept(self.home, entry.id, ())
