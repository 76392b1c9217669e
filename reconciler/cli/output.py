"""
How results look: aligned columns, JSON documents, times and ages. It refuses to know what is shown.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any, TextIO

SCHEMA_VERSION = 1
DOCUMENTS = ("json", "yaml")  # outputs that are one whole document

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "grey": 90, "bold": 1}


def say(text: str, *, error: bool = False, exact: bool = False) -> None:
    """
    Print a line at once, with `error` on stderr: in the order in which things happened, wherever the two lead.

    Control characters are left out, unless it is a document, `exact` to the letter.

    Raises:
        OSError: nobody could be told, unless `going_on_unheard`.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        print(text if exact else clean_lines(text), file=stream, flush=True)
    except OSError as failure:
        if not _unheard:
            raise
        _unheard.append(failure)
        mute(stream)


_unheard: list[OSError | None] = []  # beginning with None, what kept somebody from being told while it went on


@contextmanager
def going_on_unheard() -> Iterator[None]:
    """
    Let nobody's ear be part of what is done: a reader that went away, or a full disk, ends no pass in its middle.

    Raises:
        OSError: at the end, where what was said is lost; a reader that went away has lost nothing.
    """
    _unheard[:] = [None]
    try:
        yield
        lost = next((error for error in _unheard if error and not isinstance(error, BrokenPipeError)), None)
        if lost is not None:
            raise lost
    finally:
        _unheard.clear()


def mute(stream: TextIO) -> None:
    """Point a stream at nothing: what it holds back, or is given later, is no trouble any more."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def has_colour(stream: TextIO) -> bool:
    """Tell whether this stream is a terminal that nobody asked to leave plain."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """Give the text in a colour where `stream` (stdout) shows colours."""
    if not colour or not has_colour(stream or sys.stdout):
        return text
    return f"\033[{_COLOURS[colour]}m{text}\033[0m"


def clean(text: object) -> str:
    """Give a text as one line without control characters: what others wrote must not steer the terminal."""
    line = str(text)
    return line if line.isprintable() else "".join(c if c.isprintable() else " " for c in line).strip()


def clean_lines(text: str) -> str:
    """As `clean`, of a text of several lines; indents and tabs stay."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def _cells(row: Sequence[object]) -> tuple[str, ...]:
    cells = tuple(str(cell) or "-" for cell in row)
    return cells if "".join(cells).isprintable() else tuple(map(clean, cells))


def columns(heads: Sequence[str], rows: Iterable[Sequence[object]], colours: Mapping[str, str] | None = None) -> str:
    """Give a table: left-aligned columns two spaces apart, a word of `colours` painted where a cell is that word."""
    table = [tuple(heads), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    shows = colours if colours and has_colour(sys.stdout) else {}
    if not shows:
        pattern = "  ".join(f"{{:{width}}}" for width in widths)
        return "\n".join([pattern.format(*row).rstrip() for row in table])
    lines = []
    for number, row in enumerate(table):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        if shows and number:
            cells = [paint(c, shows[r]) if r in shows else c for c, r in zip(cells, row, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def document(content: Mapping[str, Any], form: str = "json") -> str:
    """Give one document, sorted, with its schemaVersion; `form` is one of DOCUMENTS."""
    whole = {"schemaVersion": SCHEMA_VERSION, **content}
    if form == "yaml":
        import yaml

        return yaml.safe_dump(whole, sort_keys=True, allow_unicode=True).rstrip("\n")
    import json

    return json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False)


def utc(seconds: float | None) -> str | None:
    """Give a time as JSON outputs hold it: ISO 8601 in UTC with milliseconds, None for none."""
    if seconds is None:
        return None
    import time

    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def age(seconds: float) -> str:
    """Give a duration as a person reads it: 5s, 12m, 3h20m, 4d."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    if whole < 7200:
        minutes, rest = divmod(whole, 60)
        return f"{minutes}m{rest:02d}s" if minutes < 10 else f"{minutes}m"
    if whole < 172800:
        hours, rest = divmod(whole, 3600)
        return f"{hours}h{rest // 60:02d}m"
    return f"{whole // 86400}d"
