"""
The part of a pass that acts: journal, effects, executor and checkpoint put together.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import HaymakerError, PlatformError
from agent_haymaker.records import sweep_drafts, sync_dir
from reconciler.behind import find_behind, find_changes
from reconciler.book import Book
from reconciler.effects import Effects
from reconciler.execute import execute
from reconciler.journal import Journal
from reconciler.model.outcome import OutcomeStatus
from reconciler.model.plan import Verb
from reconciler.observe import observe_one
from reconciler.revision import commit_word, revision_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from reconciler.app import App
    from reconciler.inventory import Entry
    from reconciler.model.observed import Observed
    from reconciler.model.outcome import Outcome
    from reconciler.passes import Pass


def run_plan(app: App, done: Pass, news: dict[str, Any], on_outcome: Callable[[Outcome], None] | None) -> list[Outcome]:
    """
    Execute the pass's plan and give its outcomes. The caller holds the pass lock.

    Raises:
        PlatformError: the journal cannot be written; what was done until then is found by the next pass.
    """
    fleet = done.loaded.fleet.name
    journal = Journal(app.home / "journal", done.inventory.position)
    starting = [done.in_force[action.name].source.file for action in done.plan.actions if action.starts]
    revision = revision_of(done.loaded.root, starting) if news or starting else {}
    known = done.inventory.fleets.get(fleet)
    book = Book(
        home=app.home,
        inventory=done.inventory,
        journal=journal,
        want=done.in_force,
        now=app.now,
        entries=dict(done.world.entries),
        commit=commit_word(revision or (known.revision if known is not None and not starting else {})),
        began=done.began,
    )
    effects = Effects(
        install=app.install,
        fleet=fleet,
        engine=done.engine,
        book=book,
        world=done.world,
        new_id=app.new_id,
        environ=app.environ,
        root=done.loaded.root,
        purse=done.purse,
        prices=done.loaded.fleet.prices,
        behind=find_behind(done),
        longest=done.request.longest,
    )

    for folder in ("state", "fleets"):
        sweep_drafts(app.home / folder)  # a killed writer's; ours are gone when their write ends

    def note(outcome: Outcome) -> None:
        action = outcome.action
        event = {"type": "event", "at": app.now(), "name": action.name, "fleet": fleet, "reason": action.verb}
        event |= {"status": outcome.status, "message": outcome.message, "cause": action.reason}
        journal.append(event)
        if on_outcome is not None:
            on_outcome(outcome)

    async def act() -> list[Outcome]:
        done.told += await effects.settle()
        outcomes = await execute(done.plan, effects.perform, deadline=effects.deadline, on_outcome=note)
        try:
            entries = done.inventory.entries
            await book.mark(find_changes(done, entries, outcomes, _recorded(done, entries, outcomes, app.now())))
        except HaymakerError as error:  # the next pass finds it again
            done.faults.append(str(error))
        return outcomes

    try:
        if news:
            record = {
                "type": "fleet",
                "at": app.now(),
                "fleet": fleet,
                "root": news["root"],
                "declared": news["declared"],
                "budget": news["budget"],
                "prices": news["prices"],
            }
            record["revision"] = {**revision, "digest": news["digest"], "at": app.now()}
            journal.append(record)
            done.inventory.apply(record)
        gc.freeze()  # what was loaded lives to the end: no collection need look at it again
        try:
            outcomes = asyncio.run(act())
        finally:
            gc.unfreeze()
        try:
            _checkpoint(app.home, done, journal)
        except PlatformError as error:  # the journal holds all of it; the next pass tries again
            done.faults.append(str(error))
    finally:
        journal.close()
    return outcomes


def _recorded(done: Pass, entries: Mapping[str, Entry], outcomes: list[Outcome], now: float) -> dict[str, Observed]:
    """Give those whose end was put on record as they are since, where a budget may bear on what follows."""
    if done.purse is None:
        return {}
    names = [o.action.name for o in outcomes if o.action.verb is Verb.RECORD and o.status is OutcomeStatus.DONE]
    return {name: observe_one(entries[name], done.engine, now=now)[0] for name in names if name in entries}


def _checkpoint(home: Path, done: Pass, journal: Journal) -> None:
    sync_dir(home / "state")
    journal.commit()
    done.inventory.checkpoint(journal.position)
    if journal.is_long and not done.inventory.intents:
        done.inventory.checkpoint(journal.position, everything=True)
        journal.rotate()
