"""
Look at what is really there: each inventory entry held against its engine and its state record.

Looks, never recalls: a recorded "running" is a claim to check. Never writes and never signals. What a killed
pass left open (an intent without a result) is answered here from the engine, and handed on as `recovered`, for
a pass that may write to put on record.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent_haymaker.engines import Handle, Observation, RunState
from agent_haymaker.errors import DoubtError
from agent_haymaker.lean import dataclass, field, replace
from agent_haymaker.records import read_record
from reconciler.inventory import OVERRUN, Entry, Run, failed_checks
from reconciler.model.lazyjson import AppliedSpec
from reconciler.model.observed import BUDGET_SPENT_CODE, Observed, RunPhase
from reconciler.records import says_what_was_written

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from agent_haymaker.engines import Engine
    from reconciler.inventory import Intent, Inventory

LOG_TAIL_BYTES = 4096

_PHASES = {
    RunState.PENDING: RunPhase.RUNNING,
    RunState.RUNNING: RunPhase.RUNNING,
    RunState.STOPPING: RunPhase.RUNNING,
    RunState.SUCCEEDED: RunPhase.ENDED,
    RunState.FAILED: RunPhase.ENDED,
    RunState.STOPPED: RunPhase.STOPPED,
    RunState.LOST: RunPhase.LOST,
    RunState.UNREACHABLE: RunPhase.UNREACHABLE,
}


@dataclass(slots=True)
class World:
    """Everything observed. `entries` are the inventory's with what was just seen of their runs worked in."""

    seen: dict[str, Observed] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    recovered: dict[str, Entry | None] = field(default_factory=dict)  # name -> what a killed pass left behind


def observe(
    inventory: Inventory,
    engine: Engine,
    home: Path,
    *,
    now: float,
    names: Iterable[str] | None = None,
    closely: bool = False,
) -> World:
    """Look at every deployment of every fleet, or only at those in `names`; `closely` as the engine's `observe`."""
    world = World()
    chosen = inventory.entries.keys() | inventory.intents.keys() if names is None else set(names)
    looks: list[tuple[Entry, Handle]] = []
    over: list[tuple[Entry, Handle]] = []
    for name in sorted(chosen):
        entry = inventory.entries.get(name)
        intent = inventory.intents.get(name)
        if intent is not None:
            entry = _settle(world, entry, intent, engine)
        if entry is None:
            continue
        world.entries[name] = entry
        if entry.run is not None and entry.run.handle is not None:
            (over if entry.run.recorded else looks).append((entry, Handle.from_json(entry.run.handle)))
    there = engine.are_there([handle for _, handle in over]) if over else []
    looks += [ended for ended, is_there in zip(over, there, strict=True) if is_there]  # what lives has not ended
    found = engine.observe([handle for _, handle in looks], closely=closely) if looks else []
    looked = {entry.name: seen for (entry, _), seen in zip(looks, found, strict=True)}
    states = _state_records(home)
    for name, known in world.entries.items():
        seen, entry = _see(known, looked.get(name), engine, now)
        if known.run is not None and known.run.recorded and seen.phase is RunPhase.RUNNING:
            world.recovered[name] = entry  # its end was not
        unread = inventory.doubts.get(entry.fleet)
        doubt = f"{unread.where}: {unread.what}" if unread else _doubt(known, states, home)
        if doubt in (_GONE, _ALTERED):
            seen, doubt = replace(seen, record_fault=doubt), ""
        world.seen[name] = replace(seen, doubt=doubt) if doubt and not seen.doubt else seen
        world.entries[name] = entry
    return world


def observe_one(entry: Entry, engine: Engine, *, now: float) -> tuple[Observed, Entry]:
    """Look closely at the run of one entry; its state record and open intents are the caller's matter."""
    look = None
    if entry.run is not None and entry.run.handle is not None:
        handle = Handle.from_json(entry.run.handle)
        if not entry.run.recorded or engine.are_there([handle])[0]:
            look = engine.observe([handle], closely=True)[0]
    return _see(entry, look, engine, now)


