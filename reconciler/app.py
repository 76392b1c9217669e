"""
The wiring: where haymaker's home, its engine, its clock and its ids come from. Nothing else looks up a global.
"""

from __future__ import annotations

import os
import time
from functools import cached_property
from pathlib import Path  # noqa: TC003 - the dataclass is built at run time
from typing import TYPE_CHECKING

from agent_haymaker.installation import ensure_home, home, install_id, note_place
from agent_haymaker.lean import dataclass, field
from agent_haymaker.records import platform_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent_haymaker.engines.local import LocalEngine


def _random_id() -> str:
    return os.urandom(4).hex()


@dataclass
class App:
    """One process's view of one HAYMAKER_HOME."""

    home: Path = field(default_factory=home)
    now: Callable[[], float] = time.time
    new_id: Callable[[], str] = _random_id
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @cached_property
    def engine(self) -> LocalEngine:
        """The engine for looks."""
        from agent_haymaker.engines.local import LocalEngine  # looks that need no engine pay for none

        return LocalEngine(self.home)

    def fenced_engine(self) -> LocalEngine:
        """Give an engine to the holder of the pass lock: what a killed holder still asked for is dropped first."""
        from agent_haymaker.engines.local import LocalEngine

        return LocalEngine(self.home, fence=True)

    def prepare(self) -> None:
        """
        Make the home and its folders, for a command that writes.

        Raises:
            PlatformError: the disk refuses, or this home is a copy of one that is still there.
        """
        ensure_home(self.home)
        note_place(self.home)
        for name in ("state", "agents", "fleets", "journal", "history", "runs", "locks"):
            try:
                (self.home / name).mkdir(mode=0o700, exist_ok=True)
            except OSError as error:
                raise platform_error(error, "make the folder", self.home / name) from error

    @cached_property
    def install(self) -> str:
        """
        The id of this install: part of every run's key, made once.

        Raises:
            DoubtError: the file that holds it is not as haymaker writes it; every agent here carries the old one.
        """
        return install_id(self.home)
