"""
How a fenced block is run: the argument vector for each language. Pure but for one look along PATH.
"""

from __future__ import annotations

import os
import sys

from agent_haymaker.goals.place import AT_COPY, Place

EMPTY_FIX = "say what to achieve under a heading `## Goal`"
NO_STEPS_FIX = (
    "add a section `## Steps` with at least one block fenced as ```sh, ```bash or ```python; "
    "a block in another language, or in none, is not run"
)

# Compiled behind as many empty lines as stand above it, so that a traceback names the goal's own file and line. That
# file may be out of reach, or have changed: what stands there is shown from the code itself.
_PYTHON = """\
def _block():
    import sys

    file, line, code = sys.argv[1:]
    del sys.argv[1:]
    source = "\\n" * (int(line) - 1) + code

    def tell(kind, error, trace):
        import linecache, traceback

        linecache.cache[file] = len(source), None, source.splitlines(True), file
        while trace and trace.tb_frame.f_code.co_filename == "<string>":
            trace = trace.tb_next
        traceback.print_exception(kind, error, trace)

    sys.excepthook = tell
    return compile(source, file, "exec")


exec(globals().pop("_block")())
"""


def argv_of(language: str, code: str, line: int, place: Place = AT_COPY) -> list[str]:
    """Give the argument vector that runs `code`, which stands at `line` of a goal. A failing command ends it."""
    match language:
        case "sh":
            return ["sh", "-e", "-c", "--", code, place.at(line)]
        case "bash":
            return ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", "--", code, place.at(line)]
        case "python":
            return [sys.executable, "-u", "-c", _PYTHON, place.file, str(place.line(line)), code]
        case _:
            raise ValueError(f"no way to run {language}")


def is_on_path(program: str) -> bool:
    """Whether the program can be found; `shutil.which` would load five compression modules for it."""
    return any(os.access(os.path.join(folder, program), os.X_OK) for folder in os.get_exec_path())
