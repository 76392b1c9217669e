"""
One pass: load → observe → classify → plan → execute → report.

`look` does the first four and touches nothing; `converge` does all of it under the lock. Both make their plan in
the same place, so what `plan` shows is what `apply` does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from agent_haymaker.engines import Handle, RunState
from agent_haymaker.errors import DeploymentNotFoundError, DoubtError
from agent_haymaker.installation import find_install_id
from agent_haymaker.lean import replace
from agent_haymaker.locks import FileLock
from reconciler.edits import note_whole_pass
from reconciler.inventory import Inventory, applied, load_inventory
from reconciler.load import load
from reconciler.model import Desired, LeftAlone, Observed, Plan, RunPhase, Verb, Verdict
from reconciler.observe import World, find_unowned, observe
from reconciler.order import find_renames
from reconciler.passes import Pass, Request
from reconciler.plan import Removals, make_plan
from reconciler.revert import in_force, stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent_haymaker.engines import Engine
    from reconciler.app import App
    from reconciler.budget import Purse
    from reconciler.load import Loaded
    from reconciler.model import FleetPolicy, Outcome


def look(app: App, request: Request) -> Pass:
    """
    Load, observe, classify and plan. Nothing is written, nothing signalled.

    Raises:
        ManifestError: the folder cannot be used at all.
        DoubtError: the fleet's inventory cannot be read, so nothing about it can be decided.
    """
    return _look(app, app.engine, request, write_cache=False)


def _look(app: App, engine: Engine, request: Request, *, write_cache: bool) -> Pass:
    began = app.now()
    inventory = load_inventory(app.home)
    world = observe(inventory, engine, app.home, now=app.now())
    loaded = load(request.path, home=app.home, strict=request.strict, write_cache=write_cache)
    done = _decide(app, request, engine, loaded, inventory, world)
    done.began = began
    return done


def converge(
    app: App,
    request: Request,
    *,
    consent: Callable[[Plan], bool],
    on_plan: Callable[[Pass], None] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    check: Callable[[Pass], None] | None = None,
    lock_seconds: float = 0.0,
) -> Pass:
    """
    Do one pass under the lock. `check` may raise before anything is done (a saved plan that went stale).

    Raises:
        LockedError: another pass is under way.
        ManifestError, DoubtError, PlatformError: nothing was done.
    """
    app.prepare()
    with FileLock(app.home / "locks" / "pass.lock", timeout_seconds=lock_seconds):
        done = _look(app, app.fenced_engine(), request, write_cache=True)
        if check is not None:
            check(done)
        if on_plan is not None:
            on_plan(done)
        if any(a.needs_consent for a in done.plan.actions) and not consent(done.plan):
            done.plan, done.declined = _without_consent(done.plan), True
        _execute(app, done, on_outcome)
        if not (request.only or request.selector or request.delete or done.loaded.single_file):
            note_whole_pass(app.home, done.loaded.fleet.name, done.began)
    return done


def _decide(app: App, request: Request, engine: Engine, loaded: Loaded, inventory: Inventory, world: World) -> Pass:
    fleet = loaded.fleet.name
    if fleet in inventory.doubts:
        raise DoubtError(
            f"the inventory of fleet {fleet} cannot be read ({inventory.doubts[fleet]})",
            fix="restore it from a backup, or see `haymaker doctor`; until then nothing of this fleet is touched",
        )
    want, broken, kept = _desired(request, loaded, world)
    seen = dict(world.seen)
    missing = [name for name in want if name not in seen]
    for name, record in (find_unowned(app.home, inventory, missing) if missing else {}).items():
        seen[name] = Observed(name, record, fleet, "", 0, doubt=f"{record} claims this name and no inventory knows it")
    _find_kept(app, world, want, seen)
    _find_overruns(engine, loaded, world, want, seen)

    purse = _purse(app, engine, loaded, world, want)

    def decide() -> Plan:
        return make_plan(
            want,
            seen,
            policy=loaded.fleet,
            now=app.now(),
            removals=_removals(request, loaded, inventory),
            broken=broken,
            kept=kept,
            only=_selected(request, want, seen, broken),
            purse=purse,
        )

    plan = decide()
    doubts = _strays(app, engine, world, plan) | _unsure(engine, world, {a.name for a in plan.actions})
    if doubts:
        for name, doubt in doubts.items():
            seen[name] = replace(seen.get(name) or Observed(name, "", fleet, "", 0), doubt=doubt)
        plan = decide()
    plan = _with_takeover_notes(_with_limit_notes(plan, want, engine), loaded, world)
    if not loaded.desired and not loaded.problems and not request.delete:
        plan = replace(plan, notes=(*plan.notes, f"{request.path} declares no deployment"))
    done = Pass(request, engine, loaded, inventory, world, want, {}, seen, plan, purse=purse)
    done.in_force = _in_force(done)
    if any(action.starts and action.verb is not Verb.CREATE for action in plan.actions):
        from reconciler.sessions import session_notes

        done.plan = replace(plan, notes=(*plan.notes, *session_notes(plan, done.in_force, seen)))
    return done


def _find_kept(app: App, world: World, want: dict[str, Desired], seen: dict[str, Observed]) -> None:
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
            kept, missing = load_kept(app.home, found.deployment_id, found.fallback)
        if kept is not None and not at_work:
            missing = find_missing(app.home, kept)
        seen[name] = replace(found, kept=kept, kept_missing=missing)


def _find_overruns(
    engine: Engine, loaded: Loaded, world: World, want: dict[str, Desired], seen: dict[str, Observed]
) -> None:
    """Note of each live run that has caps what it used beyond them."""
    live = [name for name in want.keys() & seen.keys() if seen[name].capped and seen[name].phase is RunPhase.RUNNING]
    if not live:
        return
    from reconciler.spending import find_overrun

    for name in live:
        run = world.entries[name].run
        assert run is not None, "what runs has a run"
        if found := find_overrun(engine, run, loaded.fleet.prices):
            seen[name] = replace(seen[name], overrun=found)


def _in_force(done: Pass) -> Mapping[str, Desired]:
    """Give what is to run once the plan is carried out."""
    if not any(want.auto_revert for want in done.want.values()):
        return done.want
    renamed = find_renames(done.want, done.seen, done.plan.fleet)
    now = in_force(done.want, done.seen, renamed)
    soon = {}
    for name in {a.name for a in done.plan.actions if a.reverts}:
        kept = done.seen[renamed.get(name, name)].kept
        assert kept is not None, "whoever reverts knows to what"
        soon[name] = stand_in(done.want[name], kept)
    return {**now, **soon} if soon else now


def _purse(app: App, engine: Engine, loaded: Loaded, world: World, want: dict[str, Desired]) -> Purse | None:
    budgets = [b for d in want.values() if (b := d.spec.get("budget"))]
    if not budgets and not loaded.fleet.budget:
        return None
    from reconciler.spending import gather_purse  # the ledger is for those who have a budget

    fleet = loaded.fleet
    return gather_purse(app.home, engine, world, fleet.name, fleet.budget, fleet.prices, budgets, app.now())


def _strays(app: App, engine: Engine, world: World, plan: Plan) -> dict[str, str]:
    """
    Say of each name that is about to start which live run of it its record does not know.

    Records can be lost, or put back from a backup; the kernel's own list of what runs cannot. A start beside such a
    run would make two.
    """
    starting = {a.name for a in plan.actions if a.starts}
    if not starting:
        return {}
    install = find_install_id(app.home)
    strays = {}
    for key in engine.live_keys(f"{install}." if install else ""):
        run, _, _ = key.partition(".check-")
        deployment_id = run.split(".")[1] if run.count(".") >= 3 else ""
        name = deployment_id.rpartition("-")[0]
        entry = world.entries.get(name)
        if entry is None or entry.id != deployment_id:
            entry = next((e for e in world.entries.values() if e.id == deployment_id), entry)
            name = entry.name if entry is not None and entry.id == deployment_id else name
        known = entry.run.key if entry is not None and entry.run is not None else ""
        if name in starting and run != known:
            strays[name] = (
                f"a process carries run {key}, which no record here knows (records were removed, lost or put back); "
                "end it first: `haymaker doctor` names it"
            )
    return strays


def _unsure(engine: Engine, world: World, names: set[str]) -> dict[str, str]:
    """Say of each live run that is about to be acted on why its engine could not be sure whom it would stop."""
    live = [
        (name, Handle.from_json(run.handle))
        for name in sorted(names & world.entries.keys())
        if (run := world.entries[name].run) is not None and run.handle is not None and not run.recorded
    ]
    seen = engine.observe([handle for _, handle in live], closely=True) if live else []
    return {n: look.detail for (n, _), look in zip(live, seen, strict=True) if look.state is RunState.UNREACHABLE}


def _with_limit_notes(plan: Plan, want: dict[str, Desired], engine: Engine) -> Plan:
    """Say which limits of what is about to start this host cannot enforce."""
    able = engine.capabilities().limits
    notes = []
    for action in plan.actions:
        if action.starts:
            limits = want[action.name].spec.get("run", {}).get("limits") or {}
            missing = sorted(k for k, v in limits.items() if v is not None and k not in able)
            notes += [f"{action.name}: this host cannot enforce run.limits.{limit}" for limit in missing]
    return replace(plan, notes=(*plan.notes, *notes)) if notes else plan


def _with_takeover_notes(plan: Plan, loaded: Loaded, world: World) -> Plan:
    """Say what this plan takes out of the hands of another folder that is still there, and may want it back."""
    taken: dict[str, list[str]] = {}
    for name in dict.fromkeys(a.name for a in plan.actions if a.verb is not Verb.DELETE and a.name in loaded.desired):
        entry = world.entries.get(name)
        if entry is not None and entry.root and entry.root != loaded.root and os.path.isdir(entry.root):
            taken.setdefault(entry.root, []).append(name)
    notes = [
        f"taken over from {root}: {', '.join(names)}. Both folders are fleet {plan.fleet}, and whichever is applied "
        "last wins: take them out of one, or give one a Fleet with another metadata.name"
        for root, names in sorted(taken.items())
    ]
    return replace(plan, notes=(*plan.notes, *notes)) if notes else plan


def _desired(
    request: Request, loaded: Loaded, world: World
) -> tuple[dict[str, Desired], dict[str, str], frozenset[str]]:
    """Give what is wanted, why names have no good spec at all, and those whose last good one is in `want`."""
    if request.delete:
        return {}, {}, frozenset()
    want, broken = dict(loaded.desired), {}
    for name in loaded.broken_names:
        entry = world.entries.get(name)
        if entry is not None and entry.fleet == loaded.fleet.name and entry.desired:
            # A wrong manifest keeps its last good spec in force.
            want[name] = applied(entry)
        else:
            broken[name] = "its manifest is wrong, and no good one was ever applied"
    return want, broken, loaded.broken_names & want.keys()


def _selected(
    request: Request, want: dict[str, Desired], seen: dict[str, Observed], broken: dict[str, str]
) -> frozenset[str] | None:
    """Give the names that `--only` and `-l` choose, or None for all."""
    if not request.only and not request.selector:
        return None
    from reconciler.select import matches

    names = {*want, *seen, *broken}
    if request.only:
        names = {_find(wanted, names, seen) for wanted in request.only}
    if request.selector:
        labels = {n: (want[n].labels if n in want else seen[n].labels if n in seen else {}) for n in names}
        names = {n for n in names if matches(request.selector, labels[n])}
    return frozenset(names)


def _find(wanted: str, names: set[str], seen: dict[str, Observed]) -> str:
    """Give the name that `--only` means, by name or deployment id."""
    if wanted in names:
        return wanted
    by_id = next((n for n, o in seen.items() if o.deployment_id == wanted), None)
    if by_id is not None:
        return by_id
    from difflib import get_close_matches

    near = get_close_matches(wanted, names, n=1)
    raise DeploymentNotFoundError(
        f"no manifest and no deployment has the name {wanted}",
        fix=f"did you mean {near[0]}?" if near else "see `haymaker list` for the names",
    )


def _removals(request: Request, loaded: Loaded, inventory: Inventory) -> Removals:
    declared = loaded.desired.keys() | loaded.broken_names
    elsewhere = {
        e.name: e.root
        for e in inventory.entries.values()
        if e.fleet == loaded.fleet.name and e.name not in declared and e.name not in request.only
        if (e.root and e.root != loaded.root and not request.prune) or (request.delete and loaded.single_file)
    }
    if request.delete:
        return Removals(refusal="", unlimited=True, cause="its deletion was asked for", elsewhere=elsewhere)
    refusal = _refusal(request, loaded, inventory, loaded.fleet)
    partial = loaded.single_file and not request.prune
    return Removals(refusal=refusal, partial=partial, elsewhere=elsewhere)


def _refusal(request: Request, loaded: Loaded, inventory: Inventory, fleet: FleetPolicy) -> str:
    """Say why this pass removes nothing, "" when it may."""
    known = inventory.fleets.get(fleet.name)
    if not (request.prune or fleet.prune):
        return "prune is off (pass --prune, or set the fleet's spec.sync.prune)"
    if loaded.single_file:
        return "a single file was applied, and what it leaves out may stand in another"
    if not loaded.complete or any(p.severity == "error" for p in loaded.problems):
        return "a manifest is wrong or cannot be read, and may be the one that declares it"
    if not loaded.desired and not fleet.allow_empty:
        return "the folder declares nothing, and the fleet's sync.allowEmpty is off"
    if known is not None and known.root and known.root != loaded.root and not request.prune:
        return f"fleet {fleet.name} was last applied from {known.root}; pass --prune if this folder replaces it"
    return ""


def _without_consent(plan: Plan) -> Plan:
    kept = tuple(a for a in plan.actions if not a.needs_consent)
    left = [
        LeftAlone(a.name, Verdict.ORPHANED, f"{a.cause}; it was not confirmed (pass --yes)", blocked=True)
        for a in plan.actions
        if a.needs_consent and a.verb is Verb.DELETE
    ]
    return replace(plan, actions=kept, left=tuple(sorted((*plan.left, *left), key=lambda item: item.name)))


def _execute(app: App, done: Pass, on_outcome: Callable[[Outcome], None] | None) -> None:
    news = _fleet_news(done)
    if done.plan.is_empty and not done.world.recovered and not news:
        return
    from reconciler.run import run_plan  # asyncio is for passes that do something

    done.outcomes = run_plan(app, done, news, on_outcome)


def _fleet_news(done: Pass) -> dict[str, Any]:
    """Give the fleet's own facts where they changed since the last pass."""
    loaded = done.loaded
    known = done.inventory.fleets.get(loaded.fleet.name)
    declared = 0 if done.request.delete else len(done.want)
    if known is None and done.plan.is_empty:
        return {}
    if known is not None and not done.request.delete:
        same = known.root == loaded.root and known.revision.get("digest") == loaded.digest
        if same and known.declared == declared:
            return {}
    elif known is not None and done.plan.is_empty:
        return {}
    return {"root": loaded.root, "declared": declared, "digest": loaded.digest, "budget": loaded.fleet.budget}
