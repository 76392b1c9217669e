"""The shim may be killed at any instant, started by two at once, left with stale requests: never two, never lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import PATH

from agent_haymaker import processes
from agent_haymaker.engines import Handle, RunState, claims, shim_socket
from agent_haymaker.engines.local import LocalEngine
from agent_haymaker.errors import TryAgain
from agent_haymaker.testing import eventually

ROOT = Path(__file__).parents[2]


def test_an_agent_outlives_its_shim_and_is_adopted_by_its_identity(world):
    handle = world.submit("sleep", "1000").handle
    world.kill_shim()
    assert world.look(handle).state is RunState.RUNNING
    assert world.engine.find(handle.key).handle == handle
    seen = world.submit("sleep", "1000", key=handle.key)
    assert seen.handle == handle
    assert len(world.alive(handle.key)) == 1
    assert world.stop(handle).state is RunState.STOPPED
    assert world.look(handle).state is RunState.STOPPED


def test_the_end_of_an_agent_whose_shim_was_killed_is_lost_and_said_so(world):
    handle = world.shell("while [ ! -e go ]; do sleep 0.02; done; exit 3").handle
    world.kill_shim()
    (world.home / "agents" / "agent-1" / "go").touch()
    seen = world.wait(handle)
    assert (seen.state, str(seen.exit)) == (RunState.LOST, "exit unknown")
    assert "shim was killed" in seen.detail


def test_a_new_shim_takes_over_beside_agents_of_a_killed_one(world):
    old = world.submit("sleep", "1000").handle
    first = world.shim
    world.kill_shim()
    new = world.shell("exit 2").handle
    assert world.wait(new).exit.code == 2
    assert world.shim not in (0, first)
    os.kill(old.token["pid"], signal.SIGKILL)
    assert world.wait(old).state is RunState.LOST


def test_the_shim_ends_after_its_last_agent_and_leaves_no_zombie(world):
    handle = world.shell("while [ ! -e go ]; do sleep 0.02; done").handle
    shim = processes.identify(world.shim)
    assert shim
    (world.home / "agents" / "agent-1" / "go").touch()
    world.wait(handle)
    eventually(lambda: not processes.is_alive(shim))
    assert not (world.local / "shim.sock").exists()
    assert not shim_socket.is_shim_there(str(world.local))


def test_signals_that_mean_a_terminal_or_a_logout_leave_the_shim_and_its_agents_alone(world):
    handle = world.shell("while [ ! -e go ]; do sleep 0.02; done; exit 3").handle
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTERM):
        os.kill(world.shim, signum)
    assert world.submit("sleep", "0.01", workspace="other").state is RunState.RUNNING
    (world.home / "agents" / "agent-1" / "go").touch()
    assert world.wait(handle).exit.code == 3


def test_a_claim_without_a_process_whose_shim_is_dead_is_lost_and_never_started(world):
    world.wait(world.submit("true").handle)
    template = world.claim(world.keys[0])[0]
    eventually(lambda: not world.shim)
    key = world.key()
    world.claim_path(key).write_text(json.dumps({**template, "key": key}) + "\n")
    found = world.engine.find(key)
    assert (found.state, found.detail) == (RunState.LOST, "it was about to start when its shim was killed")
    assert world.submit("sleep", "1000", key=key).state is RunState.LOST
    assert world.alive(key) == []


def test_a_process_that_was_spawned_and_not_written_down_is_found_by_the_id_it_carries(world):
    handle = world.submit("sleep", "1000").handle
    world.kill_shim()
    path = world.claim_path(handle.key)
    path.write_text(path.read_text().splitlines(True)[0])
    assert world.engine.find(handle.key).handle == handle
    assert world.look(Handle("local", handle.key)).state is RunState.RUNNING
    assert world.submit("sleep", "1000", key=handle.key).handle == handle
    assert world.stop(Handle("local", handle.key)).state is RunState.STOPPED
    assert world.alive(handle.key) == []


SUBMIT = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from agent_haymaker.engines import RunSpec
from agent_haymaker.engines.local import LocalEngine
spec = RunSpec(argv=("sh", "-c", "echo $$ >> starts; exec sleep 1000"), env={"PATH": sys.argv[4]},
               workspace=sys.argv[3], owner="fleet")
print(asyncio.run(LocalEngine(sys.argv[2]).submit(spec, sys.argv[3])).handle.token["pid"])
"""


