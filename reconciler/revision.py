"""
Which commit a folder stands at, and whether it has changes that no commit holds.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

GIT_SECONDS = 10.0


def revision_of(folder: str) -> dict[str, Any]:
    """Give `commit` and `dirty` of the folder's repository; empty where there is no git or no commit."""
    if not any((parent / ".git").exists() for parent in (Path(folder), *Path(folder).parents)):
        return {}
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--", "."))}


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
