"""
`haymaker list`: every deployment, one a line; and the state records that no fleet knows.
"""

from __future__ import annotations

from reconciler.app import App
from reconciler.cli.common import EDITS, SELECTOR, output_option
from reconciler.cli.output import DOCUMENTS, columns, document, utc
from reconciler.cli.show import COLOURS, brief, to_json, when
from reconciler.cli.spec import Command
from reconciler.lookup import find_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from reconciler.lookup import Found

_HEADS = ("NAME", "WORKLOAD", "HEALTH", "REASON", "SYNC", "STATUS", "AGE")
_WIDE = (*_HEADS, "ID", "FLEET", "GEN", "ATTEMPT", "STARTED", "SOURCE")


def run(*, selector: str, edits: bool, output: str) -> int:
    app = App()
    found = find_all(app, edits=edits, selector=selector)
    print(_text(found, app.now(), output, selector))
    return 0


def _text(found: list[Found], now: float, output: str, selector: str) -> str:
    if output in DOCUMENTS:
        return document({"kind": "DeploymentList", "items": [to_json(one) for one in found]}, output)
    if output == "name":
        return "\n".join(one.name for one in found)
    if not found:
        return f"no deployment matches {selector}" if selector else "nothing is deployed"
    if output == "wide":
        return columns(_WIDE, [(*_row(one, now), *_more(one)) for one in found], COLOURS)
    return columns(_HEADS, [_row(one, now) for one in found], COLOURS)


def _row(one: Found, now: float) -> tuple[str, ...]:
    health, sync, reason, _ = brief(one)
    shown = (reason, "") if one.unmanaged else (health, reason)
    return one.name, one.workload, *shown, sync, one.status, when(one, now)


def _more(one: Found) -> tuple[str, ...]:
    entry = one.entry
    if entry is None:
        return one.id, "", "", "", "", one.unmanaged
    run = entry.run
    attempt, started = (str(run.attempt), utc(run.started_at) or "") if run is not None else ("", "")
    return one.id, entry.fleet, str(entry.generation), attempt, started, entry.source


COMMAND = Command(
    run,
    help="""List deployments.

    A state record that no fleet's inventory knows is shown as Unmanaged: haymaker leaves it alone.
    """,
    takes=(SELECTOR, EDITS, output_option("table", "wide", "json", "yaml", "name", alias="-f")),
)
