"""
`haymaker doctor`: is this host fit, and are haymaker's own records sound? It looks, and changes nothing.
"""

from __future__ import annotations

from reconciler.app import App
from reconciler.cli.common import output_option
from reconciler.cli.output import DOCUMENTS, clean, document, paint
from reconciler.cli.spec import Command
from reconciler.exitcodes import ExitCode

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def run(*, output: str) -> int:
    from reconciler.doctor import examine

    findings = examine(App())
    failed = sum(1 for f in findings if f.level == "fail")
    warned = sum(1 for f in findings if f.level == "warn")
    if output in DOCUMENTS:
        items = [{"check": f.check, "level": f.level, "what": f.what, "fix": f.fix or None} for f in findings]
        print(document({"kind": "Examination", "items": items, "healthy": not failed}, output))
    else:
        width = max(len(f.check) for f in findings)
        for finding in findings:
            level = paint(finding.level.ljust(4), _COLOURS[finding.level])
            print(f"{level}  {finding.check.ljust(width)}  {clean(finding.what)}")
            if finding.fix:
                print(f"      {' ' * width}  fix: {clean(finding.fix)}")
        print(f"{len(findings)} checks: {failed} failed, {warned} to look at")
    return int(ExitCode.ERROR if failed else ExitCode.OK)


COMMAND = Command(
    run,
    help="""Check this host and haymaker's own records: each line is ok, warn or fail, with what to do.

    Nothing is changed. Exit code 1 where anything failed.
    """,
    takes=(output_option("text", "json", "yaml"),),
)
