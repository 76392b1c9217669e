"""What a run is given, and what is known of its end, with nothing of haymaker but the shim alive meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from conftest import PATH

from agent_haymaker import processes
from agent_haymaker.engines import RunState
from agent_haymaker.errors import PlatformError, WorkloadError
from agent_haymaker.testing import eventually


@pytest.mark.parametrize(("script", "state", "code"), [("exit 0", "succeeded", 0), ("exit 7", "failed", 7)])
def test_an_exit_code_is_known_later(world, script, state, code):
    handle = world.shell(script).handle
    seen = world.wait(handle)
    assert (seen.state, seen.exit.code, seen.exit.signal) == (state, code, None)
    assert seen.exit.ended_at >= seen.started_at


def test_a_signal_is_known_later(world):
    handle = world.shell("kill -SEGV $$").handle
    seen = world.wait(handle)
    assert (seen.state, seen.exit.code, seen.exit.signal) == (RunState.FAILED, None, signal.SIGSEGV)


def test_an_exit_is_known_when_only_the_shim_saw_it(world):
    handle = world.shell("sleep 0.3; exit 5").handle
    eventually(lambda: not world.alive(handle.key))
    eventually(lambda: not world.shim)
    assert world.look(handle).exit.code == 5
    assert world.engine.find(handle.key).exit.code == 5


def test_a_run_goes_on_after_its_caller_is_gone_and_is_found_by_its_key(world):
    handle = world.submit("sleep", "100").handle
    assert world.look(handle).state is RunState.RUNNING
    assert world.engine.find(handle.key).handle == handle
    assert world.engine.find("never-started") is None
    assert [seen.handle for seen in world.engine.list("fleet")] == [handle]
    assert list(world.engine.list("somebody else")) == []


def test_a_run_gets_exactly_its_environment_and_the_two_names_that_the_engine_stamps(world):
    odd = {"A": "1", "HAYMAKER_RUN_ID": "a lie", "ODD": "ä\udcff\n", "EMPTY": ""}
    handle = world.submit("sleep", "100", env=odd).handle
    stamps = {"HAYMAKER_RUN_ID": handle.key, "HAYMAKER_WORKSPACE": str(world.home / "agents" / "agent-1"),
              "HAYMAKER_MEMORY": str(world.home / "memory" / "agent-1")}  # fmt: skip
    eventually(lambda: processes.read_environ(handle.token["pid"]) == {"PATH": PATH, **odd, **stamps})


def test_a_run_starts_detached_in_its_workspace_with_default_signals(world):
    script = """
