"""
Closer looks, at the few deployments that need one: what a plan has to know of them that a look at all leaves out.

What can be gone back to, who goes beyond a budget or a timeout, and live runs that a start or a stop would have to
beware of. Looks only. What it costs depends on what is about to be done, not on how much there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.engines import Handle, RunState
from agent_haymaker.installation import find_install_id
from agent_haymaker.lean import replace
from reconciler.inventory import applied
from reconciler.model.desired import RESTARTED_AT
from reconciler.model.observed import RunPhase
from reconciler.model.plan import Verb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from agent_haymaker.engines import Engine
    from reconciler.model.desired import Desired
    from reconciler.model.lazyjson import Json
    from reconciler.model.observed import Observed
    from reconciler.model.plan import Plan
    from reconciler.observe import World


def find_kept(home: Path, world: World, want: Mapping[str, Desired], seen: dict[str, Observed]) -> None:
    """Give each that runs the last healthy digest, or may have to go back to one, what is kept of that."""
    asked = {n: w for w in want.values() if w.auto_revert for n in (*w.renamed_from, w.name)}
    for name in asked.keys() & seen.keys():
        found = seen[name]
        at_work = found.phase is RunPhase.RUNNING and not found.stalled
        if not found.held and (at_work or not found.fallback):
            continue
        from reconciler.kept import find_missing, load_kept

        kept, missing = None, ""
        if found.held:
            kept = applied(world.entries[name])
        else:
            kept, missing = load_kept(home, found.deployment_id, found.fallback)
        if kept is not None and not at_work:
            missing = find_missing(home, kept)
        seen[name] = replace(found, kept=kept, kept_missing=missing)


def find_overruns(
    engine: Engine, world: World, want: Mapping[str, Desired], seen: dict[str, Observed], prices: Mapping[str, Json]
) -> None:
    """Note of each live run that has caps what it used beyond them."""
    live = [name for name in want.keys() & seen.keys() if seen[name].capped and seen[name].phase is RunPhase.RUNNING]
    if not live:
        return
    from reconciler.spending import find_overrun

    for name in live:
        run = world.entries[name].run
        assert run is not None, "what runs has a run"
        if found := find_overrun(engine, run, prices):
            seen[name] = replace(seen[name], overrun=found)


def find_overtime(
    engine: Engine, world: World, want: Mapping[str, Desired], seen: dict[str, Observed], *, now: float
) -> None:
    """Note of each live run that its timeout is over, where what would have ended it was killed."""
    for name in want.keys() & seen.keys():
        asked, found = want[name], seen[name]
        if found.phase is not RunPhase.RUNNING or found.started_at is None:
            continue
        timeout = asked.timeout if asked.digest == found.digest else found.spec.get("run", {}).get("timeout")
        if timeout is None or found.started_at + timeout > now:
            continue
        run = world.entries[name].run
        assert run is not None, "what runs has a run"
        assert run.handle is not None, "what runs has a handle"
        if engine.is_overtime(Handle.from_json(run.handle), timeout):
            from reconciler.manifest.units import format_duration

            told = f"its run.timeout of {format_duration(timeout)} is over, and the shim that kept it was killed"
            seen[name] = replace(found, overtime=told)


def find_strays(home: Path, engine: Engine, world: World, plan: Plan) -> dict[str, str]:
    """
    Say of each name that is about to start which live run of it its record does not know.

    Records can be lost, or put back from a backup; the kernel's own list of what runs cannot. A start beside such a
    run would make two.
    """
    starting = {a.name for a in plan.actions if a.starts}
    if not starting:
        return {}
    install = find_install_id(home)
    strays = {}
    for key in engine.live_keys(f"{install}." if install else ""):
        run, _, _ = key.partition(".check-")
        deployment_id = run.split(".")[1] if run.count(".") >= 3 else ""
        name = deployment_id.rpartition("-")[0]
        entry = world.entries.get(name)
        if entry is None or entry.id != deployment_id:
            entry = next((e for e in world.entries.values() if e.id == deployment_id), entry)
            name = entry.name if entry is not None and entry.id == deployment_id else name
        known = entry.run if entry is not None else None
        if name not in starting:
            continue
        if known is None or run != known.key:
            what = "which no record here knows (records were removed, lost or put back)"
        elif known.recorded and run == key:
            what = "which its record says is over, and of which it knows no process"
        else:
            continue
        strays[name] = f"a process carries run {key}, {what}; end it first: `haymaker doctor` names it"
    return strays


def find_unresolved(
    plan: Plan, want: Mapping[str, Desired], seen: Mapping[str, Observed], root: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Say of each name that is about to start as its manifest says which value of its env is not to be had here."""
    found = {}
    for action in plan.actions:
        goes_back = action.reverts or (action.name in seen and seen[action.name].held)
        if not action.starts or goes_back or not any("valueFrom" in e for e in want[action.name].spec.get("env", ())):
            continue
        from reconciler.manifest import unresolved

        flaws = unresolved.find_unresolved(want[action.name], root, environ)
        if flaws:
            found[action.name] = "; ".join(f"{f.what} ({f.as_problem('').where}): {f.fix}" for f in flaws)
    return found


def find_rotated(
    engine: Engine, world: World, plan: Plan, want: Mapping[str, Desired], environ: Mapping[str, str]
) -> list[str]:
    """Say of each live run that goes on as it is which of its secrets have another value now than it was given."""
    notes = []
    ending = {action.name for action in plan.actions if action.verb in (Verb.STOP, Verb.DELETE)}
    for name, wanted in want.items():
        declared = wanted.spec.get("env", ())
        if name in ending or not any("valueFrom" in item for item in declared):
            continue
        seen, entry = world.seen.get(name), world.entries.get(name)
        if seen is None or seen.phase is not RunPhase.RUNNING or seen.digest != wanted.digest:
            continue
        if entry is None or entry.run is None or entry.run.handle is None:
            continue
        from reconciler.values import rotated  # for those whose agents have secrets

        held = engine.environment(Handle.from_json(entry.run.handle))
        if names := rotated(declared, environ, wanted.recipe.source_dir, held):
            what = f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} another value now than its run was given"
            notes.append(f"{name}: {what}; it goes on with the old one until it has another {RESTARTED_AT}")
    return notes


def find_unsure(engine: Engine, world: World, names: set[str]) -> dict[str, str]:
    """Say of each live run that is about to be acted on why its engine could not be sure whom it would stop."""
    live = [
        (name, Handle.from_json(run.handle))
        for name in sorted(names & world.entries.keys())
        if (run := world.entries[name].run) is not None and run.handle is not None and not run.recorded
    ]
    seen = engine.observe([handle for _, handle in live], closely=True) if live else []
    return {n: look.detail for (n, _), look in zip(live, seen, strict=True) if look.state is RunState.UNREACHABLE}
