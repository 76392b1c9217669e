"""What planning used, handed by the process that plans to the agent that it becomes: both are one run."""

from __future__ import annotations

import json
import os

from haymaker_goal_agent.drivers.protocol import Used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from haymaker_goal_agent.models import Refinement

_USED = "HAYMAKER_PLANNING_USED"


def hand_over(made: Refinement) -> None:
    """Leave what was used to the program that this process becomes."""
    os.environ[_USED] = json.dumps({"model": made.model, **made.usage})


def take_over() -> Used | None:
    """Give what was left, once; None where nothing was asked. Raises ValueError where it was damaged."""
    raw = os.environ.pop(_USED, "")
    if not raw:
        return None
    told = json.loads(raw)
    counts = {f"{kind}_tokens": int(told.get(f"{kind}_tokens", 0)) for kind in ("input", "output", "cached")}
    return Used(**counts, model=str(told["model"]))
