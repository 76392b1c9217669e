"""
The agent's side of a driver whose SDK runs in a worker process: starts one for each attempt, and reads its events.

It refuses to import any SDK.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

from agent_haymaker.errors import ManifestError
from agent_haymaker.records import write_record
from haymaker_goal_agent.drivers import REQUIRES
from haymaker_goal_agent.drivers.protocol import Ended, Failed, from_json, words_of
from haymaker_goal_agent.keys import pipe_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from haymaker_goal_agent.children import Children
    from haymaker_goal_agent.drivers.protocol import Event, Task

_TASK = "task.json"
_GRACE_SECONDS = 10.0
"""So long may an SDK take to end an interrupted turn."""


class HostedDriver:
    """Carries out a goal with an SDK."""

    def __init__(
        self, sdk: str, workspace: Path, children: Children, env: Mapping[str, str], keys: Mapping[str, str]
    ) -> None:
        self.name = sdk
        self._workspace = workspace
        self._children = children
        self._env = env
        self._keys = keys
        self._is_interrupted = False

    def prepare(self) -> None:
        """
        Make sure that the SDK is installed.

        Raises:
            ManifestError: it is not.
        """
        for module, extra in REQUIRES.get(self.name, {}).items():
            if not _is_installed(module):
                raise ManifestError(
                    f"sdk `{self.name}` needs the Python package {module}, which is not installed",
                    where="config.sdk",
                    fix=f"pip install 'agent-haymaker[{extra}]' where haymaker is installed",
                )

    def attempt(self, task: Task) -> Iterator[Event]:
        """Start a worker for this prompt; give its events as they come."""
        folder = self._workspace / task.folder
        write_record(folder / _TASK, {"schema_version": 1, **words_of(task)}, durable=False)
        argv = [sys.executable, "-P", "-m", "haymaker_goal_agent.drivers.worker", self.name, f"{task.folder}/{_TASK}"]
        self._is_interrupted = False
        lines = self._children.listen(argv, self._env, pipe_with(self._keys), task.seconds, grace=_GRACE_SECONDS)
        last: Event | None = None
        try:
            while True:
                event = _read(next(lines))
                if event is not None:
                    last = event
                    yield event
        except StopIteration as over:
            ended = over.value
        finally:
            lines.close()
        if isinstance(last, Ended | Failed):
            return
        if self._is_interrupted or self._children.is_stopping() or ended.limit is not None:
            yield Ended("interrupted")
        else:
            yield Failed(f"the worker of sdk `{self.name}` ended without a word ({ended})", "its log is above")

    def interrupt(self) -> None:
        self._is_interrupted = True
        self._children.interrupt()


def _read(line: bytes) -> Event | None:
    try:
        return from_json(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # whatever it is, it was not ours to read


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
