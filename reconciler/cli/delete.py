"""
`haymaker delete -f`: clean up everything that this folder's fleet deployed.
"""

from __future__ import annotations

from typing import Any

from reconciler.cli.changing import CONVERGING, ONLY, PATH, folder, run_pass
from reconciler.cli.common import SELECTOR, seconds
from reconciler.cli.spec import Command, Option
from reconciler.passes import Request


def run(*, path: str | None, only: tuple[str, ...], selector: str, timeout: str | None, **flags: Any) -> int:
    longest = None if timeout is None else seconds(timeout, "--timeout")
    return run_pass(Request(folder(path), only=only, selector=selector, delete=True, longest=longest), **flags)


COMMAND = Command(
    run,
    help="""Delete everything that was applied from this folder, each by its deletion policy.

    With one file: what that file declares. What was applied while the folder's Fleet had another name goes too.

    What was applied with `protect: true` stays. The manifests stay too: the next pass over them, also one of an
    `apply --wait` that still goes on, brings it all back.
    """,
    takes=(
        PATH,
        SELECTOR,
        ONLY,
        Option("dry_run", "--dry-run", kind="flag", help="Show what would be deleted. Nothing is done."),
        Option("timeout", "--timeout", metavar="DURATION", help="The longest that one deletion may take."),
        *CONVERGING,
    ),
)
