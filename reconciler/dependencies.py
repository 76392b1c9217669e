"""
Dependencies: whether one holds, may still come to hold, or will not by itself.

Pure. The planner asks while it plans, and whoever looks asks about what was applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.lean import dataclass
from reconciler.classify import classify
from reconciler.model.finding import Verdict
from reconciler.model.observed import RunPhase
from reconciler.order import by_dependency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model.desired import Dependency, Desired
    from reconciler.model.observed import Observed

# At rest until a person, or another manifest, says otherwise.
_AT_REST = frozenset(
    {Verdict.COMPLETED, Verdict.GIVEN_UP, Verdict.OVER_BUDGET, Verdict.IN_DOUBT, Verdict.HELD, Verdict.CONFLICTED}
)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Why a dependency does not hold, "" where it does; `never` when it will not by itself."""

    reason: str = ""
    never: bool = False


HOLDS = Outlook()


def outlook(
    dependency: Dependency,
    want: Desired | None,
    seen: Observed | None,
    *,
    stuck: str,
    fleet: str,
    now: float,
    self_heal: bool = True,
) -> Outlook:
    """
    Tell how a dependency stands; `want` and `seen` are of the deployment that it names.

    `stuck` says why that one will not be started itself, because of its own dependencies; "" where it may.
    """
    name, condition = dependency.name, dependency.condition
    changed = seen is not None and want is not None and want.digest != seen.digest
    if seen is not None and not changed and _holds(condition, seen):
        return HOLDS
    will_not = f"{name} will not be {condition}"
    if want is not None:
        if want.suspend:
            return Outlook(f"{will_not} while it is suspended", never=True)
        if want.stopped:
            return Outlook(f"{will_not} while its desiredState is stopped", never=True)
        if stuck:
            return Outlook(f"{will_not}: {stuck}", never=True)
    if seen is not None and want is not None:
        finding = classify(want, seen, fleet=fleet, now=now, self_heal=self_heal)
        is_held = finding.verdict is Verdict.STALLED and seen.phase is not RunPhase.RUNNING
        if finding.verdict in _AT_REST or is_held:
            ended = finding.verdict is Verdict.COMPLETED
            return Outlook(f"{will_not}: {_how_it_ended(seen) if ended else finding.reason}", never=True)
    elif seen is not None and condition != "Started":
        return Outlook(f"{will_not}: no manifest declares it", never=True)
    return Outlook(f"{name} is not {condition} yet")


def find_stuck(want: Mapping[str, Desired], seen: Mapping[str, Observed], *, fleet: str, now: float) -> dict[str, str]:
    """Map each name that waits for what will not come by itself to the reason."""
    stuck: dict[str, str] = {}
    for name in by_dependency(want):
        for needed in want[name].depends_on:
            before = needed.name
            found = outlook(
                needed, want.get(before), seen.get(before), stuck=stuck.get(before, ""), fleet=fleet, now=now
            )
            if found.never:
                stuck[name] = found.reason
                break
    return stuck


def _holds(condition: str, seen: Observed) -> bool:
    if condition == "Started":
        return seen.phase is not RunPhase.NONE and not seen.start_failed and not seen.doubt
    met = seen.goal_met is True if condition == "GoalMet" else seen.succeeded
    return seen.phase is RunPhase.ENDED and seen.recorded and met


def _how_it_ended(seen: Observed) -> str:
    verdict = {True: "", False: ", checks failed", None: ", without checks"}[seen.goal_met]
    return f"its run ended ({seen.exit_text}{verdict})"
