"""
What the commands that change the world share: their options, their consent, their exit codes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import UsageError
from reconciler.app import App
from reconciler.cli.common import seconds
from reconciler.cli.output import DOCUMENTS, document, going_on_unheard, say
from reconciler.cli.spec import Option
from reconciler.converge import converge, look
from reconciler.exitcodes import ExitCode
from reconciler.model.finding import Verdict
from reconciler.model.outcome import OutcomeStatus
from reconciler.report import outcome_json, outcome_text, outcomes_text, plan_json, plan_text, problem_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.load import Problem
    from reconciler.model.outcome import Outcome
    from reconciler.model.plan import Plan
    from reconciler.passes import Pass, Request


# What the plan cannot mend is its health, not a guard: `apply --wait` and `status --exit-status` tell of it.
_RESTING = frozenset({Verdict.GIVEN_UP, Verdict.HALTED, Verdict.DRIFTED, Verdict.STALLED, Verdict.REVERTED})


PATH = Option(
    "path", "-f", "--filename", help="Folder of manifests (or one file, which never prunes).", metavar="DIR",
    env="HAYMAKER_MANIFESTS", shown="HAYMAKER_MANIFESTS, or ./manifests", once=True,
)  # fmt: skip
ONLY = Option("only", "--only", multiple=True, metavar="NAME", completes="deployment",
              help="Only this deployment. Repeatable.")  # fmt: skip
STRICT = Option("strict", "--strict", kind="flag", help="Warnings about manifests are errors.")
CONVERGING = (
    Option(
        "lock_timeout", "--lock-timeout", default="0s", metavar="DURATION",
        help="How long to wait for another holder of the lock.",
    ),
    Option("yes", "-y", "--yes", kind="flag", help="Delete without asking."),
    Option("output", "-o", "--output", help="How to show it.", choices=("text", *DOCUMENTS), default="text"),
)  # fmt: skip
"""What `run_pass` takes from the command line of a command that changes the world."""


def folder(given: str | None) -> Path:
    """
    Give the folder of manifests that `-f` named, or where it named none, `./manifests`.

    Raises:
        UsageError: it is "", which an unset shell variable leaves and which would mean the current folder.
    """
    if given == "":
        raise UsageError("-f is empty", fix="name a folder of manifests, or leave -f out")
    return Path("manifests" if given is None else given)


def run_pass(
    request: Request,
    *,
    dry_run: bool,
    yes: bool,
    lock_timeout: str,
    output: str,
    check: Callable[[Pass], None] | None = None,
) -> ExitCode:
    """Do one pass, or with `dry_run` only show its plan; say what came of it and give its exit code."""
    if dry_run:
        done = look(App(), request)
        print_plan(done, output=output)
        code = _print_end(done, output, dry_run=True)
        if output not in DOCUMENTS:
            say("dry run: nothing was done", error=True)
        return code
    with going_on_unheard():
        done = converge(
            App(),
            request,
            consent=ask_consent(yes=yes),
            on_plan=lambda p: print_plan(p, output=output),
            on_outcome=print_outcome if output == "text" else None,
            check=check,
            lock_seconds=seconds(lock_timeout, "--lock-timeout"),
        )
        return _print_end(done, output, dry_run=False)


def _print_end(done: Pass, output: str, *, dry_run: bool) -> ExitCode:
    code = exit_code(done, done.outcomes)
    if output in DOCUMENTS:
        say(result_document(done, done.outcomes, code, output, dryRun=dry_run), exact=True)
    else:
        print_results(done, done.outcomes)
    return code


def print_results(done: Pass, outcomes: Sequence[Outcome]) -> None:
    """Print what a pass has to tell beside its outcomes, and what they come to."""
    for line in (*done.told, *(f"error: {fault}" for fault in done.faults)):
        say(line, error=True)
    if outcomes:
        say(outcomes_text(outcomes))


def show_problems(problems: Sequence[Problem]) -> None:
    """Print every problem of the manifests on stderr."""
    for problem in problems:
        say(problem_text(problem), error=True)


def ask_consent(*, yes: bool) -> Callable[[Plan], bool]:
    """
    Give the function that asks before something is destroyed. Without a terminal only `--yes` consents.

    What was answered once holds: the passes of a wait do not ask again.
    """
    declined: set[str] = set()

    def consent(plan: Plan) -> bool:
        if yes:
            return True
        names = [a.name for a in plan.actions if a.needs_consent]
        if declined.issuperset(names):
            return False
        declined.update(names)
        if not sys.stdin.isatty():
            say(f"not confirmed: {_listed(names)} would be deleted; pass --yes where there is no terminal", error=True)
            return False
        import click  # for people at a terminal; it costs as much as the rest of a command

        try:
            agreed = click.confirm(f"Delete {_listed(names)}?", default=False, err=True)
        except click.Abort:
            raise KeyboardInterrupt from None
        if agreed:
            declined.clear()
        else:
            say(f"not confirmed: {_listed(names)} stays as it is", error=True)
        return agreed

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
    if done.declined or is_blocked(done.plan):
        return ExitCode.BLOCKED
    if detailed and not done.plan.is_empty:
        return ExitCode.CHANGES
    return ExitCode.OK


def is_blocked(plan: Plan) -> bool:
    """Tell whether a guard refused something of a plan."""
    return any(is_guarded(i.verdict, i.blocked, i.reason) for i in plan.left)


def is_guarded(verdict: Verdict, blocked: bool, reason: str) -> bool:
    """Tell whether a guard refused something that this pass was asked to do."""
    if not blocked or verdict in _RESTING:
        return False
    # That pruning is off is how most folders are used; that it was on and refused is news.
    return not (verdict is Verdict.ORPHANED and "prune is off" in reason)


def print_plan(done: Pass, *, output: str) -> None:
    """Print a plan before it is executed, where the output is for people; what is wrong comes before it."""
    if not done.request.delete:
        show_problems(done.loaded.problems)
    if output == "text":
        say(plan_text(done.plan))


def print_outcome(outcome: Outcome) -> None:
    """Print one outcome: what was done on stdout, what failed on stderr."""
    good = outcome.status is OutcomeStatus.DONE
    text = outcome_text(outcome)
    say(text if good else f"error: {text}", error=not good)


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
