"""Records: written whole or not at all, read with doubt, locked by the OS."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_haymaker.errors import DoubtError, LockedError, PlatformError
from agent_haymaker.installation import install_id
from agent_haymaker.records import (
    FileLock,
    ensure_home,
    home,
    read_record,
    sweep_drafts,
    sync_dir,
    write_record,
)
from agent_haymaker.testing import eventually

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
not_as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


def python(code: str, *argv: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *argv], env=ENV, text=True, stdout=subprocess.PIPE, **options)


# ---- writing and reading ----

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(record=st.dictionaries(st.text().filter(lambda k: k != "schema_version"), json_values, max_size=6))
def test_what_is_read_is_what_was_written(record, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "r.json"
    write_record(path, record, durable=False)
    assert read_record(path) == record


def test_a_record_is_for_its_owner_alone_and_leaves_no_draft(tmp_path):
    write_record(tmp_path / "r.json", {"a": 1})
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["r.json"]


def test_text_and_bytes_are_written_as_they_are(tmp_path):
    write_record(tmp_path / "t", "héllo")
    write_record(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "t").read_bytes() == "héllo".encode()
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


def test_what_json_cannot_say_is_refused_before_anything_is_written(tmp_path):
    write_record(tmp_path / "r.json", {"a": 1})
    for wrong in ({"a": float("nan")}, {"a": {1, 2}}):
        with pytest.raises((TypeError, ValueError)):
            write_record(tmp_path / "r.json", wrong)
    assert read_record(tmp_path / "r.json") == {"a": 1}
    assert os.listdir(tmp_path) == ["r.json"]


def test_a_missing_record_is_missing_and_not_in_doubt(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(b"", "the record is empty", id="empty"),
        pytest.param(b"\n \n", "the record is empty", id="blank"),
        pytest.param(b'{"a": 1', "the record is not valid JSON", id="torn"),
        pytest.param(b"\xff\xfe", "the record is not valid JSON", id="not text"),
        pytest.param(b"\x00" * 4096, "the record is not valid JSON", id="zeroes, as a power cut leaves them"),
        pytest.param(b"[]", "the record is not a JSON object", id="a list"),
        pytest.param(b'{"a": NaN}', "the record is not valid JSON", id="NaN"),
        pytest.param(b"[" * 200_000, "the record is not valid JSON", id="too deep"),
        pytest.param(b'{"n": ' + b"9" * 5000 + b"}", "the record is not valid JSON", id="a number without end"),
        pytest.param(
            b'{"schema_version": 2}',
            "the record has schema_version 2; this haymaker reads up to 1",
            id="of a newer haymaker",
        ),
        pytest.param(b'{"schema_version": "1"}', "the record's schema_version is not a number", id="odd version"),
        pytest.param(b'{"schema_version": true}', "the record's schema_version is not a number", id="bool version"),
        pytest.param(b'{"schema_version": -1}', "the record's schema_version is not a number", id="below zero"),
    ],
)
def test_a_record_that_cannot_be_read_is_doubt_and_is_kept(content, what, tmp_path):
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(DoubtError) as caught:
        read_record(path)
    assert caught.value.what == what
    assert caught.value.where == str(path)
    assert caught.value.fix
    assert path.read_bytes() == content


def test_what_is_no_regular_file_is_doubt_and_never_hangs(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "loop.json").symlink_to("loop.json")
    for name in ("pipe.json", "folder.json", "loop.json"):
        with pytest.raises(DoubtError):
            read_record(tmp_path / name)


def test_a_file_too_large_to_be_a_record_is_doubt_and_is_not_read(tmp_path):
    with (tmp_path / "big.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DoubtError, match="larger than"):
        read_record(tmp_path / "big.json")


@not_as_root
def test_a_record_that_may_not_be_opened_is_doubt(tmp_path):
    path = tmp_path / "r.json"
    write_record(path, {})
    path.chmod(0)
    with pytest.raises(DoubtError, match="Permission denied"):
        read_record(path)


# ---- a host that refuses ----


def test_a_folder_that_is_gone_is_an_error_that_says_so(tmp_path):
    with pytest.raises(PlatformError) as caught:
        write_record(tmp_path / "gone" / "r.json", {})
    assert caught.value.where == str(tmp_path / "gone" / "r.json")
    assert "the folder is gone" in str(caught.value)


@not_as_root
def test_a_folder_that_may_not_be_written_leaves_the_record_as_it_was(tmp_path):
    write_record(tmp_path / "r.json", {"a": 1})
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PlatformError, match="Permission denied"):
            write_record(tmp_path / "r.json", {"a": 2})
        assert read_record(tmp_path / "r.json") == {"a": 1}
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_leaves_the_record_as_it_was_and_no_draft(tmp_path):
    """EFBIG stands in for ENOSPC: the kernel stops the write half way, as a full disk does."""
    path = tmp_path / "r.json"
    write_record(path, {"a": 1})
    child = python(
        """
