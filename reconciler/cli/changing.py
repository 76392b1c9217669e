"""
What the commands that change the world share: their options, their consent, their exit codes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.app import App
from reconciler.cli.output import DOCUMENTS, document
from reconciler.converge import converge, look
from reconciler.exitcodes import ExitCode
from reconciler.model import OutcomeStatus, Verdict
from reconciler.report import outcome_json, outcome_text, outcomes_text, plan_json, plan_text, problem_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.converge import Pass, Request
    from reconciler.load import Problem
    from reconciler.model import Outcome, Plan


# What the plan cannot mend is its health, not a guard: `apply --wait` and `status --exit-status` tell of it.
_RESTING = frozenset({Verdict.GIVEN_UP, Verdict.HELD, Verdict.HALTED, Verdict.DRIFTED, Verdict.STALLED})


def _named(context: click.Context, parameter: click.Parameter, path: str) -> Path:
    """Refuse "", which an unset shell variable leaves and which would mean the current folder."""
    if not path:
        raise click.BadParameter("it is empty", ctx=context, param=parameter)
    return Path(path)


def manifests_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `-f/--filename`."""
    return click.option(
        "-f",
        "--filename",
        "path",
        type=click.Path(),
        default="manifests",
        callback=_named,
        envvar="HAYMAKER_MANIFESTS",
        show_default="HAYMAKER_MANIFESTS, or ./manifests",
        help="Folder of manifests (or one file, which never prunes).",
    )(function)


def selection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--only` and `-l`."""
    function = click.option("--only", multiple=True, metavar="NAME", help="Only this deployment. Repeatable.")(function)
    return click.option("-l", "--selector", default="", help="Only those with these labels: team=a,tier!=dev.")(
        function
    )


def duration_option(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Read an option that is a duration, in seconds."""
    if text is None:
        return None
    from reconciler.manifest.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no duration; write it like 90s, 15m or 1h30m", ctx=context, param=parameter
        ) from error


def converging_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what `run_pass` takes: `--lock-timeout`, `--yes` and `-o`."""
    for option in (
        click.option("-o", "--output", type=click.Choice(["text", *DOCUMENTS]), default="text", show_default=True),
        click.option("-y", "--yes", is_flag=True, help="Delete without asking."),
        click.option(
            "--lock-timeout", default="0s", show_default=True, callback=duration_option,
            help="How long to wait for another holder of the lock.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def run_pass(
    request: Request,
    *,
    dry_run: bool,
    yes: bool,
    lock_timeout: float,
    output: str,
    check: Callable[[Pass], None] | None = None,
) -> None:
    """Do one pass, or with `dry_run` only show its plan; say what came of it and end with its exit code."""
    if dry_run:
        done = look(App(), request)
        print_plan(done, output=output)
    else:
        done = converge(
            App(),
            request,
            consent=ask_consent(yes=yes),
            on_plan=lambda p: print_plan(p, output=output),
            on_outcome=print_outcome if output == "text" else None,
            check=check,
            lock_seconds=lock_timeout,
        )
    code = exit_code(done, done.outcomes)
    if output in DOCUMENTS:
        click.echo(result_document(done, done.outcomes, code, output, dryRun=dry_run))
    else:
        print_results(done, done.outcomes)
        if dry_run:
            click.echo("dry run: nothing was done", err=True)
    finish(code)


def print_results(done: Pass, outcomes: Sequence[Outcome]) -> None:
    """Print what a pass has to tell beside its outcomes, and what they come to."""
    for line in (*done.told, *(f"error: {fault}" for fault in done.faults)):
        click.echo(line, err=True)
    if outcomes:
        click.echo(outcomes_text(outcomes))


def show_problems(problems: Sequence[Problem]) -> None:
    """Print every problem of the manifests on stderr."""
    for problem in problems:
        click.echo(problem_text(problem), err=True)


def ask_consent(*, yes: bool) -> Callable[[Plan], bool]:
    """Give the function that asks before something is destroyed. Without a terminal only `--yes` consents."""

    def consent(plan: Plan) -> bool:
        if yes:
            return True
        names = [a.name for a in plan.actions if a.needs_consent]
        if not sys.stdin.isatty():
            click.echo(
                f"not confirmed: {_listed(names)} would be deleted; pass --yes where there is no terminal", err=True
            )
            return False
        return click.confirm(f"Delete {_listed(names)}?", default=False, err=True)

    return consent


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def exit_code(done: Pass, outcomes: Sequence[Outcome], *, detailed: bool = False) -> ExitCode:
    """Give what a pass comes to. Invalid manifests outrank failures, failures outrank what is blocked."""
    if any(p.severity == "error" for p in done.loaded.problems) and not done.request.delete:
        return ExitCode.INVALID
    failed = [o for o in outcomes if o.status is not OutcomeStatus.DONE]
    if failed or done.faults:
        return ExitCode.PARTIAL if len(failed) < len(outcomes) else ExitCode.ERROR
    if done.declined or any(is_guarded(i.verdict, i.blocked, i.reason) for i in done.plan.left):
        return ExitCode.BLOCKED
    if detailed and not done.plan.is_empty:
        return ExitCode.CHANGES
    return ExitCode.OK


def is_guarded(verdict: Verdict, blocked: bool, reason: str) -> bool:
    """Tell whether a guard refused something that this pass was asked to do."""
    if not blocked or verdict in _RESTING:
        return False
    # That pruning is off is how most folders are used; that it was on and refused is news.
    return not (verdict is Verdict.ORPHANED and "prune is off" in reason)


def finish(code: ExitCode) -> None:
    """End the command with this exit code."""
    if code is not ExitCode.OK:
        raise SystemExit(int(code))


def print_plan(done: Pass, *, output: str) -> None:
    """Print a plan before it is executed, where the output is for people; what is wrong comes before it."""
    if not done.request.delete:
        show_problems(done.loaded.problems)
    if output == "text":
        click.echo(plan_text(done.plan))


def print_outcome(outcome: Outcome) -> None:
    """Print one outcome: what was done on stdout, what failed on stderr."""
    good = outcome.status is OutcomeStatus.DONE
    text = outcome_text(outcome)
    click.echo(text if good else f"error: {text}", err=not good)


def result_document(done: Pass, outcomes: Sequence[Outcome], code: ExitCode, form: str, **more: Any) -> str:
    """Give the whole result as one document."""
    record = {
        "kind": "ApplyResult",
        "plan": plan_json(done.plan),
        "outcomes": [outcome_json(o) for o in outcomes],
        "problems": [
            {"severity": p.severity, "where": p.where, "what": p.what, "fix": p.fix} for p in done.loaded.problems
        ],
        "told": done.told,
        "faults": done.faults,
        "exitCode": int(code),
        **more,
    }
    return document(record, form)