def _settle(world: World, entry: Entry | None, intent: Intent, engine: Engine) -> Entry | None:
    """Tell what became of an intent that no result followed."""
    if intent.verb == "delete" and entry is not None:
        # Half of it may be gone, its claim included: whatever no longer lives counts as stopped by us.
        if entry.run is None or not _is_live(engine, entry.run):
            entry = replace(
                entry, run=None if entry.run is None else replace(entry.run, recorded=True, exit_reason="stopped")
            )
            world.recovered[intent.name] = entry
        return entry
    if not intent.key or intent.entry is None:
        if intent.verb == "stop" and intent.entry is not None:
            entry = intent.entry  # it says what the run was stopped for
        world.recovered[intent.name] = entry
        return entry
    found = engine.find(intent.key)
    if found is None:
        # The spawn never began. A creation keeps the id that its workspace may already have.
        kept = entry or replace(intent.entry, run=None)
    else:
        meant = intent.entry.run or Run(intent.key, 1)
        run = replace(meant, handle=found.handle.to_json(), started_at=found.started_at)
        kept = replace(intent.entry, run=run)
    world.recovered[intent.name] = kept
    return kept


def _is_live(engine: Engine, run: Run) -> bool:
    found = engine.find(run.key)
    return found is not None and found.state.is_live


def _see(entry: Entry, look: Observation | None, engine: Engine, now: float) -> tuple[Observed, Entry]:
    run = entry.run
    if run is None:
        return _observed(entry, RunPhase.NONE), entry
    if look is not None and run.recorded and look.state.is_live:
        run = _reopened(run)
        entry = replace(entry, run=run)
    if look is None or run.recorded:
        return _observed(entry, _recorded_phase(run)), entry
    phase = _PHASES[look.state]
    if phase is RunPhase.RUNNING:
        return _with_progress(_observed(entry, phase), entry, run, look, engine, now), entry
    if phase is RunPhase.UNREACHABLE:
        return replace(_observed(entry, phase), doubt=look.detail or "its engine cannot say whether it runs"), entry
    ended = _ended(run, look)
    if phase is RunPhase.LOST:
        told = _told_by_log(look, engine)
        if told is not None:
            phase = RunPhase.ENDED
            text = "completed, as its log says" if told == 0 else "failed, as its log says"
            ended = replace(ended, exit_code=told, exit_reason="exited", exit_text=text)
    entry = replace(entry, run=ended)
    return _observed(entry, phase), entry


def _reopened(run: Run) -> Run:
    """Give a run without its end, which was not."""
    return Run(run.key, run.attempt, handle=run.handle, started_at=run.started_at, caps=run.caps, commit=run.commit)


def _with_progress(seen: Observed, entry: Entry, run: Run, look: Observation, engine: Engine, now: float) -> Observed:
    """Say whether a live run makes progress. One that is younger than its deadline needs no look."""
    deadline = entry.progress_deadline
    if deadline is None or run.started_at is None:
        return seen
    began = look.started_at or run.started_at  # by the clock as it is set now, not as it was then
    if began + deadline > now:
        return replace(seen, stalls_at=began + deadline)
    from reconciler.progress import find_stall

    stalled, at = find_stall(
        engine, entry.id, started_at=began, deadline=deadline, now=now, moved=began - run.started_at
    )
    return replace(seen, stalled=stalled, stalls_at=at)


def _ended(run: Run, look: Observation) -> Run:
    end = look.exit
    if end is None:
        return replace(run, exit_reason="lost", exit_text=look.detail or "nobody saw how")
    ended = replace(
        run,
        ended_at=end.ended_at,
        exit_code=end.code,
        exit_signal=end.signal,
        exit_reason=end.reason,
        exit_text=str(end),
    )
    if end.reason == "stopped" and run.overrun:
        return replace(ended, exit_reason=OVERRUN, exit_text=f"stopped: {run.overrun}")
    return ended


def _told_by_log(look: Observation, engine: Engine) -> int | None:
    """The last resort of the seed's status detection: what the agent's own log says at its end. 0 is success."""
    from agent_haymaker.workloads.run_status import status_from_log  # rare, and it brings pydantic

    try:
        with engine.open_file(look.handle, "agent.log") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - LOG_TAIL_BYTES))
            said = status_from_log(log.read().decode(errors="replace"))
    except OSError:
        return None
    return None if said is None else int(said.value != "completed")


