"""Who a process is: pids are given out again, zombies answer signal 0, titles overwrite environments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from agent_haymaker import process_table, processes
from agent_haymaker.engines import RunState
from agent_haymaker.testing import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sleeper():
    child = subprocess.Popen(["sleep", "100"], env={"HAYMAKER_RUN_ID": "sleeper.1", "B": "2"})
    yield child
    child.kill()
    child.wait()


def test_a_process_is_itself_and_nobody_else(sleeper):
    identity = processes.identify(sleeper.pid)
    assert processes.is_alive(identity)
    later = identity._replace(started=identity.started + 1)
    rebooted = identity._replace(boot="another")
    assert processes.are_alive([identity, later, rebooted, identity]) == [True, False, False, True]
    assert not processes.is_alive(later)
    assert not processes.is_alive(rebooted)
    assert abs(processes.started_at(identity) - os.stat(f"/proc/{sleeper.pid}").st_mtime) < 5
    assert processes.started_at(rebooted) is None


def test_a_zombie_is_dead(sleeper):
    identity = processes.identify(sleeper.pid)
    sleeper.kill()
    eventually(lambda: Path(f"/proc/{sleeper.pid}/stat").read_text().split()[2] == "Z")
    os.kill(sleeper.pid, 0)
    assert processes.identify(sleeper.pid) is None
    assert not processes.is_alive(identity)
    assert processes.are_alive([identity]) == [False]
    assert processes.send_signal(identity, signal.SIGTERM) is False
    assert processes.look(sleeper.pid).dead


def test_a_leader_that_is_a_zombie_while_its_threads_run_on_is_alive(world):
    script = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
ctypes.CDLL(None).syscall(60, 0)  # exit of the first thread alone
"""
    handle = world.python(script).handle
    pid = handle.token["pid"]
    eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z")
    assert world.look(handle).state is RunState.RUNNING
    assert world.stop(handle, 0.2).state is RunState.STOPPED


def test_a_name_with_parentheses_and_spaces_does_not_confuse(tmp_path):
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([program, "100"])
    try:
        eventually(lambda: "R 1" in Path(f"/proc/{child.pid}/comm").read_text())
        assert processes.look(child.pid).parent == os.getpid()
        assert processes.is_alive(processes.identify(child.pid))
    finally:
        child.kill()
        child.wait()


def test_the_run_id_is_read_from_the_environment(sleeper):
    assert processes.run_id_of(sleeper.pid, until=processes.soon()) == "sleeper.1"
    assert processes.read_environ(sleeper.pid) == {"HAYMAKER_RUN_ID": "sleeper.1", "B": "2"}
    assert processes.run_id_of(1 << 22) is None
    assert processes.read_environ(1 << 22) is None


def test_one_in_the_middle_of_an_exec_is_waited_for_and_one_without_an_environment_is_not():
    """While it is in an exec it shows no environment, and so would not be found by the id that it carries."""
    made = []

    def spawn(**env: str) -> int:
        made.append(os.posix_spawn("/bin/sleep", ["sleep", "100"], env))
        return made[-1]

    try:
        for n in range(30):
            assert processes.run_id_of(spawn(HAYMAKER_RUN_ID=f"r.{n}"), until=float("inf")) == f"r.{n}"
        pid = spawn(HAYMAKER_RUN_ID="s.1")
        assert process_table.take_snapshot().run_ids[pid] == "s.1"
        spawn(HAYMAKER_RUN_ID="s.2")
        assert "s.2" in processes.live_run_ids("s.", "/nowhere")
        assert processes.run_id_of(spawn(), until=float("inf")) is None
    finally:
        for pid in made:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param([(b"0", b"0")], id="the old one is gone"),
        pytest.param([(b"7", b"9")], id="it was opened before the exec and read after it"),
        pytest.param([(b"7", b"7"), (b"7", b"9")], id="the new one is not counted yet"),
    ],
)
def test_no_instant_of_an_exec_reads_as_an_empty_environment(monkeypatch, ends):
    """Too short for a real process to show each of them: what the kernel says meanwhile is told here."""
    environs = [b"", *[b""] * (len(ends) - 1), b"HAYMAKER_RUN_ID=r.1\0"]
    stats = [b" ".join([b"1 (x) R", *[b"0"] * 46, start, end]) for start, end in ends]
    monkeypatch.setattr(processes, "_read_whole_environ", lambda _: environs.pop(0))
    monkeypatch.setattr(processes, "_read", lambda _: stats.pop(0))
    assert processes.run_id_of(1, until=float("inf")) == "r.1"


