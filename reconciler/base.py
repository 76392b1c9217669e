"""
Plans without a look at what runs: `--base REV`, told from two revisions of the manifests, and `--offline`, from one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.lean import replace
from reconciler.budget import Purse
from reconciler.closer import find_unresolved
from reconciler.model.observed import Observed, RunPhase
from reconciler.model.plan import Verb
from reconciler.plan import make_plan
from reconciler.removals import Removals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.load import Loaded
    from reconciler.model.desired import Desired
    from reconciler.model.plan import Plan


def plan_from_nothing(loaded: Loaded, *, now: float, environ: Mapping[str, str]) -> Plan:
    """Give the plan that leads to `loaded` where nothing was ever deployed: what apply would do in an empty home."""
    fleet, budgets = loaded.fleet, any(want.spec.get("budget") for want in loaded.desired.values())
    purse = Purse(fleet.name, fleet.budget, {}, now) if fleet.budget or budgets else None
    broken = dict.fromkeys(loaded.broken_names, "its manifest is wrong")
    unresolved: dict[str, str] = {}

    def decide() -> Plan:
        return make_plan(loaded.desired, {}, policy=fleet, now=now, broken=broken, purse=purse, unresolved=unresolved)

    made = decide()
    while found := find_unresolved(made, loaded.desired, {}, loaded.root, environ):
        unresolved |= found
        made = decide()
    return made


def plan_against(base: Loaded, loaded: Loaded, *, now: float) -> Plan:
    """
    Give the plan that leads from `base`, taken as converged, to `loaded`.

    Tasks count as running: what replaces one is worth a reviewer's look.
    """
    fleet = loaded.fleet.name
    seen = {name: _as_converged(want, fleet) for name, want in base.desired.items()}
    broken = dict.fromkeys(loaded.broken_names, "its manifest is wrong")
    kept = {name: base.desired[name] for name in loaded.broken_names if name in base.desired}
    # What a dependency has come to, no revision tells: a reviewer wants to see the change, not the wait.
    want = {
        name: replace(w, depends_on=tuple(replace(d, condition="Started") for d in w.depends_on)) if w.depends_on else w
        for name, w in {**loaded.desired, **kept}.items()
    }
    made = make_plan(
        want,
        seen,
        policy=loaded.fleet,
        now=now,
        removals=Removals(refusal="", unlimited=True),
        broken={name: why for name, why in broken.items() if name not in kept},
    )
    gone = [action.name for action in made.actions if action.verb is Verb.DELETE]
    if gone and not loaded.fleet.prune:
        note = f"prune is off: {', '.join(gone)} will go on as before until somebody applies with --prune"
        made = replace(made, notes=(*made.notes, note))
    return made


def _as_converged(want: Desired, fleet: str) -> Observed:
    return Observed(
        name=want.name,
        deployment_id=f"{want.name}-base",
        fleet=fleet,
        digest=want.digest,
        generation=1,
        phase=RunPhase.STOPPED if want.stopped else RunPhase.RUNNING,
        attempt=1,
        recorded=want.stopped,
        spec=want.spec,
        labels=want.labels,
        annotations=want.annotations,
        source=str(want.source),
        stopped=want.stopped,
        suspended=want.suspend,
        settings=want.settings,
        deletion_policy=want.deletion_policy,
        protect=False,  # a plan between revisions shows the removal; whether it is permitted, state decides
        service=want.service,
    )
