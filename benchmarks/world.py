"""
A throwaway world for one benchmark: a folder of manifests, a HAYMAKER_HOME, and sleepers that are surely ours.

Every deployment is a manifest file of its own and runs `/bin/sleep` with a number that belongs to this run alone. Left
alone they would end after two hours; `close` ends them, and their shim, by pid, whatever happened before.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks import kernel
from benchmarks.measure import BenchmarkError, Timing, timed

if TYPE_CHECKING:
    from types import TracebackType

SLEEP = "/bin/sleep"
LIFE_SECONDS = 7200

_WORKLOAD = """\
name: sleeper
version: "1.0.0"
type: runtime
description: Sleeps.
command: [{sleep}, "{argument}"]
"""
_FLEET = """\
apiVersion: haymaker/v1
kind: Fleet
metadata: {name: bench}
spec:
  limits: {maxRunning: 100000}
"""
_DEPLOYMENT = """\
apiVersion: haymaker/v1
kind: Deployment
metadata:
  name: {name}
  labels: {{team: blue, tier: batch}}
spec:
  workload: sleeper
  env:
    - {{name: REGION, value: eu-west-1}}
    - {{name: LOG_LEVEL, value: {level}}}
  run:
    mode: service
    terminationGracePeriod: 10s
"""


def name_of(number: int) -> str:
    return f"agent-{number:05d}"


class World:
    """A context: the folder is made on entry, and everything is gone on exit."""

    def __init__(self, count: int, *, parent: Path | None = None) -> None:
        self.count = count
        self.argument = f"{LIFE_SECONDS}.{secrets.randbelow(10**9):09d}"
        self.root = Path(tempfile.mkdtemp(prefix="haymaker-bench-", dir=parent))
        self.manifests = self.root / "manifests"
        self.home = self.root / "home"
        self.python = sys.executable
        self.haymaker = str(Path(sys.executable).parent / "haymaker")
        self.env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        # The one long log here is the benchmark's own; the shim is not to cut it.
        self.env |= {"HOME": str(self.root), "HAYMAKER_HOME": str(self.home), "HAYMAKER_LOG_MAX_BYTES": str(1 << 50)}

    def __enter__(self) -> Self:
        self.manifests.mkdir()
        (self.manifests / "workload.yaml").write_text(_WORKLOAD.format(sleep=SLEEP, argument=self.argument))
        (self.manifests / "fleet.yaml").write_text(_FLEET)
        for number in range(self.count):
            self.write(number, level="info")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def write(self, number: int, *, level: str) -> None:
        name = name_of(number)
        (self.manifests / f"{name}.yaml").write_text(_DEPLOYMENT.format(name=name, level=level))

    def run(self, *words: str, codes: tuple[int, ...] = (0,)) -> Timing:
        """Run `haymaker` in this world, from its start to its end."""
        return timed([self.haymaker, *words], env=self.env, cwd=self.root, codes=codes)

    def apply(self) -> Timing:
        return self.run("apply", "-f", str(self.manifests), "--yes")

    def sleepers(self) -> list[int]:
        return [pid for pid in kernel.with_argument(self.argument) if kernel.command_of(pid)[0] == SLEEP]

    def expect_running(self) -> list[int]:
        """
        Give the pids of all sleepers.

        Raises:
            BenchmarkError: there is not exactly one for each manifest.
        """
        found = self.sleepers()
        if len(found) != self.count:
            raise BenchmarkError(f"{len(found)} of {self.count} sleepers run")
        return found

    def beside(self) -> list[int]:
        """Give the pids of what of haymaker stays beside the agents."""
        return kernel.below(self.home)

    def empty(self) -> None:
        """End everything that runs here and forget it: an empty HAYMAKER_HOME again, the manifests stay."""
        left = kernel.end(self.sleepers())
        deadline = time.monotonic() + 10
        while self.beside() and time.monotonic() < deadline:
            time.sleep(0.02)  # the shim ends by itself once it has written down the ends
        left += kernel.end(self.beside())
        if left:
            raise BenchmarkError(f"{left} processes could not be ended")
        # Put aside, not removed: for half a minute ext4 passes over each inode just freed whenever it makes a file, and
        # the next run would be timed at that.
        if self.home.exists():
            self.home.rename(self.root / f"home-before-{secrets.token_hex(4)}")

    def close(self) -> None:
        try:
            self.empty()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)