def test_no_pid_below_one_is_anybody():
    for pid in (0, -1, -os.getpid()):
        assert processes.identify(pid) is None
        assert processes.send_signal(processes.ProcessId(pid, 0, processes.boot_id()), 0) is False


def test_running_out_of_file_descriptors_never_reads_as_gone(sleeper):
    script = textwrap.dedent(f"""
        import os, resource, sys
        sys.path.insert(0, {str(ROOT)!r})
        from agent_haymaker import process_table, processes
        from agent_haymaker.engines.local import LocalEngine
        from agent_haymaker.engines.local_look import handle_of
        engine, identity = LocalEngine("/nonexistent"), processes.identify({sleeper.pid})
        engine.observe([handle_of("k", identity)]), engine.list()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        print(engine.observe([handle_of("k", identity)])[0].state)
        for look in (lambda: processes.is_alive(identity), lambda: processes.are_alive([identity]),
                     process_table.take_snapshot):
            try:
                print(look())
            except OSError as error:
                print(error.strerror)
    """)
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["unreachable", *["Too many open files"] * 3]


RECYCLE = """
import asyncio, os, signal, subprocess, sys, time
sys.path.insert(0, {root!r})
from agent_haymaker import process_table, processes
from agent_haymaker.engines import RunSpec, RunState, claims
from agent_haymaker.engines.local import LocalEngine
from agent_haymaker.errors import PlatformError

def until(check):
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.005)

def take(pid, argv, **more):
    # Roll the pids of this namespace until a stranger gets this one.
    for _ in range(2000):
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(pid - 1))
        child = subprocess.Popen(argv, **more)
        if child.pid == pid:
            return child
        child.kill(), child.wait()
    raise AssertionError("the pid could not be taken")

engine = LocalEngine({home!r})
spec = RunSpec(argv=("sleep", "100"), env={{"PATH": os.environ["PATH"]}}, workspace="w", owner="f")
handle = asyncio.run(engine.submit(spec, "run.1")).handle
pid = handle.token["pid"]
assert engine.observe([handle])[0].state is RunState.RUNNING
shim = processes.look(pid).parent
os.kill(shim, signal.SIGKILL)          # so that nobody records the end
os.kill(pid, signal.SIGKILL)
until(lambda: os.waitpid(-1, os.WNOHANG) and processes.look(pid) is None)  # we are this namespace's init
stranger = take(pid, ["sleep", "200"], start_new_session=True)
assert stranger.pid == pid and processes.identify(pid).started != handle.token["started"]

assert engine.observe([handle])[0].state is RunState.LOST
assert engine.find("run.1").state is RunState.LOST
assert asyncio.run(engine.stop(handle, 0)).state is RunState.LOST
assert stranger.poll() is None

# A record edited to name the stranger with its true start time.
import json
claim = {home!r} + "/engines/local/runs/run.1.jsonl"
lines = open(claim).read().splitlines()
edited = json.loads(lines[1]) | {{"started": processes.identify(pid).started}}
edited["seal"] = claims.seal("run.1", processes.identify(pid))  # by somebody who knows how
open(claim, "w").write(lines[0] + "\\n" + json.dumps(edited) + "\\n")
for each in (handle, type(handle)("local", "run.1", edited), type(handle)("local", "run.1")):
    try:
        asyncio.run(engine.stop(each, 0))
        raise AssertionError("it was stopped")
    except PlatformError as error:
        told = str(error)
assert stranger.poll() is None
stranger.kill()
print("the stranger lived; told:", told)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="a pid namespace needs root; CI runs this as root too")
def test_a_recycled_pid_is_neither_counted_nor_touched(tmp_path):
    script = RECYCLE.format(root=str(ROOT), home=str(tmp_path / "home"))
    told = subprocess.run(
        ["unshare", "-p", "-f", "--mount-proc", "--kill-child", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert told.stdout.startswith("the stranger lived"), told.stdout + told.stderr
    assert "it was not touched" in told.stdout


def test_another_pid_namespace_of_the_same_boot_is_another_world(tmp_path, world):
    assert "/" not in processes.boot_id() or "pid:[" in processes.boot_id()
    if os.getuid() != 0:
        return
    handle = world.submit("sleep", "100").handle
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from agent_haymaker.engines.local import LocalEngine;"
        f"from agent_haymaker.engines import Handle; e = LocalEngine({str(world.home)!r});"
        f"h = Handle('local', {handle.key!r}, {dict(handle.token)!r}); print(e.observe([h])[0].state)"
    )
    command = ["unshare", "-p", "-f", "--mount-proc", sys.executable, "-c", script]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == "unreachable\n"
    world.kill_shim()
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == "lost\n"
