"""
Find deployments by name or id and say how they stand: what `status`, `list` and their like show.

One deployment costs what one costs, however many there are: its state record carries a stamp of its inventory entry.
Where anything about that is unusual (an open intent, a rename, a record that cannot be read, an unreadable
inventory), the whole inventory is read instead. It looks only, and refuses to know how results are printed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DeploymentNotFoundError, DoubtError
from agent_haymaker.lean import dataclass, replace
from agent_haymaker.records import open_regular, read_record
from reconciler.model.observed import RunPhase
from reconciler.observe import observe, observe_one
from reconciler.records import record_ids, stamped_entry, status_of
from reconciler.resting import find_refused, find_stuck_among, rests, with_dependencies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from reconciler.app import App
    from reconciler.history import Gone
    from reconciler.inventory import Entry, Inventory
    from reconciler.model.lazyjson import Json
    from reconciler.model.observed import Observed

ID_LENGTH = 8
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """One deployment as just observed. `unmanaged` names the state record of one that no inventory knows."""

    name: str
    id: str
    entry: Entry | None
    seen: Observed | None
    workload: str = ""
    status: str = ""  # the seed's: pending, running, stopped, cleaning_up, completed, failed
    unmanaged: str = ""
    doubt: str = ""
    edits: tuple[str, ...] = ()  # files that declare it and were edited since they were last read


def find_one(app: App, wanted: str) -> Found:
    """
    Give the deployment of this name or id.

    Raises:
        DeploymentNotFoundError: there is none; names the nearest.
        PlatformError: haymaker's own records cannot be read.
    """
    return _find_quickly(app, wanted) or find_thoroughly(app, wanted)


def find_all(app: App, *, selector: str = "", edits: bool = False) -> list[Found]:
    """
    Give every deployment of every fleet that the selector chooses, and the state records that no fleet knows, by name.

    With `edits` each state record and the files behind it are looked at too.
    """
    from reconciler.inventory import load_inventory

    inventory = load_inventory(app.home)
    world = observe(inventory, app.engine, app.home, now=app.now())
    stuck = find_stuck_among(app, world, world.seen)
    refused = find_refused(app, inventory, world, world.seen)
    found = [
        _found(
            world.entries[name],
            _with_intent(inventory, seen),
            stuck=stuck.get(name, ""),
            refused=refused.get(name, ""),
        )
        for name, seen in world.seen.items()
    ]
    found += find_unmanaged(app.home, inventory)
    if selector:
        from reconciler.select import matches

        matches(selector, {})  # refuses what cannot be read, where nothing is deployed too
        found = [one for one in found if matches(selector, one.entry.labels if one.entry is not None else {})]
    if edits:
        found = [_with_edits(app.home, one) for one in found]
    return sorted(found, key=lambda one: one.name)


def known_names(home: Path) -> list[str]:
    """Give the names that state records tell, cheaply: for completion and suggestions."""
    return sorted({_name_of(deployment_id) for deployment_id in record_ids(home)})


def not_found(home: Path, wanted: str, others: Iterable[str] = ()) -> DeploymentNotFoundError:
    """Give the error for a name that nothing answers to."""
    from reconciler.history import what_became

    gone = what_became(home, wanted)
    if gone is not None:
        past = gone.to or gone.name
        fix = f"`haymaker why {wanted}` tells what is remembered of it"
        fix += f"; it is {past} now" if gone.to else f", `haymaker runs {past}` its runs"
        return DeploymentNotFoundError(f"{wanted} {fate(gone)}", fix=fix)
    from difflib import get_close_matches

    known = {*known_names(home), *record_ids(home), *others}
    near = get_close_matches(wanted, sorted(known), 3, 0.6)
    fix = f"did you mean {' or '.join(near)}?" if near else "`haymaker list` shows what there is"
    return DeploymentNotFoundError(f"no deployment has the name or id {wanted!r}", fix=fix)


def fate(gone: Gone) -> str:
    """Say what became of a deployment, as the end of a sentence that its name begins."""
    at = f" at {gone.at[:19]}Z" if gone.at else ""
    match gone.event:
        case "renamed":
            return f"was renamed to {gone.to}{at}"
        case "orphaned":
            return f"was let go{at} (deletionPolicy: Orphan); what it runs is nobody's"
        case _:
            return f"was deleted{at}"


# ---- the quick way ----------------------------------------------------------------------------------------


def _find_quickly(app: App, wanted: str) -> Found | None:
    """Give the deployment from its own state record, or None where that would not be the whole truth."""
    if not wanted or "/" in wanted or wanted.startswith("."):
        return None
    ids = record_ids(app.home)
    named = [i for i in ids if i.startswith(wanted) and _name_of(i) == wanted]
    chosen = named or [i for i in ids if i == wanted]
    if len(chosen) != 1:
        return None
    try:
        record = read_record(app.home / "state" / f"{chosen[0]}.json")
    except (OSError, DoubtError):
        return None
    entry = stamped_entry(record, chosen[0])
    if entry is None or entry.waits == "orphaned" or wanted not in (entry.name, entry.id):
        return None
    if not _has_whole_fleet(app.home, entry.fleet) or _has_open_intent(app.home, entry.name):
        return None
    seen, entry = observe_one(entry, app.engine, now=app.now())
    if rests(entry, seen) or _has_a_reason_to_read(entry):
        return None  # how its dependencies stand is part of how it stands, and what its budget allows; or why it ended
    if seen.phase is RunPhase.RUNNING and entry.run is not None and "cost_usd" in entry.run.caps:
        return None  # what it costs may be a matter of its fleet's prices
    found = _found(entry, _with_overrun(app, entry, seen, {}), workload=str(record.get("workload_name", "")))
    return _with_edits(app.home, found, record)


def _name_of(deployment_id: str) -> str:
    """Give the name in an id that haymaker made; an id of another tool's is its own name."""
    name, _, suffix = deployment_id.rpartition("-")
    return name if name and len(suffix) == ID_LENGTH else deployment_id


