"""What is desired: a deployment as a manifest declares it, how to start it, and what its fleet allows."""

from __future__ import annotations

from typing import Any

from agent_haymaker.lean import asdict, dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model.lazyjson import Json

RESTARTED_AT = "haymaker/restartedAt"  # the annotation whose new value asks for another run
GRACE_SECONDS = 30.0  # what a run has to end in order, where no manifest is known to say it


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
    goal_at: str = ""  # where the first line of the goal stands for its author: "goals/tidy.md:1"
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
    criteria: tuple[Json, ...] = ()  # {"text", "line", "check": {"language", "code", "line", "timeout"} or None}
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
