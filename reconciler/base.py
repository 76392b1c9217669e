"""
`plan --base REV`: what a change of the manifests would do, told from two revisions of them and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.lean import replace
from reconciler.model import Observed, Plan, RunPhase
from reconciler.plan import make_plan
from reconciler.removals import Removals

if TYPE_CHECKING:
    from reconciler.load import Loaded
    from reconciler.model import Desired


def plan_against(base: Loaded | None, loaded: Loaded, *, now: float) -> Plan:
    """
    Give the plan that leads from `base`, taken as converged, to `loaded`. Without a base everything is new.

    Tasks count as running: what replaces one is worth a reviewer's look.
    """
    fleet = loaded.fleet.name
    seen = {name: _as_converged(want, fleet) for name, want in (base.desired if base else {}).items()}
    broken = dict.fromkeys(loaded.broken_names, "its manifest is wrong")
    kept = {name: base.desired[name] for name in loaded.broken_names if base and name in base.desired}
    # What a dependency has come to, no revision tells: a reviewer wants to see the change, not the wait.
    want = {
        name: replace(w, depends_on=tuple(replace(d, condition="Started") for d in w.depends_on)) if w.depends_on else w
        for name, w in {**loaded.desired, **kept}.items()
    }
    return make_plan(
        want,
        seen,
        policy=loaded.fleet,
        now=now,
        removals=Removals(refusal="", unlimited=True),
        broken={name: why for name, why in broken.items() if name not in kept},
    )


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