def _has_whole_fleet(home: Path, fleet: str) -> bool:
    """Tell whether the fleet's checkpoint begins and ends as one; one that does not is doubt."""
    try:
        with os.fdopen(open_regular(home / "fleets" / f"{fleet}.json"), "rb") as file:
            begins = file.read(20).startswith((b'{"schema_version": 1', b'{"schema_version": 2'))
            file.seek(-2, os.SEEK_END)
            return begins and file.read(2) == b"}\n"
    except FileNotFoundError:
        return True  # before its first checkpoint, the journal is all there is
    except OSError:
        return False


def _has_open_intent(home: Path, name: str) -> bool:
    """Tell whether the journal's last piece holds an intent for this name that no result follows, or cannot tell."""
    import json

    try:
        lines = _last_lines(home)
    except OSError:
        return True
    for line in reversed(lines):
        if name.encode() not in line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if (
            isinstance(record, dict)
            and record.get("name") == name
            and record.get("type") in ("intent", "started", "result")
        ):
            return bool(record["type"] == "intent")
    return False


def _last_lines(home: Path) -> list[bytes]:
    folder = home / "journal"
    try:
        segments = [name for name in os.listdir(folder) if name.endswith(".jsonl")]
    except FileNotFoundError:
        return []
    if not segments:
        return []
    with os.fdopen(open_regular(folder / max(segments)), "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().split(b"\n")
    return lines if size <= TAIL_BYTES else lines[1:]


# ---- the thorough way -------------------------------------------------------------------------------------


def find_thoroughly(app: App, wanted: str) -> Found:
    """Give the deployment of this name or id from the whole inventory; raises as `find_one` does."""
    from reconciler.inventory import load_inventory

    inventory = load_inventory(app.home)
    entry = inventory.by_name_or_id(wanted)
    name = entry.name if entry is not None else wanted
    if entry is not None or name in inventory.intents:
        names = with_dependencies(inventory.entries, [name])
        world = observe(inventory, app.engine, app.home, now=app.now(), names=names, closely=True)
        if name in world.seen:
            stuck = find_stuck_among(app, world, [name])
            refused = find_refused(app, inventory, world, [name])
            entry = world.entries[name]
            seen = _with_intent(
                inventory, _with_overrun(app, entry, world.seen[name], inventory.fleet(entry.fleet).prices)
            )
            if _has_a_reason_to_read(entry):
                from reconciler.reasons import with_reason

                entry, seen = with_reason(app.engine, entry, seen, app.environ)
            found = _found(entry, seen, stuck=stuck.get(name, ""), refused=refused.get(name, ""))
            return _with_edits(app.home, found)
    for found in find_unmanaged(app.home, inventory):
        if wanted in (found.name, found.id):
            return found
    if inventory.doubts:
        fleet, doubt = next(iter(inventory.doubts.items()))
        raise DoubtError(
            f"the inventory of fleet {fleet} cannot be read, and {wanted!r} may be in it",
            where=doubt.where,
            fix=doubt.fix,
        )
    raise not_found(app.home, wanted, inventory.entries)


def find_unmanaged(home: Path, inventory: Inventory) -> Iterator[Found]:
    """Give the state records that no inventory knows."""
    known = inventory.known_ids()
    for deployment_id in sorted(record_ids(home)):
        if deployment_id in known:
            continue
        file = f"state/{deployment_id}.json"
        name = _name_of(deployment_id)
        try:
            record = read_record(home / file)
        except FileNotFoundError:
            continue
        except DoubtError as error:
            yield Found(name, deployment_id, None, None, status="unknown", unmanaged=file, doubt=error.what)
            continue
        workload, status = str(record.get("workload_name", "")), str(record.get("status", "unknown"))
        yield Found(name, deployment_id, None, None, workload, status, unmanaged=file)


def _with_edits(home: Path, found: Found, record: Mapping[str, Any] | None = None) -> Found:
    """Add which files were edited since they were last read, by its state record."""
    if found.entry is None:
        return found
    from reconciler.edits import find_edits

    try:
        edits = find_edits(home, found.entry.fleet, record or read_record(home / "state" / f"{found.id}.json"))
    except (OSError, DoubtError):
        return found
    return replace(found, edits=edits) if edits else found


def _has_a_reason_to_read(entry: Entry) -> bool:
    """Tell whether its run ended in a way that it may give a reason for, and that is not on record yet."""
    return entry.run is not None and not entry.run.recorded and bool(entry.run.exit_code)


def _with_overrun(app: App, entry: Entry, seen: Observed, prices: Mapping[str, Json]) -> Observed:
    """Say of a live run what it used beyond its caps, as far as it tells; `prices` are its fleet's, as applied."""
    if not seen.capped or seen.phase is not RunPhase.RUNNING or entry.run is None:
        return seen
    from reconciler.spending import find_overrun

    found = find_overrun(app.engine, entry.run, prices)
    return replace(seen, overrun=found) if found else seen


def _with_intent(inventory: Inventory, seen: Observed) -> Observed:
    """Say that a pass is about to end it, or was interrupted in that."""
    intent = inventory.intents.get(seen.name)
    if intent is None or not (intent.verb == "delete" or (intent.verb == "stop" and seen.phase is RunPhase.RUNNING)):
        return seen
    return replace(seen, under_way=intent.verb)


def _found(entry: Entry, seen: Observed, *, workload: str = "", stuck: str = "", refused: str = "") -> Found:
    if stuck or refused:
        seen = replace(seen, stuck=stuck, refused=refused)
    return Found(entry.name, entry.id, entry, seen, workload or entry.workload, _status(entry, seen))


def _status(entry: Entry, seen: Observed) -> str:
    if seen.under_way == "delete":
        return "cleaning_up"
    run = entry.run
    if run is not None and not run.recorded and seen.phase in (RunPhase.ENDED, RunPhase.STOPPED, RunPhase.LOST):
        # Over, though no pass has put it on record yet.
        entry = replace(entry, run=replace(run, recorded=True))
    return status_of(entry)[0]


def fleet_root(inventory: Inventory, fleet: str) -> str:
    """Give the folder that a fleet was last applied from, "" where that is unknown."""
    known = inventory.fleets.get(fleet)
    return known.root if known is not None else ""
