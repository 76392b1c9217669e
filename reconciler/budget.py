"""
Budgets: what was used and what is reserved → what a start may use, or why there is none.

Pure. A run counts in the period of its start: there its cap was reserved, and what the runs of a period use can
never be more than the budget of that period. A cost that nobody told counts as the cap that the run had.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from agent_haymaker.lean import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from reconciler.model.lazyjson import Json
    from reconciler.usage import Usage

CAPS = {"maxTurns": "turns", "maxTokens": "tokens", "maxCostUSD": "cost_usd"}
"""What a budget calls a figure, and what the caps of a run do."""

_WORDS = {"run": "a run", "day": "the day", "month": "the month"}


@dataclass(frozen=True, slots=True)
class Spent:
    """What one run, or many that were folded, count for. `caps` are what a live run may use in all."""

    name: str
    fleet: str
    at: float
    used: Mapping[str, float]
    caps: Mapping[str, float] = field(default_factory=dict)
    is_live: bool = False

    def held(self, figure: str) -> float:
        """Give what a live run may still use beyond what it used."""
        return max(0.0, self.caps.get(figure, 0.0) - self.used.get(figure, 0.0)) if self.is_live else 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a start gets: caps by figure, with what a person should know; or why not, and when to ask again."""

    caps: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refusal: str = ""
    wait: float | None = None  # seconds until the period is over


@dataclass(frozen=True, slots=True)
class Window:
    """A period around a moment, in UTC; `end` is None where each run stands for itself."""

    start: float
    end: float | None

    @classmethod
    def around(cls, now: float, period: str) -> Window:
        if period == "run":
            return cls(now, None)
        day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if period == "day":
            return cls(day.timestamp(), (day + timedelta(days=1)).timestamp())
        first = day.replace(day=1)
        return cls(first.timestamp(), (first + timedelta(days=31)).replace(day=1).timestamp())


def spent_by(used: Usage, caps: Mapping[str, float]) -> dict[str, float]:
    """Give what a run counts for by figure."""
    cost = used.cost_usd if used.cost_usd is not None else caps.get("cost_usd", 0.0)
    return {"turns": used.turns, "tokens": used.tokens, "cost_usd": cost}


def overrun(used: Usage, caps: Mapping[str, float]) -> str:
    """Say by what a run is beyond its caps, "" where it is not. A cost that nobody told is beyond none."""
    figures = {"turns": used.turns, "tokens": used.tokens, "cost_usd": used.cost_usd or 0.0}
    beyond = next((f for f in CAPS.values() if f in caps and figures[f] > caps[f]), None)
    return f"{amount(beyond, figures[beyond])} of {amount(beyond, caps[beyond])} used" if beyond else ""


