"""How often and until when a call is tried: one policy for every provider."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_haymaker.llm.faults import Fault

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0


def backoff(failures: int) -> float:
    """Give the seconds to wait after so many failures in a row: doubling, capped, and scattered by a quarter."""
    pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** (failures - 1), _LONGEST_PAUSE_SECONDS)
    return pause * random.uniform(0.75, 1)  # noqa: S311 - scatters clients, hides nothing


class Attempts:
    """
    The attempts of one call.

    The deadline bounds all of them and their pauses together, so that a call ends when its caller expects it to.
    """

    def __init__(self, max_retries: int, timeout_seconds: float, backoff: Callable[[int], float]) -> None:
        self._failures = 0
        self._max_retries = max_retries
        self._deadline = time.monotonic() + timeout_seconds
        self._backoff = backoff

    def seconds_left(self) -> float:
        """Give what is left until the deadline, never less than a moment."""
        return max(self._deadline - time.monotonic(), 0.001)

    def pause_after(self, fault: Fault) -> float | None:
        """Give the seconds to wait before the next attempt, None where there is none: no use, or no time."""
        self._failures += 1
        if not fault.is_passing or self._failures > self._max_retries:
            return None
        asked = fault.retry_after(datetime.now(UTC))
        pause = self._backoff(self._failures) if asked is None else asked
        return pause if pause < self._deadline - time.monotonic() else None
