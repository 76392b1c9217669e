"""
Which deployment comes before which, and which one continues another under a new name. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model.desired import Desired
    from reconciler.model.observed import Observed


def _names_before(item: Desired | Observed) -> list[str]:
    declared = getattr(item, "depends_on", None)
    if declared is not None:
        return [d.name for d in declared]
    return [str(d.get("name")) for d in item.spec.get("dependsOn", ())]


def by_dependency(items: Mapping[str, Desired] | Mapping[str, Observed]) -> list[str]:
    """
    Return every name, what it depends on first, otherwise in name order.

    A cycle is the loader's to refuse; here its members come in name order, so that a plan exists for any world.
    """
    plain: list[str] = []
    placed: set[str] = set()
    for root in sorted(items):
        if root in placed:
            continue
        stack: list[tuple[str, bool]] = [(root, False)]
        entered: set[str] = set()
        while stack:
            name, leaving = stack.pop()
            if leaving:
                if name not in placed:
                    placed.add(name)
                    plain.append(name)
                continue
            if name in placed or name in entered:
                continue
            entered.add(name)
            stack.append((name, True))
            stack.extend(
                (before, False) for before in sorted(_names_before(items[name]), reverse=True) if before in items
            )
    return plain


def find_renames(want: Mapping[str, Desired], seen: Mapping[str, Observed], fleet: str) -> dict[str, str]:
    """Map each new name to the deployed old one that it continues. First claim in name order wins."""
    renames: dict[str, str] = {}
    for name in sorted(want):
        if name in seen:
            continue
        for old in want[name].renamed_from:
            if old in seen and old not in want and seen[old].fleet == fleet and old not in renames.values():
                renames[name] = old
                break
    return renames
