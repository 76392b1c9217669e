"""Stop ends the whole tree, from any process, and never anybody else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PATH

from agent_haymaker import process_table, processes
from agent_haymaker.engines import Handle, RunState, claims
from agent_haymaker.errors import DoubtError, PlatformError
from agent_haymaker.testing import eventually

ROOT = Path(__file__).parents[2]
STOP = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from agent_haymaker.engines import Handle
from agent_haymaker.engines.local import LocalEngine
print(asyncio.run(LocalEngine(sys.argv[2]).stop(Handle("local", sys.argv[3]), float(sys.argv[4]))).state)
"""


def stop_elsewhere(world, key, grace=5.0, **more):
    command = [sys.executable, "-c", STOP, str(ROOT), str(world.home), key, str(grace)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more)


def test_a_run_is_stopped_from_a_second_process(world):
    handle = world.shell("sleep 100 & sleep 100").handle
    with stop_elsewhere(world, handle.key) as other:
        assert other.stdout.read() == "stopped\n"
    seen = world.look(handle)
    assert (seen.state, seen.exit.reason, seen.exit.signal) == (RunState.STOPPED, "stopped", signal.SIGTERM)
    assert world.alive(handle.key) == []


def test_an_orderly_end_within_the_grace_is_waited_for(world):
    handle = world.shell("trap 'sleep 0.3; echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done").handle
    eventually(lambda: b"up" in world.log(handle))
    seen = world.stop(handle, 10)
    assert (seen.state, seen.exit.code) == (RunState.STOPPED, 3)
    assert world.log(handle).endswith(b"bye\n")


def test_one_that_ignores_sigterm_is_killed_after_the_grace_and_not_before(world):
    handle = world.shell("trap '' TERM; echo up; while :; do sleep 0.05; done").handle
    eventually(lambda: b"up" in world.log(handle))
    begun = time.monotonic()
    seen = world.stop(handle, 0.5)
    assert time.monotonic() - begun >= 0.5
    assert (seen.state, seen.exit.signal) == (RunState.STOPPED, signal.SIGKILL)


FAMILY = """
import os, time
def child(what):
    if os.fork() == 0:
        what()
        open(f"born-{os.getpid()}", "w").close()
        time.sleep(1000)
def daemon():
    os.setsid()
    if os.fork(): os._exit(0)
def nameless():
    os.setsid()
    os.execve("/bin/sh", ["sh", "-c", ": > born-$$; exec sleep 1000"], {})
child(lambda: None); child(os.setpgrp); child(os.setsid); child(daemon); child(nameless)
child(lambda: (os.setsid(), child(os.setsid), child(daemon)))
time.sleep(1000)
"""


def test_grandchildren_in_other_groups_and_sessions_and_daemons_are_ended_too(world):
    handle = world.python(FAMILY).handle
    workspace = world.home / "agents" / "agent-1"
    born = eventually(lambda: (lambda found: found if len(found) == 8 else None)(list(workspace.glob("born-*"))))
    pids = [int(path.name.removeprefix("born-")) for path in born]
    world.strangers += pids
    family = [processes.identify(pid) for pid in pids]
    assert all(family)
    assert world.stop(handle).state is RunState.STOPPED
    assert [member for member in family if processes.is_alive(member)] == []
    world.strangers.clear()


def test_members_that_fork_while_being_stopped_are_ended_too(world):
    script = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("up", "w").close()
for n in range(2000):
    pid = os.fork()
    if n % 3 == 0: os.setpgrp() if not pid else None
    if pid == 0 and n % 5 == 0: os.setsid() if os.getpgrp() != os.getpid() else None
    if pid: (time.sleep(0.02), os._exit(0))
    time.sleep(0.001)
time.sleep(1000)
"""
    handle = world.python(script).handle
    eventually((world.home / "agents" / "agent-1" / "up").exists)
    assert world.stop(handle, 0.1).state is not RunState.RUNNING
    assert world.alive(handle.key) == []


def test_a_modest_fork_bomb_is_ended(world):
    script = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(5): os.fork()
while True:
    if os.fork() == 0: time.sleep(0.05); os._exit(0)
    time.sleep(0.02)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass
"""
    handle = world.python(script).handle
    eventually(lambda: len(world.alive(handle.key)) > 30)
    world.stop(handle, 0.1)
    assert world.alive(handle.key) == []


def test_stopping_what_has_ended_keeps_the_exit_it_had(world):
    handle = world.shell("exit 6").handle
    world.wait(handle)
    before = world.claim_path(handle.key).read_bytes()
    seen = world.stop(handle)
    assert (seen.state, seen.exit.code) == (RunState.FAILED, 6)
    assert world.claim_path(handle.key).read_bytes() == before
    handle = world.submit("sleep", "100").handle
    assert world.stop(handle) == world.stop(handle)
    assert world.stop(Handle("local", "never-started")).state is RunState.LOST


