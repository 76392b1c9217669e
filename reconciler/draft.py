"""
A plan while it is being made: what is decided so far, and what later decisions count on.

Pure. It is filled by `plan`, `starts` and `removals`, and decides nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_haymaker.lean import dataclass, field
from reconciler.model.finding import LeftAlone
from reconciler.model.observed import RunPhase
from reconciler.model.plan import Action, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.budget import Purse
    from reconciler.model.desired import Desired, FleetPolicy
    from reconciler.model.finding import Verdict
    from reconciler.model.observed import Observed


@dataclass(slots=True)
class Draft:
    """The plan while it is being made. `purse` is reserved from: it is the draft's own."""

    want: Mapping[str, Desired]
    seen: Mapping[str, Observed]
    policy: FleetPolicy
    now: float
    purse: Purse | None = None
    unresolved: Mapping[str, str] = field(default_factory=dict)  # name -> which value of its env is not to be had
    actions: list[Action] = field(default_factory=list)
    left: list[LeftAlone] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds until something is worth another look
    starting: dict[str, int] = field(default_factory=dict)  # name -> number of the action that starts it
    stuck: dict[str, str] = field(default_factory=dict)  # name -> why what it depends on will not come by itself
    live: int = field(init=False)  # runs of this fleet, once what is planned so far is done
    starts: int = 0

    def __post_init__(self) -> None:
        live = (RunPhase.RUNNING, RunPhase.UNREACHABLE)
        self.live = sum(1 for o in self.seen.values() if o.fleet == self.policy.name and o.phase in live)

    def add(self, verb: Verb, name: str, cause: str, **more: Any) -> int:
        """Add an action, `more` being fields of `Action`; return its number."""
        number = len(self.actions) + 1
        self.actions.append(Action(number, verb, name, cause, **more))
        return number

    def stop(self, name: str, cause: str, **more: Any) -> int:
        """Add the end of a live run."""
        self.live -= 1
        return self.add(Verb.STOP, name, cause, **more)

    def leave(self, name: str, verdict: Verdict, reason: str, *, blocked: bool = False) -> None:
        self.left.append(LeftAlone(name, verdict, reason, blocked))
