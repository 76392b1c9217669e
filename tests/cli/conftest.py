"""A real HAYMAKER_HOME with a small fleet in it, and the real command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = [sys.executable, "-c", "from reconciler.cli.main import main; main()"]
SECRET = "hunter2-and-more"

MANIFESTS = """\
apiVersion: haymaker/v1
kind: Fleet
metadata: {name: shop}
---
apiVersion: haymaker/v1
kind: Workload
metadata: {name: shell}
spec:
  version: "1.0"
  description: Runs a line of shell.
  command: [sh, ./run.sh]
  configSchema:
    line: {type: string, required: true, description: What to run.}
---
apiVersion: haymaker/v1
kind: Deployment
metadata: {name: keeper, labels: {team: red}}
spec:
  workload: shell
  config: {line: "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done; echo token $TOKEN; exec sleep 1000"}
  env: [{name: TOKEN, valueFrom: {env: TEST_TOKEN}}]
  run: {mode: service, terminationGracePeriod: 1s}
---
apiVersion: haymaker/v1
kind: Deployment
metadata: {name: reporter, labels: {team: blue}}
spec:
  workload: shell
  config: {line: "echo done > report.txt"}
  success: {checks: [{name: report, file: {path: report.txt}}]}
---
apiVersion: haymaker/v1
kind: Deployment
metadata: {name: loser, labels: {team: blue}}
spec:
  workload: shell
  config: {line: "exit 3"}
  dependsOn: [{name: reporter, condition: GoalMet}]
"""
RUNNER = """\
exec sh -c "$(python3 -c 'import json,os;print(json.load(open(os.environ["HAYMAKER_CONFIG"]))["line"])')"
"""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Cli:
    """The command line on one home. Every call is a process of its own."""

    home: Path
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HAYMAKER_")}
        return kept | {"HAYMAKER_HOME": str(self.home), "TEST_TOKEN": SECRET, "NO_COLOR": "1", "COLUMNS": "100"}

    def __call__(self, *words: str, **env: str) -> Result:
        done = subprocess.run(
            [*PROGRAM, *words], capture_output=True, text=True, env=self.env | env, cwd=self.folder.parent, timeout=120
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    def popen(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env,
            cwd=self.folder.parent,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
        )  # fmt: skip


def make_cli(place: Path, text: str = MANIFESTS) -> Cli:
    folder = place / "manifests"
    folder.mkdir()
    (folder / "fleet.yaml").write_text(text)
    (folder / "run.sh").write_text(RUNNER)
    return Cli(place / "home", folder)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A fleet at rest: a service that runs, a task that met its goal, one that failed. Only look at it."""
    cli = make_cli(tmp_path_factory.mktemp("shop"))
    try:
        applied = cli("apply", "-f", "manifests", "--wait", "--timeout", "120s")
        assert cli("list", "-o", "name").out == "keeper\nloser\nreporter\n", applied.err
        yield cli
    finally:
        cli("delete", "-f", "manifests", "--yes")


@pytest.fixture
def empty(tmp_path: Path) -> Cli:
    """Manifests, and nothing applied yet."""
    return make_cli(tmp_path)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cli]:
    """A fleet of one's own, to change: apply it first."""
    cli = make_cli(tmp_path)
    try:
        yield cli
    finally:
        cli("delete", "-f", "manifests", "--yes")
