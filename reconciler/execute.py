"""
Make a plan's actions happen: in the order they wait for each other, otherwise side by side, each with a deadline.

It decides nothing. A failure blocks only what waited for it, and whatever goes wrong inside one action stays
that action's outcome.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from agent_haymaker.errors import HaymakerError
from reconciler.model.outcome import Outcome, OutcomeStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.model.plan import Action, Plan

CONCURRENCY = 128  # actions at once; most of them wait, for a disk or for a process to end


async def execute(
    plan: Plan,
    effect: Callable[[Action], Awaitable[str]],
    *,
    deadline: Callable[[Action], float],
    on_outcome: Callable[[Outcome], None] | None = None,
    concurrency: int = CONCURRENCY,
) -> list[Outcome]:
    """
    Run `effect` for each action and return the outcomes in the plan's order.

    `effect` returns what it did, in the past tense. `deadline` gives an action's longest duration in seconds.
    """
    done: dict[int, asyncio.Future[Outcome]] = {}
    slots = asyncio.Semaphore(concurrency)
    loop = asyncio.get_running_loop()
    for action in plan.actions:
        done[action.number] = loop.create_future()

    async def run_one(action: Action) -> None:
        before = [await done[n] for n in action.after]
        failed = next((o for o in before if o.status is not OutcomeStatus.DONE), None)
        if failed is not None:
            reason = f"#{failed.action.number} ({failed.action.verb} {failed.action.name}) did not succeed"
            outcome = Outcome(action, OutcomeStatus.SKIPPED, reason)
        else:
            async with slots:
                outcome = await _attempt(action, effect, deadline(action))
        if on_outcome is not None:
            on_outcome(outcome)
        done[action.number].set_result(outcome)

    async with asyncio.TaskGroup() as group:
        for action in plan.actions:
            group.create_task(run_one(action))
    return [done[action.number].result() for action in plan.actions]


async def _attempt(action: Action, effect: Callable[[Action], Awaitable[str]], seconds: float) -> Outcome:
    start = time.monotonic()

    def outcome(status: OutcomeStatus, message: str, fix: str = "") -> Outcome:
        return Outcome(action, status, message, fix, time.monotonic() - start)

    try:
        async with asyncio.timeout(seconds):
            return outcome(OutcomeStatus.DONE, await effect(action))
    except TimeoutError:
        return outcome(
            OutcomeStatus.TIMED_OUT, f"gave up after {seconds:g} s", "run the command again; it goes on from here"
        )
    except HaymakerError as error:
        message = f"{error.where}: {error.what}" if error.where else error.what
        return outcome(OutcomeStatus.FAILED, message, error.fix or "")
    except Exception as error:  # noqa: BLE001 - one action's fault must not end the pass for its neighbours
        return outcome(
            OutcomeStatus.FAILED, f"{type(error).__name__}: {error}", "this is a fault in haymaker: please report it"
        )
