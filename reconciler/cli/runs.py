"""
`haymaker runs`: the history of one deployment, which outlives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.app import App
from reconciler.cli.common import NAME, output_option
from reconciler.cli.output import DOCUMENTS, columns, document
from reconciler.cli.show import COLOURS
from reconciler.cli.spec import Command
from reconciler.history import read_history, run_numbers
from reconciler.inventory import failed_checks
from reconciler.records import iso

if TYPE_CHECKING:
    from reconciler.lookup import Found

_HEADS = ("RUN", "STARTED", "ENDED", "EXIT", "STATUS", "GOAL", "TOKENS", "COST", "COMMIT")
_WIDE = (*_HEADS, "EVENT", "DIGEST", "KEY")
_REASON = "REASON"  # the last column, where a run told one


def run(*, name: str, output: str) -> int:
    lines = runs_of(App(), name)
    numbers = run_numbers(str(line["key"]) for line in lines if line.get("key"))
    if output in DOCUMENTS:
        print(document({"kind": "RunList", "items": [_to_json(line, numbers) for line in lines]}, output))
    elif not lines:
        print("no runs yet")
    else:
        wide = output == "wide"
        heads, rows = _WIDE if wide else _HEADS, [_row(line, numbers, wide=wide) for line in lines]
        if any(line.get("reason") for line in lines):
            heads = (*heads, _REASON)
            rows = [(*row, str(line.get("reason") or "")) for row, line in zip(rows, lines, strict=True)]
        print(columns(heads, rows, COLOURS))
    return 0


def runs_of(app: App, wanted: str) -> list[dict[str, Any]]:
    """Give every run that is remembered, oldest first, the one under way last."""
    from agent_haymaker.errors import DeploymentNotFoundError
    from reconciler.lookup import find_one

    found: Found | None = None
    try:
        found = find_one(app, wanted)
        name = found.name
        lines = read_history(app.home, name)
    except DeploymentNotFoundError:
        lines = read_history(app.home, wanted)
        if not any(line.get("key") for line in lines):
            raise
    run = found.entry.run if found is not None and found.entry is not None else None
    if found is not None and found.entry is not None and run is not None and not _is_there(lines, run.key):
        lines.append(
            {
                "event": "running" if found.status == "running" else "ended",
                "key": run.key,
                "attempt": run.attempt,
                "generation": found.entry.generation,
                "digest": found.entry.digest,
                "commit": run.commit,
                "id": found.id,
                "started_at": iso(run.started_at),
                "ended_at": iso(run.ended_at),
                "exit": run.exit_text,
                "exit_code": run.exit_code,
                "reason": run.said,
                "status": found.status,
                "goal_met": run.goal_met,
                "checks": [dict(check) for check in run.checks],
                "usage": run.usage,
            }
        )
    return lines


def _is_there(lines: list[dict[str, Any]], key: str) -> bool:
    return any(line.get("key") == key for line in lines)


def _time(text: object) -> str:
    return f"{str(text)[:19]}Z" if text else ""


def _commit(line: dict[str, Any]) -> str:
    commit, mark, _ = str(line.get("commit") or "").partition("-dirty")
    return commit[:12] + mark


def _number(line: dict[str, Any], numbers: dict[str, str]) -> str:
    """Give a run's number; a deletion or renaming is no run."""
    return numbers.get(str(line.get("key")), "") if line.get("event") in ("ended", "running") else ""


def _row(line: dict[str, Any], numbers: dict[str, str], *, wide: bool) -> tuple[str, ...]:
    goal = {True: "met", False: "not met"}.get(line.get("goal_met"), "")  # type: ignore[arg-type]  # None: no checks
    failed, _ = failed_checks(line.get("checks") or (), str(line.get("reason") or ""))
    if failed:
        goal += f": {', '.join(failed)}"
    usage = line.get("usage") or {}
    row = (
        _number(line, numbers),
        _time(line.get("started_at")),
        _time(line.get("ended_at") or line.get("at")),
        str(line.get("exit") or ""),
        str(line.get("status") or line.get("event") or ""),
        goal,
        str(usage.get("input_tokens", 0) + usage.get("output_tokens", 0)) if usage else "",
        f"{usage['cost_usd']:.4f}" if usage and usage.get("cost_usd") is not None else "",
        _commit(line),
    )
    if not wide:
        return row
    return (*row, str(line.get("event") or ""), str(line.get("digest") or "")[:14], str(line.get("key") or ""))


def _to_json(line: dict[str, Any], numbers: dict[str, str]) -> dict[str, Any]:
    return {
        "run": _number(line, numbers) or None,
        "event": line.get("event"),
        "id": line.get("id"),
        "key": line.get("key"),
        "generation": line.get("generation"),
        "attempt": line.get("attempt"),
        "digest": line.get("digest"),
        "commit": line.get("commit") or None,
        "startedAt": line.get("started_at"),
        "endedAt": line.get("ended_at"),
        "exit": line.get("exit"),
        "exitCode": line.get("exit_code"),
        "reason": line.get("reason") or None,
        "status": line.get("status"),
        "goalMet": line.get("goal_met"),
        "checks": line.get("checks") or [],
        "usage": line.get("usage"),
    }


COMMAND = Command(
    run,
    help="""Show the history of a deployment's runs, oldest first.

    RUN is GENERATION.ATTEMPT; `haymaker logs NAME --run RUN` shows what it wrote. The history outlives a deletion, and
    a deployment made anew under the same name goes on counting generations where the old one stopped.

    COMMIT is what the folder of manifests stood at when the run was started, -dirty where it held
    more than that commit.
    """,
    takes=(NAME, output_option("table", "wide", "json", "yaml")),
)
