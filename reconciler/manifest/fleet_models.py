"""The models of Workload and Fleet: see models.py, which holds Deployment and what they share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from reconciler.manifest.fields import Duration, Model, Name, Text, WorkloadName, Wrong
from reconciler.manifest.models import Artifacts, Budget, Caps, EnvVar, Goal, Metadata, Run, Success, Update


class Package(Model):
    """Where the workload's code comes from."""

    name: Text | None = Field(default=None, description="The distribution's name.")
    source: str | None = Field(default=None, description="Where to get it: a URL or a path.")
    entrypoint: str | None = Field(default=None, description="module:Class.")


class Credential(Model):
    """A credential that the workload wants; informative, the deployment's env provides it."""

    name: Text = Field(description="Its name.")
    required: bool = Field(default=True, description="Whether it can do without.")
    description: str = Field(default="", description="What it is for.")


class _WorkloadFields(Model):
    version: str = Field(default="0.0.0", description='The version of the workload\'s code. Quote it: "1.10".')
    type: Literal["runtime", "prompt"] = Field(
        default="runtime",
        description="runtime: a program or a Python class. prompt: a goal for the goal-agent runtime.",
    )
    description: str = Field(default="", description="One line for people.")
    package: Package = Field(default_factory=Package, description="Where its code comes from.")
    entrypoint: str | None = Field(default=None, description="module:Class, here or in package.")
    targets: Any = Field(default=None, description="Free for the workload's own use.")
    extensions: Any = Field(default=None, description="Free for the workload's own use.")
    credentials: list[Credential] = Field(default_factory=list, description="What credentials it wants.")
    run: dict[str, Any] = Field(default_factory=dict, description="Defaults for spec.run of its deployments.")
    budget: Budget | None = Field(default=None, description="Default budget of its deployments.")
    command: Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None,
        description="The program to run, any program. What starts with ./ or ../ is a path beside this file.",
    )
    goal: Goal | None = Field(
        default=None, description="For type prompt: the goal of its deployments, unless one brings its own."
    )

    @model_validator(mode="after")
    def _one_entrypoint(self) -> _WorkloadFields:
        inner = self.package.entrypoint
        if inner is not None and self.entrypoint is not None and inner != self.entrypoint:
            raise Wrong(
                f"entrypoint and package.entrypoint differ: {self.entrypoint!r} and {inner!r}", "keep one of the two",
                "entrypoint",
            )  # fmt: skip
        return self


class FlatWorkload(_WorkloadFields):
    """The flat workload.yaml of published workloads. Its other keys are told apart beforehand."""

    model_config = ConfigDict(alias_generator=None)

    name: WorkloadName = Field(description="The workload's name.")
    config_schema: dict[str, Any] = Field(
        default_factory=dict, description="The settings its deployments may have, and their defaults."
    )


class WorkloadSpec(_WorkloadFields):
    """What can run."""

    config_schema: dict[str, Any] = Field(
        default_factory=dict, description="The settings its deployments may have, and their defaults."
    )


class Workload(Model):
    """What can run, with the envelope of the other kinds. The flat form of workload.yaml means the same."""

    api_version: Literal["haymaker/v1"] = Field(description="Always haymaker/v1.")
    kind: Literal["Workload"] = Field(description="Always Workload.")
    metadata: Metadata = Field(description="Its name, labels and annotations.")
    spec: WorkloadSpec = Field(description="What can run.")


def _as_max_deletions(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, str):
        number = value.removesuffix("%")
        if number.isascii() and number.isdigit() and len(number) <= 9 and (number == value or int(number) <= 100):
            return value.replace(number, str(int(number)))
    raise ValueError("is no number of deletions; give one such as 5, or a share such as 20%")


class Sync(Model):
    """How the fleet is kept in step with its folder."""

    interval: Duration = Field(default=60.0, description="How often the daemon looks, when nothing wakes it.")
    prune: bool = Field(default=False, description="Delete what this fleet deployed and no manifest declares any more.")
    self_heal: bool = Field(default=True, description="Start again what was stopped by hand.")
    allow_empty: bool = Field(default=False, description="Let an empty folder mean: delete everything.")
    max_deletions: Annotated[
        str,
        BeforeValidator(_as_max_deletions),
        WithJsonSchema({"anyOf": [{"type": "string", "pattern": r"^\d{1,9}%?$"}, {"type": "integer", "minimum": 0}]}),
    ] = Field(default="20%", description="The most deletions of one pass: a number, or a share (at least 1).")

    @model_validator(mode="after")
    def _sensible(self) -> Sync:
        if self.interval < 1:
            raise Wrong("must be at least 1s", "write one such as 60s", "interval")
        return self


