"""A pipe, a folder or a link where a record, a cache or a lock should be: nobody waits for it or crashes on it."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import chdir
from pathlib import Path

import pytest

# The file, in words of a shell; a command that reads it; how that ends.
READERS = [
    ("install", "doctor", 1),
    ("journal/*.jsonl", "doctor", 1),
    ("journal/*.jsonl", "status web", 1),
    ("history/job.jsonl", "runs job", 1),
    ("cache/*.json", "plan", 0),
    ("fleets/*.json", "apply", 1),
    ("fleets/*.json", "status web", 0),  # it says that it is in doubt
    ("engines/local/shim.lock", "doctor", 0),
    ("engines/local/runs/*web*", "doctor", 1),
    ("state/web-*", "doctor", 1),
    ("locks/pass.lock", "doctor", 1),
    ("locks/pass.lock", "apply", 1),
]


def as_socket(path):
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as link:
        link.bind(path.name)


def as_dangling_link(path):
    path.symlink_to("nowhere")


KINDS = [os.mkfifo, Path.mkdir, as_socket, as_dangling_link]


@pytest.fixture
def deployed(world):
    world.declare("web")
    world.task("job")
    world.settle("job")
    return world


def run_beside(world, path, make, command):
    """Run a command while something else stands at `path`; World.run fails it where it hangs or shows a traceback."""
    verb, *names = command.split()
    folder = ["-f", str(world.manifests)] if verb in ("plan", "apply") else []
    aside = world.folder / "aside"
    path.rename(aside)
    make(path)
    try:
        return world.run(verb, *names, *folder, within=60)
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        aside.rename(path)


@pytest.mark.slow
def test_a_pipe_in_place_of_a_file_of_ours_is_never_waited_for(deployed):
    world = deployed
    alive = world.one("web").pid
    for pattern, command, code in READERS:
        [path] = world.home.glob(pattern)
        said = run_beside(world, path, os.mkfifo, command)
        assert said.code == code, f"{path}: {said}"
        assert not code or "not a regular file" in said.out + said.err, f"{path}: {said}"
    assert world.one("web").pid == alive
    assert "nothing to do" in world.apply().out
    world.check_exactly("web")


@pytest.mark.slow
@pytest.mark.parametrize("make", KINDS)
def test_whatever_stands_in_place_of_any_file_no_command_hangs_or_crashes(deployed, make):
    world = deployed
    alive = world.one("web").pid
    files = [Path(folder, name) for folder, _, names in os.walk(world.home) for name in names]
    for path in (path for path in files if path.is_file() and path.name != "install"):
        for command in ("doctor", "status web", "status", "why web", "runs job", "logs job", "events", "plan", "apply"):
            run_beside(world, path, make, command)
            assert [a.pid for a in world.agents("web")] == [alive]
    world.settle()
    world.check_exactly("web")
