"""The lock: one holder, who is named, and whose death frees it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support.snippet import python

from agent_haymaker.errors import LockedError, PlatformError
from agent_haymaker.locks import FileLock, holder_of
from agent_haymaker.testing import eventually

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import signal, subprocess, sys
from pathlib import Path
from agent_haymaker.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire()
if "child" in sys.argv:
    subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
print("held", flush=True)
signal.pause()
"""


def held_by_another(path: Path, *argv: str) -> subprocess.Popen[str]:
    child = python(HOLDER, str(path), *argv)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_who_must_wait_is_told_who_holds_the_lock(tmp_path):
    holder = held_by_another(tmp_path / "lock")
    try:
        with pytest.raises(LockedError) as caught:
            FileLock(tmp_path / "lock").acquire()
        assert f"(pid {holder.pid}) since 20" in str(caught.value)
        assert caught.value.where == str(tmp_path / "lock")
    finally:
        holder.kill()
        holder.communicate()


def test_the_lock_dies_with_its_holder(tmp_path):
    holder = held_by_another(tmp_path / "lock")
    holder.kill()
    holder.communicate()
    with FileLock(tmp_path / "lock") as lock:
        assert lock.is_held


def test_a_program_that_the_holder_started_does_not_keep_the_lock(tmp_path):
    holder = held_by_another(tmp_path / "lock", "child")
    children = subprocess.run(["pgrep", "-P", str(holder.pid)], capture_output=True, text=True).stdout
    holder.kill()
    holder.communicate()
    try:
        assert children.strip(), "the precondition: it started a program"
        FileLock(tmp_path / "lock").acquire()
    finally:
        for pid in children.split():
            os.kill(int(pid), signal.SIGKILL)


def test_who_waits_gets_the_lock_when_it_is_free(tmp_path):
    holder = held_by_another(tmp_path / "lock")
    child = python(
        "import sys; from pathlib import Path; from agent_haymaker.locks import FileLock\n"
        "print('waiting', flush=True)\n"
        "with FileLock(Path(sys.argv[1]), timeout_seconds=120): print('mine', flush=True)",
        str(tmp_path / "lock"),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    assert child.poll() is None
    holder.kill()
    holder.communicate()
    assert child.communicate(timeout=120)[0] == "mine\n"


def test_a_wait_for_the_lock_ends_in_time(tmp_path):
    with FileLock(tmp_path / "lock"):
        begun = time.monotonic()
        with pytest.raises(LockedError, match=f"pid {os.getpid()}"):
            FileLock(tmp_path / "lock").acquire(timeout_seconds=0.1)
        assert time.monotonic() - begun > 0.09


def test_a_lock_file_of_rubbish_still_locks(tmp_path):
    (tmp_path / "lock").write_bytes(b"\xff\xff rubbish")
    with FileLock(tmp_path / "lock"):
        (tmp_path / "lock").write_bytes(b"\xff\xff rubbish")
        with pytest.raises(LockedError, match="held by another process"):
            FileLock(tmp_path / "lock").acquire()


def test_the_holders_arguments_stay_out_of_the_lock(tmp_path):
    child = python(HOLDER, str(tmp_path / "lock"), "--config", "api_key=hunter2")
    try:
        eventually(lambda: b"pid" in (tmp_path / "lock").read_bytes())
        assert b"hunter2" not in (tmp_path / "lock").read_bytes()
    finally:
        child.kill()
        child.communicate()


def test_a_lock_says_when_the_program_names_its_command(tmp_path):
    lock = FileLock(tmp_path / "lock", command="haymaker apply")
    lock.acquire()
    assert json.loads((tmp_path / "lock").read_text())["command"] == "haymaker apply"
    with pytest.raises(RuntimeError):
        lock.acquire()
    lock.release()
    lock.release()
    assert not lock.is_held


def test_a_lock_in_a_folder_that_is_gone_is_the_platforms_error(tmp_path):
    with pytest.raises(PlatformError, match="could not open the lock"):
        FileLock(tmp_path / "gone" / "lock").acquire()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_filesystem_without_locks_is_an_error_that_says_so(number, tmp_path, monkeypatch):
    """No such filesystem is at hand, so the system call is made to answer as one does."""

    def refuse(fd, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(PlatformError, match="this filesystem has no flock"):
        FileLock(tmp_path / "lock").acquire(timeout_seconds=5)


def test_a_look_names_the_holder_and_takes_nothing(tmp_path):
    assert holder_of(tmp_path / "lock") is None
    lock = FileLock(tmp_path / "lock", command="haymaker apply")
    with lock:
        assert f"`haymaker apply` (pid {os.getpid()})" in str(holder_of(tmp_path / "lock"))
    assert holder_of(tmp_path / "lock") is None


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_cannot_be_a_lock_and_nobody_waits_for_it(make, tmp_path):
    make(tmp_path / "lock")
    with pytest.raises(PlatformError, match="could not open the lock"):
        FileLock(tmp_path / "lock").acquire()
    if make is os.mkfifo:
        with pytest.raises(OSError, match="not a regular file"):
            holder_of(tmp_path / "lock")
