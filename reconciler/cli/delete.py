"""
`haymaker delete -f`: clean up everything that this folder's fleet deployed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.app import App
from reconciler.cli.apply import duration_option
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
from reconciler.converge import Request, converge, look
from reconciler.report import outcomes_text

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@manifests_option
@selection_options
@click.option("-y", "--yes", is_flag=True, help="Delete without asking.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted. Nothing is done.")
@click.option("--timeout", default=None, callback=duration_option, help="The longest that one deletion may take.")
@click.option("--lock-timeout", default="0s", show_default=True, callback=duration_option,
              help="How long to wait for another holder of the lock.")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def delete(
    path: Path,
    only: tuple[str, ...],
    selector: str,
    *,
    yes: bool,
    dry_run: bool,
    timeout: float | None,
    lock_timeout: float,
    output: str,
) -> None:
    """
    Delete everything that this folder's fleet deployed from it, each by its deletion policy.

    With one file: what that file declares.

    What was applied with `protect: true` stays. The manifests stay too: the next apply brings it all back.
    """
    request = Request(path, only=only, selector=selector, delete=True, longest=timeout)
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
            lock_seconds=lock_timeout,
        )
    code = exit_code(done, done.outcomes)
    if output == "json":
        click.echo(result_json(done, done.outcomes, code, dryRun=dry_run))
    else:
        for line in (*done.told, *(f"error: {f}" for f in done.faults)):
            click.echo(line, err=True)
        if done.outcomes:
            click.echo(outcomes_text(done.outcomes))
    finish(code)
