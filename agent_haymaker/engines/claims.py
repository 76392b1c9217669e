"""
The claim file of a run: `engines/local/runs/<key>.jsonl`, the truth about who runs under a key.

One JSON object a line, appended in this order by the shim, but for the stop, which whoever stops appends:

    {"v": 1, "key": …, "boot": …, "claimed_at": …, "owner": …, "workspace": …, "log": …, "grace": …, "shim": …}
    {"pid": …, "started": …, "boot": …, "seal": …, "at": …}
    {"stop_requested": <time>, "grace": …}
    {"left": <time>, "code": … or "signal": …, "reason": …}       its leader ended, children of it are left; or who
                                                                  stops it for its timeout is about to end it
    {"ended": <time>, "code": … or "signal": …, "reason": …}      nothing of it is left
    {"failed_to_start": "why", "ended": <time>, "code": 126 or 127}

The first line is there from the file's first instant: the file is made aside and linked to its name, which
succeeds for one caller only. What cannot be read exactly is `BadClaim`, a doubt, and never a guess.

Imported by the shim: the top level stays small.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from zlib import crc32

from agent_haymaker.processes import ProcessId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VERSION = 1
RUNS = "runs"
LOGS = "logs"  # of runs whose log is not in the workspace
LOCK = "shim.lock"  # a shim of another protocol has another lock and socket, and lives beside this one
SOCKET = "shim.sock"
_LIMIT = 256 << 10
_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_SUFFIX = ".jsonl"


class BadClaim(Exception):  # noqa: N818 - it reads as what it is, and is turned into doubt, never shown
    """A claim file that cannot be read exactly. Its text says why, in one line."""


def is_key(key: object) -> bool:
    """Tell whether this can be a run's key: letters, digits, `.`, `_`, `-`, at most 200, no leading dot."""
    return isinstance(key, str) and 0 < len(key) <= 200 and key[0] != "." and _KEY.issuperset(key)


def file_of(key: str) -> str:
    """Return the claim's path in `engines/local`."""
    return f"{RUNS}/{key}{_SUFFIX}"


def key_of(name: str) -> str | None:
    """Return the key that a file in `runs` is named after, or None for anything else."""
    key = name[: -len(_SUFFIX)] if name.endswith(_SUFFIX) else ""
    return key if is_key(key) else None


def seal(key: str, process: ProcessId) -> int:
    """Return a check sum that tells a process as the engine wrote it down from one that somebody edited."""
    return crc32(f"{key} {process.pid} {process.started} {process.boot}".encode())


class Claim:
    """A claim file, parsed. Times are seconds since the epoch."""

    __slots__ = (
        "boot", "claimed_at", "end", "failed", "grace", "key", "left", "log", "owner", "process", "reaper", "shim",
        "spawned_at", "stop", "workspace",
    )  # fmt: skip

    def __init__(self, key: str, head: Mapping[str, Any]) -> None:
        self.key = key
        self.boot = _text(head, "boot")
        self.claimed_at = _number(head, "claimed_at")
        self.owner = _text(head, "owner")
        self.workspace = _text(head, "workspace")
        self.log = _text(head, "log")
        self.grace = _number(head, "grace")
        shim = head.get("shim")
        if not isinstance(shim, dict):
            raise BadClaim("its first line names no shim")
        self.shim = ProcessId(_pid(shim), _whole(shim, "started"), self.boot)
        self.reaper = _whole(shim, "reaper")
        self.process: ProcessId | None = None
        self.spawned_at: float | None = None
        self.stop: tuple[float, float] | None = None  # when, grace
        self.left: Mapping[str, Any] | None = None
        self.end: Mapping[str, Any] | None = None
        self.failed = ""

    def add(self, line: Mapping[str, Any]) -> None:
        if "pid" in line:
            process = ProcessId(_pid(line), _whole(line, "started"), _text(line, "boot"))
            if self.process not in (None, process) or process.boot != self.boot:
                raise BadClaim("it names two processes")
            if line.get("seal") != seal(self.key, process):
                raise BadClaim("the process in it was edited")
            self.process, self.spawned_at = process, _number(line, "at")
        elif "stop_requested" in line:
            self.stop = (_number(line, "stop_requested"), _number(line, "grace"))
        elif "failed_to_start" in line:
            self.failed, self.end = _text(line, "failed_to_start"), _ending(line, "ended")
        elif "left" in line:
            self.left = _ending(line, "left")
        elif "ended" in line:
            self.end = self.end or _ending(line, "ended")
        else:
            raise BadClaim("it holds a line of an unknown kind")

    @property
    def was_stopped(self) -> bool:
        """
        True when the end is due to a stop: it came within the stop's grace, and some time to look.

        A stopper that was killed before its first signal leaves its line behind, but stopped nothing.
        """
        if self.stop is None:
            return False
        ended = (self.left or self.end or {}).get("left", (self.end or {}).get("ended"))
        asked, grace = self.stop
        return ended is None or asked - 1 <= ended <= asked + grace + 15