class Purse:
    """The fleet's budget and everything that counts against budgets now. Who starts a run reserves its caps here."""

    def __init__(self, fleet: str, budget: Json, spent: Mapping[str, Spent], now: float) -> None:
        """`spent` maps a run's key to what it counts for: all that the windows of any budget here take in."""
        self._fleet, self._budget, self._spent, self._now = fleet, budget, dict(spent), now

    def copy(self) -> Purse:
        return Purse(self._fleet, self._budget, self._spent, self._now)

    def put(self, key: str, spent: Spent) -> None:
        """Note what a run counts for, in place of what it counted for before."""
        self._spent[key] = spent

    def reserve(self, name: str, caps: Mapping[str, float], key: str = "") -> None:
        """Keep the caps of a run that is about to start from others."""
        self.put(key or f"start of {name}", Spent(name, self._fleet, self._now, {}, caps, is_live=True))

    def admit(self, name: str, budget: Json, *, formerly: Collection[str] = ()) -> Answer:
        """Tell what a run of this deployment may use if it is started now. `formerly` are names it had before."""
        caps: dict[str, float] = {}
        warnings: list[str] = []
        names = {name, *formerly}
        own = [s for s in self._spent.values() if s.name in names]
        refused = self._take_own(name, budget, own, caps, warnings)
        return refused or self._take_fleets(name, caps, warnings) or Answer(caps, tuple(warnings))

    def _take_own(
        self, name: str, budget: Json, own: Iterable[Spent], caps: dict[str, float], warnings: list[str]
    ) -> Answer | None:
        window = Window.around(self._now, budget.get("period", "run"))
        only_warns = budget.get("onExceeded") == "warn"
        for key, figure in CAPS.items():
            if (limit := budget.get(key)) is None:
                continue
            # A run of its own that is live is about to be replaced: what it reserved and did not use is free.
            used = sum(s.used.get(figure, 0.0) for s in own if _counts(s, window))
            if used >= limit:
                what = f"its budget for {_WORDS[budget['period']]} is spent: {amount(figure, used)} of "
                what += amount(figure, limit)
                if not only_warns:
                    return self._refuse(what, window)
                warnings.append(f"{name}: {what}; it runs all the same (onExceeded: warn)")
            elif not only_warns:
                caps[figure] = limit - used
        return None

    def _take_fleets(self, name: str, caps: dict[str, float], warnings: list[str]) -> Answer | None:
        budget = self._budget
        window = Window.around(self._now, budget.get("period", "run"))
        how = budget.get("onExceeded", "stop")
        mine = [s for s in self._spent.values() if s.fleet == self._fleet and _counts(s, window)]
        for key, figure in CAPS.items():
            if (limit := budget.get(key)) is None:
                continue
            used = sum(s.used.get(figure, 0.0) for s in mine)
            reserved = sum(s.held(figure) for s in mine if s.name != name)
            left = limit - used - reserved
            asks = caps.get(figure)
            if window.end is None:  # each run stands for itself
                if how == "stop":
                    caps[figure] = min(limit, asks if asks is not None else limit)
            elif left <= 0 or (asks is not None and asks > left):
                what = self._why_fleet_refuses(budget, figure, used, reserved, asks)
                if how != "warn":
                    return self._refuse(what, window)
                warnings.append(f"{name}: {what}; it runs all the same (onExceeded: warn)")
            elif asks is None and how == "stop":
                caps[figure] = left
        return None

    def _why_fleet_refuses(self, budget: Json, figure: str, used: float, reserved: float, asks: float | None) -> str:
        key = next(key for key, word in CAPS.items() if word == figure)
        what = f"of the {amount(figure, budget[key])} that fleet {self._fleet} has for {_WORDS[budget['period']]}, "
        what += f"{amount(figure, used)} are spent"
        if reserved:
            what += f" and {amount(figure, reserved)} reserved by runs"
        if asks is not None and used + reserved < budget[key]:
            what += f", and a run of it may use {amount(figure, asks)}"
        elif reserved:
            what += f" (a run takes only its share where spec.budget.{key} gives one)"
        return what

    def _refuse(self, what: str, window: Window) -> Answer:
        assert window.end is not None, "what each run has for itself is never spent before it"
        again = datetime.fromtimestamp(window.end, UTC).strftime("%Y-%m-%d %H:%MZ")
        return Answer(refusal=f"{what}; the next period begins {again}", wait=window.end - self._now)


def earliest(now: float, budgets: Iterable[Json]) -> float | None:
    """Give since when runs count for any of these budgets; None where each run stands for itself."""
    starts = [Window.around(now, b["period"]).start for b in budgets if b.get("period", "run") != "run"]
    return min(starts, default=None)


def amount(figure: str, value: float) -> str:
    """Give a figure as people read it: $1.50, 900 tokens."""
    return f"${value:,.2f}" if figure == "cost_usd" else f"{value:,.0f} {figure}"


def price_of(usage: Usage, prices: Mapping[str, Json]) -> float | None:
    """Give what a run cost: as it says, else by the price of its model, else None."""
    price: Mapping[str, Any] | None = prices.get(usage.model)
    if usage.cost_usd is not None or price is None:
        return usage.cost_usd
    cached = usage.cached_tokens if "cachedInputPerMTok" in price else 0
    cost: float = (
        (usage.input_tokens - cached) * price["inputPerMTok"]
        + cached * price.get("cachedInputPerMTok", 0.0)
        + usage.output_tokens * price["outputPerMTok"]
    ) / 1_000_000
    return cost


def _counts(spent: Spent, window: Window) -> bool:
    return window.end is not None and window.start <= spent.at < window.end
