"""
`haymaker apply --wait`: the passes of a wait, shown as they go. A live table on a terminal, plain lines elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Protocol

from reconciler.app import App
from reconciler.cli.changing import (
    ask_consent,
    exit_code,
    print_outcome,
    print_results,
    result_document,
    show_problems,
)
from reconciler.cli.output import DOCUMENTS, say
from reconciler.exitcodes import ExitCode
from reconciler.follow import Followed, Waiting, follow
from reconciler.report import plan_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.model.outcome import Outcome
    from reconciler.passes import Pass, Request


class Display(Protocol):
    """Shows where every deployment stands; `say` prints a line that stays."""

    def show(self, standing: list[Waiting]) -> None: ...
    def say(self, line: str, *, error: bool = False) -> None: ...


class Lines:
    """One line on stderr for each change of a deployment's standing."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[str, str]] = {}

    def show(self, standing: list[Waiting]) -> None:
        for item in standing:
            if self._shown.get(item.name) != (item.state, item.note):
                self._shown[item.name] = (item.state, item.note)
                say(f"{item.name}: {item.state}" + (f" ({item.note})" if item.note else ""), error=True)

    def say(self, line: str, *, error: bool = False) -> None:
        say(line, error=error)


class Quiet:
    """Nothing until the end: the result is one JSON document."""

    def show(self, standing: list[Waiting]) -> None:
        del standing

    def say(self, line: str, *, error: bool = False) -> None:
        if error:
            say(line, error=True)


@contextlib.contextmanager
def _display(output: str) -> Iterator[Display]:
    if output in DOCUMENTS:
        yield Quiet()
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from reconciler.cli.live import live_display

        with live_display() as display:
            yield display
    else:
        yield Lines()


def apply_and_wait(
    request: Request, *, yes: bool, output: str, timeout_seconds: float, check: Callable[[Pass], None] | None
) -> ExitCode:
    """Converge and wait; give the wait's exit code."""
    told_problems: set[str] = set()
    first = True
    with _display(output) as display:

        def on_plan(done: Pass) -> None:
            nonlocal first
            new = [p for p in done.loaded.problems if str(p) not in told_problems]
            told_problems.update(str(p) for p in new)
            show_problems(new)
            if first:
                display.say(plan_text(done.plan))
            first = False

        def on_outcome(outcome: Outcome) -> None:
            if output == "text":
                print_outcome(outcome)

        try:
            followed = follow(
                App(),
                request,
                consent=ask_consent(yes=yes),
                timeout_seconds=timeout_seconds,
                on_plan=on_plan,
                on_outcome=on_outcome,
                on_standing=display.show,
                check=check,
            )
        except KeyboardInterrupt:
            display.say("interrupted: what runs goes on; run the same command again to wait on", error=True)
            raise
    code = _wait_code(followed)
    if output in DOCUMENTS:
        standing = [{"name": w.name, "state": w.state, "note": w.note, "settled": w.settled} for w in followed.standing]
        document = result_document(followed.last, followed.outcomes, code, output, dryRun=False, standing=standing)
        say(document, exact=True)
    else:
        _print_end(followed, timeout_seconds)
    return code


def _wait_code(followed: Followed) -> ExitCode:
    code = exit_code(followed.last, followed.outcomes)
    if code is not ExitCode.OK:
        return code
    if followed.timed_out:
        return ExitCode.TIMEOUT
    return ExitCode.OK if all(w.good for w in followed.standing) else ExitCode.PARTIAL


def _print_end(followed: Followed, timeout_seconds: float) -> None:
    print_results(followed.last, followed.outcomes)
    if followed.timed_out:
        waiting = ", ".join(w.name for w in followed.standing if not w.settled)
        say(f"error: gave up after {timeout_seconds:g} s; not at rest yet: {waiting}", error=True)
        say("  fix: they go on; run the same command again to wait on", error=True)
    for item in followed.standing:
        if item.settled and not item.good:
            say(f"error: {item.name}: {item.state}: {item.note}", error=True)
            say(f"  fix: `haymaker why {item.name}` and `haymaker logs {item.name}` tell more", error=True)
