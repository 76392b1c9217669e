"""
What each verb does to the world: intent on disk, effect, record, result on disk. In that order, always.

Whoever is killed in between leaves an intent without a result, and `observe` finds out what became of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.engines import Handle
from agent_haymaker.lean import dataclass, field, replace
from reconciler.beginning import Beginning
from reconciler.checkspec import check_seconds
from reconciler.classify import failures_after
from reconciler.ending import Ending, checks_of
from reconciler.entries import declared, verdict_of
from reconciler.history import next_generation, rename_history
from reconciler.inventory import Entry
from reconciler.masking import Mask
from reconciler.model.desired import Desired
from reconciler.model.observed import RunPhase, short
from reconciler.model.plan import Verb
from reconciler.observe import observe_one
from reconciler.records import remove_state
from reconciler.succession import Succession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent_haymaker.engines import Engine
    from reconciler.book import Book
    from reconciler.budget import Purse
    from reconciler.model.lazyjson import Json
    from reconciler.model.plan import Action
    from reconciler.observe import World

HOST_SECONDS = 120.0  # the longest that the host itself may take over one effect


@dataclass(slots=True)
class Effects:
    """The effects of one pass on one fleet. Everything that they need is handed in; `world` is what was observed."""

    install: str
    fleet: str
    engine: Engine
    book: Book
    world: World
    new_id: Callable[[], str]
    environ: Mapping[str, str]
    root: str = ""  # the folder that is applied
    purse: Purse | None = None  # None: there is no budget
    prices: Mapping[str, Json] = field(default_factory=dict)
    behind: Mapping[str, Json] = field(default_factory=dict)  # what its plan leaves undone: see `find_behind`
    longest: float | None = None  # seconds that one action may take, where the caller bounds it
    _digests: Succession = field(init=False)
    _ending: Ending = field(init=False)
    _beginning: Beginning = field(init=False)

    def __post_init__(self) -> None:
        self._digests = Succession(self.book.home, self.world.seen, self.book.now)
        self._ending = Ending(self.book, self.engine, self.environ, self.purse, self.prices)
        self._beginning = Beginning(
            self.book, self.engine, self._ending, self._digests, self.install, self.root, self.environ, self.purse,
            self.prices,
        )  # fmt: skip

    def deadline(self, action: Action) -> float:
        """Give the longest that an action may take, in seconds."""
        if self.longest is not None:
            return self.longest
        seconds = HOST_SECONDS
        if action.verb in (Verb.STOP, Verb.DELETE, Verb.RECORD):
            seconds += self._ending.grace(self.book.entries[action.name])
        if action.verb is Verb.RECORD:
            seconds += sum(check_seconds(c) for c in checks_of(self.book.want[action.name]))
        return seconds

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
        want = self.book.want[action.name]
        first = next_generation(self.book.home, want.name)
        entry = declared(
            Entry(
                want.name, f"{want.name}-{self.new_id()}", self.fleet, first, want.digest, created_at=self.book.now()
            ),
            want,
            self.root,
        )
        if not action.starts:
            entry = replace(entry, waits=action.waits, behind=self.behind.get(want.name, {}))
            await self.book.intend(action, entry)
            await self.book.conclude(entry)
            return f"declared {want.name}"
        await self._beginning.run(action, entry, want, attempt=1)
        return f"deployed {want.name}"

    async def _start(self, action: Action) -> str:
        want, entry = self.book.want[action.name], self.book.entries[action.name]
        same = entry.digest == want.digest
        if entry.run is not None and entry.run.handle is not None:
            # A task's new generation must not pass its checks on what the old one wrote.
            whole = not same and not want.service
            await self.engine.retire(Handle.from_json(entry.run.handle), whole=whole)
        attempt = entry.run.attempt + 1 if same and entry.run is not None else 1
        old = entry.run
        if not same:
            entry = await self._digests.follow(entry, want, reverts=action.reverts)
        entry = replace(declared(entry, want, self.root), waits="", behind={})
        await self._beginning.run(action, entry, want, attempt=attempt, old=old)
        if action.reverts:
            return f"reverted {want.name} to {short(want.digest)}, the last healthy digest"
        return f"started {want.name}" if not action.replaces else f"replaced {want.name}"

    async def _stop(self, action: Action) -> str:
        if action.overtime:
            return await self._stop_overtime(action)
        entry, want = self.book.entries[action.name], self.book.want.get(action.name)
        if action.replaces and want is not None:
            await self._beginning.check(want, entry)
        stalled = self.world.seen[action.name].stalled if action.stalled else ""
        overrun = action.overspent
        told = entry if entry.run is None else replace(entry, run=replace(entry.run, stalled=stalled, overrun=overrun))
        # What it is stopped for must outlive this pass.
        await self.book.intend(action, told if told != entry else None)
        failures = entry.failures + 1 if stalled else max(1, entry.failures) if overrun else entry.failures
        entry = replace(await self._ending.stop(told), failures=failures)
        if want is not None:
            entry = self._digests.note_health(entry, want)
            entry = entry if action.replaces else declared(entry, want, self.root)
        await self.book.conclude(entry)
        return f"stopped {action.name}" + (f", its budget is spent: {overrun}" if overrun else "")

    async def _stop_overtime(self, action: Action) -> str:
        """End a run as its shim would have done; it is over then like any that ended at its timeout, and unrecorded."""
        entry = self.book.entries[action.name]
        assert entry.run is not None, "what is over its timeout runs"
        assert entry.run.handle is not None, "what runs has a handle"
        await self.book.intend(action, None)
        await self.engine.stop(Handle.from_json(entry.run.handle), self._ending.grace(entry), overtime=True)
        self.world.seen[action.name], entry = observe_one(entry, self.engine, now=self.book.now())
        await self.book.conclude(entry)
        return f"stopped {action.name} at its timeout"

    async def _record(self, action: Action) -> str:
        want, entry = self.book.want[action.name], self.book.entries[action.name]
        seen = self.world.seen[action.name]
        assert entry.run is not None, "only a run can be recorded"
        assert entry.run.handle is not None, "a run without a handle was never unrecorded"
        handle = Handle.from_json(entry.run.handle)
        await self.book.intend(action, None)
        # The leader's end is not its tree's: whatever it left behind must not meet its successor.
        await self.engine.stop(handle, want.grace)
        run = replace(entry.run, recorded=True, ended_at=entry.run.ended_at or self.book.now())
        # A run is judged by what it was started for, not by what the manifest has become since.
        judge = want if entry.digest == want.digest or not entry.desired else Desired.from_json(entry.desired)
        mask = Mask(judge, self.environ)
        if judge.has_checks and not judge.service and seen.phase is RunPhase.ENDED:
            run = await self._ending.judge(run, entry, judge, mask)
        run = await self._ending.hear(run, mask)
        entry = replace(entry, run=run, failures=failures_after(want, replace(seen, goal_met=run.goal_met)))
        entry = self._digests.note_health(entry, want)
        entry = await self._ending.charge(entry, mask)
        left = await self._ending.keep_artifacts(entry, handle)
        self.book.remember(entry)
        await self.book.conclude(entry)
        await self._ending.forget_checks(handle, run)
        return f"recorded {action.name}: {verdict_of(run)}{left}"

    async def _update(self, action: Action) -> str:
        want, entry = self.book.want[action.name], self.book.entries[action.name]
        await self.book.intend(action, None)
        live = entry.run is not None and not entry.run.recorded
        if entry.digest != want.digest and not live and want.stopped and not want.suspend:
            # Stopped as declared: the new spec is taken over for its next start, as a new generation.
            if entry.run is not None and entry.run.handle is not None:
                await self.engine.retire(Handle.from_json(entry.run.handle), whole=not want.service)
                await self._ending.forget(entry.run)
            entry = replace(await self._digests.follow(entry, want), run=None)
        if entry.digest == want.digest:
            await self._digests.keep(entry, want)
            if live and entry.desired.get("recipe", {}).get("config") != want.recipe.config:
                self._hand_over_config(entry, want)
        entry = declared(entry, want, self.root)
        await self.book.conclude(entry)
        self._digests.trim(entry, want)
        return f"updated {action.name}"

    def _hand_over_config(self, entry: Entry, want: Desired) -> None:
        """Give a live run the settings that need no restart; when it reads them is its own affair."""
        from reconciler.launch import CONFIG_FILE, config_file  # for whoever starts, or has such settings

        assert entry.run is not None, "what lives has a run"
        if entry.run.handle is not None:
            self.engine.deliver(Handle.from_json(entry.run.handle), CONFIG_FILE, config_file(want))

    async def _rename(self, action: Action) -> str:
        entry = self.book.entries[action.old_name]
        await self.book.intend(action, None)
        rename_history(self.book.home, entry, action.name, at=self.book.now())
        self.world.seen[action.name] = replace(self.world.seen[action.old_name], name=action.name)
        await self.book.conclude(replace(entry, name=action.name), removes=action.old_name)
        return f"renamed {action.old_name} to {action.name}"

    async def _delete(self, action: Action) -> str:
        entry = self.book.entries[action.name]
        await self.book.intend(action, None)
        left = ""
        if entry.deletion_policy == "Orphan":
            await self.book.with_state(await self._ending.charge(replace(entry, waits="orphaned")))
            self.book.remember(entry, event="orphaned")
        else:
            handle = None
            if entry.run is not None and entry.run.handle is not None:
                handle = Handle.from_json(entry.run.handle)
                stopped = await self._ending.stop(entry)
                # What a killed pass ended may not have been charged; twice is once.
                entry = stopped if stopped is not entry else await self._ending.charge(entry)
                left = await self._ending.keep_artifacts(entry, handle)
                await self.engine.retire(handle, whole=False)
                judge = Desired.from_json(entry.desired) if entry.desired and not entry.service else None
                await self._ending.forget_checks(handle, entry.run, len(checks_of(judge)))
            if entry.deletion_policy == "Delete":  # also where its last run was forgotten long ago
                await self.engine.discard(entry.id)
            if handle is not None:
                await self.engine.forget(handle)
            remove_state(self.book.home, entry.id)
            self.book.remember(entry, event="removed")
        self._digests.drop(entry)
        await self.book.conclude(None, name=action.name)
        return f"deleted {action.name}{left}" if entry.deletion_policy != "Orphan" else f"let {action.name} go"

    async def settle(self) -> list[str]:
        """Put on record what a killed pass left open, as `observe` found it; give what to tell a person."""
        told = []
        for name in sorted(self.world.recovered):
            # As it was looked at, its end included: an action of this pass goes on from here.
            entry = self.world.entries.get(name)
            if entry is not None:
                entry = await self.book.with_state(entry)
            before = self.book.inventory.entries.get(name)
            await self._ending.forget(before.run if before else None, entry.run if entry else None)
            self.book.note(name, entry)
            alive = entry is not None and entry.run is not None and not entry.run.recorded
            was_over = before is not None and before.run is not None and before.run.recorded
            why = "its record said that its run is over" if was_over and alive else "an earlier pass was interrupted"
            told.append(f"{name}: {why}; " + ("its agent is adopted" if alive else "settled"))
        if told:
            await self.book.sync()
        return told
