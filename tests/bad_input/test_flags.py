"""What a person reads who typed it wrong: the exact message, exit code 64, and nothing was made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "flags"
CASES: dict[str, Any] = json.loads((FOLDER / "cases.json").read_text())
PROGRAM = [sys.executable, "-c", "from reconciler.cli.main import main; main()"]


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_command_line_is_told_what_where_and_how(case: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HAYMAKER_")}
    env = kept | {"HAYMAKER_HOME": str(home), "NO_COLOR": "1"} | CASES[case].get("env", {})
    done = subprocess.run(
        [*PROGRAM, *CASES[case]["args"]], capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120
    )
    expected = FOLDER / "expected" / f"{case.replace(' ', '-')}.txt"
    if os.environ.get("GOLDEN"):
        expected.parent.mkdir(exist_ok=True)
        expected.write_text(done.stderr)
    assert done.stderr == expected.read_text()
    assert (done.returncode, done.stdout) == (64, "")
    assert not home.exists()
