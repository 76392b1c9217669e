"""
What an agent takes from its deployment's memory at the beginning of a run, and puts there at its end.

An agent learns by appending a line to `learned.md`, whatever sdk it runs on. It refuses to know how memory is kept.
"""

from __future__ import annotations

import os
from pathlib import Path

from agent_haymaker.memory import FOLDER, OUTCOME, MemoryStore
from haymaker_goal_agent.journal import FOLDER as OWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LEARNED = "learned.md"
_MOST_BYTES = 64 * 1024


def recalled(workspace: Path, environ: Mapping[str, str], goal: str) -> str:
    """
    Give what is known from earlier runs and fits the goal, as a list in markdown; "" where nothing is.

    Raises:
        PlatformError: the memory cannot be opened.
    """
    with _store(workspace, environ) as store:
        return "".join(f"- {'' if m.kind != OUTCOME else 'outcome: '}{m.text}\n" for m in store.recall(goal))


def remember(workspace: Path, environ: Mapping[str, str], outcome: str, masked: Callable[[str], str]) -> int:
    """
    Take over what the agent has learned, and how its run ended, all of it `masked`; give how many facts were new.

    Raises:
        OSError, PlatformError: the workspace cannot be read, or the memory not be written.
    """
    run = environ.get("HAYMAKER_RUN_ID", "")
    path = workspace / LEARNED
    lines: list[str] = []
    if path.is_file() and not path.is_symlink():
        with path.open("rb") as file:
            lines = file.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
    with _store(workspace, environ) as store:
        new = sum(store.learn(masked(line).strip().removeprefix("- "), run=run) for line in lines)
        store.learn(masked(outcome), kind=OUTCOME, run=run)
    return new


def _store(workspace: Path, environ: Mapping[str, str]) -> MemoryStore:
    """The deployment's memory; that of an agent which is run by hand is in its own folder."""
    given = environ.get(FOLDER)
    return MemoryStore(Path(given) if given else Path(os.path.abspath(workspace)) / OWN / "memory")