def test_what_a_lost_run_left_behind_is_ended_by_a_stop(world):
    handle = world.shell("setsid sleep 1000 & sleep 1000").handle
    eventually(lambda: len(world.alive(handle.key)) == 3)
    world.kill_shim()
    os.kill(handle.token["pid"], signal.SIGKILL)
    eventually(lambda: world.look(handle).state is RunState.LOST)
    assert len(world.alive(handle.key)) == 2
    assert world.stop(handle, 1).state is RunState.LOST
    assert world.alive(handle.key) == []


def test_a_stop_that_is_killed_after_its_first_signal_still_reads_as_stopped(world):
    trap = "echo got it; while [ ! -e go ]; do sleep 0.02; done; exit 0"
    script = f"trap '{trap}' TERM; echo up; while :; do sleep 0.05; done"
    handle = world.shell(script).handle
    eventually(lambda: b"up" in world.log(handle))
    with stop_elsewhere(world, handle.key, 60) as other:
        eventually(lambda: b"got it" in world.log(handle))
        assert world.engine.find(handle.key).state is RunState.STOPPING
        other.kill()
    (world.home / "agents" / "agent-1" / "go").touch()
    seen = world.wait(handle)
    assert (seen.state, seen.exit.reason) == (RunState.STOPPED, "stopped")


def test_a_stop_that_never_signalled_does_not_hide_a_later_failure(world):
    handle = world.shell("while [ ! -e go ]; do sleep 0.02; done; exit 9").handle
    home = os.open(world.local, os.O_RDONLY)
    claims.append(home, handle.key, {"stop_requested": time.time() - 1000, "grace": 5})
    os.close(home)
    assert world.look(handle).state is RunState.RUNNING
    (world.home / "agents" / "agent-1" / "go").touch()
    seen = world.wait(handle)
    assert (seen.state, seen.exit.code) == (RunState.FAILED, 9)


def test_two_hundred_are_stopped_at_once_with_few_looks_at_the_process_table(world, monkeypatch):
    async def many():
        seen = await asyncio.gather(
            *(world.engine.submit(world.spec("sleep", "100", workspace=f"w{n}"), world.key()) for n in range(200))
        )
        return await asyncio.gather(*(world.engine.stop(each.handle, 5) for each in seen))

    looks = []
    look = process_table.take_snapshot
    with monkeypatch.context() as patch:
        patch.setattr(process_table, "take_snapshot", lambda: looks.append(1) or look())
        assert {seen.state for seen in asyncio.run(many())} == {RunState.STOPPED}
    assert len(looks) < 20
    assert not set(process_table.take_snapshot().run_ids.values()) & set(world.keys)


@pytest.fixture
def innocent(world):
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True, env={"PATH": PATH})
    yield processes.identify(child.pid)
    child.kill()
    child.wait()


def refused(world, handle):
    with pytest.raises(PlatformError) as told:
        world.stop(handle, 0)
    assert told.value.fix
    return str(told.value)


def test_a_handle_that_names_an_innocent_process_harms_nobody(world, innocent):
    agent = world.submit("sleep", "1000").handle
    token = {**innocent._asdict(), "seal": claims.seal(agent.key, innocent)}
    assert "another process than its claim file" in refused(world, Handle("local", agent.key, token))
    assert "another process than its claim file" in refused(world, Handle("local", agent.key, {**token, "seal": 1}))
    assert "was edited" in refused(world, Handle("local", "no-such-run", token))
    token["seal"] = claims.seal("no-such-run", innocent)
    assert "it was not touched" in refused(world, Handle("local", "no-such-run", token))
    assert processes.is_alive(innocent)
    assert world.look(agent).state is RunState.RUNNING
    assert world.look(Handle("local", agent.key, {**token, "seal": 1})).state is RunState.UNREACHABLE


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("shim_lives", [True, False])
def test_a_claim_file_that_names_an_innocent_process_harms_nobody(world, innocent, sealed, shim_lives):
    agent = world.submit("sleep", "1000").handle
    if not shim_lives:
        world.kill_shim()
    path = world.claim_path(agent.key)
    head, line = path.read_text().splitlines()
    edited = {**json.loads(line), **innocent._asdict()}
    if sealed:
        edited["seal"] = claims.seal(agent.key, innocent)
    path.write_text(f"{head}\n{json.dumps(edited)}\n")
    for handle in (agent, Handle("local", agent.key), Handle("local", agent.key, edited)):
        refused(world, handle)
    assert processes.is_alive(innocent)
    assert len(world.alive(agent.key)) == 1


def test_a_claim_file_that_names_another_agent_harms_neither(world):
    one, two = (world.submit("sleep", "1000", workspace=name).handle for name in ("one", "two"))
    process = processes.ProcessId(two.token["pid"], two.token["started"], two.token["boot"])
    eventually(lambda: processes.run_id_of(process.pid) == two.key)  # its exec may just be under way
    path = world.claim_path(one.key)
    head, line = path.read_text().splitlines()
    edited = {**json.loads(line), **process._asdict(), "seal": claims.seal(one.key, process)}
    path.write_text(f"{head}\n{json.dumps(edited)}\n")
    assert "another run's id" in refused(world, Handle("local", one.key))
    assert [len(world.alive(each.key)) for each in (one, two)] == [1, 1]


