"""
The `haymaker` script. Here, once, every error becomes text on stderr and an exit code; no traceback leaves it.

It imports the one command that runs. A command declared as a `spec.Command` whose words are plainly right runs without
click; everything else is click's.
"""

from __future__ import annotations

import gc
import os
import sys

from reconciler.cli.catalog import COMMANDS, load_attribute
from reconciler.cli.spec import Command, read_plainly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OK, ERROR, USAGE, INTERRUPTED = 0, 1, 64, 130  # as in exitcodes.ExitCode; the enum costs what a short command has
SELDOM = 1_000_000  # objects made between two collections: what a command makes lives to its end
COMPLETION = "_HAYMAKER_COMPLETE"  # set by the scripts of `haymaker completion`


def main() -> None:
    """Run the command line of this process and end it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed by whoever started us
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123 - it stays open to the end
    gc.set_threshold(SELDOM)
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        _mute()
        code = code or (OK if isinstance(error, BrokenPipeError) else ERROR)
    threading = sys.modules.get("threading")
    if threading is None or threading.active_count() == 1:
        # Nothing of ours waits for the interpreter's end, and taking every object apart costs a tenth of `list`.
        os._exit(code)
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """Run one command line and give its exit code; whatever went wrong is told on stderr."""
    try:
        _tolerate_narrow_terminals()
        return _run(list(words))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _mute()
        return OK  # whoever read a look has read enough; what changes something goes on unheard
    except BaseException as error:  # noqa: BLE001 - the one place where errors become text
        return _tell(error)


def _run(words: list[str]) -> int:
    command = _command(words)
    if command is not None and COMPLETION not in os.environ:
        values = read_plainly(command, words[1:], os.environ)
        if values is not None:
            return int(command.run(**values) or OK)
    from reconciler.cli.clicked import run_click  # costs more than most commands

    return run_click(words)


def _command(words: list[str]) -> Command | None:
    """Give the command these words name, if it is one that may need no click."""
    if not words or words[0] not in COMMANDS:
        return None
    found = load_attribute(COMMANDS[words[0]][0])
    return found if isinstance(found, Command) else None


def _tolerate_narrow_terminals() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # a name or a log line may hold what this terminal cannot show


def _mute() -> None:
    """Let the interpreter's own last flush of stdout complain of nothing."""
    from reconciler.cli.output import mute

    mute(sys.stdout)


def _tell(error: BaseException) -> int:
    from agent_haymaker.errors import HaymakerError

    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else OK if error.code is None else ERROR
    if isinstance(error, BaseExceptionGroup):
        inner = error.subgroup((HaymakerError, KeyboardInterrupt, OSError))
        if inner is not None:
            return _tell(inner.exceptions[0])
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if os.environ.get("HAYMAKER_DEBUG", "") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, HaymakerError):
        _say(error.what, error.where, error.fix)
        return exit_code(error)
    if isinstance(error, OSError) and error.errno is not None:
        _say(error.strerror or "the host refused", error.filename and str(error.filename), None)
        return ERROR
    # Its text may hold anything, a secret too: the class and the place say enough for a report.
    _say(
        f"this is a fault in haymaker ({type(error).__name__} at {_place(error)})",
        None,
        "run it again with HAYMAKER_DEBUG=1 to see more, and report it",
    )
    return ERROR


def exit_code(error: BaseException) -> int:
    """Give the exit code that stands for an error of haymaker's own."""
    from agent_haymaker import errors
    from reconciler.exitcodes import ExitCode

    for kind, code in (
        (errors.ManifestError, ExitCode.INVALID),
        (errors.UsageError, ExitCode.USAGE),
        (errors.BlockedError, ExitCode.BLOCKED),
        (errors.LockedError, ExitCode.LOCKED),
        (errors.StalePlanError, ExitCode.STALE),
    ):
        if isinstance(error, kind):
            return int(code)
    return int(ExitCode.ERROR)


def _say(what: str, where: str | None, fix: str | None) -> None:
    from reconciler.cli.output import clean_lines, paint

    lines = [f"{paint('error:', 'red', sys.stderr)} {clean_lines(what)}"]
    lines += [f"  {word}: {clean_lines(text)}" for word, text in (("where", where), ("fix", fix)) if text]
    try:
        print("\n".join(lines), file=sys.stderr)
    except OSError:
        return  # nobody listens


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    parts = trace.tb_frame.f_code.co_filename.split(os.sep)
    return f"{'/'.join(parts[-2:])}:{trace.tb_lineno}"


if __name__ == "__main__":
    main()
