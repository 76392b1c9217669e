"""
The manifest language as pydantic models: every field, its default, its meaning.

They stand at the door: raw documents in, normalised JSON out (durations in seconds, sizes in bytes, every default
written out). The JSON Schemas in `schemas/` and `haymaker explain` are made from the same text. A model knows its
own document only: not the workload it names, not the files, not its neighbours.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from reconciler.manifest.fields import (
    ENV_NAME,
    CheckName,
    Duration,
    LabelKey,
    LabelValue,
    Model,
    Name,
    PositiveDuration,
    Size,
    Text,
    WorkloadName,
    WorkspacePath,
    Wrong,
    exactly_one,
    matching,
    no_twins,
    schema_or_path,
)
from reconciler.model.desired import RESTARTED_AT


class Metadata(Model):
    """Who a document is about, and what people attach to it."""

    name: Name = Field(
        description="The name, unique in the folder for its kind. It is the identity: the file may move."
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Words to select by (`-l team=platform`). They change without a restart."
    )
    annotations: dict[LabelKey, str] = Field(
        default_factory=dict,
        description="Notes for people and tools. Only haymaker/restartedAt means something: a new value restarts.",
    )

    @model_validator(mode="after")
    def _nothing_reserved(self) -> Metadata:
        for key in (*self.labels, *self.annotations):
            if key.startswith("haymaker/") and (key != RESTARTED_AT or key in self.labels):
                raise Wrong(
                    f"the prefix haymaker/ is reserved, and {key!r} means nothing here", "use another prefix",
                    "labels" if key in self.labels else "annotations", key,
                )  # fmt: skip
        return self


class WorkloadRef(Model):
    """Which workload runs, and which versions of it will do."""

    name: WorkloadName = Field(description="A workload.yaml of this folder, or an installed workload.")
    version: str = Field(default="", description="Versions that will do, such as '>=0.2,<0.3'. Empty: any.")


def _as_ref(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Goal(Model):
    """The goal prompt: a file, or text in place."""

    file: Text | None = Field(default=None, description="Path of the prompt, relative to this manifest.")
    inline: Text | None = Field(default=None, description="The prompt itself. Never templated: opaque text.")

    @model_validator(mode="after")
    def _one(self) -> Goal:
        return exactly_one(self, "file", "inline")


class KeyringEntry(Model):
    """Where a value stands in the keyring. Needs the extra agent-haymaker[keyring]."""

    service: Text = Field(description="The service, as in `keyring set SERVICE USERNAME`.")
    username: Text = Field(description="The user name.")


class ValueFrom(Model):
    """Where a value comes from when the agent starts. The value itself is never recorded."""

    env: Annotated[str, matching(ENV_NAME, "is not a variable's name; use letters, digits and '_'")] | None = Field(
        default=None, description="A variable of the environment that haymaker runs in."
    )
    file: Text | None = Field(default=None, description="A file, relative to this manifest, read at each start.")
    command: Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None, description="A program, run at each start in this manifest's folder; what it prints is the value."
    )
    keyring: KeyringEntry | None = Field(default=None, description="An entry of the keyring of who runs haymaker.")

    @model_validator(mode="after")
    def _one(self) -> ValueFrom:
        return exactly_one(self, "env", "file", "command", "keyring")


class EnvVar(Model):
    """One variable of the agent's environment."""

    name: Annotated[str, matching(ENV_NAME, "is not a variable's name; use letters, digits and '_'")] = Field(
        description="The variable's name."
    )
    value: str | None = Field(default=None, description="The value in plain sight; for a secret use valueFrom.")
    value_from: ValueFrom | None = Field(default=None, description="Where the value comes from at each start.")

    @model_validator(mode="after")
    def _one(self) -> EnvVar:
        if self.name.startswith("HAYMAKER_"):
            raise Wrong(
                f"{self.name} is reserved: haymaker sets what starts with HAYMAKER_", "use another name", "name"
            )
        if self.value is not None and "\0" in self.value:
            raise Wrong("a variable cannot hold a NUL character", "remove it", "value")
        return exactly_one(self, "value", "value_from")


