"""
What runs use of a model: turns, tokens, money. What a run says of itself, and the sums over many.

Pure. It refuses to know where a report stands, and to guess: a cost that nobody told is None, never a number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from agent_haymaker.lean import dataclass, field, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.model.lazyjson import Json

NAME_LENGTH = 200
MOST_TOKENS, MOST_COST_USD = 10**15, 1e12  # of a run: what tells more tells nothing, and sums stay sums
_MOST_SUM_USD = 1e18  # of many runs
_YEAR_10000 = 253402300800.0
BUDGET_SPENT = "budget spent"  # the verdict in result.json
COUNTS = ("turns", "input_tokens", "output_tokens", "cached_tokens")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run used. `cached_tokens` are among the input; `cost_usd` is None where nobody told it."""

    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    model: str = ""
    spent: str = ""  # why it ended, where its budget was spent

    @property
    def tokens(self) -> int:
        """Tokens in and out, as a budget counts them."""
        return self.input_tokens + self.output_tokens

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "spent" or self.spent}


@dataclass(frozen=True, slots=True)
class Charge:
    """
    A line of the ledger: what one run used, or many that were folded together (`key` is then "").

    `at` is when the run was started, in seconds since the epoch: a run counts in the day and the month of its start.
    """

    at: float
    fleet: str
    name: str
    usage: Usage
    key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    runs: int = 1
    unpriced: int = 0  # how many of these runs did not tell what they cost
    caps: Mapping[str, float] = field(default_factory=dict)  # what the run was allowed to use

    def to_json(self) -> dict[str, Any]:
        record = {name: getattr(self, name) for name in self.__slots__ if name != "usage"}
        return record | {"labels": dict(self.labels), "caps": dict(self.caps), "usage": self.usage.to_json()}

    @classmethod
    def from_json(cls, record: Json) -> Charge:
        """
        Rebuild what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        charge = cls(**{**record, "at": float(record["at"]), "usage": Usage(**record["usage"])})
        used, cost = charge.usage, charge.usage.cost_usd
        counts = [charge.runs, charge.unpriced, *(getattr(used, name) for name in COUNTS)]
        if not (0 <= charge.at < _YEAR_10000) or not all(isinstance(n, int) and n >= 0 for n in counts):
            raise ValueError("no run can have used that")
        if not (cost is None or 0 <= cost < _MOST_SUM_USD) or not isinstance(used.model, str):
            raise ValueError("no run can have cost that")
        return charge


def told_by_result(record: Json) -> Usage | None:
    """Give what a result.json says was used, None where it says nothing."""
    rest = {name: record.get(name) for name in ("turns", "cost_usd", "model", "reason")}
    if record.get("verdict") != BUDGET_SPENT:
        rest["reason"] = None
    return _told({**_mapping(record.get("usage")), **rest})


def told_by_event(record: Json) -> Usage | None:
    """Give what a line of events.jsonl says was used since the run began, None where it is about something else."""
    if record.get("type") != "usage" or not isinstance(record.get("total"), dict):
        return None
    return _told({"model": record.get("model"), **record["total"]})


def is_cut(said: str) -> bool:
    """Tell whether a word of a report may be the beginning of a longer one."""
    return len(said) >= NAME_LENGTH


def add(one: Usage, other: Usage) -> Usage:
    """Give the sum; its cost is that of those who told one, None where neither did."""
    counts = {name: getattr(one, name) + getattr(other, name) for name in COUNTS}
    costs = [cost for cost in (one.cost_usd, other.cost_usd) if cost is not None]
    return replace(one, **counts, cost_usd=math.fsum(costs) if costs else None)


def merge(charges: Iterable[Charge]) -> Charge:
    """Give the sum of at least one charge, as the first of them but for its key."""
    first, *rest = charges
    total, runs, unpriced = first.usage, first.runs, first.unpriced
    for charge in rest:
        total, runs, unpriced = add(total, charge.usage), runs + charge.runs, unpriced + charge.unpriced
    return replace(first, usage=total, runs=runs, unpriced=unpriced, key=first.key if not rest else "")


def _told(said: Mapping[str, Any]) -> Usage | None:
    counts = {name: _count(said.get(name)) for name in COUNTS}
    cost, model = said.get("cost_usd"), said.get("model")
    known = isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < MOST_COST_USD
    counts["cached_tokens"] = min(counts["cached_tokens"], counts["input_tokens"])  # else they would pay money back
    why = said.get("reason")
    if not any(counts.values()) and not (known and cost) and not why:
        return None
    spent = (_line(why) or BUDGET_SPENT) if why is not None else ""
    return Usage(
        **counts, cost_usd=float(cost) if known and cost is not None else None, model=_line(model), spent=spent
    )


def _line(value: object) -> str:
    return value[:NAME_LENGTH] if isinstance(value, str) and value.isprintable() else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS else 0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
