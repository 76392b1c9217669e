"""
What is kept of a digest, so that it can be gone back to: `kept/<deployment id>/<digest>/` under the home.

`desired.json` is the whole desired state, beside it each file that a start hands over, under its sha256. References to
secrets are kept as references. The code of a workload is not kept: whether it is still what it was is looked at, and
what is not is told. At most two digests of a deployment stay: its own, and the one to go back to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from agent_haymaker.errors import DoubtError
from agent_haymaker.lean import replace
from agent_haymaker.records import platform_error, read_record, read_regular, sync_dir, write_record
from reconciler.model.desired import Desired

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

FOLDER = "kept"
DESIRED = "desired.json"
VERSION = 1


def keep(home: Path, deployment_id: str, want: Desired, contents: Mapping[str, bytes]) -> None:
    """
    Keep a desired state with the content of its files, by their place in the workspace. Twice is once.

    Raises:
        PlatformError: the disk refuses.
    """
    folder = _place(home, deployment_id, want.digest)
    if (folder / DESIRED).exists():
        return
    try:
        for made in (home / FOLDER, folder.parent, folder):
            made.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise platform_error(error, "keep what to go back to", folder) from error
    for place, sha256 in want.recipe.file_digests.items():
        write_record(folder / sha256, contents[place], folder_too=False)
    # The record last: whoever finds it finds all of it.
    write_record(folder / DESIRED, {"schema_version": VERSION, "desired": want.to_json()})
    for named in (folder.parent, folder.parent.parent, home):
        sync_dir(named)


def is_kept(home: Path, deployment_id: str, digest: str) -> bool:
    return (_place(home, deployment_id, digest) / DESIRED).exists()


def load_kept(home: Path, deployment_id: str, digest: str) -> tuple[Desired | None, str]:
    """Give a desired state that was kept, its files where they are kept; or None, and why it cannot be had."""
    folder = _place(home, deployment_id, digest)
    try:
        made = Desired.from_json(read_record(folder / DESIRED, newest=VERSION)["desired"])
    except FileNotFoundError:
        return None, f"{folder} is gone"
    except DoubtError as doubt:
        return None, f"{doubt.where}: {doubt.what}"
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, f"{folder / DESIRED} is not as haymaker wrote it"
    files = {place: str(folder / sha256) for place, sha256 in made.recipe.file_digests.items()}
    return replace(made, recipe=replace(made.recipe, files=files)), ""


def find_missing(home: Path, kept: Desired) -> str:
    """Say what a start of a kept desired state would need and is no longer what it was, "" where all of it is."""
    for place, path in kept.recipe.files.items():
        if why := _changed(path, kept.recipe.file_digests.get(place, "")):
            return f"its {place} {why}"
    for path, sha256 in kept.recipe.code_files.items():
        if why := _changed(path, sha256):
            return f"{path}, of workload {kept.workload}, {why}"
    if kept.recipe.installed:
        from reconciler.manifest.workloads import installed_workloads  # few go back to anything

        found = installed_workloads(home, write=False)
        for name, code in kept.recipe.installed.items():
            now = found[name].code if name in found else ""
            if now != code:
                is_now = f"is {_version(now)} now" if now else "is not installed any more"
                return f"workload {name} was {_version(code)}, and {is_now}"
    return ""


def trim_kept(home: Path, deployment_id: str, digests: Collection[str]) -> None:
    """Drop what is kept of a deployment but for these digests. What cannot be dropped stays until the next time."""
    folder = home / FOLDER / deployment_id
    try:
        names = set(os.listdir(folder))
    except OSError:
        return
    for name in names - {_name(digest) for digest in digests}:
        with contextlib.suppress(OSError):
            os.unlink(folder / name / DESIRED)  # first: half of it is nothing
        shutil.rmtree(folder / name, ignore_errors=True)
    if not digests:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _place(home: Path, deployment_id: str, digest: str) -> Path:
    return home / FOLDER / deployment_id / _name(digest)


def _name(digest: str) -> str:
    return digest.replace(":", "-")


def _changed(path: str, sha256: str) -> str:
    try:
        content = read_regular(Path(path))
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if hashlib.sha256(content).hexdigest() == sha256 else "has changed"


def _version(code: str) -> str:
    return code.partition("+")[0]
