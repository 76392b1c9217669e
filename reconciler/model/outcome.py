"""What was done: how each action of a plan ended."""

from __future__ import annotations

from enum import StrEnum

from agent_haymaker.lean import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from reconciler.model.plan import Action


class OutcomeStatus(StrEnum):
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Outcome:
    action: Action
    status: OutcomeStatus
    message: str = ""  # past tense: "deployed mailer"
    fix: str = ""
    seconds: float = 0.0
