"""
`haymaker validate`: everything that is wrong with a folder of manifests, without touching anything.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.app import App
from reconciler.cli.common import FOLDER, output_option
from reconciler.cli.output import DOCUMENTS, document
from reconciler.cli.spec import Argument, Command, Option
from reconciler.exitcodes import ExitCode
from reconciler.load import load
from reconciler.report import problem_text


def run(*, path: str | None, filename: str, strict: bool, output: str) -> int:
    app = App()
    loaded = load(Path(path or filename), home=app.home if app.home.is_dir() else None, strict=strict)
    errors = sum(1 for p in loaded.problems if p.severity == "error")
    warnings = len(loaded.problems) - errors
    counted = f"{_count(loaded.files, 'file')}, {_count(len(loaded.desired), 'deployment')}"
    if output in DOCUMENTS:
        problems = [
            {"severity": p.severity, "where": p.where, "what": p.what, "fix": p.fix, "name": p.name}
            for p in loaded.problems
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
        for problem in loaded.problems:
            print(problem_text(problem))
        if errors:
            print(f"{counted}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
        else:
            print(f"{counted}: valid" + (f", {_count(warnings, 'warning')}" if warnings else ""))
    return int(ExitCode.INVALID if errors else ExitCode.OK)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


COMMAND = Command(
    run,
    help="""Check manifests and list everything that is wrong, each with file, line, field and what to do.

    Nothing is written and nothing that runs is looked at. Exit code 65 where anything is wrong.
    """,
    takes=(
        Argument("path", "[DIR]", required=False),
        FOLDER,
        Option("strict", "--strict", kind="flag", help="Warnings are errors."),
        output_option("text", "json", "yaml"),
    ),
)
