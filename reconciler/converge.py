"""
One pass: load → observe → classify → plan → execute → report.

`look` does the first four and touches nothing; `converge` does all of it under the lock. Both make their plan in
the same place, so what `plan` shows is what `apply` does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import DoubtError
from agent_haymaker.lean import replace
from agent_haymaker.locks import FileLock
from reconciler.adopt import ALL_THAT_IS_LEFT, find_adopted
from reconciler.behind import find_changes
from reconciler.closer import (
    find_kept,
    find_overruns,
    find_overtime,
    find_rotated,
    find_strays,
    find_unresolved,
    find_unsure,
)
from reconciler.edits import note_whole_pass
from reconciler.inventory import Inventory, load_inventory
from reconciler.load import load, load_gone
from reconciler.model.finding import LeftAlone, Verdict
from reconciler.model.observed import Observed
from reconciler.model.plan import Plan, Verb
from reconciler.observe import World, find_unowned, observe
from reconciler.order import find_renames
from reconciler.passes import Pass, Request
from reconciler.plan import make_plan
from reconciler.revert import in_force, stand_in
from reconciler.scope import find_desired, find_former, find_removals, select_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent_haymaker.engines import Engine
    from reconciler.app import App
    from reconciler.budget import Purse
    from reconciler.load import Loaded
    from reconciler.model.desired import Desired
    from reconciler.model.outcome import Outcome


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
    loaded = _load_gone(request, inventory) or load(
        request.path, home=app.home, strict=request.strict, write_cache=write_cache
    )
    adopted = find_adopted(app.home, inventory, loaded.fleet.name)
    inventory.entries |= adopted
    world = observe(inventory, engine, app.home, now=app.now())
    for name in adopted:
        world.seen[name] = replace(world.seen[name], record_fault=ALL_THAT_IS_LEFT)
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
        unread = inventory.doubts[fleet]
        what = f"the inventory of fleet {fleet} cannot be read: {unread.what}"
        raise DoubtError(what, where=unread.where, fix=unread.fix)
    want, broken, kept = find_desired(request, loaded, world)
    seen = dict(world.seen)
    missing = [name for name in want if name not in seen]
    for name, record in (find_unowned(app.home, inventory, missing) if missing else {}).items():
        seen[name] = Observed(name, record, fleet, "", 0, doubt=f"{record} claims this name and no inventory knows it")
    find_kept(app.home, world, want, seen)
    find_overruns(engine, world, want, seen, loaded.fleet.prices)
    find_overtime(engine, world, want, seen, now=app.now())

    purse = _purse(app, engine, loaded, world, want)
    unresolved: dict[str, str] = {}

    def decide() -> Plan:
        return make_plan(
            want,
            seen,
            policy=loaded.fleet,
            now=app.now(),
            removals=find_removals(request, loaded, inventory),
            broken=broken,
            kept=kept,
            only=only,
            purse=purse,
            unresolved=unresolved,
        )

    only = select_names(request, want, seen, broken)
    plan = decide()
    while found := find_unresolved(plan, want, seen, loaded.root, app.environ):
        unresolved |= found
        plan = decide()  # another one may start instead
    doubts = find_strays(app.home, engine, world, plan) | find_unsure(engine, world, {a.name for a in plan.actions})
    if doubts:
        for name, doubt in doubts.items():
            seen[name] = replace(seen.get(name) or Observed(name, "", fleet, "", 0), doubt=doubt)
        plan = decide()
    plan = _with_takeover_notes(_with_limit_notes(plan, want, engine), loaded, world)
    if not request.delete and not loaded.single_file and (former := find_former(loaded, inventory)):
        plan = replace(plan, notes=(*plan.notes, *_former_notes(former, loaded)))
    if request.delete and not os.path.lexists(request.path):
        plan = replace(plan, notes=(*plan.notes, f"{request.path} is gone: this is about what was applied from it"))
    if not loaded.desired and not loaded.problems and not request.delete:
        plan = replace(plan, notes=(*plan.notes, f"{request.path} declares no deployment"))
    if request.selector and not only:
        among = f" of {', '.join(request.only)}" if request.only else ""
        plan = replace(plan, notes=(*plan.notes, f"no deployment{among} matches {request.selector}"))
    if rotated := find_rotated(engine, world, plan, want, app.environ):
        plan = replace(plan, notes=(*plan.notes, *rotated))
    done = Pass(request, engine, loaded, inventory, world, want, {}, seen, plan, purse=purse)
    done.in_force = _in_force(done)
    if any(action.starts and action.verb is not Verb.CREATE for action in plan.actions):
        from reconciler.sessions import session_notes

        done.plan = replace(plan, notes=(*plan.notes, *session_notes(plan, done.in_force, seen)))
    return done


def _load_gone(request: Request, inventory: Inventory) -> Loaded | None:
    """Give what is declared by a folder that is there no more, where what was applied from it is to be deleted."""
    if not request.delete or os.path.lexists(request.path):
        return None
    root = os.path.realpath(request.path)
    fleets = {entry.fleet for entry in inventory.entries.values() if entry.root == root}
    return load_gone(request.path, min(fleets)) if fleets else None


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


def _former_notes(former: Mapping[str, str], loaded: Loaded) -> list[str]:
    """Say what runs on under a name that this folder's Fleet no longer has, and how that ends."""
    from shlex import quote  # for this one text

    notes = []
    for fleet in sorted(set(former.values())):
        names = sorted(name for name, was in former.items() if was == fleet)
        chosen = " ".join(f"--only {name}" for name in names)
        notes.append(
            f"left alone: {', '.join(names)}, applied from this folder when its Fleet was {fleet}. Name it {fleet} "
            f"again, or delete them (`haymaker delete -f {quote(loaded.root)} {chosen}`); the next apply deploys what "
            f"is declared, as fleet {loaded.fleet.name}"
        )
    return notes


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
    if done.plan.is_empty and not (done.world.recovered or news or find_changes(done, done.inventory.entries)):
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
        if same and known.declared == declared and known.prices == loaded.fleet.prices:
            return {}
    elif known is not None and done.plan.is_empty:
        return {}
    fleet = loaded.fleet
    news = {"root": loaded.root, "declared": declared, "digest": loaded.digest}
    return news | {"budget": fleet.budget, "prices": fleet.prices}
