"""What was measured, as text for a terminal, as markdown for the docs, and as JSON; no figure is made up here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.peers import PEERS, figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.lines import Line

Peers = dict[int, dict[str, dict[str, Any]]]
"""N → peer → what the harness found."""


def number(value: float | None) -> str:
    """Give three significant digits, or a dash for nothing."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _target(line: Line) -> str:
    if line.target is None:
        return "-"
    return f"≤ {number(line.target)} x floor" if line.over_floor else f"≤ {number(line.target)} {line.unit}"


def _verdict(line: Line) -> str:
    return "" if line.is_met is None else "met" if line.is_met else "MISSED"


def _row(line: Line) -> list[str]:
    ours = line.ours
    span = f"{number(ours.lowest)} to {number(ours.highest)}" if ours.runs > 1 else ""
    floor = f"{number(line.floor.median)} {line.unit} ({line.floor_is})" if line.floor else "-"
    ratio = f"{line.ratio:.2f}" if line.ratio is not None else "-"
    cpu = ", ".join(f"{name} {number(seconds)}" for name, seconds in line.cpu.items() if name != "floor")
    return [
        line.what,
        str(line.count),
        f"{number(ours.median)} {line.unit}",
        span,
        str(ours.runs),
        floor,
        ratio,
        _target(line),
        _verdict(line),
        cpu or "-",
        line.note,
    ]


HEADS = ["what", "N", "median", "min to max", "runs", "floor", "ratio", "target", "", "CPU s (median)", "note"]


def machine_line(machine: dict[str, Any]) -> str:
    """Say in one sentence what the figures are of."""
    return (
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['kernel']}, Python {machine['python']}, "
        f"{machine['filesystem']}; load {machine['load']} and {machine['busy']:.0%} busy when it began."
    )


def text(lines: Iterable[Line]) -> str:
    """Give our lines as a table for a terminal."""
    return aligned([HEADS, *map(_row, lines)])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Give rows of equal length as columns that line up."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    out = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*out, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])


def markdown(machine: dict[str, Any], lines: Sequence[Line], peers: Peers, floors: dict[str, Any]) -> str:
    """Give the whole report: the machine, our lines, and beside the peers what they have in common."""
    parts = ["# Benchmark", machine_line(machine), _markdown(HEADS, map(_row, lines))]
    if peers:
        parts += ["## Beside the peers, from the same run", _markdown(*beside(lines, peers))]
        missing = [f"{p} (N={n}): {f['missing']}" for n, of in peers.items() for p, f in of.items() if f.get("missing")]
        parts += [f"Left out: {'; '.join(missing)}."] if missing else []
    if floors:
        rows = [(name, number(value)) for name, value in floor_figures(floors)]
        parts += ["## Floors: no product in between", _markdown(["what", "median"], rows)]
    return "\n\n".join(parts) + "\n"


def beside(lines: Sequence[Line], peers: Peers) -> tuple[list[str], list[list[str]]]:
    """Give the heads and rows of the table that has ours and theirs side by side, medians."""
    rows = []
    for line in lines:
        theirs = peers.get(line.count, {})
        found = [figure(theirs.get(peer, {}), line.key) for peer in PEERS]
        if any(value is not None for value in found):
            rows.append(
                [line.what, str(line.count), line.unit, number(line.ours.median), *map(number, found), _target(line)]
            )
    return ["what", "N", "unit", "haymaker", *PEERS, "target"], rows


def floor_figures(floors: dict[str, Any]) -> list[tuple[str, float]]:
    """Give what the floors' harness measured, by name, in the unit that the name or the harness tells."""
    found = []
    for section, figures in floors.items():
        for name, values in figures.items() if isinstance(figures, dict) else ():
            for key, value in values.items() if isinstance(values, dict) else ():
                if isinstance(value, dict) and "median" in value and key == "wall":
                    found.append((f"{section}: {name}, s", value["median"]))
                elif key == "wall_ms":
                    found.append((f"{section}: {name}, ms", value))
    return found


def to_json(machine: dict[str, Any], lines: Sequence[Line], peers: Peers, floors: dict[str, Any], at: str) -> str:
    document: dict[str, object] = {"at": at, "machine": machine, "lines": [line.to_json() for line in lines]}
    document |= {"peers": peers, "floors": floors}
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
