"""
Which commit a folder stands at, and whether it has changes that no commit holds.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GIT_SECONDS = 10.0


def revision_of(folder: str, files: Iterable[str] = ()) -> dict[str, Any]:
    """
    Give `commit` and `dirty` of the folder's repository; empty where there is no git or no commit.

    It is dirty also where git does not know one of `files`, relative to the folder: an ignored one is no change to git.
    """
    if not any((parent / ".git").exists() for parent in (Path(folder), *Path(folder).parents)):
        return {}
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    if _git(folder, "status", "--porcelain", "--", "."):
        return {"commit": commit, "dirty": True}
    known = set(_git(folder, "ls-files", "-z", "--", ".").split("\0"))
    return {"commit": commit, "dirty": not known.issuperset(files)}


def commit_word(revision: Mapping[str, Any]) -> str:
    """Give a revision in a word: its commit, "-dirty" after it where it is; "" where there is none."""
    return f"{revision['commit']}{'-dirty' if revision.get('dirty') else ''}" if revision.get("commit") else ""


def content_at(folder: str, revision: str, path: str) -> str:
    """Give a file's text as a revision of the folder's repository has it; "" where it has none."""
    root = _git(folder, "rev-parse", "--show-toplevel")
    relative = os.path.relpath(path, root) if root else ""
    return _git(folder, "show", f"{revision}:{relative}") if root else ""


def _git(folder: str, *args: str) -> str:
    try:
        run = subprocess.run(
            ["git", "-C", folder, *args], capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.rstrip("\n") if run.returncode == 0 else ""
