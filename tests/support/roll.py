"""Takes a pid for a process of ours, for real: the kernel is told which pid it gave last."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def can_roll_pids() -> bool:
    return os.access(LAST_PID, os.W_OK) and os.geteuid() == 0


@contextlib.contextmanager
def take_pid(pid: int) -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that has this pid, which must be free; others may fork in between, so it is tried for a while."""
    for _ in range(2000):
        with contextlib.suppress(OSError):
            LAST_PID.write_text(str(pid - 1))
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"], start_new_session=True
        )
        if process.pid == pid:
            break
        process.kill()
        process.wait()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