import resource, signal, sys
from pathlib import Path
from agent_haymaker.errors import PlatformError
from agent_haymaker.records import write_record
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_record(Path(sys.argv[1]), {"a": "x" * 100_000})
except PlatformError as error:
    print(error)
""",
        str(path),
    )
    said, _ = child.communicate(timeout=30)
    assert f"{path}: could not write the record: File too large" in said
    assert read_record(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["r.json"]


@pytest.mark.skipif(not Path("/dev/full").exists() or not Path("/dev/shm").exists(), reason="Linux")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small filesystem takes root")
def test_a_disk_without_space_is_an_error_that_says_so(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        write_record(small / "r.json", {"a": 1})
        with pytest.raises(PlatformError) as caught:
            write_record(small / "r.json", {"a": "x" * 200_000})
        assert "No space left on device" in str(caught.value)
        assert "free some space" in str(caught.value)
        assert read_record(small / "r.json") == {"a": 1}
        assert os.listdir(small) == ["r.json"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_that_cannot_be_opened_cannot_be_synced(tmp_path):
    with pytest.raises(PlatformError, match="could not sync the folder"):
        sync_dir(tmp_path / "none")


# ---- killed at any instant ----

WRITER = """
import sys
from pathlib import Path
from agent_haymaker.records import write_record
path, filler = Path(sys.argv[1]), "x" * 60_000
print("ready", flush=True)
count = 0
while True:
    count += 1
    write_record(path, {"count": count, "filler": filler, "again": count}, durable=False)