def submit_elsewhere(world, key):
    command = [sys.executable, "-c", SUBMIT, str(ROOT), str(world.home), key, PATH]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_twenty_submits_of_one_key_from_several_processes_with_no_shim_yet_are_one_run(world):
    key = world.key()
    spec = world.spec("sh", "-c", "echo $$ >> starts; exec sleep 1000", workspace=key)

    async def here():
        others = [LocalEngine(world.home) for _ in range(8)]
        return await asyncio.gather(*(engine.submit(spec, key) for engine in [*others, *[world.engine] * 8]))

    elsewhere = [submit_elsewhere(world, key) for _ in range(4)]
    pids = {seen.handle.token["pid"] for seen in asyncio.run(here())}
    for each in elsewhere:
        out, err = each.communicate()
        assert not err
        pids.add(int(out))
    assert len(pids) == 1
    starts = world.home / "agents" / key / "starts"
    assert eventually(lambda: starts.read_text().split()) == [str(pid) for pid in pids]


@pytest.mark.parametrize("rounds", [8, pytest.param(150, marks=pytest.mark.soak)])
def test_killing_the_shim_at_random_instants_of_a_submit_never_makes_two_and_never_loses_one(world, rounds):
    chance = random.Random(rounds)
    world.submit("sleep", "1000")

    async def one(key):
        spec = world.spec("sh", "-c", "echo $$ >> starts; exec sleep 1000", workspace=key)
        shim = processes.identify(world.shim)

        async def kill():
            await asyncio.sleep(chance.random() * 0.004)
            if shim:  # one that has nothing to do may have ended meanwhile
                processes.send_signal(shim, signal.SIGKILL)

        killing = asyncio.ensure_future(kill())
        with suppress(TryAgain):
            await world.engine.submit(spec, key)
        await killing

    states = set()
    for _ in range(rounds):
        key = world.key()
        asyncio.run(one(key))
        found = world.engine.find(key)
        states.add(found.state if found else None)
        alive = world.alive(key)
        assert len(alive) <= 1
        # What is said now stays true: nothing starts later under a key that is lost or was never claimed.
        assert (found is not None and found.state is RunState.RUNNING) == (len(alive) == 1), (found, alive)
        again = asyncio.run(world.engine.submit(world.spec("sleep", "1000", workspace=key), key))
        assert len(world.alive(key)) == (0 if again.state is RunState.LOST else 1)
        if alive:
            assert again.handle.token["pid"] == alive[0]
            assert world.stop(again.handle, 1).state is RunState.STOPPED
        starts = world.home / "agents" / key / "starts"
        assert not starts.exists() or len(starts.read_text().split()) <= 1  # stopped before it wrote, perhaps


def dropped(link):
    try:
        return link.recv(4096) == b""
    except ConnectionResetError:
        return True


def test_a_request_that_a_killed_pass_left_in_the_socket_starts_nothing_later(world):
    world.submit("sleep", "1000")
    shim, key = world.shim, world.key()
    os.kill(shim, signal.SIGSTOP)
    (world.home / "agents" / "late").mkdir()
    stale = shim_socket.connect(str(world.local))
    request = {"op": "submit", "key": key, "path": "/bin/sleep", "argv": ["sleep", "1000"], "env": {}, "id": 1}
    request |= {"cwd": f"{world.home}/agents/late", "owner": "f", "workspace": "late", "log": "agent.log"}
    request |= {"logs": "", "log_max": 1 << 20, "timeout": None, "grace": 1, "limits": {}}
    hello = {"op": "hello", "v": 1, "fence": "the killed one", "id": 0}
    stale.sendall(json.dumps(hello).encode() + b"\n")
    half = json.dumps(request).encode() + b"\n"
    stale.sendall(half[:100])
    os.kill(shim, signal.SIGCONT)
    assert json.loads(stale.recv(4096))["v"] == 1
    os.kill(shim, signal.SIGSTOP)
    # A new holder of the pass lock asks what became of the key; only then does the rest of the request get through.
    holder = shim_socket.connect(str(world.local))
    holder.sendall(json.dumps({**hello, "fence": "its successor"}).encode() + b"\n")
    os.kill(shim, signal.SIGCONT)
    assert json.loads(holder.recv(4096))["v"] == 1
    with suppress(BrokenPipeError):
        stale.sendall(half[100:])
    assert dropped(stale)
    assert LocalEngine(world.home, fence=True).find(key) is None
    assert not world.claim_path(key).exists()
    for each in (stale, holder):
        each.close()