def parse(key: str, raw: bytes) -> Claim:
    """
    Return what a claim file says.

    Its last line may be torn (a full disk, a crash in the middle of a write): what was not written whole never counts.

    Raises:
        BadClaim: anything else is not as the shim writes it.
    """
    lines = raw.split(b"\n")
    if len(lines) < 2:
        raise BadClaim("it is empty" if not raw else "its first line is cut off")
    try:
        records = json.loads(b"[" + b",".join(lines[:-1]) + b"]")
    except (ValueError, RecursionError) as error:
        raise BadClaim("it holds a line that is not JSON") from error
    claim: Claim | None = None
    for record in records:
        if not isinstance(record, dict):
            raise BadClaim("it holds a line that is not an object")
        if claim is None:
            if record.get("v") != VERSION:
                raise BadClaim(f"its version is not {VERSION}")
            if record.get("key") != key:
                raise BadClaim("it is about another run")
            claim = Claim(key, record)
        else:
            claim.add(record)
    assert claim is not None
    return claim


def read(home: str, key: str) -> Claim | None:
    """
    Return the claim on a key, or None when there is none. `home` is the path of `engines/local`.

    Raises:
        BadClaim: it is there and cannot be read exactly.
    """
    if not is_key(key):
        raise BadClaim("no run can have this key")
    try:
        fd = os.open(f"{home}/{file_of(key)}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadClaim(f"it cannot be opened: {os.strerror(error.errno or 0)}") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BadClaim("it is not a regular file")
        raw = os.read(fd, _LIMIT)
    except OSError as error:
        raise BadClaim(f"it cannot be read: {os.strerror(error.errno or 0)}") from error
    finally:
        os.close(fd)
    if len(raw) == _LIMIT:
        raise BadClaim("it is far too long")
    return parse(key, raw)


def open_for_reading(home: int, key: str) -> int:
    """Open a claim; `home` is a descriptor of `engines/local`. A pipe in its place is never waited for."""
    return os.open(file_of(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=home)


def create(home: int, key: str, head: Mapping[str, Any]) -> None:
    """
    Make the claim with its first line; `home` is a descriptor of `engines/local`.

    Raises:
        FileExistsError: the key has a claim.
        OSError: the disk refuses; then nothing is claimed.
    """
    draft, name = f"{RUNS}/.{key}", file_of(key)
    line = json.dumps({"v": VERSION, "key": key, **head}).encode() + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(draft, flags, 0o600, dir_fd=home)
    try:
        if os.write(fd, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.link(draft, name, src_dir_fd=home, dst_dir_fd=home, follow_symlinks=False)
    finally:
        os.close(fd)
        os.unlink(draft, dir_fd=home)


def append(home: int, key: str, line: Mapping[str, Any], *, sync: bool = False) -> None:
    """
    Append one line to an existing claim, whole or not at all; with `sync` it is on the disk when this returns.

    Raises:
        FileNotFoundError: the run was forgotten.
        OSError: the disk refuses.
    """
    raw = json.dumps(line).encode() + b"\n"
    fd = os.open(file_of(key), os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=home)
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            # A torn line of an earlier crash: cut it off, or it would spoil this one.
            kept = os.pread(fd, _LIMIT, 0).rfind(b"\n") + 1
            if kept and size < _LIMIT:
                os.ftruncate(fd, kept)
                size = kept
        written = os.write(fd, raw)
        if written != len(raw):
            if os.fstat(fd).st_size == size + written:  # else somebody appended since: the next append cuts it off
                os.ftruncate(fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def _text(line: Mapping[str, Any], name: str) -> str:
    value = line.get(name)
    if not isinstance(value, str):
        raise BadClaim(f"its {name} is not text")
    return value


def _number(line: Mapping[str, Any], name: str) -> float:
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise BadClaim(f"its {name} is not a number in range")
    return value


def _whole(line: Mapping[str, Any], name: str) -> int:
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise BadClaim(f"its {name} is not a whole number in range")
    return value


def _pid(line: Mapping[str, Any]) -> int:
    pid = _whole(line, "pid")
    if not 1 < pid < 1 << 31:  # 0 and 1 would signal a group, or everybody
        raise BadClaim("its pid is out of range")
    return pid


def _ending(line: Mapping[str, Any], when: str) -> dict[str, Any]:
    ending: dict[str, Any] = {when: _number(line, when), "reason": str(line.get("reason", "exited"))}
    for name in ("code", "signal"):
        if line.get(name) is not None:
            ending[name] = _whole(line, name)
    return ending
