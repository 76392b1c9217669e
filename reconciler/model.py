"""
The words that a pass speaks in: what is desired, what is observed, the finding, the plan, the outcomes.

Pure data. It refuses to know where any of it came from: no files, no clock, no processes. Times are seconds
since the epoch (float), durations are seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from agent_haymaker.lean import asdict, dataclass, field

Json = Mapping[str, Any]
GRACE_SECONDS = 30.0  # what a run has to end in order, where no manifest is known to say it
BUDGET_SPENT_CODE = 3  # how an agent ends whose budget is spent; its result.json says so too


class LazyJson(Mapping[str, Any]):
    """A JSON object kept as its text until somebody looks inside: a pass that changes nothing never does."""

    __slots__ = ("_text", "_value")

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._value: Json | None = None

    @property
    def text(self) -> str:
        """The object as it was written; "" where there is none."""
        return self._text

    def _parsed(self) -> Json:
        if self._value is None:
            self._value = json.loads(self.text) if self.text else {}
        return self._value

    def __getitem__(self, key: str) -> Any:
        return self._parsed()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __bool__(self) -> bool:
        return bool(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LazyJson) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


class AppliedSpec(LazyJson):
    """The `spec` inside a whole desired state."""

    __slots__ = ("_whole",)

    def __init__(self, whole: LazyJson) -> None:
        super().__init__()
        self._whole = whole

    @property
    def text(self) -> str:
        return self._whole.text

    def _parsed(self) -> Json:
        if self._value is None:
            self._value = dict(self._whole.get("spec", {}))
        return self._value


@dataclass(frozen=True, slots=True)
class Source:
    """Where a manifest stands: a path relative to the folder given to `-f`, and the line of its document."""

    file: str
    line: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Dependency:
    name: str
    condition: str = "Started"  # Started, Completed, GoalMet


@dataclass(frozen=True, slots=True)
class Backoff:
    duration: float = 10.0
    factor: float = 2.0
    max_duration: float = 300.0

    def delay(self, failures: int) -> float:
        """
        Return how long to leave a deployment alone after its `failures`-th consecutive failure.

        Raises:
            ValueError: `failures` is below 1.

        Source: capped exponential backoff; what counts as consecutive, docs/decisions/0005-restart-backoff.md.
        """
        if failures < 1:
            raise ValueError("failures start at 1")
        try:
            return min(self.duration * self.factor ** (failures - 1), self.max_duration)
        except OverflowError:
            return self.max_duration


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    How to start this deployment, fully resolved: what the loader found out about its workload.

    `files` maps a path in the workspace to the absolute path it is copied from (the goal is `prompt.md`), and
    `file_digests` holds the sha256 that each had when its digest was taken: a start that finds another content
    is refused. `config` has its defaults filled in; file values point into the workspace.
    """

    argv: tuple[str, ...] = ()
    path_prefix: str = ""  # a directory looked up before PATH (the environment that an installed workload lives in)
    workload_dir: str = ""  # where workload.yaml stands, absolute
    source_dir: str = ""  # where the manifest stands, absolute; the agent sees it as HAYMAKER_SOURCE_DIR
    config: Json = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    file_digests: dict[str, str] = field(default_factory=dict)
    inline_files: dict[str, str] = field(default_factory=dict)  # workspace path -> text (goal.inline)
    code_files: dict[str, str] = field(default_factory=dict)  # absolute path -> sha256, of the ./ words of its command
    installed: dict[str, str] = field(default_factory=dict)  # the installed workload that it runs on -> its code


