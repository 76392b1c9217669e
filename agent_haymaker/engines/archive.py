"""
What past runs leave behind: their logs, the artifacts that were asked for, and retired workspaces.

`runs/<workspace>/<key>/` holds `agent.log`, what the run told of itself (`events.jsonl`, `result.json`), `artifacts/`
and, where a workspace was retired whole, `workspace/`.
It refuses to know which of them is worth keeping: bounds are handed in. An agent may have put anything there, symlinks
above all: none is followed, and one that stands where a folder of ours should gives way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from agent_haymaker.engines import Kept, artifacts
from agent_haymaker.engines.local_files import remove_workspace
from agent_haymaker.records import platform_error

if TYPE_CHECKING:
    from collections.abc import Sequence

LOG = "agent.log"
_ODD = "odd"  # the end of a name: what an agent had put in place of its workspace
RUN_FILES = (LOG, f"{LOG}.1", "events.jsonl", "result.json")
"""What belongs to one run and not to its workspace: a successor must not be taken for its author."""


class Archive:
    """The archive under one HAYMAKER_HOME. `workspace` and `key` are file names, checked by the caller."""

    def __init__(self, home: Path) -> None:
        self._agents = home / "agents"
        self._runs = home / "runs"

    def folder(self, workspace: str, key: str) -> Path:
        """Give where a run's remains are put. It exists only once there are some."""
        return self._runs / workspace / key

    def retire(self, workspace: str, key: str, *, whole: bool) -> None:
        """
        Move an ended run's own files aside, and with `whole` the workspace as it is. What was moved before stays moved.

        Raises:
            PlatformError: the disk refuses.
        """
        source, target = self._agents / workspace, self.folder(workspace, key)
        try:
            if not _is_folder(source):
                return
            self._make_folder(workspace, key)
            for name in RUN_FILES:
                with contextlib.suppress(FileNotFoundError):
                    if stat.S_ISREG((source / name).lstat().st_mode):
                        os.replace(source / name, target / name)
            if whole and not _is_folder(target / "workspace"):
                (target / "workspace").unlink(missing_ok=True)
                os.rename(source, target / "workspace")
        except OSError as error:
            raise platform_error(error, "put the run aside", target) from error

    def put_aside(self, workspace: str, key: str) -> None:
        """
        Move away what stands where the workspace of run `key` should: a file, a link. It is moved itself, not followed.

        Raises:
            PlatformError: the disk refuses.
        """
        source, target = self._agents / workspace, self._runs / workspace / f"{key}.{_ODD}"
        try:
            self._make_folder(workspace)
            os.rename(source, target)
        except OSError as error:
            raise platform_error(error, "put aside what stands in place of the workspace", source) from error

    def _make_folder(self, workspace: str, *below: str) -> None:
        path = str(self._runs)  # itself a person may have put on another disk
        if not os.path.isdir(path):
            os.makedirs(path, 0o700, exist_ok=True)
        for name in (workspace, *below):
            path = f"{path}/{name}"
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                if os.path.islink(path):
                    os.unlink(path)
                    os.mkdir(path, 0o700)
                elif not os.path.isdir(path):
                    raise

    def keep(self, workspace: str, key: str, patterns: Sequence[str]) -> Kept:
        """
        Copy the workspace's regular files that match the glob patterns to the run's `artifacts/`.

        Links are not followed. What the agent made so that it cannot be read or named is left behind, and told.

        Raises:
            PlatformError: the disk refuses.
        """
        source, target = self._agents / workspace, self.folder(workspace, key) / "artifacts"
        kept: list[str] = []
        left: dict[str, str] = {}

        def leave(path: str, error: OSError) -> None:
            left[path] = error.strerror or str(error)

        made: set[str] = set()
        try:
            for path in artifacts.find_matching(str(source), patterns, leave) if _is_folder(source) else ():
                try:
                    fd = artifacts.open_source(str(source / path))
                except OSError as error:
                    leave(path, error)
                    continue
                try:
                    folder, _, name = path.rpartition("/")
                    if folder not in made:
                        self._make_folder(workspace, key, "artifacts", *Path(folder).parts)
                        made.add(folder)
                    with contextlib.suppress(FileNotFoundError):
                        (target / folder / name).unlink()  # what an earlier pass copied, or a link
                    artifacts.copy(fd, str(target / path))
                    kept.append(path)
                except OSError as error:
                    if error.errno != errno.ENAMETOOLONG:
                        raise
                    leave(path, error)  # the agent nested it deeper than our own path lets us
                finally:
                    os.close(fd)
        except OSError as error:
            raise platform_error(error, "keep the artifacts", target) from error
        return Kept(tuple(sorted(kept)), left)

    def trim(self, workspace: str, *, runs: int, age_seconds: float, size_bytes: int | None) -> int:
        """Remove the remains of the oldest runs beyond these bounds, and give of how many."""
        folder = self._runs / workspace
        try:
            found = sorted(((p.lstat().st_mtime, p) for p in folder.iterdir() if _is_folder(folder)), reverse=True)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise platform_error(error, "read the archive", folder) from error
        oldest = time.time() - age_seconds
        removed, size = 0, 0
        for number, (at, path) in enumerate(found):
            size += _size(path) if size_bytes is not None else 0
            if number >= runs or at < oldest or (size_bytes is not None and size > size_bytes):
                remove_workspace(str(path))
                removed += 1
        return removed

    def find(self, key: str, workspace: str = "") -> Path | None:
        """Give the folder of a run's remains, or None where nothing of it was put aside. `workspace`, where known."""
        try:
            workspaces = [workspace] if workspace else os.listdir(self._runs)
        except FileNotFoundError:
            return None
        return next((f for w in workspaces if _is_folder(f := self.folder(w, key)) and _is_folder(f.parent)), None)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _size(path: Path) -> int:
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total
