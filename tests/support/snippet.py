"""Python code in a process of its own, for what one process alone cannot show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python(code: str, *argv: str, **options: object) -> subprocess.Popen[str]:
    """Run code with the project on its path; what it prints is text in `stdout`."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code, *argv], env=env, text=True, stdout=subprocess.PIPE, **options)
