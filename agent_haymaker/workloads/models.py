"""
The models that workloads and the platform exchange: what is asked, what exists, what was cleaned up.

Published workload packages construct, read and compare these, so names, defaults and types are a contract. They
are tolerant on purpose: a field of an older or newer tool is kept and written back, never dropped. It refuses
to know where a state is kept or who deploys it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_serializer, model_validator


class DeploymentStatus(StrEnum):
    """Where a deployment stands: pending → running ⇄ stopped → cleaning_up → completed or failed."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPED = "stopped"
    CLEANING_UP = "cleaning_up"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """True where nothing of the deployment goes on by itself any more, and no resume is offered."""
        return self in {DeploymentStatus.COMPLETED, DeploymentStatus.FAILED}


class DeploymentState(BaseModel):
    """
    One deployment, as its workload last recorded it. A recorded `running` is a claim to check, not a fact.

    `config` holds the workload's own settings, `metadata` what it found out at run time; the key `haymaker` in
    it belongs to the platform. A time without a zone is in UTC.
    """

    model_config = ConfigDict(extra="allow")

    deployment_id: str
    workload_name: str
    status: DeploymentStatus
    phase: str = "unknown"
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    completed_at: datetime | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    error: str | None = None

    @field_serializer("status")
    def _status_as_its_string(self, status: DeploymentStatus | str) -> str:
        # Workloads also assign plain strings: state.status = "stopped".
        return str(status)


class DeploymentConfig(BaseModel):
    """What a deployment is asked to be. `workload_config` holds the settings that the workload itself defines."""

    workload_name: str
    duration_hours: int | None = None  # None: no limit
    tags: dict[str, str] = Field(default_factory=dict)
    workload_config: dict[str, Any] = Field(default_factory=dict)


class CleanupReport(BaseModel):
    """
    What a cleanup did: how many resources it deleted, how many it could not, and each in words.

    `errors` says for each failed resource what is left and where; with `resources_failed` or `errors` set, the
    cleanup is not complete and may be called again.
    """

    deployment_id: str
    resources_deleted: int = 0
    resources_failed: int = 0
    details: list[str] = Field(default_factory=list)
    errors: list[str] = Field(default_factory=list)
    duration_seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        return not self.resources_failed and not self.errors


class WorkloadManifest(BaseModel):
    """
    A `workload.yaml`: what can run, where its code is and what it may be asked.

    `entrypoint` ("module:Class") may stand at the top or in `package`; both end up here, and two different ones
    are a ValueError. `config_schema` keeps the file's own dialect. Keys it does not know are kept.
    """

    model_config = ConfigDict(populate_by_name=True, extra="allow")

    name: str
    version: str
    workload_type: str = Field(alias="type")
    description: str = ""
    package: dict[str, str] | None = None  # name, source, entrypoint
    entrypoint: str | None = None
    config_schema: dict[str, Any] = Field(default_factory=dict)
    targets: list[dict[str, Any]] = Field(default_factory=list)
    extensions: dict[str, Any] = Field(default_factory=dict)
    credentials: list[dict[str, Any]] = Field(default_factory=list)  # name, required, description
    command: list[str] | None = None
    goal: str | dict[str, Any] | None = None
    run: dict[str, Any] = Field(default_factory=dict)
    budget: dict[str, Any] = Field(default_factory=dict)

    _warnings: list[str] = PrivateAttr(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """What its file holds that is probably a mistake, one "file:line key: what" each; empty when made in code."""
        return self._warnings

    @model_validator(mode="after")
    def _one_entrypoint(self) -> WorkloadManifest:
        packaged = (self.package or {}).get("entrypoint")
        if packaged and self.entrypoint and packaged != self.entrypoint:
            raise ValueError(
                f"entrypoint is {self.entrypoint!r} at the top and {packaged!r} in package: keep one of them"
            )
        self.entrypoint = self.entrypoint or packaged
        return self


class EventData(BaseModel):
    """One event, as a model: for whoever wants more than the plain dict that the bus carries."""

    topic: str
    deployment_id: str
    timestamp: datetime = Field(default_factory=lambda: datetime.fromtimestamp(time.time(), UTC))
    data: dict[str, Any] = Field(default_factory=dict)
