"""
`haymaker apply`: converge what runs to what is declared.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent_haymaker.errors import UsageError
from reconciler.app import App
from reconciler.cli.changing import (
    ask_consent,
    exit_code,
    finish,
    manifests_option,
    print_outcome,
    print_plan,
    result_json,
    selection_options,
)
from reconciler.converge import Pass, Request, converge, look
from reconciler.report import outcomes_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.exitcodes import ExitCode
    from reconciler.model import Outcome


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


@click.command()
@click.argument("planfile", required=False, type=click.Path(path_type=Path))
@manifests_option
@selection_options
@click.option("--prune", is_flag=True, help="Delete what this fleet deployed and no manifest declares any more.")
@click.option("--dry-run", is_flag=True, help="Show what would be done. Nothing is written, nothing is signalled.")
@click.option("--wait", is_flag=True, help="Go on until every deployment has come to rest.")
@click.option("--timeout", default="10m", show_default=True, callback=duration_option, help="The longest --wait waits.")
@click.option(
    "--lock-timeout",
    default="0s",
    show_default=True,
    callback=duration_option,
    help="How long to wait for another holder of the lock.",
)
@click.option("-y", "--yes", is_flag=True, help="Delete without asking.")
@click.option("--strict", is_flag=True, help="Warnings about manifests are errors.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def apply(
    context: click.Context, /, planfile: Path | None, path: Path, only: tuple[str, ...], selector: str, **flags: Any
) -> None:
    """
    Make what runs agree with what the manifests declare.

    With PLANFILE (from `haymaker plan --out`) exactly that plan is executed, or none (exit code 7) if anything
    moved since it was saved.
    """
    request = Request(path, prune=flags["prune"], strict=flags["strict"], only=only, selector=selector)
    check = None
    if planfile is not None:
        request, check = _saved(context, planfile)
    if flags["dry_run"]:
        _dry_run(request, flags["output"])
        return
    if flags["wait"]:
        from reconciler.cli.waiting import apply_and_wait

        apply_and_wait(request, yes=flags["yes"], output=flags["output"], timeout_seconds=flags["timeout"], check=check)
        return
    done = converge(
        App(),
        request,
        consent=ask_consent(yes=flags["yes"]),
        on_plan=lambda p: print_plan(p, output=flags["output"]),
        on_outcome=print_outcome if flags["output"] == "text" else None,
        check=check,
        lock_seconds=flags["lock_timeout"],
    )
    finish(_report(done, done.outcomes, flags["output"]))


def _saved(context: click.Context, planfile: Path) -> tuple[Request, Callable[[Pass], None]]:
    from click.core import ParameterSource

    from reconciler.saved import read_plan, require_fresh

    for name in ("path", "only", "selector", "prune", "strict"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(
                "a saved plan says itself what it applies to",
                where=str(planfile),
                fix="leave out -f, --only, -l, --prune and --strict",
            )
    if planfile.is_dir():
        raise UsageError(f"{planfile} is a folder", fix=f"did you mean `haymaker apply -f {planfile}`?")
    request, record = read_plan(planfile)
    return request, lambda done: require_fresh(planfile, record, done)


def _dry_run(request: Request, output: str) -> None:
    done = look(App(), request)
    code = exit_code(done, [])
    if output == "json":
        click.echo(result_json(done, [], code, dryRun=True))
    else:
        print_plan(done, output=output)
        click.echo("dry run: nothing was done", err=True)
    finish(code)


def _report(done: Pass, outcomes: list[Outcome], output: str) -> ExitCode:
    code = exit_code(done, outcomes)
    if output == "json":
        click.echo(result_json(done, outcomes, code))
        return code
    for line in done.told:
        click.echo(line, err=True)
    for fault in done.faults:
        click.echo(f"error: {fault}", err=True)
    if outcomes:
        click.echo(outcomes_text(outcomes))
    return code
