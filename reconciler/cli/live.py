"""
The live display of a wait on a terminal.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from reconciler.cli.output import clean, clean_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.follow import Waiting

MOST_ROWS = 15


class LiveTable:
    """A table of what has not come to rest yet, redrawn in place below the lines that stay."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, standing: list[Waiting]) -> None:
        table = Table.grid(padding=(0, 2))
        open_ones = [w for w in standing if not w.settled]
        for item in open_ones[:MOST_ROWS]:
            table.add_row(Spinner("dots"), item.name, item.state, clean(item.note))
        if len(open_ones) > MOST_ROWS:
            table.add_row("", f"and {len(open_ones) - MOST_ROWS} more", "", "")
        table.add_row("", f"{len(standing) - len(open_ones)} of {len(standing)} at rest", "", "")
        self._live.update(table)

    def say(self, line: str, *, error: bool = False) -> None:
        del error
        self._live.console.print(clean_lines(line), markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def live_display() -> Iterator[LiveTable]:
    """Show a live table on stderr until the block ends."""
    with Live(console=Console(stderr=True), transient=True, refresh_per_second=8) as live:
        yield LiveTable(live)
