"""
What is known of a check without running it: its time limit and the run it runs under.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_haymaker.engines import Handle
from agent_haymaker.goals.commands import argv_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_haymaker.goals.place import Place

CHECK_SECONDS = 60.0
CHECK_GRACE_SECONDS = 5.0


def check_seconds(check: Mapping[str, Any]) -> float:
    """Give how long a check may take, in seconds, its end included."""
    return float(check.get("timeout") or CHECK_SECONDS) + 2 * CHECK_GRACE_SECONDS


def check_of(criterion: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Give the check that a criterion is of the goal at `place`; without one it has no way to pass or fail."""
    check = criterion["check"]
    if check is None:
        return {"name": criterion["text"]}
    command = argv_of(check["language"], check["code"], check["line"], place)
    where = place.at(criterion.get("line", check["line"]))  # a record of an earlier release has but the check's
    return {"name": criterion["text"], "command": command, "timeout": check["timeout"], "where": where}


def check_handle(run: Handle, number: int) -> Handle:
    """Give the handle of a run's check: a run of its own, under a key of its own."""
    return Handle(run.engine, f"{run.key}.check-{number}")
