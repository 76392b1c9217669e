"""
What a pass is asked for, and everything that it finds, decides and does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_haymaker.lean import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from agent_haymaker.engines import Engine
    from reconciler.budget import Purse
    from reconciler.inventory import Inventory
    from reconciler.load import Loaded
    from reconciler.model.desired import Desired
    from reconciler.model.observed import Observed
    from reconciler.model.outcome import Outcome
    from reconciler.model.plan import Plan
    from reconciler.observe import World


@dataclass(frozen=True, slots=True)
class Request:
    """What a pass is asked for. `prune` switches removal on; it cannot switch the fleet's own setting off."""

    path: Path
    prune: bool = False
    strict: bool = False
    only: tuple[str, ...] = ()
    selector: str = ""
    delete: bool = False  # `delete -f`: everything that this folder's fleet deployed from it goes
    longest: float | None = None  # seconds that one action may take

    def to_json(self) -> dict[str, Any]:
        return {name: str(v) if name == "path" else v for name in self.__slots__ for v in (getattr(self, name),)}


@dataclass(slots=True)
class Pass:
    """Everything one pass found, decided and did."""

    request: Request
    engine: Engine
    loaded: Loaded
    inventory: Inventory
    world: World
    want: dict[str, Desired]  # as the manifests say
    in_force: Mapping[str, Desired]  # what is to run: the last healthy digest in place of one that failed
    seen: dict[str, Observed]
    plan: Plan
    purse: Purse | None = None  # what counted against budgets as the pass began
    outcomes: list[Outcome] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # what a person should know that is no action
    faults: list[str] = field(default_factory=list)  # what went wrong beside the actions
    began: float = 0.0  # when its manifests were about to be read, in seconds since the epoch
    declined: bool = False  # consent was asked for and not given
