"""
What can be wrong with the host and with haymaker's own records, each with what to do. Looks only.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

from agent_haymaker.engines import RunState
from agent_haymaker.errors import DoubtError, HaymakerError
from agent_haymaker.installation import copy_fix, find_install_id, find_original
from agent_haymaker.lean import dataclass
from agent_haymaker.locks import holder_of
from agent_haymaker.records import DRAFT_SUFFIX, mending, platform_error
from reconciler.adopt import find_unknown
from reconciler.inventory import load_inventory
from reconciler.lookup import find_unmanaged
from reconciler.model.observed import RunPhase
from reconciler.observe import observe
from reconciler.records import state_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.app import App
    from reconciler.inventory import Inventory
    from reconciler.observe import World

LITTLE_BYTES = 500 * 1024 * 1024
TOO_LITTLE_BYTES = 20 * 1024 * 1024
FEW_FILES = 1024
DRAFT_SECONDS = 600
_OWN_HOME = "set HAYMAKER_HOME to a folder of its own"
_NOT_LOOKED = "What is recorded there was not looked at"
GIT_SECONDS = 5
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Checked:
    """One check: `level` is ok, warn or fail."""

    check: str
    level: str
    what: str
    fix: str = ""


def examine(app: App) -> list[Checked]:
    """Give what every check found, in a fixed order."""
    found: list[Checked] = []
    for check in (_home, _disk, _files, _python, _git, _platform):
        found += _guarded(check, app)
    if _is_closed(app.home):
        return found  # `_home` says so; each of its records could only say it again
    for check in (_install, _lock, _drafts):
        found += _guarded(check, app)
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
    for look in (_states, _unowned):
        found += _guarded(look, app, inventory, world)
    if not any(one.check == "install" and one.level == "fail" for one in found):
        # In a copy they would speak of the original's processes.
        found += _guarded(_orphans, app, inventory, world)
        found += _guarded(_shim, app)
    return found


def _guarded(check: Callable[..., Iterator[Checked]], *facts: object) -> list[Checked]:
    try:
        return list(check(*facts))
    except (OSError, HaymakerError) as error:
        return [_failed(getattr(check, "__name__", "check").strip("_"), error)]


def _failed(name: str, error: OSError | HaymakerError) -> Checked:
    told = error if isinstance(error, HaymakerError) else platform_error(error, "look at it", error.filename or "")
    where = f"{told.where}: " if told.where else ""
    return Checked(name, "fail", f"{where}{told.what}", told.fix or "mend this first")


# ---- the host ---------------------------------------------------------------------------------------------


def _home(app: App) -> Iterator[Checked]:
    try:
        found = app.home.stat()
    except FileNotFoundError:
        yield Checked("home", "ok", f"{app.home} does not exist yet; the first apply makes it")
        return
    except OSError as error:
        yield Checked("home", "fail", f"{app.home} cannot be looked at: {error.strerror}. {_NOT_LOOKED}",
                      f"let this user (uid {os.geteuid()}) into the folders above it, or {_OWN_HOME}")  # fmt: skip
        return
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode):
        yield Checked("home", "fail", f"{app.home} is no folder", "move it away, or set HAYMAKER_HOME elsewhere")
    elif _is_closed(app.home):
        whose, fix = f"mode {mode:04o}", f"chmod u+rwx {app.home}, or {_OWN_HOME}"
        if found.st_uid != os.geteuid():
            whose, fix = f"user {found.st_uid}'s", f"run haymaker as user {found.st_uid}, or {_OWN_HOME}"
        closed = f"{app.home} is closed to this user (uid {os.geteuid()}): it is {whose}"
        yield Checked("home", "fail", f"{closed}. {_NOT_LOOKED}", fix)
    elif not os.access(app.home, os.W_OK):
        if os.statvfs(app.home).f_flag & os.ST_RDONLY:
            told, fix = "cannot be written: its filesystem is read-only", f"mount it writable, or {_OWN_HOME} elsewhere"
        else:
            told, fix = "cannot be written", f"chmod u+rwx {app.home}, or chown it"
        yield Checked("home", "fail", f"{app.home} {told}", fix)
    elif found.st_uid != os.geteuid():
        yield Checked("home", "warn", f"{app.home} belongs to another user (uid {found.st_uid})",
                      "run haymaker as that user, or set HAYMAKER_HOME")  # fmt: skip
    elif mode & 0o077:
        yield Checked("home", "warn", f"{app.home} is open to others (mode {mode:04o})", f"chmod 700 {app.home}")
    else:
        yield Checked("home", "ok", f"{app.home} (mode {mode:04o})")


def _is_closed(home: Path) -> bool:
    """Tell whether this user cannot look into the home; one that is not there yet is open."""
    try:
        home.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return not os.access(home, os.R_OK | os.X_OK)


def _disk(app: App) -> Iterator[Checked]:
    folder = app.home
    while not os.path.exists(folder):  # also where a folder above it is closed
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    shown = f"{free / 1024**3:.1f} GiB free on the disk of {folder}"
    space = os.statvfs(folder)
    if free < TOO_LITTLE_BYTES or (space.f_files and not space.f_favail):
        yield Checked("disk", "fail", shown, "free some space: records cannot be written without it")
    elif free < LITTLE_BYTES:
        yield Checked("disk", "warn", shown, "free some space, or lower the retention of artifacts")
    else:
        yield Checked("disk", "ok", shown)


def _files(app: App) -> Iterator[Checked]:
    del app
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < FEW_FILES:
        yield Checked("open files", "warn", f"this user may have {soft} files open", f"ulimit -n {FEW_FILES}")
    else:
        yield Checked("open files", "ok", f"this user may have {soft} files open")


def _python(app: App) -> Iterator[Checked]:
    del app
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        yield Checked("python", "fail", f"{version} is too old", "install Python 3.11 or newer")
    else:
        yield Checked("python", "ok", version)


def _git(app: App) -> Iterator[Checked]:
    del app
    try:
        said = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        yield Checked("git", "warn", "git does not run here", "install git: plans against a revision need it")
    else:
        yield Checked("git", "ok", said)


def _platform(app: App) -> Iterator[Checked]:
    limits = ", ".join(sorted(app.engine.capabilities().limits)) or "none"
    yield Checked("limits", "ok", f"run.limits that this host enforces: {limits}")
    if sys.platform != "linux":
        yield Checked("processes", "ok", f"{sys.platform}: processes are looked at through psutil")
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
        yield Checked("processes", "ok", "pidfds: a signal cannot hit a recycled pid")
    except OSError:
        yield Checked("processes", "warn", "this kernel has no pidfds; identity is checked right before each signal",
                      "use Linux 5.3 or newer")  # fmt: skip


# ---- haymaker's own records -------------------------------------------------------------------------------


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


def _unowned(app: App, inventory: Inventory, _world: World) -> Iterator[Checked]:
    lone = {entry.id: entry.fleet for entry in find_unknown(app.home, inventory)}
    for found in find_unmanaged(app.home, inventory):
        fleet = lone.get(found.id)
        if fleet in inventory.doubts:
            continue  # `_inventory` says it of all of its fleet
        said = f": {found.doubt}" if found.doubt else ""
        fix = "haymaker leaves it alone" if fleet is None else f"the next apply of fleet {fleet} takes it over"
        yield Checked("unmanaged", "warn", f"{found.unmanaged} is in no fleet's inventory{said}",
                      f"{fix}; move it away if nothing of it is needed")  # fmt: skip


def _orphans(app: App, inventory: Inventory, world: World) -> Iterator[Checked]:
    told = {run.key for name, seen in world.seen.items() if seen.doubt and (run := world.entries[name].run) is not None}
    told |= {seen.handle.key for fleet in inventory.doubts for seen in app.engine.list(fleet)}
    told |= {entry.run.key for entry in find_unknown(app.home, inventory) if entry.run is not None}
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
