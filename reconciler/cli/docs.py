"""
docs/cli.md, from what `--help` prints.

    python -m reconciler.cli.docs [FILE]     writes docs/cli.md
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.clicked import LazyGroup, root
from reconciler.exitcodes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100
_LOOK: dict[str, Any] = {
    "terminal_width": WIDTH, "max_content_width": WIDTH, "help_option_names": ["-h", "--help"],
}  # fmt: skip
_MEANINGS = {
    ExitCode.OK: "ok, converged, no change",
    ExitCode.ERROR: "error",
    ExitCode.CHANGES: "changes pending (only with `--detailed-exitcode`)",
    ExitCode.PARTIAL: "partial: some applied, some failed",
    ExitCode.TIMEOUT: "timed out waiting",
    ExitCode.BLOCKED: "blocked by a guard, a budget or a missing approval",
    ExitCode.LOCKED: "another holder has the lock",
    ExitCode.STALE: "the saved plan is stale",
    ExitCode.USAGE: "usage",
    ExitCode.INVALID: "invalid manifests",
    ExitCode.INTERRUPTED: "interrupted",
}


def reference() -> str:
    """Give the whole page."""
    parts = [
        "# The command line",
        "Made from `haymaker --help` by `make golden`; do not edit.",
        "A value comes from its flag, else from its `HAYMAKER_*` environment variable, else from the Fleet, else from "
        "its default. Results are on stdout, progress and errors on stderr. `NO_COLOR` is obeyed. JSON carries "
        "`schemaVersion`. State lives under `HAYMAKER_HOME` (default `~/.haymaker`). `HAYMAKER_DEBUG=1` shows where an "
        "error came from.",
        "## Exit codes",
        "| Code | Meaning |\n|---|---|\n" + "\n".join(f"| {int(code)} | {_MEANINGS[code]} |" for code in ExitCode),
        "`status --exit-status`: 0 all Healthy, 2 some Progressing, 3 some Degraded, Stalled or Missing, 1 an error.",
        "## Commands",
    ]
    top = root()
    with click.Context(top, info_name="haymaker", **_LOOK) as context:
        for name, text in _helps(top, context, "haymaker"):
            parts += [f"### {name}", f"```text\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def _helps(command: click.Command, context: click.Context, name: str) -> Iterator[tuple[str, str]]:
    yield name, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if not isinstance(command, LazyGroup):
        return
    for word in command.list_commands(context):
        inner = command.get_command(context, word)
        assert inner is not None, f"{word} is listed and not there"
        more = click.Context(inner, parent=context, info_name=word, **_LOOK)
        yield from _helps(inner, more, f"{name} {word}")


def main() -> None:
    """Write the page."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/cli.md")
    path.parent.mkdir(exist_ok=True)
    path.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
