"""
`haymaker apply`: converge what runs to what is declared.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import UsageError
from reconciler.cli.changing import CONVERGING, ONLY, PATH, STRICT, folder, run_pass
from reconciler.cli.common import SELECTOR, seconds
from reconciler.cli.output import going_on_unheard
from reconciler.cli.spec import Argument, Command, Option
from reconciler.passes import Pass, Request

if TYPE_CHECKING:
    from collections.abc import Callable

_SAVED = ("path", "only", "selector", "prune", "strict")  # what a saved plan says itself


def run(*, planfile: str | None, wait: bool, timeout: str, **flags: Any) -> int:
    asked = {name: flags.pop(name) for name in _SAVED}
    check = None
    if planfile is not None:
        if planfile.endswith((".yaml", ".yml")):  # as a shell leaves -f manifests/*.yaml
            what = f"{planfile} is a manifest, and no saved plan"
            raise UsageError(what, fix=f"-f takes one folder, or one file: `haymaker apply -f {Path(planfile).parent}`")
        request, check = _saved(Path(planfile), asked)
    else:
        request = Request(**{**asked, "path": folder(asked["path"])})
    longest = seconds(timeout, "--timeout")
    if wait and not flags["dry_run"]:
        from reconciler.cli.waiting import apply_and_wait

        with going_on_unheard():
            return apply_and_wait(
                request, yes=flags["yes"], output=flags["output"], timeout_seconds=longest, check=check
            )
    return run_pass(request, check=check, **flags)


def _saved(planfile: Path, asked: dict[str, Any]) -> tuple[Request, Callable[[Pass], None]]:
    from reconciler.saved import read_plan, require_fresh

    if asked["path"] == os.environ.get(PATH.env):
        asked = {**asked, "path": None}  # not said here
    if any(value not in (None, "", (), False) for value in asked.values()):
        raise UsageError(
            "a saved plan says itself what it applies to",
            where=str(planfile),
            fix="leave out -f, --only, -l, --prune and --strict",
        )
    if planfile.is_dir():
        raise UsageError(f"{planfile} is a folder", fix=f"did you mean `haymaker apply -f {planfile}`?")
    request, record = read_plan(planfile)
    return request, lambda done: require_fresh(planfile, record, done)


COMMAND = Command(
    run,
    help="""Make what runs agree with what the manifests declare.

    With PLANFILE (from `haymaker plan --out`) exactly that plan is executed, or none (exit code 7) if anything
    moved since it was saved.

    With --wait one pass follows another, and the lock is free between them: whatever another command changes
    meanwhile, the next pass brings into agreement with the manifests.
    """,
    takes=(
        Argument("planfile", "[PLANFILE]", required=False),
        PATH,
        SELECTOR,
        ONLY,
        Option(
            "prune", "--prune", kind="flag",
            help="Delete what this fleet deployed and no manifest declares any more.",
        ),
        Option(
            "dry_run", "--dry-run", kind="flag",
            help="Show what would be done. Nothing is written, nothing is signalled.",
        ),
        Option("wait", "--wait", kind="flag", help="Go on until every deployment has come to rest."),
        Option("timeout", "--timeout", default="10m", metavar="DURATION", help="The longest --wait waits."),
        STRICT,
        *CONVERGING,
    ),
)  # fmt: skip
