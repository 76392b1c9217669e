"""The file platform: one record each, atomic, kept when in doubt."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_haymaker.errors import DoubtError, PlatformError, WorkloadError
from agent_haymaker.workloads import DeploymentState, DeploymentStatus, FilePlatform, Platform
from agent_haymaker.workloads.file_platform import check_deployment_id

FIXTURES = Path(__file__).parent / "fixtures"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HAYMAKER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def a_state(deployment_id="mailer-00000001", **fields):
    return DeploymentState(**{"deployment_id": deployment_id, "workload_name": "mailer", "status": "running", **fields})


def save(state, platform=None):
    asyncio.run((platform or FilePlatform()).save_deployment_state(state))


def load(deployment_id, platform=None):
    return asyncio.run((platform or FilePlatform()).load_deployment_state(deployment_id))


def test_it_is_a_platform(home):
    assert isinstance(FilePlatform(), Platform)


def test_making_it_and_looking_write_nothing(home):
    platform = FilePlatform()
    assert load("nobody-1", platform) is None
    assert asyncio.run(platform.list_deployments("mailer")) == []
    assert asyncio.run(platform.unreadable()) == {}
    assert not home.exists()


def test_what_is_loaded_is_what_was_saved(home):
    state = a_state(
        phase="sending",
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
        config={"n": 1},
        metadata={"deep": [{"x": None}]},
        error="é\udcff".encode("utf-8", "replace").decode(),
    )
    save(state)
    assert load(state.deployment_id) == state


def test_a_record_is_one_private_file_that_says_its_version(home):
    save(a_state())
    path = home / "state" / "mailer-00000001.json"
    record = json.loads(path.read_text())
    assert record["schema_version"] == 1
    assert record["status"] == "running"
    assert path.stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert os.listdir(home / "state") == [path.name]


@pytest.mark.parametrize("fixture", ["state-v0.json", "state-v0-naive.json", "state-v1.json"])
def test_records_of_each_older_format_are_read_and_lose_nothing_when_saved(fixture, home):
    old = json.loads((FIXTURES / fixture).read_text())
    path = home / "state" / f"{old['deployment_id']}.json"
    path.parent.mkdir(parents=True)
    shutil.copy(FIXTURES / fixture, path)
    state = load(old["deployment_id"])
    assert state is not None
    for key, value in old.items():
        if key not in ("schema_version", "started_at", "stopped_at", "completed_at"):
            assert getattr(state, key) == value
    save(state)
    assert json.loads(path.read_text()) == {**old, "schema_version": 1}


def test_a_time_without_a_zone_stays_without_one(home):
    """Published workloads subtract it from datetime.utcnow(), which a zone would make a TypeError."""
    naive = datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None)
    save(a_state(started_at=naive))
    assert load("mailer-00000001").started_at == naive


def test_fields_of_other_tools_and_the_platforms_stamps_survive_a_workload_that_knows_of_neither(home):
    save(a_state(metadata={"haymaker": {"fleet": "prod"}, "pid": 1}))
    path = home / "state" / "mailer-00000001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "of_tomorrow": [1]}))
    save(a_state(status="stopped", metadata={"pid": 2}))
    record = json.loads(path.read_text())
    assert record["of_tomorrow"] == [1]
    assert record["metadata"] == {"pid": 2, "haymaker": {"fleet": "prod"}}
    assert record["status"] == "stopped"
    loaded = load("mailer-00000001")
    loaded.phase = "again"
    save(loaded)
    assert json.loads(path.read_text())["of_tomorrow"] == [1]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="torn"),
        pytest.param("[]", id="a list"),
        pytest.param('{"schema_version": 99}', id="of a newer haymaker"),
        pytest.param('{"deployment_id": "bad-1"}', id="fields missing"),
        pytest.param(
            '{"deployment_id": "bad-1", "workload_name": "w", "status": "dancing"}', id="a status nobody knows"
        ),
        pytest.param('{"deployment_id": "other-1", "workload_name": "w", "status": "running"}', id="of another id"),
    ],
)
def test_an_unreadable_record_is_doubt_reported_and_never_overwritten(content, home, caplog):
    save(a_state("good-1"))
    bad = home / "state" / "bad-1.json"
    bad.write_text(content)
    platform = FilePlatform()
    with pytest.raises(DoubtError) as caught:
        load("bad-1", platform)
    assert str(bad) in str(caught.value)
    with caplog.at_level(logging.WARNING):
        listed = asyncio.run(platform.list_deployments("mailer"))
    assert [s.deployment_id for s in listed] == ["good-1"]
    assert str(bad) in caplog.text
    assert list(asyncio.run(platform.unreadable())) == ["bad-1"]
    if not content.startswith('{"dep'):
        with pytest.raises(DoubtError):
            save(a_state("bad-1"), platform)
        assert bad.read_text() == content


def test_listing_is_by_workload_and_in_order(home):
    for name in ("b-1", "a-1", "c-1"):
        save(a_state(name, workload_name="w" if name != "c-1" else "other"))
    platform = FilePlatform()
    assert [s.deployment_id for s in asyncio.run(platform.list_deployments("w"))] == ["a-1", "b-1"]
    assert len(asyncio.run(platform.list_deployments())) == 3


def test_drafts_and_other_files_are_no_deployments(home):
    save(a_state())
    for name in (".x.json.1-a.draft", ".hidden.json", "README", "x.json.bak"):
        (home / "state" / name).write_text("?")
    assert len(asyncio.run(FilePlatform().list_deployments())) == 1
    assert asyncio.run(FilePlatform().unreadable()) == {}


def test_a_removed_record_is_gone_and_removing_it_twice_is_no_error(home):
    save(a_state())
    platform = FilePlatform()
    assert asyncio.run(platform.delete_deployment_state("mailer-00000001")) is True
    assert asyncio.run(platform.delete_deployment_state("mailer-00000001")) is False
    assert load("mailer-00000001", platform) is None


@pytest.mark.parametrize(
    "bad_id",
    ["", ".", "..", "../x", "a/b", "a\\b", "..x", "a..b", ".x", "-x", "a b", "a\n", "a\0", "é", "a" * 201, "~", "*"],
)
def test_an_id_that_cannot_be_a_files_name_is_a_value_error(bad_id, home):
    platform = FilePlatform()
    with pytest.raises(ValueError, match="deployment id"):
        load(bad_id, platform)
    with pytest.raises(ValueError, match="deployment id"):
        asyncio.run(platform.save_deployment_state(a_state(bad_id)))
    with pytest.raises(ValueError, match="deployment id"):
        asyncio.run(platform.delete_deployment_state(bad_id))
    assert not home.exists()


@given(deployment_id=st.text(max_size=30))
def test_an_accepted_id_stays_in_its_folder(deployment_id):
    try:
        check_deployment_id(deployment_id)
    except ValueError:
        return
    folder = Path("/somewhere/state")
    assert Path(os.path.normpath(folder / f"{deployment_id}.json")).parent == folder


@pytest.mark.parametrize("good_id", ["dep-001", "dep.001.test", "dep_001", "A", "9", "m365-0badcafe"])
def test_the_ids_of_published_workloads_are_accepted(good_id):
    assert check_deployment_id(good_id) == good_id


@pytest.mark.parametrize(
    ("field", "value"),
    [("metadata", {"x": object()}), ("phase", None), ("status", "dancing"), ("config", {"x": "\ud800"})],
)
def test_a_state_that_could_not_be_read_back_is_refused_and_the_old_one_stays(field, value, home):
    save(a_state())
    broken = a_state()
    setattr(broken, field, value)
    with pytest.raises(WorkloadError, match="cannot be recorded"):
        save(broken)
    assert load("mailer-00000001") == a_state()


def test_a_number_that_json_cannot_say_is_recorded_as_null(home):
    save(a_state(metadata={"loss": float("nan")}))
    assert load("mailer-00000001").metadata == {"loss": None}


def test_a_status_assigned_as_text_is_saved_as_a_status(home):
    state = a_state()
    state.status = "stopped"
    save(state)
    assert load("mailer-00000001").status is DeploymentStatus.STOPPED


def test_a_host_that_refuses_is_the_platforms_error(home):
    home.mkdir()
    (home / "state").write_text("a file stands where the folder should")
    with pytest.raises(PlatformError):
        save(a_state())


def test_two_processes_that_save_at_once_both_keep_what_the_other_stamped(home):
    """Eight writers of one record: no update of the platform's stamp is lost, and every read is whole."""
    save(a_state(metadata={"haymaker": {"fleet": "prod"}}))
    code = """
import asyncio, sys
from agent_haymaker.workloads import DeploymentState, FilePlatform
async def main():
    platform = FilePlatform()
    for n in range(15):
        await platform.save_deployment_state(DeploymentState(
            deployment_id="mailer-00000001", workload_name="mailer", status="running", metadata={"n": n}))
        assert (await platform.load_deployment_state("mailer-00000001")).metadata["haymaker"] == {"fleet": "prod"}
asyncio.run(main())
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [subprocess.Popen([sys.executable, "-c", code], env=env) for _ in range(4)]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 4
    assert load("mailer-00000001").metadata == {"haymaker": {"fleet": "prod"}, "n": 14}


def test_another_folder_keeps_everything_to_itself(tmp_path):
    platform = FilePlatform(state_dir=tmp_path / "mine")
    save(a_state(), platform)
    asyncio.run(platform.publish_event("t", {}))
    assert sorted(os.listdir(tmp_path)) == ["mine"]
    assert sorted(os.listdir(tmp_path / "mine")) == ["events", "locks", "mailer-00000001.json"]
    assert asyncio.run(platform.unreadable()) == {}


def test_a_credential_is_an_environment_variable(home, monkeypatch):
    monkeypatch.setenv("AZURE_TENANT_ID", "t-1")
    monkeypatch.setenv("EMPTY_ONE", "")
    platform = FilePlatform()
    assert asyncio.run(platform.get_credential("azure-tenant-id")) == "t-1"
    assert asyncio.run(platform.get_credential("AZURE_TENANT_ID")) == "t-1"
    assert asyncio.run(platform.get_credential("empty-one")) is None
    assert asyncio.run(platform.get_credential("not-there")) is None


def test_a_log_line_goes_to_the_workloads_logger(home, caplog):
    with caplog.at_level(logging.INFO):
        FilePlatform().log("100% done", workload="mailer")
        FilePlatform().log("careful", level="warning")
        FilePlatform().log("odd", level="no such level")
    told = [(r.name, r.levelname, r.getMessage()) for r in caplog.records]
    assert told == [
        ("haymaker.workload.mailer", "INFO", "100% done"),
        ("haymaker", "WARNING", "careful"),
        ("haymaker", "INFO", "odd"),
    ]