import os
print(os.getcwd(), os.getsid(0) == os.getpid(), oct(os.umask(0)))
print([os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)])
status = open("/proc/self/status").read()
print(status.split("SigIgn:")[1].split()[0], status.split("SigBlk:")[1].split()[0])
"""
    handle = world.python(script).handle
    assert world.wait(handle).state is RunState.SUCCEEDED, world.log(handle)
    workspace = world.home / "agents" / "agent-1"
    where, files, signals = world.log(handle).decode().splitlines()
    assert where == f"{workspace} True 0o77"
    assert files == str(["/dev/null", f"{workspace}/agent.log", f"{workspace}/agent.log"])
    ignored, blocked = (int(mask, 16) for mask in signals.split())
    by_python_itself = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
    of_the_c_library = 1 << 31 | 1 << 32  # 32 and 33, which it lets nobody set
    assert (ignored & ~by_python_itself & ~of_the_c_library, blocked) == (0, 0)


def test_no_file_of_the_shim_is_open_in_an_agent(world):
    for _ in range(3):
        world.submit("sleep", "100")
    limited = world.submit("sleep", "100", open_files=64).handle
    for pid in (world.alive(key)[0] for key in world.keys):
        # What its loader opens on the way is closed again; a file of the shim would stay.
        eventually(lambda pid=pid: sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"])
    assert "64" in Path(f"/proc/{world.alive(limited.key)[0]}/limits").read_text().split("Max open files")[1].split()


def test_limits_hold_for_the_agent_and_not_for_the_shim(world):
    handle = world.python("x = bytearray(400 << 20)", memory_bytes=200 << 20).handle
    assert world.wait(handle).exit.code == 1
    assert b"MemoryError" in world.log(handle)
    handle = world.python("while True: pass", cpu_seconds=1).handle
    assert world.wait(handle).exit.signal == signal.SIGXCPU
    assert world.engine.capabilities().limits == {"memory", "cpuTime", "openFiles"}


def test_no_secret_is_on_the_disk_or_in_a_command_line(world):
    handle = world.submit("sleep", "100", env={"TOKEN": "s3cr3t-value"}).handle
    pid = world.alive(handle.key)[0]
    assert processes.read_environ(pid)["TOKEN"] == "s3cr3t-value"
    for path in world.home.rglob("*"):
        if path.is_file():
            assert b"s3cr3t" not in path.read_bytes(), path
            assert path.stat().st_mode & 0o077 == 0, path
    shim = Path(f"/proc/{world.shim}")
    assert b"s3cr3t" not in (shim / "cmdline").read_bytes() + (shim / "environ").read_bytes()
    assert processes.run_id_of(world.shim) is None


def test_a_timeout_strikes_with_no_command_running(world):
    handle = world.shell("trap '' TERM; sleep 100 & wait; sleep 100", timeout_seconds=0.2, grace_seconds=0.2).handle
    eventually(lambda: not world.alive(handle.key))
    seen = world.wait(handle)
    assert (seen.state, seen.exit.reason, str(seen.exit)) == (RunState.FAILED, "timeout", "stopped at its timeout")


def test_children_left_by_a_leader_that_ended_are_ended_before_the_run_is(world):
    script = "setsid sh -c 'trap \"\" TERM; sleep 1000' & sleep 1000 & (setsid sleep 1000 &) ; sleep 0.2; exit 4"
    handle = world.shell(script, grace_seconds=0.3).handle
    seen = world.wait(handle)
    assert (seen.state, seen.exit.code) == (RunState.FAILED, 4)
    assert world.alive(handle.key) == []


def test_a_child_that_cleared_its_environment_and_left_the_session_does_not_outlive_its_run(world):
    until_told = "while [ ! -e go ]; do sleep 0.02; done"
    handle = world.shell(f"setsid env -i sleep 1000 & echo $!; {until_told}; exit 4").handle
    child = nameless_sleep(world, handle)
    (world.home / "agents" / "agent-1" / "go").touch()
    seen = world.wait(handle)
    assert (seen.state, seen.exit.code) == (RunState.FAILED, 4)
    assert not processes.is_alive(child)
    world.strangers.clear()


def test_the_end_of_one_run_leaves_the_daemons_of_another_alone_which_end_with_their_own(world):
    daemon = "(setsid env -i sleep 1000 & echo $!) ; while [ ! -e go ]; do sleep 0.02; done"
    other = world.shell(daemon, workspace="other").handle
    child = nameless_sleep(world, other)
    assert world.wait(world.shell("setsid sleep 1000 & sleep 0.1; exit 4").handle).exit.code == 4
    assert processes.is_alive(child)
    (world.home / "agents" / "other" / "go").touch()
    assert world.wait(other).state is RunState.SUCCEEDED
    assert not processes.is_alive(child)
    world.strangers.clear()


def nameless_sleep(world, handle):
    """The `env -i sleep` whose pid a run has told in its log, once it is one."""
    pid = int(eventually(lambda: world.log(handle)))
    eventually(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0])
    world.strangers.append(pid)
    return processes.identify(pid)


def test_while_children_are_being_ended_the_run_counts_as_live(world):
    child = "setsid sh -c 'trap \"\" TERM; touch up; sleep 1000' &"
    handle = world.shell(f"{child} while [ ! -e up ]; do sleep 0.02; done; exit 4").handle
    eventually(lambda: len(world.claim(handle.key)) >= 3)
    assert "left" in world.claim(handle.key)[2]
    assert world.look(handle).state is RunState.STOPPING
    assert world.stop(handle, 0.1).exit.code == 4


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda w: ("no-such-program",), "is not on the agent's PATH"),
        (lambda w: ("/no/such/program",), "does not exist"),
        (lambda w: ("./here",), "does not exist"),
        (lambda w: (str(w.home.parent),), "is not a file"),
        (lambda w: (_file(w, "#!/no/such/interpreter\n"),), "interpreter"),
        (lambda w: (_file(w, "echo no first line\n"),), "first line"),
        (lambda w: (_file(w, "#!/bin/sh\n", mode=0o600),), "not executable"),
        (lambda w: ("",), "empty"),
        (lambda w: ("sh", "-c", "exit", "x" * (3 << 20)), "too long"),
    ],
)
def test_a_program_that_cannot_be_started_is_the_workloads_fault_and_says_why(world, make, says):
    world.home.mkdir()
    key = world.key()
    with pytest.raises(WorkloadError) as told:
        world.submit(*make(world), key=key)
    assert says in str(told.value)
    assert told.value.fix
    found = world.engine.find(key)
    assert found is None or (found.state is RunState.FAILED and found.detail)


def _file(world, text, mode=0o700):
    path = world.home.parent / "program"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_program_may_be_one_of_the_run_s_own_path_or_workspace(world, tmp_path):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "mine"
    program.write_text("#!/bin/sh\necho mine $0\n")
    program.chmod(0o700)
    handle = world.submit("mine", env={"PATH": f"{tmp_path}/bin:{PATH}"}).handle
    assert world.wait(handle).state is RunState.SUCCEEDED
    assert world.log(handle) == f"mine {program}\n".encode()


def test_files_are_there_before_the_start_and_private(world):
    files = {"prompt.md": b"goal", "files/a/b.txt": b"\x00\xff"}
    handle = world.shell("cat prompt.md; stat -c %a prompt.md files files/a/b.txt", files=files).handle
    world.wait(handle)
    assert world.log(handle) == b"goal600\n700\n600\n"
    with world.engine.open_file(handle, "files/a/b.txt") as file:
        assert file.read() == b"\x00\xff"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", "a//b", ".", "a\0b"])
def test_a_file_that_leaves_the_workspace_is_refused(world, path):
    with pytest.raises(PlatformError):
        world.submit("true", files={path: b""})
    assert not world.alive(world.keys[0])


@pytest.mark.parametrize("name", ["../x", "", ".", "a/b", ".hidden", "a\0"])
def test_a_workspace_elsewhere_is_refused(world, name):
    with pytest.raises(PlatformError):
        world.submit("true", workspace=name)


def test_symlinks_that_an_earlier_run_planted_are_not_followed(world, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    script = f"ln -s {outside} files; ln -sf {outside}/precious prompt.md; ln -sf {outside}/precious agent.log"
    world.wait(world.shell(script).handle)
    with pytest.raises(PlatformError, match="symlink"):
        world.submit("true", files={"files/x": b"boo"})
    handle = world.shell("echo new", files={"prompt.md": b"goal"}).handle
    world.wait(handle)
    assert world.log(handle) == b"new\n"
    assert (outside / "precious").read_text() == "precious"
    assert os.listdir(outside) == ["precious"]


def test_a_pipe_planted_as_the_log_gives_way(world):
    world.wait(world.shell("rm agent.log; mkfifo agent.log").handle)
    handle = world.shell("echo new").handle
    assert world.wait(handle).state is RunState.SUCCEEDED
    assert world.log(handle) == b"new\n"


def test_only_regular_files_inside_the_workspace_are_opened(world):
    handle = world.shell("ln -s /etc/passwd out; ln -s agent.log in; mkfifo pipe; mkdir d; echo x").handle
    world.wait(handle)
    with world.engine.open_file(handle, "in") as file:
        assert file.read() == b"x\n"
    for path in ("out", "../agent-1/../../x", "/etc/passwd", "pipe", "d"):
        with pytest.raises(PermissionError):
            world.engine.open_file(handle, path)
    with pytest.raises(FileNotFoundError):
        world.engine.open_file(handle, "none")


def test_forgetting_removes_record_log_and_workspace_but_never_of_a_live_run(world):
    live = world.submit("sleep", "100", log="").handle
    with pytest.raises(PlatformError, match="stop it first"):
        asyncio.run(world.engine.forget(live, workspace=True))
    assert world.stop(live).state is RunState.STOPPED
    locked = world.shell("mkdir -p a/b; touch a/b/c; chmod 500 a a/b; exit 0").handle
    world.wait(locked)
    asyncio.run(world.engine.forget(locked, workspace=True))
    asyncio.run(world.engine.forget(live))
    asyncio.run(world.engine.forget(live))
    assert list(world.engine.list()) == []
    assert list((world.home / "agents").iterdir()) == []
    assert list((world.local / "logs").iterdir()) == []
    assert world.look(live).state is RunState.LOST


def test_an_engine_works_from_one_event_loop_to_the_next_and_many_at_once(world):
    async def many():
        specs = [world.spec("sh", "-c", f"exit {n}", workspace=f"agent-{n}") for n in range(20)]
        seen = await asyncio.gather(*(world.engine.submit(spec, world.key()) for spec in specs))
        return await asyncio.gather(*(world.engine.wait(each.handle) for each in seen))

    for _ in range(2):
        assert [seen.exit.code for seen in asyncio.run(many())] == list(range(20))


def test_a_very_long_home_works(tmp_path, world):
    deep = tmp_path.joinpath(*["d" * 60] * 5)
    world.home, world.local = deep, deep / "engines" / "local"
    world.engine = type(world.engine)(deep)
    handle = world.shell("sleep 0.1; exit 3").handle
    assert world.wait(handle).exit.code == 3


def test_looking_loads_neither_asyncio_nor_psutil_nor_pathlib_heavyweights():
    import subprocess

    script = (
        "import sys; from agent_haymaker.engines.local import LocalEngine; e = LocalEngine('/nonexistent');"
        "e.observe([]); list(e.list()); e.find('k');"
        "print([m for m in ('asyncio', 'psutil', 'pydantic', 'subprocess') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
