"""Records: written whole or not at all, read with doubt, locked by the OS."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain import as_a_plain_user
from support.snippet import python

from agent_haymaker.errors import DoubtError, PlatformError
from agent_haymaker.records import (
    read_record,
    sweep_drafts,
    sync_dir,
    write_record,
)

# ---- writing and reading ----

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60)
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


def test_a_record_that_may_not_be_opened_is_doubt(tmp_path):
    path = tmp_path / "r.json"
    write_record(path, {})
    path.chmod(0)
    with as_a_plain_user(), pytest.raises(DoubtError, match="Permission denied"):
        read_record(path)


# ---- a host that refuses ----


def test_a_folder_that_is_gone_is_an_error_that_says_so(tmp_path):
    with pytest.raises(PlatformError) as caught:
        write_record(tmp_path / "gone" / "r.json", {})
    assert caught.value.where == str(tmp_path / "gone" / "r.json")
    assert "the folder is gone" in str(caught.value)


def test_a_folder_that_may_not_be_written_leaves_the_record_as_it_was(tmp_path):
    write_record(tmp_path / "r.json", {"a": 1})
    tmp_path.chmod(0o500)
    try:
        with as_a_plain_user(), pytest.raises(PlatformError, match="Permission denied"):
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
    said, _ = child.communicate(timeout=120)
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
        while time.monotonic() < until or not path.exists():
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