def _recorded_phase(run: Run) -> RunPhase:
    if not run.recorded and run.handle is None:
        return RunPhase.NONE
    match run.exit_reason:
        case "stopped":
            return RunPhase.STOPPED
        case "lost":
            return RunPhase.LOST
        case _:
            return RunPhase.ENDED


def _observed(entry: Entry, phase: RunPhase) -> Observed:
    run = entry.run or _NO_RUN
    return Observed(
        name=entry.name,
        deployment_id=entry.id,
        fleet=entry.fleet,
        digest=entry.digest,
        generation=entry.generation,
        phase=phase,
        attempt=run.attempt,
        failures=entry.failures,
        was_healthy=entry.was_healthy,
        fallback=entry.fallback,
        held=str(entry.held.get("digest", "")),
        held_why=str(entry.held.get("reason", "")),
        exit_code=run.exit_code,
        exit_text=run.exit_text,
        said=run.said,
        says_check=run.goal_met is False and bool(run.said) and failed_checks(run.checks, run.said)[1],
        start_failed=run.start_failed,
        stalled=run.stalled if phase is RunPhase.STOPPED else "",
        started_at=run.started_at,
        ended_at=run.ended_at,
        recorded=run.recorded,
        succeeded=run.succeeded,
        goal_met=run.goal_met,
        spec=AppliedSpec(entry.desired),
        labels=entry.labels,
        annotations=entry.annotations,
        source=entry.source,
        root=entry.root,
        stopped=entry.stopped,
        suspended=entry.suspended,
        settings=entry.settings,
        deletion_policy=entry.deletion_policy,
        protect=entry.protect,
        service=entry.service,
        over_budget=_over_budget(run),
        capped=bool(run.caps),
    )


def _over_budget(run: Run) -> str:
    if run.exit_reason == OVERRUN:
        return run.overrun
    return str((run.usage or {}).get("spent") or "") if run.exit_code == BUDGET_SPENT_CODE else ""


_NO_RUN = Run("", 0)


# ---- state records ----------------------------------------------------------------------------------------

_GONE = "is missing"
_ALTERED = "is not as haymaker wrote it"


def _state_records(home: Path) -> dict[str, os.DirEntry[str]]:
    try:
        with os.scandir(home / "state") as items:
            return {item.name: item for item in items if item.name.endswith(".json")}
    except FileNotFoundError:
        return {}


def _doubt(entry: Entry, states: dict[str, os.DirEntry[str]], home: Path) -> str:
    """Say what is wrong with the state record of an entry; only one that changed since we wrote it is read again."""
    item = states.get(f"{entry.id}.json")
    if item is None:
        return _GONE if entry.identity else ""
    try:
        stat = item.stat(follow_symlinks=False)
        if entry.identity == (stat.st_ino, stat.st_size, stat.st_mtime_ns):
            return ""
        record = read_record(home / "state" / item.name)
    except FileNotFoundError:
        return _GONE
    except OSError as error:
        return f"its record state/{item.name} cannot be read: {error.strerror}"
    except DoubtError as doubt:
        return f"its record state/{item.name}: {doubt.what}"
    if record.get("deployment_id") != entry.id:
        return f"its record state/{item.name} speaks of another deployment"
    return "" if says_what_was_written(record, entry) else _ALTERED


def find_unowned(home: Path, inventory: Inventory, names: Iterable[str]) -> dict[str, str]:
    """
    Map each of `names` to a state record that claims it although no inventory does.

    Such a record may belong to a live agent whose inventory was lost; to create a second one would be wrong.
    """
    known = inventory.known_ids()
    wanted = set(names)
    unowned: dict[str, str] = {}
    for file in _state_records(home):
        deployment_id = file[: -len(".json")]
        name, _, suffix = deployment_id.rpartition("-")
        if name in wanted and len(suffix) == 8 and deployment_id not in known:
            unowned[name] = f"state/{file}"
    return unowned
