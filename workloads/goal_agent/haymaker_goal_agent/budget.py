"""
What a run may use and what it has used: turns, tokens, money, time.

Whoever starts an agent hands caps over in its environment; the config may set `max_turns` besides, and the lower one
counts. It refuses to stop anything: AutoMode asks it after each event.
"""

from __future__ import annotations

import json
import math
import time

from agent_haymaker.errors import ManifestError
from agent_haymaker.lean import replace
from haymaker_goal_agent.settings import read_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from haymaker_goal_agent.drivers.protocol import Used
    from haymaker_goal_agent.settings import Settings

TURNS, TOKENS, COST, SECONDS = (f"HAYMAKER_BUDGET_MAX_{word}" for word in ("TURNS", "TOKENS", "COST_USD", "SECONDS"))
PRICES = "HAYMAKER_BUDGET_PRICES"
_TELL_THEIR_COST = ("script", "claude")
_MILLION = 1_000_000


class Budget:
    """The caps of one run, None where there is none, and what counts against them."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """
        Raises:
            ManifestError: a cap is not a number above zero, or nothing can tell what the run costs.
        """
        turns = _cap(environ, TURNS)
        self.max_turns = settings.max_turns if turns is None else min(settings.max_turns, max(1, int(turns)))
        self.max_tokens = _cap(environ, TOKENS)
        self.max_cost_usd = _cap(environ, COST)
        self.max_seconds = _cap(environ, SECONDS)
        self._prices = settings.prices or ({} if settings.sdk in _TELL_THEIR_COST else _handed_prices(environ))
        self._planning_prices = settings.prices or _handed_prices(environ)
        self._tells_cost = settings.sdk in _TELL_THEIR_COST or bool(self._prices)
        if self.max_cost_usd is not None and not self._tells_cost:
            raise ManifestError(
                f"the cost is capped, and nothing tells what sdk `{settings.sdk}` costs",
                where="config.prices",
                fix="set prices: {input: ..., output: ...} in US dollars for a million tokens, or cap tokens instead",
            )
        self._began = time.monotonic()
        self.turns = 0
        self.input_tokens = self.output_tokens = self.cached_tokens = 0
        self.cost_usd: float | None = 0.0
        self.model = ""

    def check_planning(self) -> None:
        """
        Refuse to ask a model for a plan where the cost is capped and nothing can tell what that costs.

        Raises:
            ManifestError: it is so.
        """
        if self.max_cost_usd is not None and not self._planning_prices:
            raise ManifestError(
                "the cost is capped, and nothing tells what planning with a model costs",
                where="config.plan_with_model",
                fix="set prices: {input: ..., output: ...} in US dollars for a million tokens, or leave it out",
            )

    def add_planning(self, used: Used) -> None:
        """Count what planning used: no turn of the agent's, and priced as the model that does the work."""
        cost = _price(used, self._planning_prices) if self._planning_prices else used.cost_usd
        self.add(replace(used, cost_usd=cost))

    def add(self, used: Used) -> None:
        """Count what was used; by the prices given, where the driver cannot tell what it costs."""
        self.input_tokens += used.input_tokens
        self.output_tokens += used.output_tokens
        self.cached_tokens += used.cached_tokens
        self.model = used.model or self.model
        cost = _price(used, self._prices) if self._prices else used.cost_usd
        if cost is None and not used.input_tokens and not used.output_tokens:
            cost = 0.0
        self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost

    def spent(self, *, ending: bool = False) -> str:
        """
        Give which cap is reached, "" while none is.

        Turns count only where the run is `ending` anyway: the driver keeps to that cap by itself.
        """
        tokens = self.input_tokens + self.output_tokens
        if self.max_tokens is not None and tokens >= self.max_tokens:
            return f"{tokens} of {self.max_tokens:.0f} tokens used"
        if self.max_cost_usd is not None and (self.cost_usd or 0.0) >= self.max_cost_usd:
            return f"${self.cost_usd:.4f} of ${self.max_cost_usd:g} spent"
        if self.max_seconds is not None and time.monotonic() - self._began >= self.max_seconds:
            return f"its {self.max_seconds:g} seconds are over"
        if self.turns > self.max_turns or (ending and self.turns >= self.max_turns):
            return f"{self.turns} of {self.max_turns} turns used"
        return ""

    def turns_left(self) -> int:
        return max(0, self.max_turns - self.turns)

    def tokens_left(self) -> int | None:
        return (
            None if self.max_tokens is None else max(0, int(self.max_tokens) - self.input_tokens - self.output_tokens)
        )

    def cost_left(self) -> float | None:
        return None if self.max_cost_usd is None else max(0.0, self.max_cost_usd - (self.cost_usd or 0.0))

    def seconds_left(self) -> float | None:
        return None if self.max_seconds is None else max(0.0, self._began + self.max_seconds - time.monotonic())

    def usage(self) -> dict[str, Any]:
        """Give what was used in all, as result.json holds it."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
        }


def _price(used: Used, prices: Mapping[str, float]) -> float:
    cached = used.cached_tokens if "cached" in prices else 0
    return (
        (used.input_tokens - cached) * prices["input"]
        + cached * prices.get("cached", 0.0)
        + used.output_tokens * prices["output"]
    ) / _MILLION


def _handed_prices(environ: Mapping[str, str]) -> Mapping[str, float]:
    """Give the prices that whoever starts the agent knows: JSON, as `config.prices` has them."""
    raw = environ.get(PRICES, "")
    if not raw:
        return {}
    try:
        return read_settings({"prices": json.loads(raw)}).prices
    except (ValueError, ManifestError) as error:
        raise ManifestError(f"it is {raw!r}", where=PRICES, fix="set it as `config.prices` is set") from error


def _cap(environ: Mapping[str, str], name: str) -> float | None:
    raw = environ.get(name, "")
    if not raw:
        return None
    try:
        value = float(raw)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ManifestError(f"it is {raw!r}", where=name, fix="set a number above zero, or leave it out")
    return value
