"""
`haymaker logs`: what an agent wrote, or what haymaker did about it.
"""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import UsageError
from reconciler.app import App
from reconciler.cli.common import NAME, seconds
from reconciler.cli.spec import Command, Option
from reconciler.logfile import LOG, LogReader
from reconciler.lookup import fate, not_found

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent_haymaker.engines import Handle
    from reconciler.inventory import Entry

POLL_SECONDS = 0.1
_STAMP = re.compile(rb"^\W?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)")


def run(*, name: str, follow: bool, lines: int, previous: bool, run: str | None, source: str, since: str | None) -> int:
    app = App()
    after = app.now() - seconds(since, "--since") if since is not None else 0.0
    if source == "reconciler":
        from reconciler.cli.events import print_events

        print_events(app, name=name, lines=lines, after=after, follow=follow, output="table")
        return 0
    entry, past, sources = _find(app, name)
    handle = _handle(entry, name, past, previous=previous, key=run)
    _say_which(app, entry, name, past, handle.key)
    reader = LogReader(lambda file: app.engine.open_file(handle, file), _secrets(sources, app, handle))
    begun = (
        entry.run.started_at if entry is not None and entry.run is not None and entry.run.key == handle.key else None
    )
    _print(_since(reader, lines, after, begun or 0.0) if after else reader.tail(lines))
    if follow:
        _follow(app, handle, reader)
    if not reader.has_log:
        latest = entry.run if entry is not None else None
        unstarted = latest is not None and latest.key == handle.key and latest.ended_at and not latest.started_at
        why = f": it never started, since {latest.exit_text}" if latest is not None and unstarted else ""
        print(f"run {past.get(handle.key, handle.key)} of {name} has left no log{why}", file=sys.stderr)
    _print([reader.end()])
    return 0


def _find(app: App, name: str) -> tuple[Entry | None, dict[str, str], list[dict[str, Any]]]:
    """
    Give the entry of a name or id, None for a deleted one; the number of each run by its key, oldest first; and where
    the secrets came from that any of these runs was given, latest first.
    """
    from reconciler.history import read_history, run_numbers, secret_sources
    from reconciler.inventory import load_inventory

    inventory = load_inventory(app.home)
    entry = inventory.by_name_or_id(name)
    if entry is None and name in inventory.intents:
        entry = inventory.intents[name].entry
    lines = read_history(app.home, entry.name if entry is not None else name)
    keys = [str(line["key"]) for line in lines if line.get("key")]
    if entry is None and not keys:
        raise not_found(app.home, name, inventory.entries)
    if entry is not None and entry.run is not None:
        keys.append(entry.run.key)
    sources = [line["secrets"] for line in reversed(lines) if line.get("secrets")]
    if entry is not None and (now := secret_sources(entry)):
        sources.insert(0, now)
    return entry, run_numbers(keys), sources


def _handle(entry: Entry | None, name: str, past: dict[str, str], *, previous: bool, key: str | None) -> Handle:
    from agent_haymaker.engines import Handle

    latest = entry.run if entry is not None else None
    if not previous and key is None and latest is not None and latest.handle is not None:
        return Handle.from_json(latest.handle)
    if key is not None:
        found = [k for k, number in past.items() if key in (k, number)]
        if not found:
            last = ", ".join(list(past.values())[-5:]) or "none yet"
            raise UsageError(
                f"{name} has no run {key!r}", fix=f"`haymaker runs {name}` lists them: {last or 'none yet'}"
            )
        return Handle("local", found[0])
    if previous:
        older = list(past)[:-1]
        if not older:
            raise UsageError(f"{name} has no run before this one", fix="leave out --previous")
        return Handle("local", older[-1])
    if not past:
        waits = f": {entry.waits}" if entry is not None and entry.waits else ""
        raise UsageError(f"{name} was not started yet{waits}", fix=f"`haymaker why {name}` says what it waits for")
    return Handle("local", list(past)[-1])