class Backoff(Model):
    """How long to wait between attempts: duration x factor for each failure, up to maxDuration."""

    duration: Duration = Field(default=10.0, description="The first wait.")
    factor: float = Field(
        default=2.0, ge=1, le=1000, allow_inf_nan=False, description="What each failure multiplies it by."
    )
    max_duration: Duration = Field(default=300.0, description="The longest wait.")


class Limits(Model):
    """Resource limits of the process; what the host cannot enforce, the plan says."""

    memory: Size | None = Field(
        default=None, description="Memory of its own that each process may write, such as 2Gi. Linux only."
    )
    cpu_time: PositiveDuration | None = Field(
        default=None, description="Processor time of each process, such as 1h, in whole seconds."
    )
    open_files: int | None = Field(default=None, ge=16, le=1048576, description="File descriptors.")


class Run(Model):
    """How the agent runs: once or for ever, how long, and what happens when it ends."""

    mode: Literal["task", "service"] = Field(default="task", description="task: ends by itself. service: kept alive.")
    schedule: str | None = Field(default=None, description="Cron expression for tasks. Not supported yet.")
    time_zone: str = Field(default="UTC", description="Time zone of the schedule. Not supported yet.")
    concurrency_policy: Literal["Forbid", "Replace", "Allow"] = Field(
        default="Forbid", description="When a start is due and the last run still runs. Not supported yet."
    )
    restart_policy: Literal["Never", "OnFailure", "Always"] | None = Field(
        default=None, description="When to start again after an end. Left out: Never for tasks, Always for services."
    )
    backoff_limit: int = Field(
        default=3, ge=0, le=1_000_000, description="Failed attempts of a generation before giving up."
    )
    backoff: Backoff = Field(default_factory=Backoff, description="The wait between attempts.")
    timeout: PositiveDuration | None = Field(
        default=None, description="The longest a run may take. Left out: no limit."
    )
    progress_deadline: Duration | None = Field(
        default=None,
        description="No progress for so long is Stalled; 0s: never. Left out: 15m for tasks, never for services.",
    )
    on_stalled: Literal["report", "stop", "restart"] = Field(
        default="report",
        description="A stalled run is reported; or stopped, and left so; or ended and started again by backoffLimit.",
    )
    termination_grace_period: Duration = Field(default=30.0, description="From SIGTERM to SIGKILL when stopping.")
    side_effects: Literal["none", "external"] = Field(
        default="external",
        description="none: a run in doubt after a crash may run again. external: it waits for a person.",
    )
    limits: Limits = Field(default_factory=Limits, description="Resource limits of the process.")


class Update(Model):
    """What a change of the manifest does to a run that is under way."""

    strategy: Literal["Recreate", "OnCompletion", "Manual"] = Field(
        default="Recreate", description="Recreate: stop and start. OnCompletion: let it end first. Manual: ask."
    )
    auto_revert: bool = Field(
        default=False,
        description="Services: hold a digest that failed, and run the last one that was healthy, until the manifest "
        "changes.",
    )


class Caps(Model):
    """The figures of a budget."""

    max_turns: int | None = Field(default=None, ge=1, description="Turns of the model.")
    max_tokens: int | None = Field(default=None, ge=1, description="Tokens, in and out. Checked after each turn.")
    max_cost_usd: float | None = Field(
        default=None, gt=0, alias="maxCostUSD", description="Cost in US dollars. Checked after each turn."
    )
    period: Literal["run", "day", "month"] = Field(
        default="run", description="What the figures are counted over: one run, or the runs of a day or month (UTC)."
    )


class Budget(Caps):
    """What a deployment may spend. A start reserves what its run may use, and is refused where that is too little."""

    on_exceeded: Literal["stop", "warn"] = Field(
        default="stop", description="stop: the run ends, and none is started. warn: only say so."
    )


class FileCheck(Model):
    """A file that must be there when the agent has ended."""

    path: WorkspacePath = Field(description="Path in the agent's workspace.")
    min_bytes: Size = Field(default=0, description="The least size.")
    json_schema: Annotated[
        Any,
        AfterValidator(schema_or_path),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}, {"type": "null"}]}),
    ] = Field(
        default=None, description="A JSON Schema that it must satisfy: a file relative to this manifest, or in place."
    )


