"""
Which session of its SDK an agent is in, kept on disk so that the next run can go on with it.

A session belongs to one goal and one sdk: where either changed, or the goal was achieved, the next run begins anew.
It refuses to know what a session holds; the SDK's driver keeps that.
"""

from __future__ import annotations

from binascii import crc32

from agent_haymaker.errors import HaymakerError
from agent_haymaker.lean import dataclass, replace
from agent_haymaker.records import read_record, write_record
from haymaker_goal_agent.drivers.protocol import words_of
from haymaker_goal_agent.journal import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

_FILE = f"{FOLDER}/session.json"


@dataclass(frozen=True, slots=True)
class Known:
    """`id` is "" before a session began; `told` names the last instruction that it was given."""

    sdk: str
    goal: str
    id: str = ""
    told: str = ""
    cost_usd: float = 0.0
    is_done: bool = False


class Sessions:
    """The session of one workspace."""

    def __init__(self, workspace: Path, sdk: str) -> None:
        self._path = workspace / _FILE
        goal = (workspace / "prompt.md").read_bytes()
        # Tells a goal from the one before it, and need not withstand anybody; OpenSSL would stay in memory for it.
        self.now = self._read(Known(sdk, f"{len(goal)}-{crc32(goal):08x}"))

    def update(self, **facts: Any) -> None:
        """
        Change what is known, and keep it.

        Raises:
            PlatformError: the disk refuses.
        """
        self.now = replace(self.now, **facts)
        write_record(self._path, {"schema_version": 1, **words_of(self.now)})

    def _read(self, fresh: Known) -> Known:
        try:
            record = read_record(self._path)
            known = Known(**{name: record[name] for name in Known.__match_args__})
        except (OSError, HaymakerError, KeyError, TypeError):
            return fresh  # none yet, or not one of ours: a new session does no harm
        is_same = (known.sdk, known.goal) == (fresh.sdk, fresh.goal)
        return known if is_same and not known.is_done else fresh
