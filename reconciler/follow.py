"""
`apply --wait`: pass after pass until every deployment has come to rest, each pass woken by what happened.

It waits for runs to end, for delays that run out, and for nothing else; a failure that will not mend by itself
ends the wait for that deployment at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_haymaker.engines import Handle
from reconciler.converge import converge
from reconciler.health import Health, describe
from reconciler.model.finding import Verdict
from reconciler.model.observed import RunPhase
from reconciler.model.outcome import OutcomeStatus
from reconciler.model.plan import Verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.app import App
    from reconciler.model.observed import Observed
    from reconciler.model.outcome import Outcome
    from reconciler.model.plan import Plan
    from reconciler.passes import Pass, Request

SERVICE_SETTLES = 1.0  # seconds that a service has to live before it counts as started
LOCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Where one deployment stands in a wait."""

    name: str
    state: str  # one word for the display
    note: str
    settled: bool
    good: bool
    recheck_in: float | None = None


@dataclass(slots=True)
class Followed:
    """What a wait came to. `last` is the final pass, `outcomes` those of all passes."""

    last: Pass
    outcomes: list[Outcome]
    standing: list[Waiting]
    timed_out: bool = False


def follow(
    app: App,
    request: Request,
    *,
    consent: Callable[[Plan], bool],
    timeout_seconds: float,
    on_plan: Callable[[Pass], None],
    on_outcome: Callable[[Outcome], None],
    on_standing: Callable[[list[Waiting]], None],
    check: Callable[[Pass], None] | None = None,
) -> Followed:
    """
    Converge until everything chosen is settled or the time is over.

    Raises:
        LockedError: another holder kept the lock for a minute, or had it when this began.
    """
    deadline = app.now() + timeout_seconds
    outcomes: list[Outcome] = []
    first = True
    while True:
        done = converge(
            app,
            request,
            consent=consent,
            on_plan=on_plan,
            on_outcome=on_outcome,
            check=check if first else None,
            lock_seconds=0.0 if first else LOCK_SECONDS,
        )
        first = False
        outcomes += done.outcomes
        if any(o.status is OutcomeStatus.DONE for o in done.outcomes) and app.now() < deadline:
            continue  # the world has changed: look again before judging it
        standing = assess(app, done)
        on_standing(standing)
        open_ones = [w for w in standing if not w.settled]
        if not open_ones:
            return Followed(done, outcomes, standing)
        left = deadline - app.now()
        if left <= 0:
            return Followed(done, outcomes, standing, timed_out=True)
        waits = [w.recheck_in for w in open_ones if w.recheck_in is not None]
        pause = min([left, done.loaded.fleet.interval, *waits])
        asyncio.run(_pause(app, done, [w.name for w in open_ones], pause))


async def _pause(app: App, done: Pass, names: list[str], seconds: float) -> None:
    """Return when a run of one of these has ended, or after so many seconds."""
    runs = [e.run for n in names if (e := done.world.entries.get(n)) is not None and e.run is not None]
    handles = [Handle.from_json(r.handle) for r in runs if r.handle is not None and not r.recorded]
    tasks = [asyncio.create_task(app.engine.wait(h)) for h in handles]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(seconds)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


def assess(app: App, done: Pass) -> list[Waiting]:
    """Say of each deployment that this pass was about whether it has come to rest."""
    left = {item.name: item for item in done.plan.left}
    failed = {o.action.name: o for o in done.outcomes if o.status is not OutcomeStatus.DONE}
    acted = {o.action.name for o in done.outcomes if o.action.verb is not Verb.DELETE}
    standing = []
    for name in sorted(left.keys() | failed.keys() | acted):
        if name in failed:
            standing.append(Waiting(name, "failed", failed[name].message, settled=True, good=False))
            continue
        if name in acted:  # what it came to, only another look can tell
            standing.append(Waiting(name, "changed", "", settled=False, good=False))
            continue
        item, seen = left[name], done.seen.get(name)
        if name not in done.want and not item.blocked:
            continue  # not of this folder, or not of the one file that was read
        if item.verdict is Verdict.STALLED:
            standing.append(Waiting(name, "stalled", item.reason, settled=True, good=False))
        elif item.blocked:
            bad = item.verdict is not Verdict.ORPHANED
            standing.append(Waiting(name, "blocked", item.reason, settled=True, good=not bad))
        elif item.verdict in (Verdict.HALTED, Verdict.DRIFTED, Verdict.WAITING_FOR_END):
            standing.append(Waiting(name, "waiting", item.reason, settled=False, good=False))
        elif item.verdict is Verdict.BACKING_OFF:
            standing.append(Waiting(name, "backing off", item.reason, False, False, done.plan.recheck_in))
        elif seen is not None:
            standing.append(_assess_resting(app, done, name, seen))
    return standing


def _assess_resting(app: App, done: Pass, name: str, seen: Observed) -> Waiting:
    if seen.phase is RunPhase.RUNNING:
        if not seen.service:
            return Waiting(name, "running", "", False, False, done.plan.recheck_in)
        rest = (seen.started_at or 0.0) + SERVICE_SETTLES - app.now()
        if rest > 0:
            return Waiting(name, "starting", "", False, False, rest)
        return Waiting(name, "running", "", settled=True, good=True)
    status = describe(seen, done.world.entries[name])
    good = status.health in (Health.HEALTHY, Health.SUSPENDED)
    return Waiting(name, status.health.value.lower(), status.message, settled=True, good=good)
