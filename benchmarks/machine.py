"""The machine that the figures are of, and whether somebody else uses it."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

QUIET = 0.12
"""Up to this share of all cores busy, a machine counts as quiet."""


def describe(folder: Path) -> dict[str, Any]:
    """Give what a reader needs to place the figures; `folder` is where the benchmark writes."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)),
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "filesystem": _filesystem(folder),
        "load": round(os.getloadavg()[0], 2),
        "busy": round(busy(1.0), 2),
    }


def _filesystem(folder: Path) -> str:
    best, kind = "", "unknown"
    if sys.platform == "linux":
        for line in Path("/proc/mounts").read_text().splitlines():
            _, where, found, *_ = line.split()
            if folder.is_relative_to(where) and len(where) >= len(best):
                best, kind = where, found
    return kind


def busy(seconds: float) -> float:
    """Give the share of all cores that was busy during the next `seconds`."""
    if sys.platform != "linux":
        return min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    before = _jiffies()
    time.sleep(seconds)
    after = _jiffies()
    return 1 - (after[1] - before[1]) / max(1, after[0] - before[0])


def _jiffies() -> tuple[int, int]:
    with Path("/proc/stat").open() as lines:
        fields = [int(field) for field in lines.readline().split()[1:9]]
    return sum(fields), fields[3] + fields[4]


def wait_until_quiet(patience_seconds: float) -> float:
    """Wait until the machine is quiet, or patience ends; give how busy it was last."""
    deadline = time.monotonic() + patience_seconds
    while True:
        share = busy(0.4)
        if share <= QUIET or time.monotonic() >= deadline:
            return share
        time.sleep(0.3)
