"""A HAYMAKER_HOME that may be read and not written: every look works, and what would write says that it cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def set_mode(home, folders, files):
    for folder, _, names in os.walk(home):
        Path(folder).chmod(folders)
        for path in (Path(folder, name) for name in names):
            if path.is_file():
                path.chmod(files)


@pytest.fixture
def closed(world):
    world.plain = True
    world.declare("web")
    world.task("job")
    world.settle("job")
    world.one("web")
    set_mode(world.home, 0o500, 0o400)
    yield world
    set_mode(world.home, 0o700, 0o600)


def test_looks_at_a_closed_home_work_and_changes_are_refused(closed):
    world = closed
    alive, before = world.one("web").pid, world.snapshot()
    folder = ["-f", str(world.manifests)]
    looks = ("list", "status", "status web", "why web", "runs job", "logs job", "events", "plan", "apply --dry-run")
    for command in looks:
        verb, *rest = command.split()
        said = world.run(verb, *rest, *(folder if verb in ("why", "plan", "apply") else ()))
        assert said.code == 0, str(said)
        assert "error" not in said.err, str(said)
    told = world.run("doctor")
    assert told.code == 1
    assert f"{world.home} cannot be written" in told.out
    world.declare("web", config={"size": 2})
    for said in (world.apply(code=1), world.delete(code=1)):
        assert "Permission denied" in said.err, str(said)
        assert "fix: give this user write permission there" in said.err, str(said)
    assert world.snapshot() == before
    assert world.one("web").pid == alive


@pytest.mark.parametrize("what", ["its mode", "its owner", "a folder above it", "a folder in it"])
def test_doctor_says_in_a_sentence_that_a_home_cannot_be_looked_into(what, world):
    world.plain = True
    world.home = world.home.parent / "above" / "home"
    world.env["HAYMAKER_HOME"] = str(world.home)
    world.run("doctor")  # makes nothing; the home is ours
    state = world.home / "state"
    state.mkdir(parents=True, mode=0o700)
    closed = {"a folder above it": world.home.parent, "a folder in it": state}.get(what, world.home)
    mode = closed.stat().st_mode & 0o777
    if what == "its owner":
        if os.geteuid():
            pytest.skip("to give a folder away takes root; CI runs this as root too")
        closed.chmod(0o700)
        os.chown(closed, 65534, -1)
    else:
        closed.chmod(0)
    try:
        told = world.run("doctor")
    finally:
        os.chown(closed, os.geteuid(), -1)
        closed.chmod(mode)
    assert told.code == 1
    assert "Errno" not in told.out, str(told)
    first = told.out.splitlines()[0]
    if what == "a folder in it":
        assert f"{state}: could not look at it: Permission denied" in told.out
        return
    assert first.startswith("fail  home"), str(told)
    assert told.out.count("fix:") == 1, "the records that nobody can see are not each told of"
    assert {"its mode": "closed to this user", "its owner": "user 65534's"}.get(what, "cannot be looked at") in first
