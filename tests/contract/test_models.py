"""The models: what published packages construct, compare and dump."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from agent_haymaker import CleanupReport, DeploymentConfig, DeploymentState, DeploymentStatus, WorkloadManifest


def test_a_status_is_its_string():
    state = DeploymentState(deployment_id="a-1", workload_name="a", status="running")
    assert state.status == "running" == DeploymentStatus.RUNNING
    assert state.status in ("running", "deploying")
    assert f"{state.status}" == "running"
    assert state.model_dump()["status"] == "running"
    assert type(state.model_dump()["status"]) is str
    assert json.loads(state.model_dump_json())["status"] == "running"
    assert [s.value for s in DeploymentStatus] == [
        "pending",
        "running",
        "stopped",
        "cleaning_up",
        "completed",
        "failed",
    ]


def test_a_state_has_the_seeds_fields_and_defaults():
    state = DeploymentState(deployment_id="a-1", workload_name="a", status=DeploymentStatus.PENDING)
    assert state.model_dump() == {
        "deployment_id": "a-1",
        "workload_name": "a",
        "status": "pending",
        "phase": "unknown",
        "started_at": None,
        "stopped_at": None,
        "completed_at": None,
        "config": {},
        "metadata": {},
        "error": None,
    }


@pytest.mark.parametrize("missing", ["deployment_id", "workload_name", "status"])
def test_a_state_without_what_it_needs_is_refused(missing):
    fields = {"deployment_id": "a-1", "workload_name": "a", "status": "running"}
    del fields[missing]
    with pytest.raises(ValidationError, match=missing):
        DeploymentState(**fields)


def test_each_state_has_a_config_of_its_own():
    one, two = (DeploymentState(deployment_id=i, workload_name="a", status="running") for i in ("a-1", "a-2"))
    one.config["x"] = 1
    one.metadata["x"] = 1
    assert (two.config, two.metadata) == ({}, {})


def test_a_config_and_a_report_have_their_defaults():
    assert DeploymentConfig(workload_name="a").model_dump() == {
        "workload_name": "a",
        "duration_hours": None,
        "tags": {},
        "workload_config": {},
    }
    report = CleanupReport(deployment_id="a-1")
    assert report.model_dump() == {
        "deployment_id": "a-1",
        "resources_deleted": 0,
        "resources_failed": 0,
        "details": [],
        "errors": [],
        "duration_seconds": 0.0,
    }
    assert report.is_complete
    report.errors.append("one is left")
    assert not report.is_complete


def test_a_manifest_takes_type_and_workload_type():
    for key in ("type", "workload_type"):
        manifest = WorkloadManifest(**{"name": "a", "version": "1.0.0", key: "prompt"})
        assert manifest.workload_type == "prompt"
    assert manifest.model_dump(include={"description", "package", "entrypoint", "extensions", "targets"}) == {
        "description": "",
        "package": None,
        "entrypoint": None,
        "extensions": {},
        "targets": [],
    }


def test_the_entrypoint_of_the_package_reaches_the_manifest():
    manifest = WorkloadManifest(name="a", version="1", type="runtime", package={"entrypoint": "m:C"})
    assert manifest.entrypoint == "m:C"
    with pytest.raises(ValidationError, match="keep one of them"):
        WorkloadManifest(name="a", version="1", type="runtime", package={"entrypoint": "m:C"}, entrypoint="m:D")


def test_an_event_knows_its_time():
    from agent_haymaker.events import EventData

    first = EventData(topic="t", deployment_id="a-1")
    assert first.timestamp <= EventData(topic="t", deployment_id="a-1").timestamp
    assert first.timestamp.tzinfo is not None
    assert first.data == {}
    assert datetime.now(UTC) >= first.timestamp
