"""
What each verb does to the world: intent on disk, effect, record, result on disk. In that order, always.

Whoever is killed in between leaves an intent without a result, and `observe` finds out what became of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent_haymaker.engines import Handle
from agent_haymaker.errors import BlockedError, HaymakerError, PlatformError, WorkloadError
from agent_haymaker.lean import replace
from reconciler.book import Book
from reconciler.budget import Spent, spent_by
from reconciler.checkspec import check_handle, check_of, check_seconds
from reconciler.classify import failures_after
from reconciler.commit import GroupCharge
from reconciler.entries import declared, verdict_of, with_end
from reconciler.history import next_generation, rename_history
from reconciler.inventory import Entry, Run
from reconciler.ledger import charge_of
from reconciler.masking import Mask
from reconciler.model import AppliedSpec, Desired, Verb, short
from reconciler.records import remove_state
from reconciler.spending import usage_of
from reconciler.succession import Succession
from reconciler.usage import is_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from agent_haymaker.engines import Engine, RunSpec
    from reconciler.budget import Purse
    from reconciler.inventory import Inventory
    from reconciler.journal import Journal
    from reconciler.model import Action, Json
    from reconciler.observe import World
    from reconciler.usage import Usage

TRANSCRIPT = "transcript.jsonl"
NAMED_LENGTH = 200  # of a path that an agent made
HOST_SECONDS = 120.0  # the longest that the host itself may take over one effect


@dataclass(slots=True)
class Effects:
    """The effects of one pass on one fleet. Everything it needs is handed in; `commit` is the git commit applied."""

    home: Path
    install: str
    fleet: str
    engine: Engine
    inventory: Inventory
    journal: Journal
    want: Mapping[str, Desired]
    world: World
    now: Callable[[], float]
    new_id: Callable[[], str]
    environ: Mapping[str, str]
    commit: str = ""
    root: str = ""  # the folder that is applied
    began: float = 0.0  # when its manifests were about to be read
    purse: Purse | None = None  # None: there is no budget
    prices: Mapping[str, Json] = field(default_factory=dict)
    longest: float | None = None  # seconds that one action may take, where the caller bounds it
    _book: Book = field(init=False)
    _ledger: GroupCharge = field(init=False)
    _digests: Succession = field(init=False)

    def __post_init__(self) -> None:
        entries = dict(self.world.entries)
        self._book = Book(
            self.home, self.inventory, self.journal, self.want, self.now, entries, self.commit, self.began
        )
        self._ledger = GroupCharge(self.home, self._open_keys)
        self._digests = Succession(self.home, self.world.seen, self.now)

    def deadline(self, action: Action) -> float:
        """Give the longest that an action may take, in seconds."""
        if self.longest is not None:
            return self.longest
        want = self.want.get(action.name)
        spec = want.spec if want is not None else self.world.seen[action.name].spec
        grace = float(spec.get("run", {}).get("terminationGracePeriod", 30.0))
        match action.verb:
            case Verb.STOP | Verb.DELETE:
                return grace + HOST_SECONDS
            case Verb.RECORD:
                return grace + HOST_SECONDS + sum(check_seconds(c) for c in _checks(want))
            case _:
                return HOST_SECONDS

    async def perform(self, action: Action) -> str:
        """
        Do one action and say what was done, in the past tense.

        Raises:
            HaymakerError: it failed; what is on disk says how far it came.
        """
        match action.verb:
            case Verb.CREATE:
                return await self._create(action)
            case Verb.START:
                return await self._start(action)
            case Verb.STOP:
                return await self._stop(action)
            case Verb.RECORD:
                return await self._record(action)
            case Verb.UPDATE:
                return await self._update(action)
            case Verb.RENAME:
                return await self._rename(action)
            case Verb.DELETE:
                return await self._delete(action)

    # ---- the verbs ----------------------------------------------------------------------------------------

    async def _create(self, action: Action) -> str:
        want = self.want[action.name]
        first = next_generation(self.home, want.name)
        entry = declared(
            Entry(want.name, f"{want.name}-{self.new_id()}", self.fleet, first, want.digest, created_at=self.now()),
            want,
            self.root,
        )
        if not action.starts:
            entry = replace(entry, waits="" if want.stopped else action.cause.partition("; it waits: ")[2])
            await self._book.intend(action, entry)
            await self._book.conclude(entry)
            return f"declared {want.name}"
        await self._run(action, entry, attempt=1)
        return f"deployed {want.name}"

    async def _start(self, action: Action) -> str:
        want, entry = self.want[action.name], self._book.entries[action.name]
        same = entry.digest == want.digest
        if entry.run is not None and entry.run.handle is not None:
            # A task's new generation must not pass its checks on what the old one wrote.
            whole = not same and not want.service
            await self.engine.retire(Handle.from_json(entry.run.handle), whole=whole)
        attempt = entry.run.attempt + 1 if same and entry.run is not None else 1
        old = entry.run
        if not same:
            entry = await self._digests.follow(entry, want, reverts=action.reverts)
        await self._run(action, replace(declared(entry, want, self.root), waits=""), attempt=attempt, old=old)
        if action.reverts:
            return f"reverted {want.name} to {short(want.digest)}, the last healthy digest"
        return f"started {want.name}" if not action.replaces else f"replaced {want.name}"

    async def _run(self, action: Action, entry: Entry, *, attempt: int, old: Run | None = None) -> None:
        """Start a run. `old` is the ended one that it follows, forgotten as soon as there is a successor."""
        want = self.want[action.name]
        key = f"{self.install}.{entry.id}.{entry.generation}.{attempt}"
        try:
            caps = self._admit(want, key)
            spec = await self._spec(want, entry, caps)
            await self._digests.keep(entry, want, spec.files)
        except HaymakerError as error:
            if entry.name not in self._book.entries:  # so that it is seen, and why it does not run
                await self._book.intend(action, replace(entry, waits=error.what))
                await self._book.conclude(replace(entry, waits=error.what))
            raise
        entry = replace(entry, run=Run(key, attempt, caps=caps))
        await self._book.intend(action, entry, key=key)
        try:
            found = await self.engine.submit(spec, key)
        except WorkloadError as error:
            await self._conclude_failed_start(entry, error)
            raise
        except PlatformError:
            # Where it is certain that nothing began, say so; otherwise the intent stays open for the next pass.
            if self.engine.find(key) is None:
                self._book.note(entry.name, self._book.entries.get(entry.name) or replace(entry, run=None))
            raise
        run = Run(key, attempt, handle=found.handle.to_json(), started_at=found.started_at, caps=caps)
        await self._forget(old)  # before the result, after which nobody would know of it
        entry = replace(entry, run=run)
        await self._book.begin(entry)
        self._digests.trim(entry, want)

    async def _conclude_failed_start(self, entry: Entry, error: HaymakerError) -> None:
        assert entry.run is not None
        run = replace(
            entry.run,
            recorded=True,
            start_failed=True,
            ended_at=self.now(),
            exit_reason="start failed",
            exit_text=error.what,
        )
        entry = replace(entry, run=run, failures=entry.failures + 1)
        self._book.remember(entry)
        await self._book.conclude(entry)

    async def _stop(self, action: Action) -> str:
        entry, want = self._book.entries[action.name], self.want.get(action.name)
        if action.replaces and want is not None:
            await self._check_successor(want, entry)
        stalled = self.world.seen[action.name].stalled if action.stalled else ""
        overrun = action.overspent
        told = entry if entry.run is None else replace(entry, run=replace(entry.run, stalled=stalled, overrun=overrun))
        # What it is stopped for must outlive this pass.
        await self._book.intend(action, told if told != entry else None)
        failures = entry.failures + 1 if stalled else max(1, entry.failures) if overrun else entry.failures
        entry = replace(await self._stop_run(told), failures=failures)
        if want is not None:
            entry = self._digests.note_health(entry, want)
            entry = entry if action.replaces else declared(entry, want, self.root)
        await self._book.conclude(entry)
        return f"stopped {action.name}" + (f", its budget is spent: {overrun}" if overrun else "")

    async def _record(self, action: Action) -> str:
        want, entry = self.want[action.name], self._book.entries[action.name]
        seen = self.world.seen[action.name]
        assert entry.run is not None, "only a run can be recorded"
        assert entry.run.handle is not None, "a run without a handle was never unrecorded"
        handle = Handle.from_json(entry.run.handle)
        await self._book.intend(action, None)
        # The leader's end is not its tree's: whatever it left behind must not meet its successor.
        await self.engine.stop(handle, want.grace)
        run = replace(entry.run, recorded=True, ended_at=entry.run.ended_at or self.now())
        # A run is judged by what it was started for, not by what the manifest has become since.
        judge = want if entry.digest == want.digest else Desired.from_json(entry.desired)
        mask = Mask(judge, self.environ)
        if judge.has_checks and not judge.service and seen.phase == "ended":
            from reconciler.checks import run_checks
            from reconciler.launch import check_environment

            env = check_environment(judge, entry, self.environ)
            results = await run_checks(
                self.engine, handle, _checks(judge), env, workspace=entry.id, owner=entry.fleet, mask=mask
            )
            run = replace(run, checks=tuple(results), goal_met=all(r["passed"] is not False for r in results))
        entry = replace(entry, run=run, failures=failures_after(want, replace(seen, goal_met=run.goal_met)))
        entry = self._digests.note_health(entry, want)
        entry = await self._charge(entry, mask)
        left = await self._keep_artifacts(entry, handle)
        self._book.remember(entry)
        await self._book.conclude(entry)
        await self._forget_checks(handle, run)
        return f"recorded {action.name}: {verdict_of(run)}{left}"

    async def _update(self, action: Action) -> str:
        want, entry = self.want[action.name], self._book.entries[action.name]
        await self._book.intend(action, None)
        live = entry.run is not None and not entry.run.recorded
        if entry.digest != want.digest and not live and not want.suspend:
            # Stopped as declared: the new spec is taken over for its next start, as a new generation.
            if entry.run is not None and entry.run.handle is not None:
                await self.engine.retire(Handle.from_json(entry.run.handle), whole=not want.service)
                await self._forget(entry.run)
            entry = replace(await self._digests.follow(entry, want), run=None)
        if entry.digest == want.digest:
            await self._digests.keep(entry, want)
        entry = declared(entry, want, self.root)
        await self._book.conclude(entry)
        self._digests.trim(entry, want)
        return f"updated {action.name}"

    async def _rename(self, action: Action) -> str:
        entry = self._book.entries[action.old_name]
        await self._book.intend(action, None)
        rename_history(self.home, entry, action.name, at=self.now())
        self.world.seen[action.name] = replace(self.world.seen[action.old_name], name=action.name)
        await self._book.conclude(replace(entry, name=action.name), removes=action.old_name)
        return f"renamed {action.old_name} to {action.name}"

    async def _delete(self, action: Action) -> str:
        entry = self._book.entries[action.name]
        await self._book.intend(action, None)
        left = ""
        if entry.deletion_policy == "Orphan":
            await self._book.with_state(await self._charge(replace(entry, waits="orphaned")))
            self._book.remember(entry, event="orphaned")
        else:
            handle = None
            if entry.run is not None and entry.run.handle is not None:
                handle = Handle.from_json(entry.run.handle)
                stopped = await self._stop_run(entry)
                # What a killed pass ended may not have been charged; twice is once.
                entry = stopped if stopped is not entry else await self._charge(entry)
                left = await self._keep_artifacts(entry, handle)
                await self.engine.retire(handle, whole=False)
                judge = Desired.from_json(entry.desired) if entry.desired and not entry.service else None
                await self._forget_checks(handle, entry.run, len(_checks(judge)))
            if entry.deletion_policy == "Delete":  # also where its last run was forgotten long ago
                await self.engine.discard(entry.id)
            if handle is not None:
                await self.engine.forget(handle)
            remove_state(self.home, entry.id)
            self._book.remember(entry, event="removed")
        self._digests.drop(entry)
        await self._book.conclude(None, name=action.name)
        return f"deleted {action.name}{left}" if entry.deletion_policy != "Orphan" else f"let {action.name} go"

    async def settle(self) -> list[str]:
        """Put on record what a killed pass left open, as `observe` found it; give what to tell a person."""
        told = []
        for name in sorted(self.world.recovered):
            # As it was looked at, its end included: an action of this pass goes on from here.
            entry = self.world.entries.get(name)
            if entry is not None:
                entry = await self._book.with_state(entry)
            before = self.inventory.entries.get(name)
            await self._forget(before.run if before else None, entry.run if entry else None)
            self._book.note(name, entry)
            alive = entry is not None and entry.run is not None and not entry.run.recorded
            told.append(f"{name}: an earlier pass was interrupted; " + ("its agent is adopted" if alive else "settled"))
        if told:
            await self._book.sync()
        return told

    # ---- the pieces ---------------------------------------------------------------------------------------

    async def _stop_run(self, entry: Entry) -> Entry:
        """End the latest run's whole tree, where there is one to end, and put its end into the entry."""
        run = entry.run
        if run is None or run.recorded or run.handle is None:
            return entry
        seen = await self.engine.stop(Handle.from_json(run.handle), self._grace(entry))
        entry = await self._charge(replace(entry, run=with_end(run, seen, self.now())))
        self._book.remember(entry)
        return entry

    async def _charge(self, entry: Entry, mask: Mask | None = None) -> Entry:
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

    def _admit(self, want: Desired, key: str) -> Mapping[str, float]:
        """Give the caps of a run that is about to start, by what was used up to now, and reserve them."""
        if self.purse is None:
            return {}
        answer = self.purse.admit(want.name, want.spec.get("budget") or {}, formerly=want.renamed_from)
        if answer.refusal:
            raise BlockedError(answer.refusal, where=str(want.source), fix="raise the budget, or wait")
        self.purse.reserve(want.name, answer.caps, key)
        return answer.caps

    def _open_keys(self) -> list[str]:
        runs = [entry.run for entry in list(self._book.entries.values()) if entry.run is not None]
        return [run.key for run in runs if not run.recorded]

    async def _check_successor(self, want: Desired, entry: Entry) -> None:
        """Refuse a replacement before it stops anything, where it is known that the new run could not start."""
        await self.engine.check(await self._spec(want, entry))

    async def _spec(self, want: Desired, entry: Entry, caps: Mapping[str, float] | None = None) -> RunSpec:
        """Give the run that is to start. A secret's command, or a locked keyring, must not hold up the others."""
        from reconciler.launch import run_spec
        from reconciler.values import takes_time

        if takes_time(want.spec.get("env", ())):
            return await asyncio.to_thread(run_spec, want, entry, self.environ, caps=caps, prices=self.prices)
        return run_spec(want, entry, self.environ, caps=caps, prices=self.prices)

    async def _forget(self, old: Run | None, new: Run | None = None) -> None:
        """Let the engine drop an ended run and its checks, unless `new` is the same. Twice does no harm."""
        if old is not None and old.handle is not None and (new is None or new.key != old.key):
            handle = Handle.from_json(old.handle)
            await self._forget_checks(handle, old)
            await self.engine.forget(handle)

    async def _forget_checks(self, handle: Handle, run: Run | None, count: int = 0) -> None:
        """End what is left of a run's checks, drop their records; `count` is told where a pass was killed meanwhile."""
        count = max(count, len(run.checks) if run is not None else 0)
        if count:
            from reconciler.checks import end_check

            for number in range(count):
                await end_check(self.engine, check_handle(handle, number))

    def _grace(self, entry: Entry) -> float:
        want = self.want.get(entry.name)
        if want is not None:
            return want.grace
        return float(AppliedSpec(entry.desired).get("run", {}).get("terminationGracePeriod", 30.0))

    async def _keep_artifacts(self, entry: Entry, handle: Handle) -> str:
        """Copy what is to outlive the workspace, and say what had to be left behind, "" for nothing."""
        artifacts = AppliedSpec(entry.desired).get("artifacts") or {}
        patterns = [str(p) for p in artifacts.get("paths") or ()]
        if artifacts.get("transcript", True):
            patterns.append(TRANSCRIPT)
        left = (await self.engine.keep(handle, patterns)).left
        kept = artifacts.get("retention") or {}
        await self.engine.trim(
            entry.id,
            runs=int(kept.get("keepRuns") or 10),
            age_seconds=float(kept.get("maxAge") or 720 * 3600.0),
            size_bytes=kept.get("maxBytes"),
        )
        if not left:
            return ""
        path, why = min(left.items())
        named = path if path.isprintable() and len(path) <= NAMED_LENGTH else ascii(path[:NAMED_LENGTH])
        return f"; not kept: {named} ({why})" + (f" and {len(left) - 1} more" if len(left) > 1 else "")


def _checks(want: Desired | None) -> list[Mapping[str, Any]]:
    """Give what decides GoalMet: the manifest's checks, then the goal's own criteria."""
    if want is None:
        return []
    return [*want.spec.get("success", {}).get("checks", ()), *(check_of(c) for c in want.criteria)]
