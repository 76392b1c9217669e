"""What is observed: a deployment as its record and a look just now show it."""

from __future__ import annotations

from enum import StrEnum

from agent_haymaker.lean import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model.desired import Desired
    from reconciler.model.lazyjson import Json

BUDGET_SPENT_CODE = 3  # how an agent ends whose budget is spent; its result.json says so too


class RunPhase(StrEnum):
    """Where the latest run of a deployment stands, as a look just now found it."""

    NONE = "none"  # no run yet in this record
    RUNNING = "running"
    ENDED = "ended"  # by itself: exit code, signal or timeout
    STOPPED = "stopped"  # because it was asked to
    LOST = "lost"  # gone, and nobody saw how it ended
    UNREACHABLE = "unreachable"  # its engine cannot say


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of one deployment: its inventory entry held against what the engine sees just now."""

    name: str
    deployment_id: str
    fleet: str
    digest: str
    generation: int
    phase: RunPhase = RunPhase.NONE
    doubt: str = ""  # why nothing may be done on its account; "" when there is no doubt
    attempt: int = 0  # the latest run's, counted within the generation from 1
    failures: int = 0  # consecutive failed runs, the latest included once it is recorded
    exit_code: int | None = None
    exit_text: str = ""  # "exit code 1", "signal SIGKILL", for a person
    said: str = ""  # why it ended so, in its agent's own words
    says_check: bool = False  # and those name a check that failed
    start_failed: bool = False  # the latest attempt never became a process
    started_at: float | None = None
    ended_at: float | None = None
    recorded: bool = False  # the end of the latest run is on disk, its checks included
    succeeded: bool = False  # ended with exit code 0
    goal_met: bool | None = None  # the checks' verdict; None: no checks, or not run
    spec: Json = field(default_factory=dict)  # as applied
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    source: str = ""  # file:line that declared it last
    root: str = ""  # the folder that it was applied from
    stopped: bool = False  # desiredState as applied
    suspended: bool = False
    settings: str = ""  # digest of what applies in place: see digest.in_place_digest
    record_fault: str = ""  # what is wrong with its state record, which was written: "is missing"
    under_way: str = ""  # "stop" or "delete": what a pass has begun to do to it, for who looks meanwhile
    deletion_policy: str = "Delete"
    protect: bool = False
    service: bool = False
    over_budget: str = ""  # by what its run ended, where its budget was spent: "$5 of $5 spent"
    capped: bool = False  # its run has caps
    overrun: str = ""  # what its live run has used beyond its caps
    overtime: str = ""  # that its live run is past its timeout, and nobody else ends it for that
    refused: str = ""  # why its budget, or the fleet's, allows no start; "" where it does, or none is wanted
    stuck: str = ""  # why what it waits for will not come by itself; "" where it waits for nothing, or may go on
    was_healthy: bool = False  # an earlier run of this digest, or one before that, was healthy
    fallback: str = ""  # the last digest before this one that was healthy
    held: str = ""  # the manifest's digest, where that failed and this one runs instead
    held_why: str = ""
    kept: Desired | None = None  # what was kept of the fallback, or of this digest where another one is held
    kept_missing: str = ""  # why that can no longer be started
    stalled: str = ""  # in what way it makes no progress, or made none and was ended for it
    stalls_at: float | None = None  # when the live run counts as stalled unless it makes progress before

    @property
    def ending(self) -> str:
        """How the latest run ended, and why where it said so."""
        return f"{self.exit_text}: {self.said}" if self.said else self.exit_text


def short(digest: str) -> str:
    """Give a digest as people are shown it."""
    return digest[:14]
