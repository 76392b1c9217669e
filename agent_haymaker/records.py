"""
Records on disk: written whole or not at all, read with doubt.

Everything haymaker remembers goes through here. It refuses to know what a record means: whose it is, what its
fields are called (but for `schema_version`) and what follows from one that cannot be read.

Stdlib only, and cheap to import: the shortest command pays for this module.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DoubtError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SCHEMA_VERSION = 1
"""The newest version of a record that this release writes, and so can read."""

Identity = tuple[int, int, int]
"""Inode, size and mtime (ns) of a record as it was written: who finds the same knows that nobody touched it."""

MAX_RECORD_BYTES = 64 * 1024 * 1024
"""A file above this is not a record of ours; reading it could exhaust the memory."""

DRAFT_SUFFIX = ".draft"

_FIXES = {
    errno.ENOSPC: "free some space on that disk, then run the command again",
    errno.EDQUOT: "free some of your quota on that disk, then run the command again",
    errno.EACCES: "give this user write permission there, or {elsewhere}",
    errno.EPERM: "give this user write permission there, or {elsewhere}",
    errno.EROFS: "the filesystem is read-only: {elsewhere}",
    errno.ENOENT: "the folder is gone: make it again, or {elsewhere}",
    errno.ENOTDIR: "something on that path is a file: move it away, or {elsewhere}",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EMFILE: "this process has too many open files: raise `ulimit -n`",
    errno.ENFILE: "the host has too many open files: close some programs",
    errno.EIO: "the disk reports an error: check the host's logs before going on",
}


_MEND = "repair the file or move it away; until then nothing is done on its account"
OTHER_HOME = "set HAYMAKER_HOME to a folder of its own that can be written"
OTHER_OUT = "give another --out"


def platform_error(error: OSError, doing: str, path: Path | str, *, elsewhere: str = OTHER_HOME) -> PlatformError:
    """
    Give the error that tells a person what the host refused.

    `doing` completes "could not ...", `elsewhere` is what to do where that place will not do.
    """
    fix = _FIXES.get(error.errno or 0, "check the path and its disk, then run the command again")
    what = f"could not {doing}: {error.strerror or error}"
    return PlatformError(what, where=str(path), fix=fix.format(elsewhere=elsewhere))


# ---- writing ----------------------------------------------------------------------------------------------


def write_record(
    path: Path,
    record: Mapping[str, Any] | str | bytes,
    *,
    durable: bool = True,
    folder_too: bool = True,
    elsewhere: str = OTHER_HOME,
) -> None:
    """
    Put `record` at `path`, so that whoever reads sees the old content or the new one, never a part.

    A mapping is written as one line of JSON, text as UTF-8. The folder must exist. With `durable` the content
    and its name are on the disk when this returns; without, a power cut may give the old record back. Who writes
    many records into one folder says `folder_too=False` and calls `sync_dir` once at the end.
    `elsewhere` is that of `platform_error`.

    Raises:
        PlatformError: the host refused; `path` is as it was, and the draft is gone.
        TypeError, ValueError: the mapping cannot be said in JSON (NaN included).
    """
    content = _encode(record)
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}{DRAFT_SUFFIX}")
    made = False
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        made = True
        try:
            _write_all(fd, content)
            if durable:
                _sync(fd)
        finally:
            os.close(fd)
        os.replace(draft, path)  # the same call, without building a Path
        made = False
        if durable and folder_too:
            sync_dir(path.parent)
    except OSError as error:
        raise platform_error(error, "write the record", path, elsewhere=elsewhere) from error
    finally:
        if made:
            with contextlib.suppress(OSError):
                os.unlink(draft)  # as above


def write_records(records: Sequence[tuple[Path, bytes]]) -> list[Identity | PlatformError]:
    """
    Put many records at their paths, each as `write_record` does, at a sixth of its cost where the disk is slow.

    Gives for each, in order, its identity or what the host refused; a refused one leaves its neighbours alone. The
    folders' own syncs are the caller's.
    """
    results: list[Identity | PlatformError] = []
    drafts: list[tuple[int, int, str, Path]] = []
    for number, (path, content) in enumerate(records):
        draft = f"{path.parent}/.{path.name}.{os.getpid()}-{os.urandom(4).hex()}{DRAFT_SUFFIX}"
        results.append((0, 0, 0))
        try:
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            results[number] = platform_error(error, "write the record", path)
            continue
        drafts.append((number, fd, draft, path))
        try:
            _write_all(fd, content)
        except OSError as error:
            results[number] = platform_error(error, "write the record", path)
    # All on their way to the disk before the first is waited for: then one commit of the file system serves them all.
    for _, fd, _, _ in drafts:
        _start_writing(fd)
    for number, fd, draft, path in drafts:
        try:
            if not isinstance(results[number], PlatformError):
                _sync(fd)
                found = os.fstat(fd)
                os.replace(draft, path)  # the same call, without building a Path
                results[number] = (found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError as error:
            results[number] = platform_error(error, "write the record", path)
        finally:
            os.close(fd)
        if isinstance(results[number], PlatformError):
            with contextlib.suppress(OSError):
                os.unlink(draft)  # a string is at hand
    return results


def _start_writing(fd: int) -> None:
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):  # advice; the sync is what counts
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def encode_record(record: Mapping[str, Any]) -> bytes:
    """
    Give a mapping as a record holds it: one line of JSON.

    Raises:
        TypeError, ValueError: it cannot be said in JSON (NaN included).
    """
    return (json.dumps(dict(record), allow_nan=False) + "\n").encode()


def _encode(record: Mapping[str, Any] | str | bytes) -> bytes:
    if isinstance(record, bytes):
        return record
    if isinstance(record, str):
        return record.encode()
    return encode_record(record)


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _sync(fd: int) -> None:
    if sys.platform == "darwin":  # plain fsync there leaves the content in the drive's own cache
        import fcntl  # only that platform pays

        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    os.fsync(fd)


def sync_dir(path: Path) -> None:
    """
    Make the names in the folder `path` (new, renamed, removed ones) survive a power cut.

    A filesystem that cannot sync a folder does it by itself; that is no error.

    Raises:
        PlatformError: the folder cannot be opened, or its disk reports an error.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise platform_error(error, "sync the folder", path) from error