class FleetLimits(Model):
    """How much at once."""

    max_running: int | None = Field(default=None, ge=0, description="Agents that run at once. Left out: no limit.")
    max_starts_per_pass: int | None = Field(default=None, ge=1, description="Starts of one pass. Left out: no limit.")


class FleetBudget(Caps):
    """What all deployments of the fleet together may spend; with `period: run`, each run of them."""

    on_exceeded: Literal["stop", "warn", "hold"] = Field(
        default="stop",
        description="stop: runs end, and none is started. hold: none is started. warn: only say so.",
    )


class Price(Model):
    """What a model costs, in US dollars for a million tokens."""

    input_per_mtok: float = Field(ge=0, alias="inputPerMTok", description="Tokens in.")
    output_per_mtok: float = Field(ge=0, alias="outputPerMTok", description="Tokens out.")
    cached_input_per_mtok: float | None = Field(
        default=None,
        ge=0,
        alias="cachedInputPerMTok",
        description="Tokens in that were cached. Left out: as the others.",
    )


class Defaults(Model):
    """What the fleet's deployments have where they say nothing themselves."""

    run: Run = Field(default_factory=Run, description="Defaults of spec.run.")
    update: Update = Field(default_factory=Update, description="Defaults of spec.update.")
    success: Success = Field(default_factory=Success, description="Checks of deployments that have none.")
    artifacts: Artifacts = Field(default_factory=Artifacts, description="Defaults of spec.artifacts.")
    env: list[EnvVar] = Field(default_factory=list, description="Variables that every agent gets, unless it sets them.")
    budget: Budget | None = Field(default=None, description="Default budget.")
    deletion_policy: Literal["Delete", "Retain", "Orphan"] = Field(
        default="Delete", description="Default deletion policy."
    )
    protect: bool = Field(default=False, description="Protect every deployment.")


class Policy(Model):
    """What the fleet's deployments must satisfy."""

    require_budget: bool = Field(default=False, description="Refuse deployments without a budget.")
    require_checks: bool = Field(default=False, description="Refuse deployments without success.checks.")
    allowed_workloads: list[WorkloadName] | None = Field(default=None, description="The only workloads that may run.")


class FleetSpec(Model):
    """The fleet's own settings; the defaults are the safe ones."""

    source: Literal["worktree", "head"] = Field(
        default="worktree",
        description="worktree: files as they stand. head: only what is committed; not supported yet.",
    )
    sync: Sync = Field(default_factory=Sync, description="How the fleet is kept in step with its folder.")
    limits: FleetLimits = Field(default_factory=FleetLimits, description="How much at once.")
    budget: FleetBudget | None = Field(default=None, description="What the fleet may spend.")
    prices: dict[str, Price] = Field(
        default_factory=dict, description="What models cost, by name, for runs that do not tell their cost themselves."
    )
    defaults: Defaults = Field(default_factory=Defaults, description="What deployments have where they say nothing.")
    policy: Policy = Field(default_factory=Policy, description="What deployments must satisfy.")
    notify: list[Any] = Field(default_factory=list, description="Whom to tell of what. Not supported yet.")


class FleetMetadata(Metadata):
    """The fleet's name: the identity that owns deployments."""

    name: Name = Field(description="The fleet's name: who owns what it deployed. Not the folder's name.")


class Fleet(Model):
    """Policy of all deployments in a folder; at most one in a folder."""

    api_version: Literal["haymaker/v1"] = Field(description="Always haymaker/v1.")
    kind: Literal["Fleet"] = Field(description="Always Fleet.")
    metadata: FleetMetadata = Field(description="Its name, labels and annotations.")
    spec: FleetSpec = Field(default_factory=FleetSpec, description="Its settings.")
