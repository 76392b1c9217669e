"""A large folder is read by several processes, and the answer is the one that a single process gives."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from reconciler.manifest import beside, folder
from reconciler.manifest.folder import FolderReader
from tests.load.conftest import same

if TYPE_CHECKING:
    from pathlib import Path

    from tests.load.conftest import Fleet

FLEET = """\
apiVersion: haymaker/v1
kind: Fleet
metadata: {name: prod}
spec:
  defaults: {run: {timeout: 7m}}
  policy: {allowedWorkloads: [sleeper, analyst, late]}
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a handful of files be a large folder, and note the pids of helpers."""
    found: list[int] = []
    start = beside.Helpers.start

    def note(helpers: beside.Helpers, work: Any) -> None:
        start(helpers, work)
        found.append(helpers._pipes[-1][0])

    monkeypatch.setattr(beside, "SHARE", 8)
    monkeypatch.setattr(beside, "_cores", lambda: 3)
    monkeypatch.setattr(beside.Helpers, "start", note)
    return found


def alone(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, *, strict: bool = False) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(beside, "split", lambda files: [files])
        return fleet.load(strict=strict)


def write_all(fleet: Fleet) -> None:
    for i in range(30):
        fleet.deploy(f"a-{i:02}", f"workload: sleeper\nconfig: {{n: {i}}}")
    fleet.write("goals/g.md", "# Tidy up\n\n## Goal\n\nTidy.\n")
    fleet.deploy("b-early", "workload: late\ndependsOn: [{name: z-last, condition: Started}]")
    fleet.deploy("z-last", "workload: analyst\ngoal: {file: ../goals/g.md}", path="t/z.yaml")
    fleet.write("zz/late.yaml", 'name: late\nversion: "1"\ntype: runtime\ncommand: [sleep, "1"]\n')
    fleet.write("m/policy.yaml", FLEET)
    newest = max(max(p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in fleet.folder.rglob("*"))
    while time.time_ns() <= newest + 60_000_000:
        time.sleep(0.01)


@pytest.mark.parametrize("strict", [False, True])
def test_the_answer_is_that_of_one_process(
    fleet: Fleet, started: list[int], monkeypatch: pytest.MonkeyPatch, strict: bool
) -> None:
    write_all(fleet)
    parsed: list[str] = []
    parse = FolderReader.parse
    monkeypatch.setattr(FolderReader, "parse", lambda self, file: parsed.append(file) or parse(self, file))
    loaded = fleet.load(strict=strict)
    assert len(started) == 2
    assert [parsed.count(f"a-{i:02}.yaml") for i in (0, 11)] == [1, 1]
    assert parsed.count("a-12.yaml") == 0, "what helpers read was read again"
    assert not loaded.problems
    assert loaded.desired["a-29"].timeout == 420
    same(loaded, alone(fleet, monkeypatch, strict=strict))


def test_what_is_wrong_is_said_as_by_one_process(
    fleet: Fleet, started: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(fleet)
    fleet.deploy("a-28", "workload: nobody")
    fleet.deploy("a-29", "workload: sleeper\nrun: {mode: sometimes}")
    fleet.deploy("twice", path="a-00.yaml")
    fleet.deploy("twice", path="x/twice.yaml")
    fleet.deploy("lost", "workload: sleeper\ndependsOn: [{name: never, condition: Started}]", path="x/lost.yaml")
    fleet.write("x/empty.yaml", "")
    fleet.write("x/garbage.yaml", b"\xff\xfe: [")
    (fleet.folder / "x/broken.yaml").symlink_to("nowhere")
    loaded = fleet.load()
    assert len(started) == 2
    assert len(loaded.problems) >= 7
    same(loaded, alone(fleet, monkeypatch))


def test_a_fleet_that_nobody_would_have_guessed_counts(
    fleet: Fleet, started: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(fleet)
    (fleet.folder / "m/policy.yaml").unlink()
    fleet.write("a-00.yaml", '{"kind": "Fleet", "apiVersion": "haymaker/v1", "metadata": {"name": "odd"},\n'
                             ' "spec": {"defaults": {"run": {"timeout": "9m"}}}}\n')  # fmt: skip
    loaded = fleet.load()
    assert started
    assert loaded.desired["a-29"].timeout == 540
    same(loaded, alone(fleet, monkeypatch))


@pytest.mark.parametrize("fault", ["it raises", "it says nonsense", "it is killed"])
def test_a_helper_that_fails_costs_nothing_but_time(
    fleet: Fleet, started: list[int], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def encode(*_: Any) -> Any:
        if fault == "it raises":
            raise RuntimeError("on purpose")
        if fault == "it is killed":
            os.kill(os.getpid(), 9)
        return {"files": {"a-29.yaml": [1, 2]}}

    write_all(fleet)
    monkeypatch.setattr(folder, "encode_folder", encode)
    before = set(psutil.Process().children())
    loaded = fleet.load()
    assert started
    same(loaded, alone(fleet, monkeypatch))
    assert set(psutil.Process().children()) <= before, "they were reaped"


def test_a_helper_holds_no_lock_of_its_parent(tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with beside.Helpers() as helpers:
        helpers.start(lambda: time.sleep(60) or {})
        other = os.open(tmp_path / "lock", os.O_RDWR)
        os.close(lock)
        deadline = time.monotonic() + 50
        while True:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < deadline, "the helper holds it"
                time.sleep(0.01)
        os.close(other)
