"""
Files of a run's workspace: written before its start, read while and after it runs, removed in the end.

The agent may have put anything into its workspace, symlinks above all. Nothing here follows one out of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING, BinaryIO

from agent_haymaker.engines.shim_logs import move_aside, open_folder, parts_of
from agent_haymaker.errors import PlatformError, WorkloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_FEW, _LITTLE = 16, 256 * 1024  # files, and bytes in all
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def workspace_path(agents: str, name: str) -> str:
    """
    Return the path of a workspace.

    Raises:
        PlatformError: the name would lead elsewhere.
    """
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise PlatformError(f"{name!r} cannot name a workspace", where=agents, fix="use a plain name without `/`")
    return f"{agents}/{name}"


def prepare(workspace: str, files: Mapping[str, bytes], log: str) -> None:
    """
    Make the workspace with these files in it; where there is one, each is written aside and renamed into place.

    Raises:
        PlatformError: a path leaves the workspace or runs into a symlink, or the disk refuses.
    """
    path = log
    try:
        if log:
            parts_of(log)
        is_new = _make_folder(workspace)
        root = os.open(workspace, _FOLDER)
        try:
            for path, content in files.items():
                _write(root, path, content, is_new=is_new)
        finally:
            os.close(root)
    except ValueError as error:
        raise PlatformError(str(error), where=workspace, fix="name files by plain relative paths") from error
    except OSError as error:
        planted = error.errno in (errno.ELOOP, errno.ENOTDIR)
        what = "a symlink or a file stands where a folder should" if planted else os.strerror(error.errno or 0)
        fix = "remove it, or clean up the deployment" if planted else "free the disk or mend the folder's permissions"
        raise PlatformError(f"{path} could not be written: {what}", where=workspace, fix=fix) from error


def _make_folder(workspace: str) -> bool:
    try:
        os.mkdir(workspace, 0o700)
    except FileExistsError:
        return False
    except FileNotFoundError:
        os.makedirs(workspace, 0o700, exist_ok=True)
    return True


def _write(root: int, path: str, content: bytes, *, is_new: bool) -> None:
    folder, name = open_folder(root, path)
    try:
        draft = name if is_new else f".{name[:200]}.draft"
        if not is_new:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(draft, flags, 0o600, dir_fd=folder)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
        if is_new:
            return
        try:
            os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        except IsADirectoryError:
            move_aside(folder, name)
            os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def find_program(program: str, search: str, workspace: str) -> str:
    """
    Return the absolute path of the program to execute. `search` is the run's own PATH.

    Raises:
        WorkloadError: there is none, or it cannot be executed.
    """
    if not program or "\0" in program:
        raise WorkloadError("the command is empty", fix="name a program as the first element of `command`")
    if "/" in program:
        path = os.path.normpath(os.path.join(workspace, program))
        _check_program(program, path)
        return path
    for folder in (search or os.defpath).split(":"):
        path = os.path.join(workspace, folder, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise WorkloadError(
        f"the program {program!r} is not on the agent's PATH",
        fix="install it, or name it by its path (`./…` is relative to workload.yaml's folder); "
        f"its PATH is {search or os.defpath}",
    )


def _check_program(program: str, path: str) -> None:
    if not os.path.exists(path):
        raise WorkloadError(f"the program {program!r} does not exist", where=path, fix="correct `command`")
    if not os.path.isfile(path):
        raise WorkloadError(f"the program {program!r} is not a file", where=path, fix="correct `command`")
    if not os.access(path, os.X_OK):
        raise WorkloadError(f"the program {program!r} is not executable", where=path, fix=f"chmod +x {path}")


def open_inside(workspace: str, path: str) -> BinaryIO:
    """
    Open a regular file of the workspace for reading, symlinks followed as long as they stay inside.

    Raises:
        FileNotFoundError: it is not there.
        PermissionError: it is elsewhere, symlinks resolved, or not a regular file.
    """
    if "\0" in path or path.startswith("/"):
        raise PermissionError(errno.EPERM, "only a relative path names a file of the workspace", path)
    if "/" not in path:
        os.lstat(f"{workspace}/{path}")  # most of what is asked for is not there: one call tells
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    home = os.path.realpath(workspace)
    real = os.path.realpath(os.path.join(home, path))
    if not real.startswith(home + "/"):
        raise PermissionError(errno.EPERM, "it leads out of the workspace", path)
    fd = os.open(real, flags)
    try:
        # The agent may have swapped a symlink in since: what was opened is what counts.
        if not _path_of(fd).startswith(home + "/"):
            raise PermissionError(errno.EPERM, "it leads out of the workspace", path)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise PermissionError(errno.EPERM, "it is not a regular file", path)
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def _path_of(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)")
    except FileNotFoundError:
        import fcntl

        return os.fsdecode(fcntl.fcntl(fd, getattr(fcntl, "F_GETPATH", 50), bytes(1024)).rstrip(b"\0"))


def is_small(folder: str) -> bool:
    """Tell whether a folder holds so little that it is copied or removed at once. One that is not there does."""
    size = 0
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                found = entry.stat(follow_symlinks=False)
                size += found.st_size
                if number >= _FEW or size > _LITTLE or stat.S_ISDIR(found.st_mode):
                    return False
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _remove_folder(folder: str, unlock: Callable[..., Any]) -> None:
    try:
        shutil.rmtree(folder, onerror=unlock)
    except RecursionError:  # nested deeper than Python's own stack; rm walks without one
        import subprocess

        subprocess.run(["rm", "-rf", "--", folder], check=False, capture_output=True)
        if os.path.lexists(folder):
            raise OSError(errno.ENOTEMPTY, "it is nested too deeply", folder) from None


def remove_workspace(workspace: str) -> None:
    """
    Remove a workspace with all that is in it; none there is fine. A symlink in its place is removed itself.

    Raises:
        PlatformError: something of it could not be removed; says what.
    """

    def unlock_and_retry(function: Callable[..., Any], path: str, _: object) -> None:
        # An agent may leave folders that nobody may write into.
        parent = os.path.dirname(path)
        for folder in (parent, path):
            if os.path.isdir(folder) and not os.path.islink(folder) and folder.startswith(workspace):
                os.chmod(folder, 0o700)
        if function in (os.rmdir, os.unlink):
            function(path)
        elif os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)

    try:
        if os.path.islink(workspace):
            os.unlink(workspace)
        elif os.path.isdir(workspace):
            _remove_folder(workspace, unlock_and_retry)
        elif os.path.lexists(workspace):
            os.unlink(workspace)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise PlatformError(
            f"{error.filename} could not be removed: {error.strerror}",
            where=workspace,
            fix="mend its permissions or remove it by hand, then run the command again",
        ) from error
