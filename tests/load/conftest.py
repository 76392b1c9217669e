from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent_haymaker.lean import replace
from reconciler.load import Loaded, load

WORKLOADS = """\
name: sleeper
version: "0.2.0"
type: runtime
command: [sleep, "1000"]
---
name: analyst
version: "1.4.0"
type: runtime
command: [sh, ./run.sh]
config_schema:
  goal_file: {type: string, format: file}
  rules: {type: string, format: file}
  sdk: {type: string, default: script}
  max_turns: {type: integer, default: 15, min: 1, max: 100}
  verbose: {type: boolean, default: false, restart: false}
"""


class Fleet:
    """A folder of manifests that a test writes and loads."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp = tmp_path
        self.folder = tmp_path / "manifests"
        self.home = tmp_path / "home"
        self.write("workload.yaml", WORKLOADS)
        self.write("run.sh", "sleep 1000\n")

    def write(self, path: str, text: str | bytes) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def deploy(self, name: str, spec: str = "workload: sleeper", path: str | None = None, metadata: str = "") -> Path:
        lines = "".join(f"  {line}\n" for line in spec.strip().splitlines())
        head = f"apiVersion: haymaker/v1\nkind: Deployment\nmetadata: {{name: {name}{metadata}}}\nspec:\n"
        return self.write(path or f"{name}.yaml", head + lines)

    def load(self, *, home: bool = False, strict: bool = False) -> Loaded:
        return load(self.folder, home=self.home if home else None, strict=strict)

    def digest(self, name: str) -> str:
        loaded = self.load()
        assert not [p for p in loaded.problems if p.name == name], loaded.problems
        return loaded.desired[name].digest


def same(loaded: Loaded, fresh: Loaded) -> None:
    """Two loads say the same, however each of them came to know it."""
    assert replace(loaded, folder=fresh.folder) == fresh


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


Deploy = Callable[..., Path]
