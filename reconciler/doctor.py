"""
What can be wrong with the host and with haymaker's own records: each cause once, with what mends it. Looks only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent_haymaker.engines import RunState
from agent_haymaker.errors import DoubtError, HaymakerError
from agent_haymaker.installation import copy_fix, find_install_id, find_original
from agent_haymaker.locks import holder_of
from agent_haymaker.records import DRAFT_SUFFIX, mending, platform_error
from reconciler import host
from reconciler.adopt import find_unknown
from reconciler.host import Checked
from reconciler.inventory import load_inventory
from reconciler.lookup import find_unmanaged
from reconciler.model.observed import RunPhase
from reconciler.observe import observe
from reconciler.records import state_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.app import App
    from reconciler.inventory import Entry, Inventory
    from reconciler.observe import World

DRAFT_SECONDS = 600


def examine(app: App) -> list[Checked]:
    """Give what every check found, in a fixed order."""
    found: list[Checked] = []
    for check in host.CHECKS:
        found += _guarded(check, app)
    if host.is_closed(app.home):
        return found  # `host.home` says so; each of its records could only say it again
    for look in (_install, _lock, _drafts):
        found += _guarded(look, app)
    try:
        inventory = load_inventory(app.home)
    except HaymakerError as error:
        which = "journal" if error.where and "/journal" in error.where else "inventory"
        where = f"{error.where}: " if error.where else ""
        return [*found, Checked(which, "fail", f"{where}{error.what}", error.fix or "")]
    found += _guarded(_inventory, inventory)
    try:
        world = observe(inventory, app.engine, app.home, now=app.now())
    except OSError as error:
        return [*found, _failed("states", error)]
    found += _guarded(_states, app, inventory, world)
    unknown = find_unknown(app.home, inventory)
    found += _guarded(_unowned, app, inventory, unknown)
    if not any(one.check == "install" and one.level == "fail" for one in found):
        # In a copy they would speak of the original's processes.
        found += _guarded(_orphans, app, inventory, world, unknown)
        found += _guarded(_shim, app)
    return _once(found)


def _once(found: list[Checked]) -> list[Checked]:
    """Leave out what is said of a deployment or a run because the shim answers nobody: that is said of the shim."""
    silent = [one.what for one in found if (one.check, one.level) == ("shim", "fail")]

    def is_said(one: Checked) -> bool:
        why = one.what.partition(": ")[2]
        of_runs = one.level == "fail" and one.check in ("records", "runs")
        return of_runs and bool(why) and any(what.endswith(why) for what in silent)

    return [one for one in found if not is_said(one)]


def _guarded(check: Callable[..., Iterator[Checked]], *facts: object) -> list[Checked]:
    try:
        return list(check(*facts))
    except (OSError, HaymakerError) as error:
        return [_failed(getattr(check, "__name__", "check").strip("_"), error)]


def _failed(name: str, error: OSError | HaymakerError) -> Checked:
    told = error if isinstance(error, HaymakerError) else platform_error(error, "look at it", error.filename or "")
    where = f"{told.where}: " if told.where else ""
    return Checked(name, "fail", f"{where}{told.what}", told.fix or "mend this first")


def _lock(app: App) -> Iterator[Checked]:
    holder = holder_of(app.home / "locks" / "pass.lock")
    if holder is not None:
        yield Checked("lock", "ok", f"a pass is under way: {holder}")


def _drafts(app: App) -> Iterator[Checked]:
    limit = app.now() - DRAFT_SECONDS
    stale = 0
    for folder in (app.home, *(app.home / name for name in ("state", "fleets", "history", "cache"))):
        try:
            with os.scandir(folder) as items:
                stale += sum(
                    1
                    for item in items
                    if item.name.startswith(".") and item.name.endswith(DRAFT_SUFFIX) and item.stat().st_mtime < limit
                )
        except FileNotFoundError:
            continue
    if stale:
        yield Checked("drafts", "warn", f"{stale} drafts of writers that were killed", "they do no harm; remove them")


def _install(app: App) -> Iterator[Checked]:
    found, original = find_install_id(app.home), find_original(app.home)
    if original is not None:
        what = f"{app.home} is a copy of {original}, which is there: nothing is started or ended from here"
        yield Checked("install", "fail", what, copy_fix(app.home, original))
    elif found is not None:
        yield Checked("install", "ok", f"its id is {found}")


def _inventory(inventory: Inventory) -> Iterator[Checked]:
    for fleet, doubt in sorted(inventory.doubts.items()):
        yield Checked("inventory", "fail", f"fleet {fleet}: {doubt.where}: {doubt.what}", doubt.fix or "")
    if inventory.damaged:
        fix = "look at the end of the newest file in journal/; what runs is found out without it"
        yield Checked("journal", "warn", f"{inventory.damaged} lines cannot be read", fix)
    for name, intent in sorted(inventory.intents.items()):
        fix = "a pass is under way, or one was killed: the next apply finds out"
        yield Checked("journal", "warn", f"{intent.verb} {name} was begun and not reported", fix)
    if not inventory.doubts:
        yield Checked("inventory", "ok", f"deployments: {len(inventory.entries)}, fleets: {len(inventory.fleets)}")


def _states(app: App, inventory: Inventory, world: World) -> Iterator[Checked]:
    for name, seen in sorted(world.seen.items()):
        run = world.entries[name].run
        if not seen.doubt or seen.fleet in inventory.doubts:
            continue  # `_inventory` says it of all of its fleet
        if run is not None and seen.phase is RunPhase.UNREACHABLE:
            yield Checked("records", "fail", f"{name}: {seen.doubt}", _mend_run(app, run.key))
            continue
        path = state_path(app.home, seen.deployment_id)
        fix = mending(DoubtError(seen.doubt, where=str(path)), "the next apply writes it again")
        yield Checked("records", "fail", f"{name}: {seen.doubt}", f"{fix}. Until then nothing is done about it")
    if not any(seen.doubt for seen in world.seen.values()):
        yield Checked("records", "ok", f"{len(world.seen)} can be looked at")


def _mend_run(app: App, key: str) -> str:
    """Say how to mend what keeps a run from being looked at: its claim, where that is what cannot be read."""
    why = app.engine.why_unreadable(key)
    if why is None:
        return "wait, or end the run by hand; until then nothing is done about it"
    return f"{mending(why, 'its process is known without it')}. Until then nothing is done about it"


def _unowned(app: App, inventory: Inventory, unknown: list[Entry]) -> Iterator[Checked]:
    lone = {entry.id: entry.fleet for entry in unknown}
    for found in find_unmanaged(app.home, inventory):
        fleet = lone.get(found.id)
        if fleet in inventory.doubts:
            continue  # `_inventory` says it of all of its fleet
        said = f": {found.doubt}" if found.doubt else ""
        fix = "haymaker leaves it alone" if fleet is None else f"the next apply of fleet {fleet} takes it over"
        yield Checked("unmanaged", "warn", f"{found.unmanaged} is in no fleet's inventory{said}",
                      f"{fix}; move it away if nothing of it is needed")  # fmt: skip


def _orphans(app: App, inventory: Inventory, world: World, unknown: list[Entry]) -> Iterator[Checked]:
    told = {run.key for name, seen in world.seen.items() if seen.doubt and (run := world.entries[name].run) is not None}
    told |= {seen.handle.key for fleet in inventory.doubts for seen in app.engine.list(fleet)}
    told |= {entry.run.key for entry in unknown if entry.run is not None}
    runs = [entry.run for entry in inventory.entries.values() if entry.run is not None]
    known = {run.key for run in runs if not run.recorded or run.handle is not None}
    over = {run.key for run in runs if run.recorded}
    known |= {intent.key for intent in inventory.intents.values() if intent.key}
    install = find_install_id(app.home)
    carried = set(app.engine.live_keys(f"{install}." if install else ""))
    live = 0
    for seen in app.engine.list():
        key = seen.handle.key
        carried.discard(key)
        if not seen.state.is_live:
            continue
        live += 1
        if key in told:
            continue  # with its record
        if seen.state is RunState.UNREACHABLE:
            yield Checked("runs", "fail", f"run {key}: {seen.detail}", _mend_run(app, key))
        elif key in known & over:
            yield Checked("runs", "warn", f"run {key} is {seen.state}, and its record says that it is over",
                          "the next `haymaker apply` puts its record right")  # fmt: skip
        elif key not in known and key.rpartition(".check-")[0] not in known:
            pid = seen.handle.token.get("pid")
            yield Checked("runs", "fail", f"run {key} (pid {pid}) is {seen.state} and no inventory knows it",
                          f"if nobody needs it, end it: kill {pid}" if pid else seen.detail)  # fmt: skip
    for key in sorted(carried):
        found = app.engine.find(key)
        pid = found.handle.token.get("pid") if found is not None else None
        if pid and key not in known | told:
            yield Checked("runs", "fail", f"run {key} (pid {pid}) is alive, and its records were removed",
                          f"end it, or its deployment cannot start: kill {pid}")  # fmt: skip
    yield Checked("runs", "ok", f"alive: {live}")


def _shim(app: App) -> Iterator[Checked]:
    from agent_haymaker.engines import shim_socket

    live = sum(1 for seen in app.engine.list() if seen.state.is_live)
    if shim_socket.is_shim_there(f"{app.home}/engines/local"):
        told = shim_socket.ask(f"{app.home}/engines/local", {"op": "unwritten"}, fence=False)
        for key, why in (told or {}).get("why", {}).items():
            yield Checked("shim", "fail", f"it cannot write down what became of run {key}: {why}",
                          "free the disk, or let this user write in engines/local/runs again; it tries on")  # fmt: skip
        yield Checked("shim", "ok", "it is there, and records how runs end")
    elif live:
        yield Checked("shim", "warn", f"it was killed while {live} runs are alive: how they end will not be known",
                      "they are adopted; the next start of an agent brings a new one")  # fmt: skip
    else:
        yield Checked("shim", "ok", "nothing runs, so none is needed")
