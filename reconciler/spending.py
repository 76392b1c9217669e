"""
Gather what counts against budgets now: the ledger, and the runs whose end is not on record. Nothing without a budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.engines import Handle
from agent_haymaker.lean import replace
from reconciler.budget import Purse, Spent, earliest, overrun, price_of, spent_by
from reconciler.ledger import read_charges, read_live_usage, read_usage
from reconciler.model.observed import RunPhase
from reconciler.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from agent_haymaker.engines import Engine
    from reconciler.inventory import Run
    from reconciler.model.lazyjson import Json
    from reconciler.observe import World


def gather_purse(
    home: Path, engine: Engine, world: World, fleet: str, budget: Json, prices: Mapping[str, Json],
    budgets: Iterable[Json], now: float,
) -> Purse | None:  # fmt: skip
    """
    Give the purse of a fleet, `budgets` being its deployments' own; None where there is no budget at all.

    Raises:
        DoubtError: the ledger cannot be read.
    """
    known = [b for b in (budget, *budgets) if b]
    if not known:
        return None
    since = earliest(now, known)
    if since is None:
        return Purse(fleet, budget, {}, now)
    spent = {
        key: Spent(c.name, c.fleet, c.at, spent_by(c.usage, c.caps))
        for key, c in read_charges(home, since=since).items()
    }
    for entry in world.entries.values():
        run = entry.run
        if run is None or run.recorded or run.handle is None or (run.started_at or 0.0) < since or run.key in spent:
            continue
        used = usage_of(engine, run, prices) or Usage(cost_usd=0.0)
        is_live = world.seen[entry.name].phase in (RunPhase.RUNNING, RunPhase.UNREACHABLE)
        counted = {"cost_usd": used.cost_usd or 0.0} if is_live else {}  # what is unknown is reserved already
        spent[run.key] = Spent(
            entry.name, entry.fleet, run.started_at or now, spent_by(used, run.caps) | counted, run.caps, is_live
        )
    return Purse(fleet, budget, spent, now)


def usage_of(engine: Engine, run: Run, prices: Mapping[str, Json]) -> Usage | None:
    """Give what a run that was started says that it used, its cost by the fleet's prices where it tells none."""
    assert run.handle is not None, "a run without a handle says nothing"
    used = read_usage(engine, Handle.from_json(run.handle))
    return None if used is None else replace(used, cost_usd=price_of(used, prices))


def find_overrun(engine: Engine, run: Run, prices: Mapping[str, Json]) -> str:
    """Say what a live run has used beyond its caps and does not end for by itself; "" where it keeps to them."""
    if not run.caps or run.handle is None:
        return ""
    used = read_live_usage(engine, Handle.from_json(run.handle))
    return "" if used is None else overrun(replace(used, cost_usd=price_of(used, prices)), run.caps)
