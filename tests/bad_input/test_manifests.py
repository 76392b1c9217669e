"""
Malformed manifests, each with the exact text that its author reads.

A case is a folder: its files are loaded beside `base/`, and what is said of them must be `expected.txt`.
GOLDEN=1 rewrites the expected texts; review the diff as behaviour.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from reconciler.load import Loaded, load

HERE = Path(__file__).parent
CASES = sorted(path.name for path in (HERE / "manifests").iterdir())


def said_of(loaded: Loaded) -> str:
    lines = [f"{problem.severity}: {problem}" for problem in loaded.problems]
    lines.append(f"desired: {' '.join(loaded.desired) or '-'}")
    lines.append(f"last good stays: {' '.join(sorted(loaded.broken_names)) or '-'}")
    lines.append(f"removals: {'as usual' if loaded.complete else 'suspended'}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_exactly(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "manifests"
    shutil.copytree(HERE / "base", folder)
    shutil.copytree(
        HERE / "manifests" / case, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expected.txt")
    )
    monkeypatch.chdir(tmp_path)
    said = said_of(load(Path("manifests"), home=None)).replace(str(tmp_path), "REPO")
    expected = HERE / "manifests" / case / "expected.txt"
    if os.environ.get("GOLDEN"):
        expected.write_text(said)
    assert said == expected.read_text()
    assert "topsecret" not in said
    assert "error: " in said or "warning: " in said
    # What is wrong is wrong again from the cache, word for word.
    for _ in range(2):
        assert said_of(load(Path("manifests"), home=tmp_path / "home")).replace(str(tmp_path), "REPO") == said


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60
