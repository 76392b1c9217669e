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
from reconciler.lookup import desired_json, not_found

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
    entry, deployment_id = _find(app, name)
    handle = _handle(app, entry, deployment_id, previous=previous, key=run)
    reader = LogReader(lambda file: app.engine.open_file(handle, file), secrets_of(entry, app))
    _print(_since(reader.tail(lines), after) if after else reader.tail(lines))
    if follow:
        _follow(app, handle, reader)
    if not reader.has_log:
        print(f"run {_short(handle.key)} of {name} has left no log", file=sys.stderr)
    _print([reader.end()])
    return 0


def _find(app: App, name: str) -> tuple[Entry | None, str]:
    """Give the entry of a name or id; a removed one has no entry, and its history tells its id."""
    from reconciler.inventory import load_inventory

    inventory = load_inventory(app.home)
    entry = inventory.by_name_or_id(name)
    if entry is None and name in inventory.intents:
        entry = inventory.intents[name].entry
    if entry is not None:
        return entry, entry.id
    past = past_runs(app, name)
    if past:
        return None, str(past[-1].get("id", ""))
    raise not_found(app.home, name, inventory.entries)


def past_runs(app: App, name: str) -> list[dict[str, Any]]:
    """Give what is remembered of a name's runs, oldest first."""
    from reconciler.records import read_history

    if "/" in name or name.startswith("."):
        return []
    return [line for line in read_history(app.home, name) if line.get("key")]


def _handle(app: App, entry: Entry | None, deployment_id: str, *, previous: bool, key: str | None) -> Handle:
    from agent_haymaker.engines import Handle

    latest = entry.run if entry is not None else None
    if not previous and key is None and latest is not None and latest.handle is not None:
        return Handle.from_json(latest.handle)
    name = entry.name if entry is not None else deployment_id.rpartition("-")[0]
    keys = list(dict.fromkeys(str(line["key"]) for line in past_runs(app, name)))
    if latest is not None and latest.key not in keys:
        keys.append(latest.key)
    if key is not None:
        found = [k for k in keys if key in (k, _short(k))]
        if not found:
            raise UsageError(
                f"{name} has no run {key!r}",
                fix=f"`haymaker runs {name}` lists them: {', '.join(map(_short, keys[-5:])) or 'none yet'}",
            )
        return Handle("local", found[-1])
    if previous:
        older = [k for k in keys if latest is None or k != latest.key]
        if not older:
            raise UsageError(f"{name} has no run before this one", fix="leave out --previous")
        return Handle("local", older[-1])
    if not keys:
        waits = f": {entry.waits}" if entry is not None and entry.waits else ""
        raise UsageError(f"{name} was not started yet{waits}", fix=f"`haymaker why {name}` says what it waits for")
    return Handle("local", keys[-1])


def _short(key: str) -> str:
    """Give generation and attempt of a run's key: 2.1."""
    return ".".join(key.rsplit(".", 2)[-2:])


def secrets_of(entry: Entry | None, app: App) -> list[str]:
    """Give the secret values that a deployment was handed, as far as they are known here."""
    desired = desired_json(entry) if entry is not None else {}
    spec = desired.get("spec", {})
    if not any(item.get("valueFrom") for item in spec.get("env", ())):
        return []
    from reconciler.launch import secret_values

    return secret_values(spec, app.environ, str(desired.get("recipe", {}).get("source_dir", "")))


def _print(pieces: Iterable[bytes]) -> None:
    out = sys.stdout.buffer
    for piece in pieces:
        out.write(piece)
    out.flush()


def _since(pieces: Iterable[bytes], after: float) -> list[bytes]:
    """Leave out lines that say they are older; a line that tells no time belongs to the one before it."""
    kept, keeps = [], True
    for line in b"".join(pieces).splitlines(keepends=True):
        stamp = _STAMP.match(line)
        if stamp is not None:
            keeps = _seconds_of(stamp) >= after
        if keeps:
            kept.append(line)
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
    --since leaves out lines that begin with an older time (read as UTC).
    """,
    takes=(
        NAME,
        Option("follow", "-f", "--follow", kind="flag", help="Go on with what comes, until the run has ended."),
        Option("lines", "-n", "--lines", kind="int", default=100, metavar="N", help="How many of the last lines."),
        Option("previous", "--previous", kind="flag", help="The run before the latest."),
        Option("run", "--run", metavar="RUN", help="The run with this key, or GENERATION.ATTEMPT as `runs` shows it."),
        Option("source", "--source", choices=("agent", "reconciler"), default="agent",
               help="What the agent wrote, or what haymaker did."),
        Option("since", "--since", metavar="10m", help="Only what is not older than this."),
    ),
)  # fmt: skip