"""


def killed_writers(path: Path, rounds: int) -> None:
    dice = random.Random(7)
    for _ in range(rounds):
        child = python(WRITER, str(path))
        assert child.stdout is not None
        child.stdout.readline()
        until = time.monotonic() + dice.uniform(0.0, 0.03)
        while time.monotonic() < until:
            look(path)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        look(path)


def look(path: Path) -> None:
    try:
        record = read_record(path)
    except FileNotFoundError:
        return
    assert record["count"] == record["again"]
    assert len(record["filler"]) == 60_000


def test_a_reader_never_sees_a_torn_record_though_its_writers_are_killed(tmp_path):
    killed_writers(tmp_path / "r.json", rounds=8)
    assert read_record(tmp_path / "r.json")["count"] > 0


@pytest.mark.slow
def test_a_reader_never_sees_a_torn_record_in_two_hundred_kills(tmp_path):
    killed_writers(tmp_path / "r.json", rounds=200)


def test_drafts_of_killed_writers_are_swept_and_nothing_else(tmp_path):
    old = tmp_path / ".r.json.1-aaaa.draft"
    for path in (old, tmp_path / ".r.json.2-bbbb.draft", tmp_path / "r.json", tmp_path / ".hidden"):
        path.write_text("{}")
    long_ago = time.time() - 3600
    for path in (old, tmp_path / "r.json", tmp_path / ".hidden"):
        os.utime(path, (long_ago, long_ago))
    assert sweep_drafts(tmp_path) == 1
    assert sorted(os.listdir(tmp_path)) == [".hidden", ".r.json.2-bbbb.draft", "r.json"]
    assert sweep_drafts(tmp_path / "none") == 0


# ---- HAYMAKER_HOME ----


def test_the_home_is_absolute_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for given_, expected in (
        ("", tmp_path / "me" / ".haymaker"),
        ("~/x", tmp_path / "me" / "x"),
        ("rel/../here", tmp_path / "here"),
        ("/abs", Path("/abs")),
    ):
        monkeypatch.setenv("HAYMAKER_HOME", given_)
        assert home() == expected
    monkeypatch.delenv("HAYMAKER_HOME")
    assert home() == tmp_path / "me" / ".haymaker"


def test_a_home_of_nobody_is_an_error(monkeypatch):
    monkeypatch.setenv("HAYMAKER_HOME", "~no-such-user-here/x")
    with pytest.raises(PlatformError, match="no home folder is known"):
        home()


def test_the_home_is_made_for_its_owner_alone(tmp_path):
    made = ensure_home(tmp_path / "a" / "b")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700


def test_a_home_of_the_existing_tool_is_tightened(tmp_path):
    (tmp_path / "state").mkdir()
    tmp_path.chmod(0o755)
    ensure_home(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_folder_that_is_not_haymakers_keeps_its_mode(tmp_path):
    (tmp_path / "somebody's").write_text("")
    tmp_path.chmod(0o755)
    ensure_home(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_home_that_anybody_can_write_in_is_refused(tmp_path):
    (tmp_path / "somebody's").write_text("")
    tmp_path.chmod(0o1777)
    with pytest.raises(PlatformError, match="anybody on this host can write"):
        ensure_home(tmp_path)


def test_a_home_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("")
    for path in (tmp_path / "f", tmp_path / "f" / "below"):
        with pytest.raises(PlatformError, match="could not make the folder"):
            ensure_home(path)


def test_the_install_has_one_id_for_ever(tmp_path):
    children = [
        python(
            "import sys; from pathlib import Path; from agent_haymaker.installation import install_id\n"
            "print(install_id(Path(sys.argv[1])))",
            str(tmp_path / "home"),
        )
        for _ in range(4)
    ]
    said = {child.communicate(timeout=30)[0].strip() for child in children}
    assert said == {install_id(tmp_path / "home")}
    assert len(said.pop()) == 8
    assert os.listdir(tmp_path / "home") == ["install"]


@pytest.mark.parametrize("content", [b"", b"not an id", b"\xff"])
def test_an_install_id_that_cannot_be_read_is_doubt(content, tmp_path):
    (tmp_path / "install").write_bytes(content)
    with pytest.raises(DoubtError):
        install_id(tmp_path)
    assert (tmp_path / "install").read_bytes() == content


# ---- the lock ----

HOLDER = """
import signal, subprocess, sys
from pathlib import Path
from agent_haymaker.records import FileLock
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
        "import sys; from pathlib import Path; from agent_haymaker.records import FileLock\n"
        "print('waiting', flush=True)\n"
        "with FileLock(Path(sys.argv[1]), timeout_seconds=30): print('mine', flush=True)",
        str(tmp_path / "lock"),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    assert child.poll() is None
    holder.kill()
    holder.communicate()
    assert child.communicate(timeout=30)[0] == "mine\n"


def test_a_wait_for_the_lock_ends_in_time(tmp_path):
    with FileLock(tmp_path / "lock"):
        begun = time.monotonic()
        with pytest.raises(LockedError, match=f"pid {os.getpid()}"):
            FileLock(tmp_path / "lock").acquire(timeout_seconds=0.1)
        assert 0.09 < time.monotonic() - begun < 5


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
