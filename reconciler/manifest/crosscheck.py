"""What only shows when all manifests are looked at together: names twice, dependencies, renames."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.desired import Desired

# (name, what, fix, path in the spec)
Complaint = tuple[str, str, str, tuple[str | int, ...]]


def check_together(
    desired: dict[str, Desired], declared: set[str], *, alone: bool, nearest: Callable[[str, list[str]], str | None]
) -> list[Complaint]:
    """
    Return what is wrong between deployments, sorted by name.

    `declared` are all names that manifests declare, also those whose manifest is wrong. `alone`: other files were
    not read, so a dependency may well exist.
    """
    complaints: list[Complaint] = []
    renamed: dict[str, str] = {}
    path: tuple[str | int, ...]
    for name, want in desired.items():
        for index, needed in enumerate(want.depends_on):
            path = ("dependsOn", index, "name")
            other = desired.get(needed.name)
            if needed.name not in declared and not alone:
                near = nearest(needed.name, sorted(declared - {name}))
                fix = f"did you mean '{near}'?" if near else "declare it, or remove the dependency"
                complaints.append((name, f"there is no deployment '{needed.name}' to depend on", fix, path))
            elif other is not None and other.service and needed.condition != "Started":
                complaints.append(
                    (
                        name,
                        f"'{needed.name}' is a service and never reaches {needed.condition}",
                        "use condition: Started",
                        path,
                    )
                )
        for index, old in enumerate(want.renamed_from):
            path = ("renamedFrom", index)
            if old in declared:
                what = "its own name" if old == name else f"'{old}', which a manifest still declares"
                complaints.append((name, f"renamedFrom holds {what}", "remove it", path))
            elif old in renamed:
                complaints.append((name, f"'{renamed[old]}' was renamed from '{old}' too", "keep one of the two", path))
            else:
                renamed[old] = name
    for cycle in _cycles(desired):
        text = " → ".join((*cycle, cycle[0]))
        complaints.extend(
            (name, f"its dependencies form a cycle: {text}", "remove one of them", ("dependsOn",)) for name in cycle
        )
    return complaints


def _cycles(desired: dict[str, Desired]) -> list[tuple[str, ...]]:
    """Return one cycle for each knot of dependencies, each starting at its first name in sorted order."""
    waits = {
        name: [need.name for need in want.depends_on if need.name in desired and need.name != name]
        for name, want in desired.items()
        if want.depends_on
    }
    done: set[str] = set()
    cycles = []
    for start in sorted(waits):
        trail: list[str] = []
        on_trail: set[str] = set()
        stack: list[tuple[str, int]] = [(start, 0)]
        while stack:
            name, at = stack.pop()
            if at == 0:
                if name in done:
                    continue
                trail.append(name)
                on_trail.add(name)
            needs = waits.get(name, ())
            for index in range(at, len(needs)):
                need = needs[index]
                if need in on_trail:
                    cycle = trail[trail.index(need) :]
                    first = cycle.index(min(cycle))
                    cycles.append(tuple(cycle[first:] + cycle[:first]))
                elif need not in done:
                    stack += [(name, index + 1), (need, 0)]
                    break
            else:
                done.add(name)
                on_trail.discard(name)
                trail.pop()
    return cycles
