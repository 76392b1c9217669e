"""
One deployment in words and as JSON: the block of `status NAME`, the row of a table, the item of a document.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from reconciler.cli.output import age, clean, columns, paint, utc
from reconciler.health import Health, Status, Sync, describe, judge
from reconciler.model.observed import RunPhase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.inventory import Run
    from reconciler.lookup import Found
    from reconciler.model.finding import Finding, LeftAlone

COLOURS = {
    "Healthy": "green", "Progressing": "cyan", "Degraded": "red", "Stalled": "red", "Missing": "red",
    "Unknown": "yellow", "Suspended": "grey", "OutOfSync": "yellow", "Unmanaged": "yellow",
    "passed": "green", "failed": "red",
}  # fmt: skip
OUTPUT_LINES = 20


def brief(found: Found) -> tuple[str, str, str, str]:
    """Give health, sync, reason and message."""
    if found.entry is None or found.seen is None:
        message = found.doubt or "no fleet's inventory knows it"
        return "Unknown", "Unknown", "Unmanaged", f"{message} ({found.unmanaged})"
    health, sync, reason, message = judge(found.seen, found.entry, edited=bool(found.edits))
    return health.value, sync.value, reason, message


def when(found: Found, now: float) -> str:
    """Give how long ago what counts happened: the run's end, else its start, else the deployment's making."""
    if found.entry is None or found.seen is None:
        return ""
    at = found.seen.ended_at or found.seen.started_at or found.entry.created_at
    return age(now - at) if at else ""


def status_of(found: Found, finding: Finding | None = None, left: LeftAlone | None = None) -> Status:
    """Give the whole status, conditions included; `left` is where the plan leaves it alone."""
    if found.entry is None or found.seen is None:
        health, sync, reason, message = brief(found)
        return Status(Health(health), Sync(sync), reason, message, "nothing: haymaker did not deploy it")
    return describe(found.seen, found.entry, finding, left=left, edited=bool(found.edits))


# ---- JSON -------------------------------------------------------------------------------------------------


def to_json(found: Found, finding: Finding | None = None, left: LeftAlone | None = None) -> dict[str, Any]:
    """Give everything about a deployment; times are ISO 8601 in UTC."""
    status = status_of(found, finding, left)
    record: dict[str, Any] = {
        "name": found.name,
        "id": found.id,
        "managed": not found.unmanaged,
        "workload": found.workload,
        "health": status.health.value,
        "sync": status.sync.value,
        "status": found.status,
        "reason": status.reason,
        "message": status.message,
        "nextAction": status.next_action or None,
        "dueInSeconds": status.due_in,
        "conditions": [{**c.to_json(), "lastTransitionTime": utc(c.since)} for c in status.conditions],
    }
    entry, seen = found.entry, found.seen
    if entry is None or seen is None:
        return record
    return record | {
        "fleet": entry.fleet,
        "generation": entry.generation,
        "digest": entry.digest,
        "source": entry.source or None,
        "edited": list(found.edits),
        "labels": dict(entry.labels),
        "annotations": dict(entry.annotations),
        "protect": entry.protect,
        "deletionPolicy": entry.deletion_policy,
        "suspend": entry.suspended,
        "failures": entry.failures,
        "createdAt": utc(entry.created_at or None),
        "run": _run_json(entry.run, seen.phase) if entry.run is not None else None,
    }


def _run_json(run: Run, phase: RunPhase) -> dict[str, Any]:
    return {
        "key": run.key,
        "attempt": run.attempt,
        "phase": phase.value,
        "startedAt": utc(run.started_at),
        "endedAt": utc(run.ended_at),
        "exitCode": run.exit_code,
        "exitSignal": run.exit_signal,
        "exitReason": run.exit_reason or None,
        "exit": run.exit_text or None,
        "reason": run.said or None,
        "recorded": run.recorded,
        "goalMet": run.goal_met,
        "checks": [dict(check) for check in run.checks],
        "usage": dict(run.usage) if run.usage is not None else None,
    }


# ---- text -------------------------------------------------------------------------------------------------


def block(found: Found, now: float, finding: Finding | None = None) -> str:
    """Give the readable block of one deployment."""
    status = status_of(found, finding)
    colour = COLOURS.get(status.health.value, "")
    lines = [f"{paint(found.name, 'bold')}  ({found.id})"]

    def say(word: str, text: str) -> None:
        if text:
            lines.append(f"  {word:<11} {text}")

    say("health", f"{paint(status.health.value, colour)}  {clean(status.message)}".rstrip())
    say("sync", f"{status.sync.value}  {edits_line(found)}".rstrip() if finding is None else status.sync.value)
    say("status", found.status)
    say("workload", found.workload)
    entry, seen = found.entry, found.seen
    if entry is not None and seen is not None:
        say("fleet", entry.fleet)
        say("generation", str(entry.generation))
        say("source", entry.source)
        say("run", run_line(entry.run, seen.phase, now) if entry.run is not None else "none yet")
        say("used", used_line(entry.run.usage) if entry.run is not None and entry.run.usage is not None else "")
        say("failures", str(entry.failures) if entry.failures else "")
        say("protect", "true" if entry.protect else "")
    say("next", next_line(status))
    if entry is not None and entry.run is not None and entry.run.checks:
        lines += ["", "Checks:", *checks_lines(entry.run)]
    if status.conditions:
        rows = [(c.type, c.status, c.reason, age(now - c.since) if c.since else "", c.message)
                for c in status.conditions]  # fmt: skip
        lines += ["", columns(("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"), rows)]
    return "\n".join(lines)


def edits_line(found: Found) -> str:
    """Say what was edited since it was last read, "" where nothing was."""
    if not found.edits:
        return ""
    here = os.getcwd() + os.sep
    files = ", ".join(file.removeprefix(here) for file in found.edits)
    return f"{files} changed after the last apply; `haymaker why {found.name}` compares"


def next_line(status: Status) -> str:
    """Say what haymaker does next, and when."""
    action = status.next_action
    return action if status.due_in is None or action.startswith("nothing") else f"{action}, in {age(status.due_in)}"


def run_line(run: Run, phase: RunPhase, now: float) -> str:
    """Say how the latest run stands, in one line."""
    attempt = f"attempt {run.attempt}"
    started = f"started {utc(run.started_at)}" if run.started_at else "never started"
    if phase is RunPhase.RUNNING:
        pid = (run.handle or {}).get("token", {}).get("pid")
        shown = f", pid {pid}" if pid else ""
        return f"{attempt}, {started} ({age(now - run.started_at) if run.started_at else '?'} ago){shown}"
    if run.ended_at is None:
        return f"{attempt}, {started}, {run.exit_text or phase.value}"
    lasted = f" after {age(run.ended_at - run.started_at)}" if run.started_at else ""
    return f"{attempt}, {started}, ended {age(now - run.ended_at)} ago{lasted}: {clean(run.exit_text)}"


def used_line(usage: Mapping[str, Any]) -> str:
    """Say what a run used, in one line."""
    turns, tokens_in, tokens_out = (usage.get(name, 0) for name in ("turns", "input_tokens", "output_tokens"))
    counted = f"{turns} turn" if turns == 1 else f"{turns} turns"
    return f"{counted}, {tokens_in} tokens in, {tokens_out} out, {money(usage.get('cost_usd'))}"


def money(cost: float | None) -> str:
    """Give US dollars, or say that nobody told."""
    return "cost unknown" if cost is None else f"${cost:.4f}"


_VERDICTS = {True: "passed", False: "failed", None: "not checked"}


def checks_lines(run: Run) -> list[str]:
    """Give each check with its verdict, and what a failed one said."""
    lines = []
    verdicts = [_VERDICTS[check.get("passed")] for check in run.checks]
    width = max(map(len, verdicts))
    for check, verdict in zip(run.checks, verdicts, strict=True):
        is_failed = check.get("passed") is False
        where = f"  ({check['where']})" if is_failed and check.get("where") else ""
        name = clean(f"{check.get('name')}{where}")
        lines.append(f"  {paint(verdict.ljust(width), COLOURS.get(verdict, ''))}  {name}")
        said = str(check.get("output") or "").strip().splitlines()
        if said and is_failed:
            lines += [f"    {clean(line)}" for line in said[-OUTPUT_LINES:]]
    return lines
