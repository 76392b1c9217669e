"""
What a workload offers that can make an agent directory of a goal, and what it tells of the one it made.

`haymaker generate` asks the installed workload for it. It refuses to know how an agent is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class GeneratedAgent:
    """
    An agent directory as it was written.

    `needs` says in words what a run of it needs beside haymaker; `notes` are remarks on the goal, each with its place.
    """

    name: str
    folder: Path
    sdk: str
    domain: str
    phases: int
    steps: int
    criteria: int
    checks: int
    needs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class AgentGenerator(Protocol):
    """A workload that makes agent directories."""

    def generate_agent(self, goal: Path, out: Path | None, *, sdk: str, name: str, force: bool) -> GeneratedAgent:
        """
        Make an agent directory of a goal and start nothing.

        "" and None stand for a choice that is left to the workload. With `force` the files of an agent that is there
        already are written again; whatever else stands beside them stays.

        Raises:
            ManifestError: the goal, or a skill beside it, is wrong.
            UsageError: the name, the SDK or the folder will not do.
            PlatformError: the disk refuses.
        """
        ...
