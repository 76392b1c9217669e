"""
`haymaker delete -f`: clean up everything that this folder's fleet deployed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.changing import (
    converging_options,
    duration_option,
    manifests_option,
    run_pass,
    selection_options,
)
from reconciler.converge import Request

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@manifests_option
@selection_options
@click.option("--dry-run", is_flag=True, help="Show what would be deleted. Nothing is done.")
@click.option("--timeout", default=None, callback=duration_option, help="The longest that one deletion may take.")
@converging_options
def delete(path: Path, only: tuple[str, ...], selector: str, *, timeout: float | None, **flags: Any) -> None:
    """
    Delete everything that this folder's fleet deployed from it, each by its deletion policy.

    With one file: what that file declares.

    What was applied with `protect: true` stays. The manifests stay too: the next apply brings it all back.
    """
    run_pass(Request(path, only=only, selector=selector, delete=True, longest=timeout), **flags)
