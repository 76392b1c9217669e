"""A disk that is full or closed: nothing starts unrecorded, nothing recorded is lost, and it is said why."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import World
from support.plain import as_a_plain_user

from agent_haymaker import processes
from agent_haymaker.engines import Kept, RunState, shim_socket
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


EXIT_WHEN_TOLD = """
import signal, sys
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))
print("ready", end="", flush=True)
while True:
    signal.pause()
"""


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
    handle = small.python(EXIT_WHEN_TOLD).handle
    eventually(lambda: small.log(handle) == b"ready")
    path = small.claim_path(handle.key)
    # On tmpfs a file's last page takes what fits: fill it up, so that one more line needs a page that is not there.
    with path.open("ab") as file:
        file.write(b'{"stop_requested": 1, "grace": 0}\n' * ((4096 - path.stat().st_size) // 34))
    fill(small)
    os.kill(handle.token["pid"], signal.SIGUSR1)
    eventually(lambda: small.look(handle).state.is_ended)
    seen = small.look(handle)
    assert (seen.state, seen.exit.code) == (RunState.FAILED, 3), "its shim knows"
    assert b"ended" not in path.read_bytes()
    told = shim_socket.ask(str(small.local), {"op": "unwritten"}, fence=False)
    assert told["why"] == {handle.key: "No space left on device"}
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


@pytest.mark.parametrize(
    "stray", ["ln -s ../../../elsewhere $0", "ln -s nowhere $0", "echo precious > $0", "mkfifo $0"]
)
def test_what_an_agent_put_in_place_of_its_workspace_is_put_aside_and_not_followed(world, tmp_path, stray):
    (tmp_path / "elsewhere").mkdir()
    script = f"cd ..; rm -r agent-1; {stray.replace('$0', 'agent-1')}"
    handle = world.shell(script).handle
    world.wait(handle)
    place = world.home / "agents" / "agent-1"
    assert not place.is_dir() or place.is_symlink()
    asyncio.run(world.engine.retire(handle, whole=True))
    assert asyncio.run(world.engine.keep(handle, ["**/*"])) == Kept()
    new = world.shell("cat a; sleep 1000", files={"a": b"hello"})
    assert new.state is RunState.RUNNING
    eventually(lambda: world.log(new.handle) == b"hello")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    [aside] = (world.home / "runs" / "agent-1").glob("*.odd")
    assert stray[:4] != "echo" or aside.read_text() == "precious\n"
    asyncio.run(world.engine.trim("agent-1", runs=0, age_seconds=0, size_bytes=None))
    assert not aside.exists()
    assert not aside.is_symlink()


def test_folders_in_place_of_the_log_and_of_an_input_and_a_closed_workspace_keep_no_successor_out(world):
    script = "rm a agent.log; mkdir a agent.log; echo precious > a/b; echo precious > agent.log/b; chmod 500 ."
    world.wait(world.shell(script, files={"a": b""}).handle)
    with as_a_plain_user():
        new = world.shell("cat a; sleep 1000", files={"a": b"hello"})
    eventually(lambda: world.log(new.handle) == b"hello")
    assert len(list((world.home / "agents" / "agent-1").glob("*.odd/b"))) == 2


def test_symlinks_in_the_archive_are_not_followed(world, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("")
    handle = world.shell("echo work > made; echo said").handle
    world.wait(handle)
    archive = world.home / "runs" / "agent-1"
    for link in (archive, archive / handle.key, archive / handle.key / "artifacts"):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(elsewhere)
        assert world.log(handle) == b"said\n"
        assert asyncio.run(world.engine.keep(handle, ["made"])).paths == ("made",)
        shutil.rmtree(archive.parent)
        link.parent.mkdir(parents=True)
        link.symlink_to(elsewhere)
        asyncio.run(world.engine.trim("agent-1", runs=0, age_seconds=0, size_bytes=None))
        shutil.rmtree(archive.parent)
    made = archive / handle.key / "artifacts" / "made"
    made.parent.mkdir(parents=True)
    made.symlink_to(elsewhere / "precious")
    asyncio.run(world.engine.keep(handle, ["made"]))
    assert made.read_text() == "work\n"
    (archive / handle.key / "workspace").symlink_to(elsewhere)
    asyncio.run(world.engine.retire(handle, whole=True))
    assert world.log(handle) == b"said\n"
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]
    assert (elsewhere / "precious").read_text() == ""


def test_a_run_whose_home_was_removed_under_it_does_not_keep_the_shim_for_ever(world):
    handle = world.python(EXIT_WHEN_TOLD).handle
    eventually(lambda: world.log(handle) == b"ready")
    shim = processes.identify(world.shim)
    shutil.rmtree(world.home)
    os.kill(handle.token["pid"], signal.SIGUSR1)
    eventually(lambda: not processes.is_alive(shim))
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


KNOTS = """
import os
os.makedirs("out/deep/in")
os.symlink("self", "out/self"); os.symlink("..", "out/up"); os.symlink("../out/self", "x.bin"); os.mkfifo("out/pipe")
os.mkdir("out/shut"); open("out/shut/x", "w").close(); os.chmod("out/shut", 0)
open("out/shut.txt", "w").close(); os.chmod("out/shut.txt", 0)
for name in (b"out/ok", b"out/new\\nline", b"out/bad\\xff", b"out/deep/in/leaf.log", b"elsewhere"):
    with open(name, "wb") as file:
        file.write(b"x")
with open("out/sparse", "wb") as file:
    file.truncate(1 << 40)
    file.seek(1 << 39)
    file.write(b"middle")
os.chdir("out/deep")
for _ in range(1200):
    os.mkdir("dddd"); os.chdir("dddd")
open("leaf.log", "w").close()
"""


def test_whatever_an_agent_leaves_its_artifacts_are_kept_as_far_as_they_can_be_and_the_rest_is_told(world):
    handle = world.python(KNOTS).handle
    world.wait(handle)
    with as_a_plain_user():
        found = asyncio.run(world.engine.keep(handle, ["out/*", "**/*.log", "*.bin"]))
    named = {path for path in found.paths if "dddd" not in path}
    assert named == {"out/ok", "out/new\nline", "out/bad\udcff", "out/sparse", "out/deep/in/leaf.log", "agent.log"}
    assert {path: why for path, why in found.left.items() if "dddd" not in path} == {
        "out/shut": "Permission denied", "out/shut.txt": "Permission denied",
    }  # fmt: skip
    assert "File name too long" in found.left.values()
    copy = world.home / "runs" / "agent-1" / handle.key / "artifacts" / "out" / "sparse"
    assert copy.stat().st_size == 1 << 40
    assert copy.stat().st_blocks * 512 < 1 << 20
    with copy.open("rb") as file:
        file.seek(1 << 39)
        assert file.read(7) == b"middle\0"
    asyncio.run(world.engine.forget(handle, workspace=True))
    assert not (world.home / "agents" / "agent-1").exists()
