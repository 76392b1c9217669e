"""
`haymaker usage`: what runs used, from the ledger and from those that are still under way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import UsageError
from reconciler.app import App
from reconciler.cli.common import output_option, seconds
from reconciler.cli.output import DOCUMENTS, columns, document, utc
from reconciler.cli.spec import Command, Option
from reconciler.ledger import charge_of, day_of, read_charges
from reconciler.usage import merge

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.usage import Charge

_HEADS = ("RUNS", "TURNS", "INPUT", "OUTPUT", "CACHED", "COST (USD)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NONE = "(none)"
_BY: dict[str, Callable[[Charge], str]] = {
    "name": lambda charge: charge.name,
    "day": lambda charge: day_of(charge.at),
    "model": lambda charge: charge.usage.model or _NONE,
}


def run(*, by: str, since: str | None, output: str) -> int:
    app = App()
    key_of = _grouping(by)
    charges = used_since(app, _moment(since, app.now()) if since is not None else 0.0)
    groups: dict[str, list[Charge]] = {}
    for charge in charges:
        groups.setdefault(key_of(charge), []).append(charge)
    rows = [(key, merge(groups[key])) for key in sorted(groups)]
    total = merge(charges) if charges else None
    if output in DOCUMENTS:
        items = [{"key": key, **_to_json(sum_)} for key, sum_ in rows]
        record = {"kind": "UsageList", "by": by, "since": utc(_moment(since, app.now())) if since is not None else None}
        print(document(record | {"items": items, "total": _to_json(total) if total else None}, output))
    elif total is None:
        print("no run has told what it used")
    else:
        head = by.partition(":")[2] or by
        table = [(key, *_cells(sum_)) for key, sum_ in rows]
        print(columns((head.upper(), *_HEADS), [*table, ("total", *_cells(total))]))
        if total.unpriced:
            print(f"\nCOST leaves out {_runs(total.unpriced)} whose cost nobody told.")
    return 0


def used_since(app: App, since: float) -> list[Charge]:
    """Give what every run that was started at `since` or later used; of one under way, what it said so far."""
    from reconciler.inventory import load_inventory
    from reconciler.spending import usage_of

    found = read_charges(app.home, since=since)
    inventory = load_inventory(app.home)
    for entry in inventory.entries.values():
        run = entry.run
        if run is None or run.recorded or run.handle is None or run.key in found or (run.started_at or 0.0) < since:
            continue
        used = usage_of(app.engine, run, inventory.fleet(entry.fleet).prices)
        if used is not None and run.started_at is not None:
            found[run.key] = charge_of(entry, run, used)
    return list(found.values())


def _grouping(by: str) -> Callable[[Charge], str]:
    kind, _, label = by.partition(":")
    if by in _BY:
        return _BY[by]
    if kind == "label" and label:
        return lambda charge: charge.labels.get(label, _NONE)
    raise UsageError(f"--by {by!r} is nothing to group by", fix="use name, day, model or label:KEY (label:team)")


def _moment(since: str, now: float) -> float:
    """Give the time that `--since` means: a day in UTC, or so long ago."""
    if not _DATE.fullmatch(since):
        return now - seconds(since, "--since")
    from datetime import UTC, datetime

    try:
        return datetime.fromisoformat(since).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise UsageError(f"--since {since!r} is no day", fix="write it like 2026-11-22, or 7d") from error


def _cells(charge: Charge) -> tuple[str, ...]:
    used = charge.usage
    counts = (charge.runs, used.turns, used.input_tokens, used.output_tokens, used.cached_tokens)
    return (*map(str, counts), f"{used.cost_usd:.4f}" if used.cost_usd is not None else "unknown")


def _to_json(charge: Charge) -> dict[str, Any]:
    used = charge.usage
    return {
        "runs": charge.runs,
        "turns": used.turns,
        "inputTokens": used.input_tokens,
        "outputTokens": used.output_tokens,
        "cachedTokens": used.cached_tokens,
        "costUSD": used.cost_usd,
        "runsWithUnknownCost": charge.unpriced,
    }


def _runs(number: int) -> str:
    return "a run" if number == 1 else f"{number} runs"


COMMAND = Command(
    run,
    help="""Show what runs used, by name, day, model, or the value of a label (label:team).

    A run counts on the day of its start, in UTC. A run under way counts with what it told so far. What nobody told
    a cost of is left out of COST, and said.
    """,
    takes=(
        Option("by", "--by", default="name", metavar="name|day|model|label:KEY", help="What to add up by."),
        Option("since", "--since", metavar="7d", help="Only runs started since then: so long ago, or 2026-11-22."),
        output_option("table", "json", "yaml"),
    ),
)
