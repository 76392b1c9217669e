"""Logs: bounded, read from anywhere at the cost of what is read, followed across a rotation to the end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from agent_haymaker.engines import RunState
from agent_haymaker.testing import eventually


def test_a_log_is_read_from_any_offset(world):
    handle = world.shell("echo out; echo err >&2").handle
    world.wait(handle)
    assert world.log(handle) == b"out\nerr\n"
    assert world.log(handle, 4) == b"err\n"
    assert world.log(handle, -4) == b"err\n"
    assert world.log(handle, -400) == b"out\nerr\n"
    outside = world.shell("echo hidden", log="").handle
    world.wait(outside)
    assert world.log(outside) == b"hidden\n"
    assert not any(b"hidden" in path.read_bytes() for path in (world.home / "agents").rglob("*.log"))


def test_the_tail_of_a_huge_log_costs_the_tail(world):
    handle = world.shell("truncate -s 10G agent.log; echo the end").handle
    world.wait(handle)
    before = bytes_read()
    assert world.log(handle, -8) == b"the end\n"
    assert bytes_read() - before < 1 << 20


def bytes_read():
    """What this process has read so far, from whatever file."""
    told = Path("/proc/self/io").read_text()
    return int(told.split("rchar:")[1].split()[0])


def test_following_gives_everything_until_the_run_ends(world):
    handle = world.shell("for n in 1 2 3 4 5; do echo $n; sleep 0.05; done").handle

    async def follow():
        return b"".join([piece async for piece in world.engine.logs(handle, follow=True)])

    assert asyncio.run(follow()) == b"1\n2\n3\n4\n5\n"
    assert world.look(handle).state is RunState.SUCCEEDED


def test_a_log_that_grows_without_end_is_rotated_and_followed_without_a_gap(world, monkeypatch):
    monkeypatch.setenv("HAYMAKER_LOG_MAX_BYTES", "20000")
    script = """
import os, time
for n in range(3600):
    print(f"line {n:06}", flush=True)
    if n % 40 == 0: time.sleep(0.03)
    while n == 3000 and not os.path.exists("agent.log.1"): time.sleep(0.02)
"""
    handle = world.python(script).handle

    async def follow():
        return b"".join([piece async for piece in world.engine.logs(handle, follow=True)])

    lines = asyncio.run(follow()).split(b"\n")
    workspace = world.home / "agents" / "agent-1"
    assert (workspace / "agent.log.1").exists()
    assert (workspace / "agent.log").stat().st_size < 36_000
    assert lines[-2] == b"line 003599"
    numbers = [int(line.split()[1]) for line in lines if len(line) == 11]
    # Between the copy's end and the cut a few may be lost, the more the busier the host; none comes twice, none out of
    # order. Without what was put aside, a good half would be missing.
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 2500


def test_a_log_that_the_agent_replaced_by_its_own_file_is_not_cut(world, monkeypatch, tmp_path):
    monkeypatch.setenv("HAYMAKER_LOG_MAX_BYTES", "4096")
    precious = tmp_path / "precious"
    precious.write_bytes(b"x" * 10_000)
    handle = world.shell(f"rm agent.log; ln -s {precious} agent.log; sleep 100").handle
    other = world.shell("head -c 10000 /dev/zero; sleep 100", workspace="agent-2").handle
    rotated = world.home / "agents" / "agent-2" / "agent.log.1"
    eventually(rotated.exists)
    assert precious.stat().st_size == 10_000
    assert world.look(handle).state is RunState.RUNNING
    assert world.look(other).state is RunState.RUNNING


def test_the_log_of_a_run_that_is_unknown_is_empty(world):
    from agent_haymaker.engines import Handle

    assert world.log(Handle("local", "never-started")) == b""


def test_logs_that_sleep_are_looked_at_ever_more_seldom():
    from agent_haymaker.engines.shim_logs import Log

    with pytest.MonkeyPatch.context() as patch:
        looks = []
        fd = os.open("/dev/null", os.O_RDONLY)
        log = Log("/", "dev/null", fd, 1 << 20, 0.0)
        os.close(fd)
        patch.setattr(os, "stat", lambda *_, **__: looks.append(1) or os.lstat("/dev/null"))
        now = 0.0
        while now < 3600:
            now = max(log.look(now, looks.append), now + 0.001)
        assert len(looks) < 70
