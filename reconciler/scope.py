"""
What one pass is about: what is wanted, which names were chosen, and what it may remove.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent_haymaker.errors import DeploymentNotFoundError
from reconciler.inventory import applied
from reconciler.removals import Removals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.inventory import Inventory
    from reconciler.load import Loaded
    from reconciler.model.desired import Desired, FleetPolicy
    from reconciler.model.observed import Observed
    from reconciler.observe import World
    from reconciler.passes import Request


def find_desired(
    request: Request, loaded: Loaded, world: World
) -> tuple[dict[str, Desired], dict[str, str], frozenset[str]]:
    """Give what is wanted, why names have no good spec at all, and those whose last good one is in `want`."""
    if request.delete:
        return {}, {}, frozenset()
    want, broken = dict(loaded.desired), {}
    for name in loaded.broken_names:
        entry = world.entries.get(name)
        if entry is not None and entry.fleet == loaded.fleet.name and entry.desired:
            # A wrong manifest keeps its last good spec in force.
            want[name] = applied(entry)
        else:
            broken[name] = "its manifest is wrong, and no good one was ever applied"
    return want, broken, loaded.broken_names & want.keys()


def select_names(
    request: Request, want: Mapping[str, Desired], seen: Mapping[str, Observed], broken: Mapping[str, str]
) -> frozenset[str] | None:
    """Give the names that `--only` and `-l` choose, or None for all."""
    if not request.only and not request.selector:
        return None
    from reconciler.select import matches

    names = {*want, *seen, *broken}
    if request.only:
        names = {_find(wanted, names, seen) for wanted in request.only}
    if request.selector:
        labels = {n: (want[n].labels if n in want else seen[n].labels if n in seen else {}) for n in names}
        names = {n for n in names if matches(request.selector, labels[n])}
    return frozenset(names)


def _find(wanted: str, names: set[str], seen: Mapping[str, Observed]) -> str:
    """Give the name that `--only` means, by name or deployment id."""
    if wanted in names:
        return wanted
    by_id = next((n for n, o in seen.items() if o.deployment_id == wanted), None)
    if by_id is not None:
        return by_id
    from difflib import get_close_matches

    near = get_close_matches(wanted, names, n=1)
    raise DeploymentNotFoundError(
        f"no manifest and no deployment has the name {wanted}",
        fix=f"did you mean {near[0]}?" if near else "see `haymaker list` for the names",
    )


def find_removals(request: Request, loaded: Loaded, inventory: Inventory) -> Removals:
    declared = loaded.desired.keys() | loaded.broken_names
    undeclared = [
        e
        for e in inventory.entries.values()
        if e.fleet == loaded.fleet.name and e.name not in declared and e.name not in request.only
    ]
    # What another folder declares is that folder's, whatever this pass may prune; `--prune` counts once that is gone.
    elsewhere = {
        e.name: e.root
        for e in undeclared
        if e.root and e.root != loaded.root and not (request.prune and not os.path.isdir(e.root))
    }
    if request.delete and loaded.single_file:
        former = {n: f for n, f in find_former(loaded, inventory).items() if n in declared or n in request.only}
        beside = frozenset(e.name for e in undeclared)
        return Removals(refusal="", unlimited=True, asked=True, beside=beside, former=former)
    if request.delete:
        former = find_former(loaded, inventory)
        return Removals(refusal="", unlimited=True, asked=True, elsewhere=elsewhere, former=former)
    refusal = _refusal(request, loaded, inventory, loaded.fleet)
    partial = loaded.single_file and not request.prune
    return Removals(refusal=refusal, partial=partial, elsewhere=elsewhere)


def find_former(loaded: Loaded, inventory: Inventory) -> dict[str, str]:
    """Map what was applied from this very folder, while its Fleet had another name, to that name."""
    fleet = loaded.fleet.name
    return {e.name: e.fleet for e in inventory.entries.values() if e.root == loaded.root and e.fleet != fleet}


def _refusal(request: Request, loaded: Loaded, inventory: Inventory, fleet: FleetPolicy) -> str:
    """Say why this pass removes nothing, "" when it may."""
    known = inventory.fleets.get(fleet.name)
    if not (request.prune or fleet.prune):
        return "prune is off (pass --prune, or set the fleet's spec.sync.prune)"
    if loaded.single_file:
        return "a single file was applied, and what it leaves out may stand in another"
    if not loaded.complete or any(p.severity == "error" for p in loaded.problems):
        return "a manifest is wrong or cannot be read, and may be the one that declares it"
    if not loaded.desired and not fleet.allow_empty:
        return "the folder declares nothing, and the fleet's sync.allowEmpty is off"
    if known is not None and known.root and known.root != loaded.root and not request.prune:
        return f"fleet {fleet.name} was last applied from {known.root}; pass --prune if this folder replaced it"
    return ""