def sweep_drafts(folder: Path, *, older_than_seconds: float = 600) -> int:
    """Remove the drafts that killed writers left in `folder`, and return how many there were."""
    removed = 0
    limit = time.time() - older_than_seconds
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(DRAFT_SUFFIX):
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < limit:
                        os.unlink(entry.path)  # a string is at hand
                        removed += 1
    return removed


# ---- reading ----------------------------------------------------------------------------------------------


def read_record(path: Path, *, newest: int = SCHEMA_VERSION) -> dict[str, Any]:
    """
    Give the JSON object at `path`. It never writes; a file that cannot be read is kept as it is.

    Raises:
        FileNotFoundError: there is no such file.
        DoubtError: there is one, and it cannot be opened, is no JSON object, or its `schema_version` is
            above `newest`: nothing may be done on its account.
    """
    try:
        content = read_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    return parse_record(content, path, newest=newest)


def parse_record(content: bytes, path: Path, *, newest: int = SCHEMA_VERSION) -> dict[str, Any]:
    """As `read_record`, of what was read from `path`."""
    try:
        record = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _doubt(path, "the record is not valid JSON" if content.strip() else "the record is empty") from error
    if not isinstance(record, dict):
        raise _doubt(path, "the record is not a JSON object")
    version = record.get("schema_version", 0)
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise _doubt(path, "the record's schema_version is not a number")
    if version > newest:
        raise DoubtError(
            f"the record has schema_version {version}; this haymaker reads up to {newest}",
            where=str(path),
            fix="use the newer haymaker that wrote it",
        )
    return record


def mending(doubt: DoubtError, then: str) -> str:
    """Say how to mend the record that leaves this doubt; `then` is what makes up for it once it is out of the way."""
    if doubt.fix not in (None, _MEND) or not doubt.where:
        return doubt.fix or ""
    from shlex import quote  # for this one text

    path = quote(doubt.where)
    with contextlib.suppress(OSError):
        if os.stat(doubt.where).st_uid == os.geteuid() and not os.access(doubt.where, os.R_OK):
            return f"chmod u+rw {path}"
    number = 1
    while os.path.lexists(f"{doubt.where}.bad{number}"):
        number += 1
    return f"mv {path} {path}.bad{number}; {then}"


def unreadable(path: Path, error: OSError) -> DoubtError:
    """Give the error for a record that is there and cannot be read."""
    doubt = _doubt(path, f"the record cannot be read: {error.strerror or error}")
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO):  # of which the record is innocent
        doubt.fix = _FIXES[error.errno]
    return doubt


def open_regular(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """
    Open a regular file, and give its descriptor; a pipe, a device or a folder is an OSError, never a wait.

    A file that `flags` let it make is for this user alone.
    """
    # Without O_NONBLOCK a named pipe in its place would hang every command.
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return fd


def read_regular(path: Path | str, *, limit: int = MAX_RECORD_BYTES) -> bytes:
    """Give the content of a regular file; anything else, or a file above `limit` bytes, is an OSError, never a wait."""
    fd = open_regular(path)
    try:
        found = os.fstat(fd)
        if found.st_size > limit:
            raise OSError(errno.EFBIG, f"it is larger than {limit} bytes")
        chunks = []
        while chunk := os.read(fd, max(found.st_size + 1, 4096)):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _doubt(path: Path, what: str) -> DoubtError:
    return DoubtError(what, where=str(path), fix=_MEND)
