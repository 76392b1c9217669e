"""
An install: the folder it lives in (HAYMAKER_HOME), its id, and whether that folder is a copy of it.

The id is 8 hex digits, made once for a home, so that the keys of two homes never meet. A copied home has the same id
and records of the same processes: `place.json` says which folder is the install, and no other one starts or ends
anything while that is there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from agent_haymaker.errors import DoubtError, PlatformError
from agent_haymaker.records import mending, platform_error, read_record, read_regular, sync_dir, write_record

if TYPE_CHECKING:
    from pathlib import Path

_HEX = frozenset("0123456789abcdef")
_PLACE = "place.json"
_OF_RUNS = ("install", _PLACE, "engines", "fleets", "journal", "state")  # whatever names processes, in a home


def home() -> Path:
    """
    Give HAYMAKER_HOME (default `~/.haymaker`), absolute. It may not exist yet.

    Raises:
        PlatformError: `~` stands for no folder, the relative path's starting folder is gone, or a link leads nowhere:
            what lives behind it may run all the same, so that is not "nothing is deployed".
    """
    from pathlib import Path  # costs 5 ms, which a path that is handed in has paid already

    given = os.environ.get("HAYMAKER_HOME") or "~/.haymaker"
    fix = "set HAYMAKER_HOME to an absolute path"
    expanded = os.path.expanduser(given)  # Path.expanduser hides an unknown user in a RuntimeError
    if expanded.startswith("~"):
        raise PlatformError(f"no home folder is known for {given!r}", where="HAYMAKER_HOME", fix=fix)
    try:
        path = os.path.abspath(expanded)  # realpath() would look at every folder above it
    except FileNotFoundError as error:
        raise PlatformError("the current folder no longer exists", where="HAYMAKER_HOME", fix=fix) from error
    _refuse_dangling(path)
    return Path(path)


def _refuse_dangling(path: str) -> None:
    """Raise where the path does not exist because a link on it leads nowhere."""
    if os.path.exists(path):
        return
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    if os.path.islink(path) and not os.path.exists(path):
        target = os.path.join(os.path.dirname(path), os.readlink(path))
        raise PlatformError(
            f"HAYMAKER_HOME leads through this link, and nothing is to be found at {target}",
            where=path,
            fix=f"mount or restore what it leads to, make a new one (mkdir -m 700 {target}), or set HAYMAKER_HOME",
        )


def ensure_home(path: Path) -> Path:
    """
    Make the folder `path` and its missing parents, for this user alone (0700), and return it.

    One that exists is tightened to 0700 where it is plainly haymaker's own (empty, or holding `state` or
    `install`); any other keeps its mode, since it may be a folder that others rely on.

    Raises:
        PlatformError: it cannot be made, leads nowhere, is no folder, or anybody on this host could write in it.
    """
    _refuse_dangling(str(path))
    try:
        _make_folders(path)
        found = path.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        if found.st_mode & 0o077 and found.st_uid == os.geteuid() and _is_haymakers_own(path):
            path.chmod(0o700)
        elif found.st_mode & 0o002:
            raise PlatformError(
                "anybody on this host can write in this folder",
                where=str(path),
                fix="set HAYMAKER_HOME to a folder of its own (mode 0700)",
            )
    except OSError as error:
        raise platform_error(error, "make the folder", path) from error
    return path


def _make_folders(path: Path) -> None:
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)


def _is_haymakers_own(path: Path) -> bool:
    names = os.listdir(path)  # one call, names only
    return not names or "state" in names or "install" in names


def install_id(home: Path) -> str:
    """
    Give the id of the install at `home`, making it where there is none. Of two that make it at once, one wins.

    Raises:
        DoubtError: it cannot be read, or is no id: a new one would disown everything that runs.
        PlatformError: it cannot be made.
    """
    path = home / "install"
    if (found := find_install_id(home)) is not None:
        return found
    ensure_home(home)
    mine = home / f".install.{os.getpid()}-{os.urandom(4).hex()}.draft"
    write_record(mine, os.urandom(4).hex() + "\n")
    try:
        with contextlib.suppress(FileExistsError):
            os.link(mine, path)
    except OSError as error:
        raise platform_error(error, "make this install's id", path) from error
    finally:
        mine.unlink(missing_ok=True)
    sync_dir(home)
    made = find_install_id(home)
    if made is None:
        raise DoubtError("this install's id is gone as soon as it was made", where=str(path))
    return made


def find_install_id(home: Path) -> str | None:
    """
    Give the id of the install at `home`, or None where none was made yet.

    Raises:
        DoubtError: it cannot be read, or is no id.
    """
    path = home / "install"
    try:
        content = read_regular(path).decode().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _doubt(path, f"this install's id cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _doubt(path, "this is not an install's id (8 hex digits)") from error
    if len(content) != 8 or not _HEX.issuperset(content):
        raise _doubt(path, "this is not an install's id (8 hex digits)")
    return content


def find_original(home: Path) -> str | None:
    """
    Give the path of the install that `home` is a copy of, or None where it is no copy.

    A home that was moved, or is reached by another path (a link, a bind mount), is none. Where the original was last
    reached by a path that is no more, the agents that work in it tell. One without the record, as haymaker wrote them
    before, counts as the install.

    Raises:
        DoubtError: the record, or the id of either, cannot be read.
    """
    known = _place(home)
    if known is None:
        return None
    try:
        here = os.stat(home)
    except OSError:
        return None
    if (here.st_dev, here.st_ino) == known[1:]:
        return None
    mine = find_install_id(home)
    try:
        there = os.stat(known[0])
    except OSError:  # it was moved here, or the original was last reached by a path that is no more
        return _find_by_agents(mine, (here.st_dev, here.st_ino)) if mine is not None else None
    if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
        return None
    return known[0] if mine is not None and mine == find_install_id(type(home)(known[0])) else None


def _find_by_agents(install: str, here: tuple[int, int]) -> str | None:
    """Give the folder, another than `here`, in which agents of this install work just now: theirs is the original."""
    from pathlib import Path

    from agent_haymaker.process_table import take_snapshot  # for a home whose place is in question

    for pid, run_id in take_snapshot().run_ids.items():
        if not run_id.startswith(f"{install}."):
            continue
        cwd = Path(f"/proc/{pid}/cwd")  # mostly the workspace, `agents/<id>` in the home
        with contextlib.suppress(OSError, DoubtError):
            found = os.stat(cwd / "../..")
            if (found.st_dev, found.st_ino) != here and find_install_id(cwd / "../..") == install:
                return os.path.dirname(os.path.dirname(os.readlink(cwd)))
    return None


def refuse_copy(home: Path) -> None:
    """
    Raise where `home` is a copy: what its records name are the processes of another home.

    Raises:
        PlatformError: it is one.
        DoubtError: nobody can tell.
    """
    original = find_original(home)
    if original is not None:
        raise PlatformError(
            f"this is a copy of {original}, whose processes its records name: nothing is started or ended from here",
            where=str(home),
            fix=copy_fix(home, original),
        )


def copy_fix(home: Path, original: str) -> str:
    """Say what a copy can become."""
    from shlex import quote  # for this one text

    return (
        f"use HAYMAKER_HOME={quote(original)}; or make this a home of its own, which forgets what runs there "
        f"(cd {quote(str(home))} && rm -r {' '.join(_OF_RUNS)}); or move {original} away first, if this replaces it"
    )


def note_place(home: Path) -> None:
    """
    Write down that `home` is the folder of its install, where that is not known yet or the folder was moved.

    Raises:
        PlatformError: it is a copy, or the disk refuses.
        DoubtError: nobody can tell.
    """
    refuse_copy(home)
    path, found = os.path.realpath(home), os.stat(home)
    here = (path, found.st_dev, found.st_ino)
    if _place(home) != here:
        write_record(home / _PLACE, {"schema_version": 1, "path": path, "device": here[1], "inode": here[2]})


def _place(home: Path) -> tuple[str, int, int] | None:
    """Give path, device and inode of the install's folder, as on record."""
    try:
        record = read_record(home / _PLACE)
        return str(record["path"]), int(record["device"]), int(record["inode"])
    except FileNotFoundError:
        return None
    except (DoubtError, KeyError, TypeError, ValueError) as error:
        what = error.what if isinstance(error, DoubtError) else "this does not say which folder this install is"
        doubt = error if isinstance(error, DoubtError) else DoubtError(what, where=str(home / _PLACE))
        fix = mending(doubt, "where this home is no copy of another, the next pass writes it anew")
        raise DoubtError(what, where=str(home / _PLACE), fix=fix) from error


def _doubt(path: Path, what: str) -> DoubtError:
    from shlex import quote  # for this one text

    runs = path.parent / "engines" / "local" / "runs"
    with contextlib.suppress(OSError):
        ids = {name.partition(".")[0] for name in os.listdir(runs) if name[0] != "." and name.endswith(".jsonl")}
        if len(ids) == 1:
            fix = f"rm -rf {quote(str(path))}; echo {ids.pop()} > {quote(str(path))}"
            return DoubtError(what, where=str(path), fix=fix)
    fix = f"restore it: the id stands at the beginning of each file's name in {runs}"
    return DoubtError(what, where=str(path), fix=fix)