@dataclass(frozen=True, slots=True)
class Desired:
    """One deployment that a manifest declares: defaults filled in, checked, with its digest."""

    name: str
    workload: str
    digest: str  # "1:<sha256>": version of the digest, then the digest of everything whose change needs a new run
    source: Source
    spec: Json  # the normalised spec: every default written out, durations in seconds, camelCase keys
    recipe: Recipe
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    stopped: bool = False  # desiredState: stopped
    suspend: bool = False
    service: bool = False  # run.mode: service
    restart_policy: str = "Never"  # Never, OnFailure, Always
    backoff_limit: int = 3
    backoff: Backoff = Backoff()
    timeout: float | None = None
    grace: float = GRACE_SECONDS
    side_effects: str = "external"  # none, external
    progress_deadline: float | None = None  # None: it may be silent for as long as it likes
    on_stalled: str = "report"  # report, stop, restart
    strategy: str = "Recreate"  # Recreate, OnCompletion, Manual
    auto_revert: bool = False  # of a service: go back to the last healthy digest where this one fails
    instead_of: str = ""  # the manifest's digest, which is held, where this is the last healthy one
    has_checks: bool = False
    criteria: tuple[
        Json, ...
    ] = ()  # the goal's own: {"text", "check": {"language", "code", "line", "timeout"} or None}
    depends_on: tuple[Dependency, ...] = ()
    deletion_policy: str = "Delete"  # Delete, Retain, Orphan
    protect: bool = False
    renamed_from: tuple[str, ...] = ()
    settings: str = ""  # digest of what applies in place, as the loader took it; "" where it was made by hand

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON; `from_json` gives an equal Desired back."""
        record = {name: getattr(self, name) for name in _PLAIN}
        record["spec"] = dict(self.spec)
        record["source"] = [self.source.file, self.source.line]
        record["recipe"] = {name: getattr(self.recipe, name) for name in Recipe.__slots__}
        record["recipe"]["config"] = dict(self.recipe.config)
        record["backoff"] = asdict(self.backoff)
        record["depends_on"] = [[d.name, d.condition] for d in self.depends_on]
        return record

    @classmethod
    def from_json(cls, record: Json) -> Desired:
        """
        Rebuild what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        plain = {name: record[name] for name in _PLAIN if name in record}
        recipe = record["recipe"]
        return cls(
            **{**plain, "renamed_from": tuple(record["renamed_from"]), "criteria": tuple(record.get("criteria", ()))},
            source=Source(*record["source"]),
            spec=record["spec"],
            recipe=Recipe(**{**recipe, "argv": tuple(recipe["argv"])}),
            backoff=Backoff(**record["backoff"]),
            depends_on=tuple(Dependency(*d) for d in record["depends_on"]),
        )


_PLAIN = tuple(n for n in Desired.__slots__ if n not in ("spec", "source", "recipe", "backoff", "depends_on"))


def short(digest: str) -> str:
    """Give a digest as people are shown it."""
    return digest[:14]


@dataclass(frozen=True, slots=True)
class FleetPolicy:
    """The fleet's own settings; the defaults are the safe ones."""

    name: str = "default"
    interval: float = 60.0
    prune: bool = False
    self_heal: bool = True
    allow_empty: bool = False
    max_deletions: str = "20%"  # "N%" (rounded down, at least 1) or "N"
    max_running: int | None = None
    max_starts_per_pass: int | None = None
    budget: Json = field(default_factory=dict)  # as the Fleet says it, {} where it says none
    prices: Mapping[str, Json] = field(default_factory=dict)  # model -> inputPerMTok, outputPerMTok, cachedInputPerMTok


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
    record_missing: bool = False  # its state record was written, and is there no more
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


class Verb(StrEnum):
    """What can be done to one deployment. A restart is a stop and a start, never one verb that hides two."""

    CREATE = "create"  # a new deployment, started unless desiredState is stopped
    START = "start"
    STOP = "stop"
    UPDATE = "update"  # in place: labels, protection, policies; no process is touched
    RENAME = "rename"
    RECORD = "record"  # the run ended: run its checks, write its end down
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a plan. `number` counts from 1; `after` are the numbers that must succeed first."""

    number: int
    verb: Verb
    name: str
    cause: str
    after: tuple[int, ...] = ()
    replaces: bool = False  # a stop or start that is half of a replacement
    starts: bool = False  # a CREATE or START after which a new run exists
    stalled: bool = False  # a STOP that ends a run because it makes no progress
    overspent: str = ""  # of a STOP that ends a run which goes on beyond its budget: by how much
    overtime: bool = False  # a STOP that ends a run because its timeout is over
    reverts: str = ""  # of a START that runs the last healthy digest: why the manifest's is held
    needs_consent: bool = False
    old_name: str = ""  # of a RENAME
    changes: tuple[str, ...] = ()  # field by field, "config.workers 10 → 25"
    waits: str = ""  # of a CREATE that starts nothing yet: what for

    @property
    def reason(self) -> str:
        """Why it is done, and why no more, in one line."""
        return f"{self.cause}; it waits: {self.waits}" if self.waits else self.cause


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A deployment that this plan does not touch, and why. `blocked` ones want a person's attention."""

    name: str
    verdict: Verdict
    reason: str
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    fleet: str
    actions: tuple[Action, ...]
    left: tuple[LeftAlone, ...]
    recheck_in: float | None = None
    notes: tuple[str, ...] = ()  # one line each, for a person: removals suspended, a delete and create with equal specs

    @property
    def is_empty(self) -> bool:
        return not self.actions


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
