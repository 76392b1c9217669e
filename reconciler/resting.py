"""
Why what should run does not, where that is not to be seen in it: dependencies that will not come, budgets that refuse.

Told by the specs as applied, whoever looks. Mostly there is nobody to ask about, and nothing is imported for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.inventory import applied
from reconciler.model.lazyjson import AppliedSpec
from reconciler.model.observed import RunPhase
from reconciler.observe import observe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.app import App
    from reconciler.inventory import Entry, Inventory
    from reconciler.model.observed import Observed
    from reconciler.observe import World


def rests(entry: Entry, seen: Observed) -> bool:
    """Tell whether it does not run although it should."""
    return seen.phase in (RunPhase.NONE, RunPhase.STOPPED) and not entry.stopped


def find_refused(app: App, inventory: Inventory, world: World, names: Iterable[str]) -> dict[str, str]:
    """Map those whose budget, or their fleet's, allows no start to the reason. Mostly there is nobody to ask about."""
    refused: dict[str, str] = {}
    by_fleet: dict[str, list[Entry]] = {}
    for name in names:
        if rests(world.entries[name], world.seen[name]):
            by_fleet.setdefault(world.entries[name].fleet, []).append(world.entries[name])
    for fleet, entries in by_fleet.items():
        known = inventory.fleet(fleet)
        whole = known.budget
        own = {e.name: AppliedSpec(e.desired).get("budget") or {} for e in entries if e.desired}
        if not whole and not any(own.values()):
            continue
        from reconciler.spending import gather_purse

        if whole and len(world.entries) < len(inventory.entries):  # what the others use and hold counts too
            world = observe(inventory, app.engine, app.home, now=app.now())
        purse = gather_purse(app.home, app.engine, world, fleet, whole, known.prices, own.values(), app.now())
        if purse is not None:
            former = {e.name: e.desired.get("renamed_from", ()) for e in entries if e.desired}
            answers = {name: purse.admit(name, budget, formerly=former[name]) for name, budget in own.items()}
            refused |= {name: answer.refusal for name, answer in answers.items() if answer.refusal}
    return refused


def with_dependencies(entries: Mapping[str, Entry], names: Iterable[str]) -> set[str]:
    """Give the names, and those that they depend on, directly or not."""
    reached: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in reached:
            continue
        reached.add(name)
        if name in entries:
            left += [before for before, _ in entries[name].depends_on]
    return reached


def find_stuck_among(app: App, world: World, names: Iterable[str]) -> dict[str, str]:
    """Map those that wait in vain to the reason, by the specs as applied. Mostly there is nobody to ask about."""
    resting = [name for name in names if rests(world.entries[name], world.seen[name])]
    waiting = [name for name in resting if world.entries[name].depends_on]
    if not waiting:
        return {}
    from reconciler.dependencies import find_stuck

    reached = with_dependencies(world.entries, waiting)
    want = {n: applied(world.entries[n]) for n in reached if n in world.entries and world.entries[n].desired}
    found: dict[str, str] = {}
    for fleet in sorted({world.entries[name].fleet for name in waiting}):
        stuck = find_stuck(want, world.seen, fleet=fleet, now=app.now())
        found |= {n: stuck[n] for n in waiting if n in stuck and world.entries[n].fleet == fleet}
    return found
