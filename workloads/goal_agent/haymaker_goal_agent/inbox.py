"""
What people tell a running agent: the files of `inbox/`, each one instruction, taken over exactly once.

Whoever tells writes a whole file there under a name that sorts by time. Taking it over is one rename into
`.agent/told/`, so that a kill loses none and repeats none; what was told stays there for as long as the workspace
does, and every new session of the agent is told all of it. It refuses to know who tells, and how.
"""

from __future__ import annotations

import os
import stat

from haymaker_goal_agent.journal import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

INBOX = "inbox"
MAX_BYTES = 64 * 1024


class Inbox:
    """The inbox of one workspace."""

    def __init__(self, workspace: Path) -> None:
        self._inbox = workspace / INBOX
        self._told = workspace / FOLDER / "told"

    def is_empty(self) -> bool:
        return not self._waiting()

    def take(self) -> list[tuple[str, str]]:
        """
        Take over what waits; give (name, text) of each instruction, oldest first.

        Raises:
            OSError: the workspace cannot be written to.
        """
        names = self._waiting()
        if names:
            self._told.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            os.rename(self._inbox / name, self._told / name)
        return [(name, self._text(name)) for name in names]

    def told(self, after: str = "") -> list[tuple[str, str]]:
        """Give (name, text) of every instruction taken over after the one of this name, oldest first."""
        try:
            names = sorted(name for name in os.listdir(self._told) if name > after)
        except FileNotFoundError:
            return []
        return [(name, self._text(name)) for name in names]

    def _text(self, name: str) -> str:
        with (self._told / name).open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace").strip()

    def _waiting(self) -> list[str]:
        try:
            names = os.listdir(self._inbox)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if name[0] != "." and stat.S_ISREG(os.lstat(self._inbox / name).st_mode))