@pytest.mark.parametrize("shim_lives", [True, False])
def test_an_agent_that_wrote_its_own_end_into_its_claim_is_live_until_it_ends(world, shim_lives):
    handle = world.submit("sleep", "1000").handle
    if not shim_lives:
        world.kill_shim()
    with world.claim_path(handle.key).open("a") as claim:
        claim.write('{"ended": 5, "code": 0, "reason": "exited"}\n')
    assert world.look(handle).state is RunState.RUNNING
    world.stop(handle, 1)
    assert not world.alive(handle.key)
    asyncio.run(world.engine.forget(handle, workspace=True))


OVERWRITE = """
import ctypes, os, sys, time
stat = open("/proc/self/stat").read().rsplit(")", 1)[1].split()
start, end = int(stat[47]), int(stat[48])
ctypes.memset(start, 0, end - start)
open("up", "w").close()
time.sleep(1000)
"""


@pytest.mark.parametrize("shim_lives", [True, False])
def test_an_agent_that_overwrote_its_environment_is_known_by_claim_parent_and_place(world, shim_lives):
    handle = world.python(OVERWRITE).handle
    eventually((world.home / "agents" / "agent-1" / "up").exists)
    pid = handle.token["pid"]
    agent = processes.identify(pid)
    world.strangers.append(pid)
    assert processes.run_id_of(pid) is None
    if not shim_lives:
        world.kill_shim()
    assert world.stop(handle, 1).state is RunState.STOPPED
    assert not processes.is_alive(agent)
    world.strangers.clear()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\0" * 300, "cut off"),
        (b"garbage\n", "not JSON"),
        (b"[]\n", "not an object"),
        (b'{"v": 1, "key"', "cut off"),
        (b'{"v": 2, "key": "KEY"}\n', "version"),
        (b'{"v": 1, "key": "other"}\n', "another run"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b"x" * (1 << 20), "far too long"),
        (lambda raw: raw.replace(b'"pid": ', b'"pid": 1'), "edited"),
        (lambda raw: raw.replace(b'"started": ', b'"started": -'), "not a whole number"),
        (lambda raw: raw.splitlines(True)[0] + b'{"pid": 1, "started": 0, "boot": "", "at": 0}\n', "out of range"),
        (lambda raw: raw.splitlines(True)[0] + b'{"pid": true, "started": 0, "boot": "", "at": 0}\n', "not a whole"),
        (lambda raw: raw + b'{"pid": 77, "started": 5, "boot": "x", "at": 1}\n', "two processes"),
        (lambda raw: raw + b'{"whatever": 1}\n', "unknown kind"),
        (lambda raw: raw[: len(raw) // 4], "cut off"),
        ("directory", "not a regular file"),
        ("symlink", "cannot be opened"),
        ("pipe", "not a regular file"),
    ],
)
def test_a_claim_file_that_cannot_be_read_exactly_is_doubt_and_nobody_is_touched(world, content, says, tmp_path):
    handle = world.submit("sleep", "1000").handle
    path = world.claim_path(handle.key)
    raw = path.read_bytes()
    path.unlink()
    if content == "directory":
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    elif content == "symlink":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_bytes(content(raw) if callable(content) else content.replace(b"KEY", handle.key.encode()))
    bare = Handle("local", handle.key)
    for seen in (world.look(bare), world.engine.find(handle.key), *world.engine.list("whoever")):
        assert seen.state is RunState.UNREACHABLE
        assert says in seen.detail
    for each in (handle, bare):
        with pytest.raises(DoubtError, match="nobody was signalled"):
            world.stop(each, 0)
        with pytest.raises(DoubtError):
            asyncio.run(world.engine.forget(each))
    eventually(lambda: len(world.alive(handle.key)) == 1)  # its exec may just be under way
    assert os.path.lexists(path)


def test_without_its_claim_file_an_agent_is_found_and_stopped_by_the_id_it_carries(world):
    handle = world.submit("sleep", "1000").handle
    world.claim_path(handle.key).unlink()
    found = world.engine.find(handle.key)
    assert (found.state, found.handle) == (RunState.RUNNING, handle)
    assert world.stop(handle, 1).state is RunState.STOPPED
    assert world.alive(handle.key) == []


def test_an_agent_that_stops_itself_through_haymaker_is_stopped(world):
    script = f"{sys.executable} -c '{STOP}' {ROOT} {world.home} $HAYMAKER_RUN_ID 1 > told; sleep 100"
    handle = world.shell(script).handle
    seen = world.wait(handle)
    assert seen.state is RunState.STOPPED
    assert world.alive(handle.key) == []
