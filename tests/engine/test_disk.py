"""A disk that is full or closed: nothing starts unrecorded, nothing recorded is lost, and it is said why."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import World

from agent_haymaker.engines import RunState
from agent_haymaker.errors import PlatformError
from agent_haymaker.testing import eventually

ROOT = Path(__file__).parents[2]
root_only = pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root; CI runs this as root too")


@pytest.fixture
def small(tmp_path):
    """A home on a disk of one megabyte."""
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", mount], check=True)
    world = World(mount / "home")
    yield world
    world.end()
    eventually(lambda: subprocess.run(["umount", mount], capture_output=True, check=False).returncode == 0)


def fill(world):
    ballast = os.open(world.home.parent / "ballast", os.O_WRONLY | os.O_CREAT)
    for size in (65536, 4096):
        with suppress(OSError):
            while os.write(ballast, b"x" * size):
                pass
    with pytest.raises(OSError, match="No space"):
        os.write(ballast, b"x" * 4096)
    os.close(ballast)


@root_only
def test_with_a_full_disk_nothing_starts_and_the_next_submit_after_space_is_made_works(small):
    small.wait(small.submit("true").handle)
    small.submit("sleep", "1000")
    fill(small)
    key = small.key()
    with pytest.raises(PlatformError) as told:
        small.submit("sleep", "1000", key=key)
    assert "No space left" in str(told.value)
    assert told.value.fix
    assert small.alive(key) == []
    found = small.engine.find(key)
    assert found is None or found.state.is_ended
    (small.home.parent / "ballast").unlink()
    assert small.submit("sleep", "1000", workspace="w2").state is RunState.RUNNING


@root_only
def test_an_exit_that_the_full_disk_refuses_is_kept_and_written_when_there_is_space(small):
    handle = small.shell("while [ ! -e go ]; do sleep 0.02; done; exit 3").handle
    path = small.claim_path(handle.key)
    # On tmpfs a file's last page takes what fits: fill it up, so that one more line needs a page that is not there.
    (small.home / "agents" / "agent-1" / "go").touch()
    with path.open("ab") as file:
        file.write(b'{"stop_requested": 1, "grace": 0}\n' * ((4096 - path.stat().st_size) // 34))
    fill(small)
    eventually(lambda: not small.alive(handle.key))
    assert small.look(handle).state is RunState.STOPPING
    assert small.shim
    (small.home.parent / "ballast").unlink()
    seen = small.wait(handle)
    assert (seen.state, seen.exit.code) == (RunState.FAILED, 3)
    eventually(lambda: not small.shim)


@root_only
def test_a_stop_works_with_a_full_disk(small):
    handle = small.submit("sleep", "1000").handle
    fill(small)
    assert small.stop(handle, 1).state.is_ended
    assert small.alive(handle.key) == []


def without_override(script, home):
    """Run a script that permissions mean something to: as an ordinary user, or as a root who cannot pass them by."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    command = [*(drop if os.getuid() == 0 else []), sys.executable, "-c", script, str(home), str(ROOT)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


CLOSED = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[2])
from agent_haymaker.engines import RunSpec
from agent_haymaker.engines.local import LocalEngine
from agent_haymaker.errors import PlatformError
engine = LocalEngine(sys.argv[1])
spec = RunSpec(argv=("sleep", "1000"), env={"PATH": "/usr/bin:/bin"}, workspace="w", owner="f")
def attempt(key):
    try:
        seen = asyncio.run(engine.submit(spec, key))
        print(seen.state)
        return seen
    except PlatformError as error:
        print(type(error).__name__, error)
os.chmod(sys.argv[1], 0o500)
attempt("closed.1")
os.chmod(sys.argv[1], 0o700)
seen = attempt("open.1")
os.chmod(sys.argv[1] + "/engines/local/runs", 0o500)
attempt("closed.2")
print(engine.find("closed.2"))
os.chmod(sys.argv[1] + "/engines/local/runs", 0o700)
os.chmod(sys.argv[1] + "/engines/local/runs/open.1.jsonl", 0)
print(engine.observe([type(seen.handle)("local", "open.1")])[0].state)
try:
    asyncio.run(engine.stop(seen.handle, 1))
except PlatformError as error:
    print(error.what)
os.chmod(sys.argv[1] + "/engines/local/runs/open.1.jsonl", 0o600)
print(asyncio.run(engine.stop(seen.handle, 1)).state)
"""


def test_a_closed_folder_is_said_and_nothing_starts_unrecorded(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    told = without_override(CLOSED, home)
    lines = [line for line in told.stdout.splitlines() if not line.startswith("  fix:")]
    assert told.stderr == ""
    assert "PlatformError" in lines[0]
    assert "Permission denied" in lines[0]
    assert lines[1] == "running"
    assert "the run could not be claimed: Permission denied" in lines[2]
    assert lines[3] == "None"
    assert lines[4] == "unreachable"
    assert "nobody was signalled" in lines[5]
    assert lines[6] == "stopped"


def test_a_log_limit_that_is_no_number_is_refused(world, monkeypatch):
    monkeypatch.setenv("HAYMAKER_LOG_MAX_BYTES", "a lot")
    with pytest.raises(PlatformError, match="HAYMAKER_LOG_MAX_BYTES"):
        world.submit("true")


def test_a_shim_that_cannot_start_says_why(world, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(PlatformError, match="could not be started"):
        world.submit("true")


def test_a_home_that_is_a_file_is_refused(world):
    world.home.write_text("")
    with pytest.raises(PlatformError) as told:
        world.submit("true")
    assert "could not be made" in str(told.value)


def test_a_workspace_that_is_a_symlink_is_refused(world, tmp_path):
    (world.home / "agents").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (world.home / "agents" / "agent-1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PlatformError):
        world.submit("true", files={"a": b""})
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_run_whose_home_was_removed_under_it_does_not_keep_the_shim_for_ever(world):
    import shutil

    handle = world.submit("sleep", "0.2").handle
    shim = world.shim
    shutil.rmtree(world.home)
    eventually(lambda: not os.path.exists(f"/proc/{shim}"))
    assert world.look(handle).state is RunState.LOST


def test_cancelling_a_wait_leaves_the_run_alone(world):
    handle = world.submit("sleep", "1000").handle

    async def cancelled():
        waiting = asyncio.ensure_future(world.engine.wait(handle))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(cancelled())
    assert world.look(handle).state is RunState.RUNNING
    os.kill(handle.token["pid"], signal.SIGKILL)
    assert world.wait(handle).exit.signal == signal.SIGKILL
