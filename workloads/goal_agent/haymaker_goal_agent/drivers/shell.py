"""
The shell tool of the drivers whose SDK brings none: one command, its output, how it ended.

Each command runs in a session of its own. What it leaves running in the background lives on until the agent ends, which
ends all of it. It refuses to know any SDK.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from typing import Any, NamedTuple

NAME = "shell"
DESCRIPTION = (
    "Run a command with `sh -c` in the working directory and give its output, standard error included. "
    "Each command is a shell of its own: a `cd` or a variable does not outlive it. There is no terminal and no input."
)
DEFAULT_SECONDS, MOST_SECONDS = 120, 3600
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "description": "The command."},
        "timeout_seconds": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_SECONDS,
            "description": f"When to end it; {DEFAULT_SECONDS} if left out.",
        },
    },
    "required": ["command"],
    "additionalProperties": False,
}
OUTPUT_BYTES = 16_000
"""So much of an output is given to the model: its beginning and its end."""

_GRACE_SECONDS = 2.0


class Ran(NamedTuple):
    """What a command gave, in words for the model; `ok` where it ended with exit code 0."""

    output: str
    ok: bool


async def run(command: object, timeout_seconds: object = None) -> Ran:
    """
    Run a command; arguments that make no sense are told to the model.

    Cancelled, it ends the command's whole process group first.
    """
    if not isinstance(command, str) or not command.strip() or "\0" in command:
        return Ran("error: `command` must be a text that is not empty", ok=False)
    seconds = DEFAULT_SECONDS if timeout_seconds is None else timeout_seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MOST_SECONDS:
        return Ran(f"error: `timeout_seconds` must be a number from 1 to {MOST_SECONDS}", ok=False)
    with tempfile.TemporaryFile() as output:  # a pipe would be held open by whatever stays in the background
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        how = ""
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
        except TimeoutError:
            how = f"timed out after {seconds:g} s"
        finally:
            if process.returncode is None:
                await _end(process)
        said = _bounded(output.fileno())
    code = process.returncode or 0
    how = how or (f"exit code {code}" if code >= 0 else f"ended by signal {-code}")
    ok = how == "exit code 0"
    return Ran(said if ok and said else f"{said.rstrip()}\n[{how}]".lstrip(), ok)


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                await process.wait()
                return


def _bounded(fd: int) -> str:
    size = os.fstat(fd).st_size
    if size <= OUTPUT_BYTES:
        return os.pread(fd, size, 0).decode("utf-8", "replace")
    half = OUTPUT_BYTES // 2
    begin, end = os.pread(fd, half, 0), os.pread(fd, half, size - half)
    left_out = f"\n[... {size - 2 * half} bytes left out ...]\n"
    return begin.decode("utf-8", "replace") + left_out + end.decode("utf-8", "replace")
