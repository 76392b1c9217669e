"""
`haymaker validate`: everything that is wrong with a folder of manifests, without touching anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.app import App
from reconciler.cli.common import FOLDER, output_option
from reconciler.cli.output import DOCUMENTS, document
from reconciler.cli.spec import Argument, Command, Option
from reconciler.exitcodes import ExitCode
from reconciler.load import load, prefix_of
from reconciler.manifest.unresolved import find_unresolved
from reconciler.report import problem_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.load import Loaded, Problem


def run(*, path: str | None, filename: str, strict: bool, output: str) -> int:
    app = App()
    loaded = load(Path(path or filename), home=app.home if app.home.is_dir() else None, strict=strict)
    found = (*loaded.problems, *_not_here(loaded, str(path or filename), app.environ))
    errors = sum(1 for p in found if p.severity == "error")
    warnings = len(found) - errors
    counted = f"{_count(loaded.files, 'file')}, {_count(len(loaded.desired), 'deployment')}"
    if output in DOCUMENTS:
        problems = [
            {"severity": p.severity, "where": p.where, "what": p.what, "fix": p.fix, "name": p.name} for p in found
        ]
        record = {
            "kind": "Validation",
            "valid": not errors,
            "files": loaded.files,
            "deployments": sorted(loaded.desired),
            "fleet": loaded.fleet.name,
            "problems": problems,
        }
        print(document(record, output))
    else:
        for problem in found:
            print(problem_text(problem))
        if errors:
            print(f"{counted}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
        else:
            print(f"{counted}: valid" + (f", {_count(warnings, 'warning')}" if warnings else ""))
    return int(ExitCode.INVALID if errors else ExitCode.OK)


def _not_here(loaded: Loaded, shown: str, environ: Mapping[str, str]) -> list[Problem]:
    """Warn of what a start here would lack. Another machine may have it, so --strict makes no error of it."""
    prefix = prefix_of(shown, is_file=loaded.single_file)
    starting = [want for want in loaded.desired.values() if not (want.stopped or want.suspend)]
    return [flaw.as_problem(prefix) for want in starting for flaw in find_unresolved(want, loaded.root, environ)]


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


COMMAND = Command(
    run,
    help="""Check manifests and list everything that is wrong, each with file, line, field and what to do.

    Nothing is written and nothing that runs is looked at. Exit code 65 where anything is wrong.

    A variable or a file that env refers to and that is not there is a warning, also with --strict: another machine may
    have it.
    """,
    takes=(
        Argument("path", "[DIR]", required=False),
        FOLDER,
        Option("strict", "--strict", kind="flag", help="Warnings are errors."),
        output_option("text", "json", "yaml"),
    ),
)
