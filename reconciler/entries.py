"""
What becomes of an entry of the inventory: its manifest's new words, the end of its run. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.engines import RunState
from agent_haymaker.lean import replace
from reconciler.inventory import OVERRUN, desired_json, failed_checks
from reconciler.model.desired import RESTARTED_AT

if TYPE_CHECKING:
    from agent_haymaker.engines import Observation
    from reconciler.inventory import Entry, Run
    from reconciler.model.desired import Desired


def declared(entry: Entry, want: Desired, root: str) -> Entry:
    """Copy into the entry what its manifest says now and what applies in place; `root` is the folder applied."""
    applied = want if entry.digest == want.digest or not entry.desired else None
    annotations = dict(want.annotations)
    if applied is None:  # a restart that was asked for is still to come, and is known by this
        annotations.pop(RESTARTED_AT, None)
        annotations |= {key: value for key, value in entry.annotations.items() if key == RESTARTED_AT}
    return replace(
        entry,
        desired=desired_json(applied.to_json()) if applied is not None else entry.desired,
        workload=want.workload if applied is not None else entry.workload,
        settings=want.settings,
        source=str(want.source),
        root=root,
        labels=want.labels,
        annotations=annotations,
        protect=want.protect,
        deletion_policy=want.deletion_policy,
        suspended=want.suspend,
        stopped=want.stopped,
        service=want.service,
        held=entry.held if want.instead_of == entry.held.get("digest") else {},
        was_healthy=entry.was_healthy and want.auto_revert,
        fallback=entry.fallback if want.auto_revert else "",
        progress_deadline=want.progress_deadline,
        depends_on=tuple((d.name, d.condition) for d in want.depends_on),
    )


def with_end(run: Run, seen: Observation, now: float) -> Run:
    """Put the end that was seen of a run into it; without one it was ended by us, `now`."""
    end = seen.exit
    stopped = seen.state is RunState.STOPPED or end is None
    what_for = run.stalled or run.overrun
    return replace(
        run,
        recorded=True,
        ended_at=(end.ended_at if end else None) or now,
        exit_code=end.code if end else None,
        exit_signal=end.signal if end else None,
        exit_reason=(OVERRUN if run.overrun else "stopped") if stopped or end is None else end.reason,
        exit_text=(f"stopped: {what_for}" if what_for else "stopped") if stopped else str(end),
    )


def verdict_of(run: Run) -> str:
    """Say how a run ended, and which of its checks failed, each once."""
    ended = f"{run.exit_text}: {run.said}" if run.said else run.exit_text
    if run.goal_met is not False:
        return f"{ended}, all checks passed" if run.goal_met else ended
    failed, is_named = failed_checks(run.checks, run.said)
    return f"{ended}, {'also ' if is_named else ''}failed: {', '.join(failed)}" if failed else ended
