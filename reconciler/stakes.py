"""
What a plan puts at stake: what each run that it starts may cost, and which credentials it gains. Pure.

For whoever reviews a change before it runs. It says what manifests say, never what anything was worth or used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_haymaker.lean import dataclass
from reconciler.budget import amount
from reconciler.model.plan import Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model.desired import Desired
    from reconciler.model.lazyjson import Json
    from reconciler.model.plan import Plan

_FIGURES = {"maxCostUSD": "cost_usd", "maxTokens": "tokens", "maxTurns": "turns"}


@dataclass(frozen=True, slots=True)
class Stake:
    """What one deployment may use ("" where nothing caps it), and the credentials that it did not have before."""

    may_use: str
    gains: tuple[str, ...] = ()

    def __str__(self) -> str:
        gains = f"; gains {', '.join(self.gains)}" if self.gains else ""
        return f"{f'may use {self.may_use}' if self.may_use else 'has no budget of its own'}{gains}"

    def to_json(self) -> dict[str, Any]:
        return {"mayUse": self.may_use or None, "gains": list(self.gains)}


def find_stakes(plan: Plan, want: Mapping[str, Desired], before: Mapping[str, Json]) -> dict[str, Stake]:
    """Tell it of every deployment that the plan creates or starts; `before` are the specs that are in force now."""
    names = {a.name for a in plan.actions if a.verb is Verb.CREATE or a.starts}
    found = {}
    for name in sorted(names & want.keys()):
        spec, old = want[name].spec, before.get(name) or {}
        had = _credentials(old)
        gains = tuple(f"{env} ({source})" for env, source in _credentials(spec).items() if had.get(env) != source)
        found[name] = Stake(_may_use(spec.get("budget") or {}), gains)
    return found


def _may_use(budget: Json) -> str:
    caps = [amount(figure, budget[key]) for key, figure in _FIGURES.items() if budget.get(key) is not None]
    if not caps:
        return ""
    warned = ", and more: onExceeded is warn" if budget.get("onExceeded") == "warn" else ""
    return f"{', '.join(caps)} a {budget.get('period', 'run')}{warned}"


def _credentials(spec: Json) -> dict[str, str]:
    """Map the variables whose value comes from elsewhere to where that is: names, never values."""
    return {item["name"]: _source(item["valueFrom"]) for item in spec.get("env", ()) if item.get("valueFrom")}


def _source(reference: Mapping[str, Any]) -> str:
    [(kind, place)] = reference.items()
    if kind == "command":
        return f"command {place[0]}"
    return f"{kind} {'/'.join(map(str, place.values())) if kind == 'keyring' else place}"