class Check(Model):
    """One check of a run's success, made by haymaker, without credentials, in the agent's workspace."""

    name: CheckName = Field(description="What it checks, in a few words; unique in this list.")
    file: FileCheck | None = Field(default=None, description="A file that must be there.")
    command: Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None, description="A program that must end with exit code 0."
    )
    timeout: PositiveDuration = Field(default=300.0, description="The longest the command may take.")

    @model_validator(mode="after")
    def _one(self) -> Check:
        if self.file is not None and "timeout" in self.model_fields_set:
            raise Wrong("timeout belongs to a check with a command", "remove it", "timeout")
        return exactly_one(self, "file", "command")


class Success(Model):
    """What decides GoalMet."""

    checks: list[Check] = Field(default_factory=list, description="All of them must pass.")

    @model_validator(mode="after")
    def _unique(self) -> Success:
        no_twins([check.name for check in self.checks], "check", "checks")
        return self


class Retention(Model):
    """What is kept of past runs."""

    keep_runs: int = Field(default=10, ge=0, le=100_000, description="How many runs.")
    max_age: Duration = Field(default=2_592_000.0, description="For how long.")
    max_bytes: Size | None = Field(default=None, description="How much in all. Left out: no limit.")


class Artifacts(Model):
    """What of a run's workspace is archived when it ends."""

    paths: list[WorkspacePath] = Field(default_factory=list, description="Files and globs in the workspace.")
    transcript: bool = Field(default=True, description="Archive the conversation too.")
    retention: Retention = Field(default_factory=Retention, description="What is kept of past runs.")


class Dependency(Model):
    """A deployment that comes first."""

    name: Name = Field(description="Name of a deployment in this folder.")
    condition: Literal["Started", "Completed", "GoalMet"] = Field(
        default="Started", description="What it must have reached."
    )


class DeploymentSpec(Model):
    """One agent, as it should be."""

    workload: Annotated[
        WorkloadRef,
        BeforeValidator(_as_ref),
        Field(description="What runs: a name, or {name, version}."),
    ]
    desired_state: Literal["running", "stopped"] = Field(
        default="running", description="running or stopped. To delete it, delete the manifest."
    )
    goal: Goal | None = Field(default=None, description="The goal prompt; the same as config.goal_file.")
    config: dict[str, Any] = Field(
        default_factory=dict, description="Settings, checked by the workload's config_schema."
    )
    env: list[EnvVar] = Field(
        default_factory=list,
        description="The agent's environment, beside PATH, HOME, LANG, TZ and TMPDIR. Nothing else is passed on.",
    )
    run: Run = Field(default_factory=Run, description="How it runs.")
    update: Update = Field(default_factory=Update, description="What a change does to a run under way.")
    budget: Budget | None = Field(default=None, description="What it may spend.")
    success: Success = Field(default_factory=Success, description="What decides GoalMet.")
    artifacts: Artifacts = Field(default_factory=Artifacts, description="What is archived of a run.")
    depends_on: list[Dependency] = Field(default_factory=list, description="What must come first. A cycle is an error.")
    suspend: bool = Field(default=False, description="Leave it alone for now. Not the same as stopped.")
    deletion_policy: Literal["Delete", "Retain", "Orphan"] = Field(
        default="Delete",
        description="Delete: stop and clean up. Retain: stop, keep the workspace. Orphan: let it run, forget it.",
    )
    protect: bool = Field(default=False, description="Refuse to delete it until a manifest says false.")
    renamed_from: list[Name] = Field(
        default_factory=list, description="Earlier names: identity, history and the running process are kept."
    )

    @model_validator(mode="after")
    def _unique(self) -> DeploymentSpec:
        no_twins([item.name for item in self.env], "variable", "env")
        no_twins([item.name for item in self.depends_on], "dependency", "dependsOn")
        no_twins(self.renamed_from, "name", "renamedFrom")
        return self


class Deployment(Model):
    """One desired agent."""

    api_version: Literal["haymaker/v1"] = Field(description="Always haymaker/v1.")
    kind: Literal["Deployment"] = Field(description="Always Deployment.")
    metadata: Metadata = Field(description="Its name, labels and annotations.")
    spec: DeploymentSpec = Field(description="What should run.")
