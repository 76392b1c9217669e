"""
What can be wrong with the host: the folder of HAYMAKER_HOME, its disk, this user's limits, the programs needed.

Each check yields what it found; it looks only, and knows none of haymaker's records.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

from agent_haymaker.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.app import App

LITTLE_BYTES = 500 * 1024 * 1024
TOO_LITTLE_BYTES = 20 * 1024 * 1024
FEW_FILES = 1024
GIT_SECONDS = 5
OLDEST_PYTHON = (3, 11)
_OWN_HOME = "set HAYMAKER_HOME to a folder of its own"
_NOT_LOOKED = "What is recorded there was not looked at"


@dataclass(frozen=True, slots=True)
class Checked:
    """One check: `level` is ok, warn or fail."""

    check: str
    level: str
    what: str
    fix: str = ""


def home(app: App) -> Iterator[Checked]:
    try:
        found = app.home.stat()
    except FileNotFoundError:
        yield Checked("home", "ok", f"{app.home} does not exist yet; the first apply makes it")
        return
    except OSError as error:
        yield Checked("home", "fail", f"{app.home} cannot be looked at: {error.strerror}. {_NOT_LOOKED}",
                      f"let this user (uid {os.geteuid()}) into the folders above it, or {_OWN_HOME}")  # fmt: skip
        return
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode):
        yield Checked("home", "fail", f"{app.home} is no folder", "move it away, or set HAYMAKER_HOME elsewhere")
    elif is_closed(app.home):
        whose, fix = f"mode {mode:04o}", f"chmod u+rwx {app.home}, or {_OWN_HOME}"
        if found.st_uid != os.geteuid():
            whose, fix = f"user {found.st_uid}'s", f"run haymaker as user {found.st_uid}, or {_OWN_HOME}"
        closed = f"{app.home} is closed to this user (uid {os.geteuid()}): it is {whose}"
        yield Checked("home", "fail", f"{closed}. {_NOT_LOOKED}", fix)
    elif not os.access(app.home, os.W_OK):
        if os.statvfs(app.home).f_flag & os.ST_RDONLY:
            told, fix = "cannot be written: its filesystem is read-only", f"mount it writable, or {_OWN_HOME} elsewhere"
        else:
            told, fix = "cannot be written", f"chmod u+rwx {app.home}, or chown it"
        yield Checked("home", "fail", f"{app.home} {told}", fix)
    elif found.st_uid != os.geteuid():
        yield Checked("home", "warn", f"{app.home} belongs to another user (uid {found.st_uid})",
                      "run haymaker as that user, or set HAYMAKER_HOME")  # fmt: skip
    elif mode & 0o077:
        yield Checked("home", "warn", f"{app.home} is open to others (mode {mode:04o})", f"chmod 700 {app.home}")
    else:
        yield Checked("home", "ok", f"{app.home} (mode {mode:04o})")


def is_closed(folder: Path) -> bool:
    """Tell whether this user cannot look into the home; one that is not there yet is open."""
    try:
        folder.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return not os.access(folder, os.R_OK | os.X_OK)


def disk(app: App) -> Iterator[Checked]:
    folder = app.home
    while not os.path.exists(folder):  # also where a folder above it is closed
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    shown = f"{free / 1024**3:.1f} GiB free on the disk of {folder}"
    space = os.statvfs(folder)
    if free < TOO_LITTLE_BYTES or (space.f_files and not space.f_favail):
        yield Checked("disk", "fail", shown, "free some space: records cannot be written without it")
    elif free < LITTLE_BYTES:
        yield Checked("disk", "warn", shown, "free some space, or lower the retention of artifacts")
    else:
        yield Checked("disk", "ok", shown)


def files(app: App) -> Iterator[Checked]:
    del app
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < FEW_FILES:
        yield Checked("open files", "warn", f"this user may have {soft} files open", f"ulimit -n {FEW_FILES}")
    else:
        yield Checked("open files", "ok", f"this user may have {soft} files open")


def python(app: App) -> Iterator[Checked]:
    del app
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        yield Checked("python", "fail", f"{version} is too old", "install Python 3.11 or newer")
    else:
        yield Checked("python", "ok", version)


def git(app: App) -> Iterator[Checked]:
    del app
    try:
        said = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        yield Checked("git", "warn", "git does not run here", "install git: plans against a revision need it")
    else:
        yield Checked("git", "ok", said)


def platform(app: App) -> Iterator[Checked]:
    limits = ", ".join(sorted(app.engine.capabilities().limits)) or "none"
    yield Checked("limits", "ok", f"run.limits that this host enforces: {limits}")
    if sys.platform != "linux":
        yield Checked("processes", "ok", f"{sys.platform}: processes are looked at through psutil")
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
        yield Checked("processes", "ok", "pidfds: a signal cannot hit a recycled pid")
    except OSError:
        yield Checked("processes", "warn", "this kernel has no pidfds; identity is checked right before each signal",
                      "use Linux 5.3 or newer")  # fmt: skip


CHECKS = (home, disk, files, python, git, platform)
