"""
`haymaker status`: how one deployment stands, or all.
"""

from __future__ import annotations

import gc
import sys
import time

from reconciler.app import App
from reconciler.cli.common import EDITS, SELECTOR, output_option
from reconciler.cli.output import DOCUMENTS, columns, document
from reconciler.cli.show import COLOURS, block, brief, to_json, when
from reconciler.cli.spec import Argument, Command, Option
from reconciler.lookup import find_all, find_one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.lookup import Found

WATCH_SECONDS = 0.5
_CODES = {"Progressing": 2, "Degraded": 3, "Stalled": 3, "Missing": 3, "Unknown": 1}
_WORST = (1, 3, 2, 0)


def run(*, name: str | None, selector: str, edits: bool, output: str, watch: bool, exit_status: bool) -> int:
    gc.disable()  # a look ends before garbage matters
    if name is not None and selector:
        from agent_haymaker.errors import UsageError

        raise UsageError("a name and a selector are both given", fix="leave out one of them")
    app = App()

    def look() -> list[Found]:
        return [find_one(app, name)] if name is not None else find_all(app, selector=selector, edits=edits)

    if watch:
        return _watch(app, look, output, selector, one=name is not None)
    found = look()
    print(_text(app, found, output, selector, one=name is not None))
    return exit_code(found) if exit_status else 0


def exit_code(found: list[Found]) -> int:
    """Give 0 where all are Healthy, 2 where some are Progressing, 3 where some are worse, 1 in doubt."""
    codes = {_CODES.get(brief(one)[0], 0) for one in found if not one.unmanaged or one.doubt}
    return next((code for code in _WORST if code in codes), 0)


def _text(app: App, found: list[Found], output: str, selector: str, *, one: bool) -> str:
    if output in DOCUMENTS:
        if one:
            return document({"kind": "Status", **to_json(found[0])}, output)
        return document({"kind": "StatusList", "items": [to_json(item) for item in found]}, output)
    if output == "name":
        return "\n".join(item.name for item in found)
    if one and output == "table":
        return block(found[0], app.now())
    if not found:
        return f"no deployment matches {selector}" if selector else "nothing is deployed"
    return table(found, app.now())


def table(found: list[Found], now: float) -> str:
    """Give the table of `status`."""
    rows = []
    for item in found:
        health, sync, _, message = brief(item)
        generation = str(item.entry.generation) if item.entry is not None else ""
        rows.append((item.name, health, sync, item.status, generation, when(item, now), message))
    return columns(("NAME", "HEALTH", "SYNC", "STATUS", "GEN", "AGE", "MESSAGE"), rows, COLOURS)


def _watch(app: App, look: Callable[[], list[Found]], output: str, selector: str, *, one: bool) -> int:
    """Show it again whenever it changed; on a terminal in the same place."""
    shown = ""
    on_terminal = sys.stdout.isatty()
    while True:
        found = look()
        text = _text(app, found, output, selector, one=one)
        state = _text(_Still(app), found, output, selector, one=one)
        if state != shown or on_terminal:
            head = "\033[H\033[2J" if on_terminal else ""
            print(f"{head}{text}", flush=True)
        shown = state
        gc.collect()
        time.sleep(WATCH_SECONDS)


class _Still(App):
    """The same home at a time that stands still, so that ages alone are no change."""

    def __init__(self, app: App) -> None:
        super().__init__(app.home, now=lambda: 0.0, environ=app.environ)


COMMAND = Command(
    run,
    help="""Show how one deployment stands (by its manifest's name or its id), or all of them.

    With --exit-status the exit code tells: 0 all Healthy, 2 some Progressing, 3 some Degraded, Stalled or Missing,
    1 an error or a doubt.
    """,
    takes=(
        Argument("name", "[NAME]", required=False, completes="deployment"),
        SELECTOR,
        EDITS,
        output_option("table", "wide", "json", "yaml", "name", alias="-f"),
        Option("watch", "-w", "--watch", kind="flag", help="Show it again whenever it changes."),
        Option("exit_status", "--exit-status", kind="flag", help="Let the exit code tell the health."),
    ),
)
