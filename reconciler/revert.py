"""
Going back: what stands in for a digest that failed, and which digest was healthy before it. Pure.

A digest of a service was healthy when status called it so (it ran, and was not stalled) and none of its runs on count
had failed; or when one of its runs outlived backoff.maxDuration, after which failures are counted anew. Decision 0018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.lean import replace
from reconciler.model.observed import RunPhase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model.desired import Desired
    from reconciler.model.observed import Observed

# What a new digest is taken over; everything else needs no restart, and is the manifest's also while it is held.
_COUNTED = ("workload", "config", "goal", "env", "files", "inPlaceConfig")
_COUNTED_OF_RUN = ("mode", "timeout", "limits")


def was_healthy(want: Desired, seen: Observed, *, now: float) -> bool:
    """Tell whether the digest that was observed may be gone back to; `want` has the limits that count now."""
    if not seen.service or seen.stalled or seen.failures > want.backoff_limit:
        return False
    if seen.was_healthy:
        return True
    if seen.started_at is None or seen.start_failed:
        return False
    if (seen.ended_at or now) - seen.started_at > want.backoff.max_duration:
        return True
    return seen.failures == 0 and seen.phase in (RunPhase.RUNNING, RunPhase.STOPPED)


def stand_in(want: Desired, kept: Desired) -> Desired:
    """Give the last healthy desired state, `kept`, under everything of the manifest that needs no restart."""
    spec = {**want.spec, **{key: kept.spec[key] for key in _COUNTED if key in kept.spec}}
    run = kept.spec.get("run", {})
    spec["run"] = {**want.spec.get("run", {}), **{key: run[key] for key in _COUNTED_OF_RUN if key in run}}
    return replace(
        want,
        workload=kept.workload,
        digest=kept.digest,
        spec=spec,
        recipe=kept.recipe,
        timeout=kept.timeout,
        criteria=kept.criteria,
        instead_of=want.digest,
    )


def in_force(
    want: Mapping[str, Desired], seen: Mapping[str, Observed], renamed: Mapping[str, str]
) -> Mapping[str, Desired]:
    """
    Give what is to run: what the manifests ask for, but the last healthy digest for each whose own is held.

    `renamed` maps a new name to the observed one that it continues.
    """
    found: dict[str, Desired] = {}
    for name, asked in want.items():
        o = seen.get(renamed.get(name, name)) if asked.auto_revert else None
        if o is not None and o.held == asked.digest and o.kept is not None:
            found[name] = stand_in(asked, o.kept)
    return {**want, **found} if found else want