def test_a_fenced_look_does_not_drop_the_starts_of_its_own_process(world):
    world.engine = LocalEngine(world.home, fence=True)

    async def both():
        specs = [world.spec("sleep", "100", workspace=f"w{n}") for n in range(30)]
        asked = [asyncio.ensure_future(world.engine.submit(spec, world.key())) for spec in specs]
        while not all(each.done() for each in asked):
            assert LocalEngine(world.home, fence=True).find("some-key") is None
            await asyncio.sleep(0)
        return [each.result().state for each in asked]

    assert set(asyncio.run(both())) == {RunState.RUNNING}


def test_requests_without_a_hello_and_garbage_are_dropped_and_harm_nobody(world):
    handle = world.submit("sleep", "1000").handle
    for sent in (b"garbage\n", b"[]\n", b'{"op": "submit"}\n', b'{"op": "hello", "v": 99, "id": 1}\n', b"\xff\n", b"{"):
        with shim_socket.connect(str(world.local)) as link:
            link.sendall(sent)
            link.shutdown(socket.SHUT_WR)
            link.settimeout(5)
            link.recv(4096)
    assert world.shell("exit 0").state is RunState.RUNNING
    assert world.look(handle).state is RunState.RUNNING


def test_a_shim_that_hangs_is_unreachable_and_nothing_is_guessed(world, monkeypatch):
    handle = world.submit("sleep", "1000").handle
    shim = world.shim
    monkeypatch.setattr("agent_haymaker.engines.shim_socket.ask.__kwdefaults__", {"timeout_seconds": 0.3})
    os.kill(shim, signal.SIGSTOP)
    eventually(lambda: processes.is_suspended(shim))
    try:
        assert world.look(handle).state is RunState.RUNNING
        found = world.engine.find("some-other-key")
        assert found.state is RunState.UNREACHABLE
        assert f"`kill -CONT {shim}` wakes it" in found.detail
        assert world.engine.find(handle.key).state is RunState.RUNNING
    finally:
        os.kill(shim, signal.SIGCONT)
    assert world.engine.find("some-other-key") is None


def test_a_connection_to_a_shim_that_is_killed_meanwhile_says_try_again(world):
    world.submit("sleep", "1000")
    shim = world.shim

    async def late():
        os.kill(shim, signal.SIGSTOP)
        asked = asyncio.ensure_future(world.engine.submit(world.spec("sleep", "1"), world.key()))
        await asyncio.sleep(0.05)
        os.kill(shim, signal.SIGKILL)
        await asked

    # The hello was not answered yet, so that nothing was asked: a new shim is started and does it.
    asyncio.run(late())
    assert len(world.alive(world.keys[-1])) == 1


def test_claims_are_one_of_a_kind_even_where_two_shims_could_make_them(tmp_path):
    (tmp_path / "runs").mkdir()
    home = os.open(tmp_path, os.O_RDONLY)
    head = {"boot": "b", "claimed_at": 1.0, "owner": "o", "workspace": "w", "log": "l", "grace": 1.0}
    head["shim"] = {"pid": 5, "started": 1, "reaper": 1}
    claims.create(home, "k", head)
    with pytest.raises(FileExistsError):
        claims.create(home, "k", head)
    assert os.listdir(tmp_path / "runs") == ["k.jsonl"]
    claim = claims.read(str(tmp_path), "k")
    assert (claim.owner, claim.process, claim.end) == ("o", None, None)
    with open(tmp_path / "runs" / "k.jsonl", "ab") as torn:
        torn.write(b'{"ended": 1')
    assert claims.read(str(tmp_path), "k").end is None
    claims.append(home, "k", {"ended": 2, "code": 0})
    assert claims.read(str(tmp_path), "k").end["ended"] == 2
    os.close(home)
    assert claims.read(str(tmp_path), "none") is None
    for bad in ("", ".", "..", "a/b", "x" * 201, "a b", "a\0", ".hidden"):
        assert not claims.is_key(bad)
        with pytest.raises(claims.BadClaim):
            claims.read(str(tmp_path), bad)
