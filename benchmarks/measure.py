"""
One run of one command, measured; many runs, summed up; two commands measured in turn.

CPU seconds are what the kernel charged to the command and to what it waited for: while others use the machine they are
the steadier figure.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class BenchmarkError(Exception):
    """A measurement whose precondition is not true: what it would print would mean something else."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One run. `start_ns` is of the monotonic clock."""

    wall: float
    cpu: float
    start_ns: int
    code: int
    output: str


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some runs, with the lowest and the highest."""

    median: float
    lowest: float
    highest: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values), len(values))

    def to_json(self) -> dict[str, float]:
        return {"median": self.median, "min": self.lowest, "max": self.highest, "runs": self.runs}


def timed(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, codes: Sequence[int] = (0,)) -> Timing:
    """
    Run a command and give what it took, from before its fork to its end.

    Raises:
        BenchmarkError: its exit code is none of `codes`.
    """
    out = cwd / "last-output"
    with out.open("wb") as sink:
        start = time.monotonic_ns()
        process = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        _, status, usage = os.wait4(process.pid, 0)
        end = time.monotonic_ns()
    process.returncode = os.waitstatus_to_exitcode(status)
    output = out.read_text(errors="replace")
    if process.returncode not in codes:
        raise BenchmarkError(f"{' '.join(argv)} ended with {process.returncode}:\n{output[-2000:]}")
    return Timing((end - start) / 1e9, usage.ru_utime + usage.ru_stime, start, process.returncode, output)


def in_turn(
    commands: Mapping[str, Sequence[str]],
    *,
    runs: int,
    env: Mapping[str, str],
    cwd: Path,
    codes: Sequence[int] = (0,),
) -> dict[str, list[Timing]]:
    """Measure commands A B A B ..., so that whatever else the machine does falls on all of them alike."""
    for argv in commands.values():
        timed(argv, env=env, cwd=cwd, codes=codes)  # once for the page cache and the bytecode
    taken: dict[str, list[Timing]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, argv in commands.items():
            taken[name].append(timed(argv, env=env, cwd=cwd, codes=codes))
    return taken


def walls(timings: Sequence[Timing]) -> Spread:
    return Spread.of([timing.wall for timing in timings])


def cpus(timings: Sequence[Timing]) -> Spread:
    return Spread.of([timing.cpu for timing in timings])
