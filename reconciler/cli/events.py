"""
`haymaker events`: what passes did, from the journal.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from reconciler.app import App
from reconciler.cli.common import output_option, seconds
from reconciler.cli.output import DOCUMENTS, SCHEMA_VERSION, age, clean, columns, document, utc
from reconciler.cli.spec import Argument, Command, Option
from reconciler.journal import Position, read_backwards, read_tail

if TYPE_CHECKING:
    from collections.abc import Iterable

POLL_SECONDS = 0.25
_HEADS = ("TIME", "AGE", "NAME", "ACTION", "RESULT", "MESSAGE")


def run(*, name: str | None, lines: int, since: str | None, output: str, follow: bool) -> int:
    app = App()
    after = app.now() - seconds(since, "--since") if since is not None else 0.0
    print_events(app, name=name, lines=lines, after=after, follow=follow, output=output)
    return 0


def print_events(app: App, *, name: str | None, lines: int, after: float, follow: bool, output: str) -> None:
    """Print the last events, of one deployment or of all, and with `follow` those that come."""
    wanted = _name(app, name) if name is not None else None
    position = _end(app) if follow else None
    found: list[dict[str, Any]] = []
    for record in read_backwards(app.home / "journal"):
        if record.get("at", 0.0) < after or len(found) >= lines:
            break
        if _is_event(record, wanted):
            found.append(record)
    found.reverse()
    if output in DOCUMENTS:
        print(document({"kind": "EventList", "items": [_to_json(r) for r in found]}, output))
    elif output == "jsonl":
        _print_lines(found)
    elif found:
        print(columns(_HEADS, [_row(r, app.now()) for r in found]))
    elif not follow:
        print("no events")
    if position is not None:
        _follow(app, wanted, position, output)


def _name(app: App, wanted: str) -> str:
    """Give the name that a name or an id stands for; events outlive deployments, so any name will do."""
    from agent_haymaker.errors import HaymakerError
    from reconciler.lookup import find_one

    try:
        return find_one(app, wanted).name
    except HaymakerError:
        known = {r.get("name") for r in read_backwards(app.home / "journal")}
        if wanted in known:
            return wanted
        raise


def _is_event(record: dict[str, Any], name: str | None) -> bool:
    return record.get("type") == "event" and (name is None or record.get("name") == name)


def _row(record: dict[str, Any], now: float) -> tuple[str, ...]:
    at = float(record.get("at") or 0.0)
    said = str(record.get("message") or record.get("cause") or "")
    return (
        str(utc(at)),
        age(now - at),
        str(record.get("name")),
        str(record.get("reason")),
        str(record.get("status")),
        said,
    )


def _to_json(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": utc(record.get("at")),
        "name": record.get("name"),
        "fleet": record.get("fleet"),
        "action": record.get("reason"),
        "status": record.get("status"),
        "message": record.get("message"),
        "cause": record.get("cause"),
    }


def _print_lines(records: Iterable[dict[str, Any]]) -> None:
    for record in records:
        print(
            json.dumps({"schemaVersion": SCHEMA_VERSION, **_to_json(record)}, sort_keys=True, ensure_ascii=False),
            flush=True,
        )


def _end(app: App) -> Position:
    """Give the end of the journal as it is now."""
    folder = app.home / "journal"
    segments = sorted(folder.glob("*.jsonl"))
    if not segments:
        return Position()
    return read_tail(folder, Position(int(segments[-1].stem), 0)).end


def _follow(app: App, name: str | None, position: Position, output: str) -> None:
    while True:
        time.sleep(POLL_SECONDS)
        tail = read_tail(app.home / "journal", position)
        position = tail.end
        found = [r for r in tail.records if _is_event(r, name)]
        if output == "table":
            for record in found:
                print("  ".join(clean(cell) for cell in _row(record, app.now())), flush=True)
        else:
            _print_lines(found)


COMMAND = Command(
    run,
    help="""Show what haymaker did, of one deployment or of all: newest last.

    With -o jsonl each event is one JSON object on a line.
    """,
    takes=(
        Argument("name", "[NAME]", required=False, completes="deployment"),
        Option("lines", "-n", "--lines", kind="int", default=50, metavar="N", help="How many of the last ones."),
        Option("since", "--since", metavar="10m", help="Only what is not older than this."),
        output_option("table", "json", "yaml", "jsonl"),
        Option("follow", "-f", "--follow", kind="flag", help="Go on with what comes."),
    ),
)
