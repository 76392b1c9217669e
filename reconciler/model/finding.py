"""What was found: the one situation that a deployment is in, and who is left alone for it."""

from __future__ import annotations

from enum import StrEnum

from agent_haymaker.lean import dataclass


class Verdict(StrEnum):
    """The situation of one deployment. `classify` names the first that fits; its order is the policy."""

    UNKNOWN = "Unknown"
    CONFLICTED = "OwnershipConflict"
    INVALID = "InvalidManifest"
    PROTECTED = "Protected"
    ORPHANED = "Orphaned"
    SUSPENDED = "Suspended"
    MISSING = "Missing"
    DRIFTED = "Drifted"
    HELD = "Held"  # a policy (Manual, selfHeal: false) keeps it as it is
    WAITING_FOR_END = "WaitingForEnd"
    UNRECORDED = "Unrecorded"
    UNWANTED = "Unwanted"  # runs although desiredState is stopped
    IDLE = "Idle"  # stopped as declared
    HALTED = "Halted"  # stopped, although desiredState is running
    IN_DOUBT = "InDoubt"
    FAILED = "Failed"
    BACKING_OFF = "BackOff"
    GIVEN_UP = "GivenUp"
    REVERTING = "Reverting"  # its digest failed, and update.autoRevert asks for the last healthy one
    REVERTED = "Reverted"  # that one runs, and the manifest's is held
    OVER_BUDGET = "BudgetExceeded"  # no start, for the money's sake
    UNRESOLVED = "Unresolved"  # no start: a value that its env refers to is not to be had here
    OVERSPENT = "Overspent"  # its live run goes on beyond its budget: it is ended
    OVERTIME = "Overtime"  # its live run is past its timeout, and its shim is gone: it is ended
    COMPLETED = "Completed"  # a task that ended in this generation: rest, whatever its verdict
    OUTDATED = "Outdated"  # only what applies in place differs
    OVERDUE = "Overdue"  # without progress, and run.onStalled asks for its end
    STALLED = "Stalled"  # without progress, or ended for it, and left so
    SETTLED = "Settled"


# What runs, or does not, is other than declared.
OUT_OF_SYNC = frozenset(
    {Verdict.DRIFTED, Verdict.MISSING, Verdict.UNWANTED, Verdict.HALTED, Verdict.OUTDATED, Verdict.WAITING_FOR_END}
    | {Verdict.FAILED, Verdict.ORPHANED, Verdict.PROTECTED, Verdict.HELD, Verdict.CONFLICTED, Verdict.INVALID}
    | {Verdict.REVERTING, Verdict.REVERTED}
)


@dataclass(frozen=True, slots=True)
class Finding:
    verdict: Verdict
    reason: str
    wait: float | None = None  # seconds until this is worth looking at again by itself


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A deployment that this plan does not touch, and why. `blocked` ones want a person's attention."""

    name: str
    verdict: Verdict
    reason: str
    blocked: bool = False
