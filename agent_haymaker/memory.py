"""
What a deployment remembers over its runs: facts that its agent learned, outcomes of its runs. One SQLite file.

Its folder is named by HAYMAKER_MEMORY in the agent's environment; it outlives runs and generations, and goes with the
deployment. Any workload may write it, and `haymaker memory NAME` shows it. It refuses to judge what is worth knowing.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from typing import TYPE_CHECKING, Self

from agent_haymaker.errors import PlatformError
from agent_haymaker.lean import dataclass

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "HAYMAKER_MEMORY"
FILE = "memory.db"
FACT, OUTCOME = "fact", "outcome"
MOST_CHARACTERS = 2000
"""A longer text is cut: what is remembered has to fit into a prompt."""

_VERSION = 1
_PATIENCE_SECONDS = 5.0
_WORD = re.compile(r"\w{4,}")
_MOST_WORDS = 200


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing that is remembered: a "fact" or an "outcome". `at` is seconds since the epoch, `run` its run's key."""

    kind: str
    text: str
    at: float
    run: str = ""


class MemoryStore:
    """The memory of one deployment; `with` closes it."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """
        Open it; unless `read_only`, make it where there is none.

        Raises:
            FileNotFoundError: it is to be read, and there is none.
            PlatformError: it cannot be opened, or is no memory of this release.
        """
        path = folder / FILE
        if read_only and not path.is_file():
            raise FileNotFoundError(path)
        try:
            if not read_only:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.touch(mode=0o600)
            mode = "ro" if read_only else "rw"
            self._db = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=_PATIENCE_SECONDS)
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not read_only:
                with self._db:
                    self._db.execute(
                        "CREATE VIRTUAL TABLE memory USING fts5(text, kind UNINDEXED, at UNINDEXED, run UNINDEXED)"
                    )
                    self._db.execute(f"PRAGMA user_version = {_VERSION}")
            elif version not in (0, _VERSION):
                raise sqlite3.DatabaseError(f"it has version {version}, and this release knows {_VERSION}")
            self._is_empty = read_only and version == 0
        except (OSError, sqlite3.Error) as error:
            raise PlatformError(
                f"the memory cannot be opened: {error}", where=str(path), fix="restore it, or delete the file to forget"
            ) from error

    def learn(self, text: str, *, kind: str = FACT, run: str = "") -> bool:
        """Remember a text; a fact that is known already is not remembered twice. Tell whether it was new."""
        text = text.strip()[:MOST_CHARACTERS]
        if not text:
            return False
        with self._db:
            known = (
                kind == FACT
                and self._db.execute(
                    "SELECT 1 FROM memory WHERE kind = ? AND text = ? LIMIT 1", (kind, text)
                ).fetchone()
            )
            if not known:
                self._db.execute("INSERT INTO memory VALUES (?, ?, ?, ?)", (text, kind, time.time(), run))
        return not known

    def recall(self, about: str, *, facts: int = 20, outcomes: int = 5) -> list[Memory]:
        """Give the facts that fit a text best, then the last outcomes, oldest first."""
        if self._is_empty:
            return []
        words = list(dict.fromkeys(_WORD.findall(about.lower())))[:_MOST_WORDS]
        query = " OR ".join(f'"{word}"' for word in words)
        found = self._select("memory MATCH ? AND kind = ? ORDER BY rank LIMIT ?", query, FACT, facts) if query else []
        rest = self._select("kind = ? ORDER BY rowid DESC LIMIT ?", FACT, facts)
        found += [memory for memory in rest if memory not in found][: facts - len(found)]
        return found + self._select("kind = ? ORDER BY rowid DESC LIMIT ?", OUTCOME, outcomes)[::-1]

    def everything(self) -> list[Memory]:
        """Give all of it, oldest first."""
        return [] if self._is_empty else self._select("1 ORDER BY rowid")

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.close()

    def _select(self, where: str, *values: object) -> list[Memory]:
        rows = self._db.execute(f"SELECT kind, text, at, run FROM memory WHERE {where}", values)  # noqa: S608 - ours
        return [Memory(*row) for row in rows]
