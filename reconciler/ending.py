"""
The end of a run, as an effect: its tree ended, what it used charged, its checks run, its artifacts kept, and forgotten.

It knows no verb and no plan: `effects` says when, and for which entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_haymaker.engines import Handle
from agent_haymaker.goals.place import Place
from agent_haymaker.lean import dataclass, field, replace
from reconciler.budget import Spent, spent_by
from reconciler.checkspec import check_handle, check_of
from reconciler.commit import GroupCharge
from reconciler.entries import with_end
from reconciler.ledger import charge_of
from reconciler.masking import Mask
from reconciler.model.desired import GRACE_SECONDS, Desired
from reconciler.model.lazyjson import AppliedSpec
from reconciler.reasons import read_reason
from reconciler.spending import usage_of
from reconciler.usage import is_cut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_haymaker.engines import Engine
    from reconciler.book import Book
    from reconciler.budget import Purse
    from reconciler.inventory import Entry, Run
    from reconciler.model.lazyjson import Json
    from reconciler.usage import Usage

TRANSCRIPT = "transcript.jsonl"
KEPT_RUNS, KEPT_SECONDS = 10, 720 * 3600.0  # where a spec of long ago does not say
NAMED_LENGTH = 200  # of a path that an agent made


@dataclass(slots=True)
class Ending:
    """What ends the runs of one pass, and what is done with those that ended."""

    book: Book
    engine: Engine
    environ: Mapping[str, str]
    purse: Purse | None
    prices: Mapping[str, Json]
    _ledger: GroupCharge = field(init=False)

    def __post_init__(self) -> None:
        self._ledger = GroupCharge(self.book.home, self._open_keys)

    def grace(self, entry: Entry) -> float:
        """Give how long a run has to end in order, in seconds: as its manifest says now, else as it was applied."""
        want = self.book.want.get(entry.name)
        return want.grace if want is not None else float(entry.desired.get("grace", GRACE_SECONDS))

    async def stop(self, entry: Entry) -> Entry:
        """End the latest run's whole tree, where there is one to end, and put its end into the entry."""
        run = entry.run
        if run is None or run.recorded or run.handle is None:
            return entry
        seen = await self.engine.stop(Handle.from_json(run.handle), self.grace(entry))
        entry = await self.charge(replace(entry, run=with_end(run, seen, self.book.now())))
        self.book.remember(entry)
        return entry

    async def hear(self, run: Run, mask: Mask) -> Run:
        """Put into an ended run what it says of why it ended so, its secrets masked."""
        said = read_reason(self.engine, run)
        return replace(run, said=await mask(said.encode(), cut=is_cut(said))) if said else run

    async def charge(self, entry: Entry, mask: Mask | None = None) -> Entry:
        """Put what the latest run used into the ledger, before anything says that its end is known. Twice is once."""
        run = entry.run
        if run is None or run.handle is None or run.started_at is None or run.usage is not None:
            return entry
        used = usage_of(self.engine, run, self.prices)
        if used is not None:
            used = await self._without_secrets(used, entry, mask)
        if self.purse is not None:
            figures = spent_by(used, run.caps) if used is not None else {}
            self.purse.put(run.key, Spent(entry.name, entry.fleet, run.started_at, figures))
        if used is None:
            return entry
        await self._ledger.add(charge_of(entry, run, used))
        return replace(entry, run=replace(run, usage=used.to_json()))

    async def _without_secrets(self, used: Usage, entry: Entry, mask: Mask | None) -> Usage:
        """Mask what an agent says in its own words of what it used."""
        mask = mask or Mask(Desired.from_json(entry.desired) if entry.desired else None, self.environ)
        known = {"", *self.prices, entry.desired.get("recipe", {}).get("config", {}).get("model")}
        model = used.model if used.model in known else await mask(used.model.encode(), cut=is_cut(used.model))
        return replace(used, model=model, spent=await mask(used.spent.encode(), cut=is_cut(used.spent)))

    def _open_keys(self) -> list[str]:
        runs = [entry.run for entry in list(self.book.entries.values()) if entry.run is not None]
        return [run.key for run in runs if not run.recorded]

    async def judge(self, run: Run, entry: Entry, want: Desired, mask: Mask) -> Run:
        """Run the checks of `want` on what an ended run made, and give the run with their verdict."""
        from reconciler.checks import run_checks
        from reconciler.launch import check_environment

        assert run.handle is not None, "what has ended had begun"
        env = check_environment(want, entry, self.environ)
        handle = Handle.from_json(run.handle)
        results = await run_checks(
            self.engine, handle, checks_of(want), env, workspace=entry.id, owner=entry.fleet, mask=mask
        )
        return replace(run, checks=tuple(results), goal_met=all(r["passed"] is not False for r in results))

    async def forget(self, old: Run | None, new: Run | None = None) -> None:
        """Let the engine drop an ended run and its checks, unless `new` is the same. Twice does no harm."""
        if old is not None and old.handle is not None and (new is None or new.key != old.key):
            handle = Handle.from_json(old.handle)
            await self.forget_checks(handle, old)
            await self.engine.forget(handle)

    async def forget_checks(self, handle: Handle, run: Run | None, count: int = 0) -> None:
        """End what is left of a run's checks, drop their records; `count` is told where a pass was killed meanwhile."""
        count = max(count, len(run.checks) if run is not None else 0)
        if count:
            from reconciler.checks import end_check

            for number in range(count):
                await end_check(self.engine, check_handle(handle, number))

    async def keep_artifacts(self, entry: Entry, handle: Handle) -> str:
        """Copy what is to outlive the workspace, and say what had to be left behind, "" for nothing."""
        artifacts = AppliedSpec(entry.desired).get("artifacts") or {}
        patterns = [str(p) for p in artifacts.get("paths") or ()]
        if artifacts.get("transcript", True):
            patterns.append(TRANSCRIPT)
        left = (await self.engine.keep(handle, patterns)).left
        kept = artifacts.get("retention") or {}
        await self.engine.trim(
            entry.id,
            runs=int(kept.get("keepRuns", KEPT_RUNS)),
            age_seconds=float(kept.get("maxAge", KEPT_SECONDS)),
            size_bytes=kept.get("maxBytes"),
        )
        if not left:
            return ""
        path, why = min(left.items())
        named = path if path.isprintable() and len(path) <= NAMED_LENGTH else ascii(path[:NAMED_LENGTH])
        return f"; not kept: {named} ({why})" + (f" and {len(left) - 1} more" if len(left) > 1 else "")


def checks_of(want: Desired | None) -> list[Mapping[str, Any]]:
    """Give what decides GoalMet: the manifest's checks, then the goal's own criteria."""
    if want is None:
        return []
    place = Place.read(want.recipe.goal_at)
    return [*want.spec.get("success", {}).get("checks", ()), *(check_of(c, place) for c in want.criteria)]
