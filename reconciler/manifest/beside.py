"""
Reading a large folder with every core: forked processes read shares of it, and hand over what the cache would keep.

What they hand over is judged as whatever comes from the cache is: a deployment that was resolved against another Fleet
or workload than the folder turns out to have is resolved again, and so is a file in which something is wrong, which
no cache keeps. So a helper that dies, or is not made at all, costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Self

from reconciler.manifest.trees import Unreadable
from reconciler.manifest.yamlreader import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from reconciler.manifest.trees import Stamp, Tree
    from reconciler.model.lazyjson import Json

    Files = Sequence[tuple[str, Stamp | None]]

SHARE = 150  # files: fewer are read sooner than a process is made and has handed them over
MOST_HELPERS = 3
_CONTEXT = re.compile(rb"^kind:[ \t]*['\"]?(?:Fleet|Workload)\b|^name:", re.MULTILINE)


class Helpers:
    """A context: the processes that read shares of a folder beside this one."""

    def __init__(self) -> None:
        self._pipes: list[tuple[int, int]] = []  # pid and the end to read from

    def start(self, work: Callable[[], Json]) -> None:
        """Have `work` done beside this process. Where no process can be made, nobody does it."""
        try:
            ours, theirs = os.pipe()
        except OSError:
            return
        try:
            pid = os.fork()
        except OSError:
            os.close(ours)
            os.close(theirs)
            return
        if pid == 0:
            _help(theirs, work)
        os.close(theirs)
        self._pipes.append((pid, ours))

    def answers(self) -> Iterator[Json]:
        """Wait for what each of them hands over; of one that failed there is none."""
        while self._pipes:
            pid, pipe = self._pipes[0]
            with open(pipe, "rb", closefd=False) as file:
                content = file.read()
            self._forget(pid, pipe)
            with contextlib.suppress(ValueError):
                yield json.loads(content)

    def _forget(self, pid: int, pipe: int) -> None:
        self._pipes.remove((pid, pipe))
        os.close(pipe)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid, pipe in list(self._pipes):  # something went wrong here: nobody waits for their answer
            os.kill(pid, 9)
            self._forget(pid, pipe)


def split(files: Files) -> list[Files]:
    """Give files that are to be read in shares, the first for this process; one where helpers are not worth it."""
    threading = sys.modules.get("threading")
    hands = min(_cores(), 1 + MOST_HELPERS, len(files) // SHARE)
    if hands < 2 or (threading is not None and threading.active_count() > 1):
        return [files]  # a fork takes over what other threads had locked, and nobody who would unlock it
    size = -(-len(files) // hands)
    return [files[start : start + size] for start in range(0, len(files), size)]


def find_context(tree: Tree, files: Files) -> Files:
    """Give those of `files` that seem to declare what deployments are resolved against: a Fleet, or a workload."""
    found = []
    for file, stamp in files:
        try:
            content, _ = tree.read(os.path.join(tree.root, file), MAX_BYTES)
        except Unreadable:
            continue
        if _CONTEXT.search(content):
            found.append((file, stamp))
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _help(pipe: int, work: Callable[[], Json]) -> None:
    """The helper's whole life. It keeps nothing open that is its parent's, so that no lock outlives who holds it."""
    code = 1
    try:
        os.closerange(3, pipe)
        os.closerange(pipe + 1, 1 << 16)
        content = json.dumps(work(), separators=(",", ":")).encode()
        with open(pipe, "wb") as file:
            file.write(content)
        code = 0
    finally:
        os._exit(code)
