"""
The beginning of a run, as an effect: admitted by its budget, put together, asked of its engine.

It knows no verb and no plan: `effects` says when, and for which entry.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_haymaker.errors import BlockedError, HaymakerError, ManifestError, PlatformError, WorkloadError
from agent_haymaker.lean import dataclass, replace
from reconciler.inventory import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_haymaker.engines import Engine, RunSpec
    from reconciler.book import Book
    from reconciler.budget import Purse
    from reconciler.ending import Ending
    from reconciler.inventory import Entry
    from reconciler.model.desired import Desired
    from reconciler.model.lazyjson import Json
    from reconciler.model.plan import Action
    from reconciler.succession import Succession


@dataclass(frozen=True, slots=True)
class Beginning:
    """What starts the runs of one pass. `install` is the first part of every key; without `purse` nothing is capped."""

    book: Book
    engine: Engine
    ending: Ending
    digests: Succession
    install: str
    root: str  # the folder of manifests
    environ: Mapping[str, str]
    purse: Purse | None
    prices: Mapping[str, Json]

    async def run(self, action: Action, entry: Entry, want: Desired, *, attempt: int, old: Run | None = None) -> None:
        """
        Start a run of `want`. `old` is the ended one that it follows, forgotten as soon as there is a successor.

        Raises:
            HaymakerError: it did not start; where that is certain, the entry says so.
        """
        key = f"{self.install}.{entry.id}.{entry.generation}.{attempt}"
        try:
            caps = self._admit(want, key)
            spec = await self._spec(want, entry, caps)
            await self.digests.keep(entry, want, spec.files)
        except HaymakerError as error:
            if entry.name not in self.book.entries:  # so that it is seen, and why it does not run
                await self.book.intend(action, replace(entry, waits=error.what))
                await self.book.conclude(replace(entry, waits=error.what))
            raise
        begun = Run(key, attempt, caps=caps, commit=self.book.commit)
        entry = replace(entry, run=begun)
        await self.book.intend(action, entry, key=key)
        try:
            found = await self.engine.submit(spec, key)
        except WorkloadError as error:
            await self._conclude_failed_start(entry, error)
            raise
        except PlatformError:
            # Where it is certain that nothing began, say so; otherwise the intent stays open for the next pass.
            if self.engine.find(key) is None:
                self.book.note(entry.name, self.book.entries.get(entry.name) or replace(entry, run=None))
            raise
        run = replace(begun, handle=found.handle.to_json(), started_at=found.started_at)
        await self.ending.forget(old)  # before the result, after which nobody would know of it
        entry = replace(entry, run=run)
        await self.book.begin(entry)
        self.digests.trim(entry, want)

    async def _conclude_failed_start(self, entry: Entry, error: HaymakerError) -> None:
        assert entry.run is not None
        run = replace(
            entry.run,
            recorded=True,
            start_failed=True,
            ended_at=self.book.now(),
            exit_reason="start failed",
            exit_text=error.what,
        )
        entry = replace(entry, run=run, failures=entry.failures + 1)
        self.book.remember(entry)
        await self.book.conclude(entry)

    async def check(self, want: Desired, entry: Entry) -> None:
        """Refuse a replacement before it stops anything, where it is known that the new run could not start."""
        await self.engine.check(await self._spec(want, entry))

    async def _spec(self, want: Desired, entry: Entry, caps: Mapping[str, float] | None = None) -> RunSpec:
        """Give the run that is to start. A secret's command, or a locked keyring, must not hold up the others."""
        from reconciler.launch import run_spec
        from reconciler.values import UnresolvedError, takes_time

        try:
            if takes_time(want.spec.get("env", ())):
                return await asyncio.to_thread(run_spec, want, entry, self.environ, caps=caps, prices=self.prices)
            return run_spec(want, entry, self.environ, caps=caps, prices=self.prices)
        except UnresolvedError as error:
            from reconciler.manifest.unresolved import place_of

            raise ManifestError(error.what, where=place_of(want, self.root, error.name), fix=error.fix) from None

    def _admit(self, want: Desired, key: str) -> Mapping[str, float]:
        """Give the caps of a run that is about to start, by what was used up to now, and reserve them."""
        if self.purse is None:
            return {}
        answer = self.purse.admit(want.name, want.spec.get("budget") or {}, formerly=want.renamed_from)
        if answer.refusal:
            raise BlockedError(answer.refusal, where=str(want.source), fix="raise the budget, or wait")
        self.purse.reserve(want.name, answer.caps, key)
        return answer.caps
