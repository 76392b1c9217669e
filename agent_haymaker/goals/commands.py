"""
How a fenced block is run: the argument vector for each language. Pure but for one look along PATH.
"""

from __future__ import annotations

import os
import sys

EMPTY_FIX = "say what to achieve under a heading `## Goal`"
NO_STEPS_FIX = (
    "add a section `## Steps` with at least one block fenced as ```sh, ```bash or ```python; "
    "a block in another language, or in none, is not run"
)

# Compiled behind as many empty lines as stand above it, so that a traceback names the goal's own line.
_PYTHON = (
    "exec(compile('\\n' * (int(__import__('sys').argv.pop(1)) - 1) + __import__('sys').argv.pop(1), "
    "'prompt.md', 'exec'))"
)


def argv_of(language: str, code: str, line: int) -> list[str]:
    """Give the argument vector that runs `code`, which stands at `line` of prompt.md. A failing command ends it."""
    match language:
        case "sh":
            return ["sh", "-e", "-c", "--", code, f"prompt.md:{line}"]
        case "bash":
            return ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", "--", code, f"prompt.md:{line}"]
        case "python":
            return [sys.executable, "-u", "-c", _PYTHON, str(line), code]
        case _:
            raise ValueError(f"no way to run {language}")


def is_on_path(program: str) -> bool:
    """Whether the program can be found; `shutil.which` would load five compression modules for it."""
    return any(os.access(os.path.join(folder, program), os.X_OK) for folder in os.get_exec_path())
