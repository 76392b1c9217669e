"""
`haymaker apply`: converge what runs to what is declared.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent_haymaker.errors import UsageError
from reconciler.cli.changing import (
    converging_options,
    duration_option,
    manifests_option,
    run_pass,
    selection_options,
)
from reconciler.converge import Pass, Request

if TYPE_CHECKING:
    from collections.abc import Callable


@click.command()
@click.argument("planfile", required=False, type=click.Path(path_type=Path))
@manifests_option
@selection_options
@click.option("--prune", is_flag=True, help="Delete what this fleet deployed and no manifest declares any more.")
@click.option("--dry-run", is_flag=True, help="Show what would be done. Nothing is written, nothing is signalled.")
@click.option("--wait", is_flag=True, help="Go on until every deployment has come to rest.")
@click.option("--timeout", default="10m", show_default=True, callback=duration_option, help="The longest --wait waits.")
@click.option("--strict", is_flag=True, help="Warnings about manifests are errors.")
@converging_options
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
    if flags["wait"] and not flags["dry_run"]:
        from reconciler.cli.waiting import apply_and_wait

        apply_and_wait(request, yes=flags["yes"], output=flags["output"], timeout_seconds=flags["timeout"], check=check)
        return
    run_pass(request, check=check, **{name: flags[name] for name in ("dry_run", "yes", "lock_timeout", "output")})


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