def _say_which(app: App, entry: Entry | None, name: str, past: dict[str, str], key: str) -> None:
    """Say on stderr whose log this is, where the name alone does not: it was deleted, or there was one before it."""
    ids = list(dict.fromkeys(_id_of(k) for k in past))
    if entry is not None and entry.id not in ids:
        ids.append(entry.id)
    if entry is not None and len(ids) == 1:
        return
    told = f"run {past.get(key, key)} of {_id_of(key)}"
    if entry is None:
        from reconciler.history import what_became

        gone = what_became(app.home, name)
        told += f"; {name} {fate(gone)}" if gone is not None else f"; {name} is not deployed now"
    elif _id_of(key) != entry.id:
        told += f", before {entry.id}"
    print(told, file=sys.stderr)


def _id_of(key: str) -> str:
    """Give the deployment id in a run's key: INSTALL.ID.GENERATION.ATTEMPT."""
    return key.split(".", 1)[-1].rsplit(".", 2)[0]


def _secrets(sources: list[dict[str, Any]], app: App, handle: Handle) -> list[str]:
    """Give the secret values that a run may have been handed, as far as they are known here; say which are not."""
    if not sources:
        return []
    from reconciler.values import secret_values

    found: set[str] = set()
    unknown: dict[str, None] = {}
    held = app.engine.environment(handle)
    asked = []
    for source in sources:
        if source in asked:
            continue
        asked.append(source)
        values, missing = secret_values(source, app.environ, str(source["folder"]), started_with=held)
        found.update(values)
        unknown.update(dict.fromkeys(missing))
    if unknown:
        print(f"the value of {', '.join(unknown)} is not known here, so it is not masked", file=sys.stderr)
    return list(found)


def _print(pieces: Iterable[bytes]) -> None:
    out = sys.stdout.buffer
    for piece in pieces:
        out.write(piece)
    out.flush()


def _since(reader: LogReader, lines: int, after: float, begun: float) -> list[bytes]:
    """
    Leave out lines that are older; a line that tells no time belongs to the one before it.

    The first ones that tell none are from after the run began and from before the log was last written. Where that
    decides nothing they are shown, and that is said.
    """
    text = b"".join(reader.tail(lines))
    kept, keeps, undated = [], reader.written_at >= after, True
    unsure = 0
    for line in text.splitlines(keepends=True):
        stamp = _STAMP.match(line)
        if stamp is not None:
            keeps, undated = _seconds_of(stamp) >= after, False
        if keeps:
            kept.append(line)
            unsure += undated and begun < after
    if unsure:
        what = "1 line that tells" if unsure == 1 else f"{unsure} lines that tell"
        print(f"{what} no time may be older: --since goes by the time that a line begins with", file=sys.stderr)
    return kept


def _seconds_of(stamp: re.Match[bytes]) -> float:
    import calendar

    try:
        return calendar.timegm(time.strptime(f"{stamp[1].decode()} {stamp[2].decode()}", "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return float("inf")


def _follow(app: App, handle: Handle, reader: LogReader) -> None:
    """Print what comes until the run has ended and all of it was printed."""
    checked = 0.0
    while True:
        ended = False
        if time.monotonic() - checked >= 5 * POLL_SECONDS:
            checked = time.monotonic()
            ended = app.engine.observe([handle])[0].state.is_ended
        _print(reader.more())
        if ended:
            return
        time.sleep(POLL_SECONDS)


COMMAND = Command(
    run,
    help=f"""Show what the agent of a deployment wrote ({LOG}).

    Values of secrets that its manifest names are masked. With -f it goes on until the run has ended.
    --since leaves out lines that begin with an older time (read as UTC), and those without one where the log was last
    written before; stderr says how many lines may be older all the same.
    """,
    takes=(
        NAME,
        Option("follow", "-f", "--follow", kind="flag", help="Go on with what comes, until the run has ended."),
        Option("lines", "-n", "--lines", kind="int", default=100, metavar="N", help="How many of the last lines."),
        Option("previous", "--previous", kind="flag", help="The run before the latest."),
        Option("run", "--run", metavar="RUN", help="The run of this number, as `runs` shows it, or with this key."),
        Option("source", "--source", choices=("agent", "reconciler"), default="agent",
               help="What the agent wrote, or what haymaker did."),
        Option("since", "--since", metavar="10m", help="Only what is not older than this."),
    ),
)  # fmt: skip
